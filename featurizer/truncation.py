"""Find where the samples of a stream end, and whether that is within a frame or page."""

import re

from featurizer.amr import MAX_FRAME_BYTES, frames_end
from featurizer.file_access import FilePart
from featurizer.formats import FRAME_FORMATS, Container, unexplained_bytes
from featurizer.frames import FrameParser, is_run
from featurizer.ogg import stream_end
from featurizer.stated_length import stated_end

_TAIL_BYTES = 1 << 16
"""Bytes to look at, at the end of a file: more than eight frames have."""

_FRAME_HEADER_BYTES = 7
"""Size of the longest frame header: that of AAC."""

_SYNC_BYTES = (b"\xff", b"\x0b")
"""First bytes of a frame."""

# RFC 9639, 9.1 and 9.3: the first bytes of a frame of FLAC, and the polynomial of its checksum.
_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_FLAC_POLYNOMIAL = 0x8005


def find_end(file: FilePart, container: Container) -> tuple[int, bool]:
    r"""Find the end of the samples in a stream, and whether it was cut off.

    A stream without a mark at its end that was cut between two frames cannot be told from a
    complete one. Zeros at the end of a stream are padding.

    Parameters
    ----------
    file : FilePart
    container : Container

    Returns
    -------
    end : int
        Offset in bytes; that of the end of the file unless decoders would take what follows the
        samples for samples.
    is_cut : bool
        Whether the stream ends within a frame, or before the end that its format marks. False for
        recordings with a length in their header.

    Examples
    --------
    >>> import io
    >>> from featurizer.file_access import DecoderFile
    >>> raw = io.BytesIO(b"#!AMR\n" + 2 * (b"\x3c" + bytes(31)) + b"TAG" + bytes(125))
    >>> file, amr = DecoderFile(raw, None), Container("AMR", "amr")
    >>> find_end(FilePart(file, 0, 198), amr), find_end(FilePart(file, 0, 69), amr)
    ((70, False), (38, True))
    """
    if container.name == "FLAC":
        return file.size, _has_no_flac_length(file) and _ends_within_flac_frame(file)
    if container.name == "Ogg":
        end = stream_end(file)
        return (file.size, True) if end is None else (end, False)
    if container.name == "AMR":
        end = frames_end(file)
        rest = file.read_at(end, MAX_FRAME_BYTES)
        return end, len(rest) < MAX_FRAME_BYTES and any(rest)
    parser = dict(FRAME_FORMATS).get(container)
    if parser is None:
        return min(file.size, stated_end(file, container) or file.size), False
    return _find_end_of_frames(file, parser)


def _find_end_of_frames(file: FilePart, parser: FrameParser) -> tuple[int, bool]:
    tail = _tail(file)
    is_whole = len(tail) == file.size
    at = next((at for at in range(len(tail)) if is_run(tail, at, is_whole, parser)), len(tail))
    while (frame := parser(tail, at)) is not None:
        at += frame[0]
    end = file.size - len(tail) + at
    is_within_header = len(tail) - at < _FRAME_HEADER_BYTES and tail[at : at + 1] in _SYNC_BYTES
    if end > file.size or is_within_header:
        return file.size, True
    return file.size if unexplained_bytes(file, end, file.size) else end, False


def _has_no_flac_length(file: FilePart) -> bool:
    # RFC 9639, 8.2: 36 bits that end with byte 26 of the file.
    file.seek(0)
    head = file.read(26)
    return int.from_bytes(head[21:], "big") & (1 << 36) - 1 == 0


def _ends_within_flac_frame(file: FilePart) -> bool:
    tail = _tail(file)
    begin = file.size - len(tail)
    is_frame_seen = False
    for start in reversed([found.start() for found in _FLAC_SYNC.finditer(tail)]):
        crc = 0
        for at in range(start, len(tail)):
            crc = (crc << 8 & 0xFFFF) ^ _FLAC_CRC[crc >> 8 ^ tail[at]]
            if crc == 0:  # the end of a frame, including its checksum
                if not unexplained_bytes(file, begin + at + 1, file.size):
                    return False
                is_frame_seen |= _FLAC_SYNC.match(tail, at + 1) is not None
    # Without a complete frame, the frames may be longer than the tail.
    return is_frame_seen


def _flac_crc(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = crc << 1 ^ (_FLAC_POLYNOMIAL if crc & 0x8000 else 0)
    return crc & 0xFFFF


_FLAC_CRC = [_flac_crc(byte) for byte in range(256)]
"""Checksum of each single byte."""


def _tail(file: FilePart) -> bytes:
    file.seek(max(0, file.size - _TAIL_BYTES))
    return file.read()
