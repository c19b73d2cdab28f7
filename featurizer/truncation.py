"""Detect streams without a length in their header that end within a frame or page."""

import re

from featurizer.file_access import FilePart
from featurizer.formats import FRAME_FORMATS, Container, unexplained_bytes
from featurizer.frames import FrameParser, is_run
from featurizer.ogg import ends_before_last_page

_TAIL_BYTES = 1 << 16
"""Bytes to look at, at the end of a file: more than eight frames have."""

_FRAME_HEADER_BYTES = 7
"""Size of the longest frame header: that of AAC."""

# RFC 9639, 9.1 and 9.3: the first bytes of a frame of FLAC, and the polynomial of its checksum.
_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_FLAC_POLYNOMIAL = 0x8005

# 3GPP TS 26.101 and 26.201: bytes of a frame by its type, with the header of one byte.
_AMR_FRAMES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}


def ends_midway(file: FilePart, container: Container) -> bool:
    r"""Check whether a stream ends within a frame, or before the end that its format marks.

    A stream without a mark that was cut between two frames cannot be told from a complete one.

    Parameters
    ----------
    file : FilePart
    container : Container

    Returns
    -------
    bool
        False for recordings with a length in their header.

    Examples
    --------
    >>> import io
    >>> from featurizer.file_access import DecoderFile
    >>> file = DecoderFile(io.BytesIO(b"#!AMR\n" + 2 * (b"\x3c" + bytes(31))), None)
    >>> amr = Container("AMR", "amr")
    >>> ends_midway(FilePart(file, 0, 70), amr), ends_midway(FilePart(file, 0, 69), amr)
    (False, True)
    """
    if container.name == "Ogg":
        return ends_before_last_page(file)
    if container.name == "FLAC":
        return _has_no_flac_length(file) and _ends_within_flac_frame(file)
    if container.name == "AMR":
        return _ends_within_amr_frame(file)
    if container.has_duration:
        return False
    return any(
        _ends_within_frame(file, parser) for same, parser in FRAME_FORMATS if same == container
    )


def _ends_within_frame(file: FilePart, parser: FrameParser) -> bool:
    tail = _tail(file)
    is_whole = len(tail) == file.size
    first = next((at for at in range(len(tail)) if is_run(tail, at, is_whole, parser)), None)
    if first is None:
        return False
    at = first
    while at < len(tail):
        frame = parser(tail, at)
        if frame is None:
            # The start of a header, or something that is no frame.
            return tail[at] == tail[first] and len(tail) - at < _FRAME_HEADER_BYTES
        at += frame[0]
    return at > len(tail)


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


def _ends_within_amr_frame(file: FilePart) -> bool:
    file.seek(0)
    content = file.read()
    magic = content[: content.find(b"\n") + 1]
    sizes = _AMR_FRAMES.get(magic)
    if sizes is None:
        return False
    at = len(magic)
    while at < len(content):
        at += sizes[content[at] >> 3 & 15]
    return at > len(content)


def _tail(file: FilePart) -> bytes:
    file.seek(max(0, file.size - _TAIL_BYTES))
    return file.read()
