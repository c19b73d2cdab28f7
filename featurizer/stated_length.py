"""Lengths in the headers of uncompressed recordings and of True Audio, and their correction.

A recorder that is killed leaves the length of an earlier moment, or none, in the header. An
interrupted copy has fewer bytes than its header says.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featurizer.columns import SAMPLE_RATE
from featurizer.file_access import FilePart
from featurizer.formats import Container, unexplained_bytes
from featurizer.mono_signal import MAX_HOURS

_IN_DS64 = 0xFFFFFFFF
"""Size of a chunk of RF64 for which the chunk ``ds64`` has the real one."""

_HEADER_BYTES = 0xFFF
"""Bytes by which a size that stands for an unknown one may be below the largest number."""

_MAX_CHUNKS = 1000
"""Chunks to read in search of the samples."""

_VOC_SOUND = (1, 2, 9)
"""Types of the blocks of a VOC file that hold samples."""

_NIST_FIELD = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -i (\d+)", re.MULTILINE)

_READ_TO_END = ("AU", "NIST SPHERE", "VOC", "W64")
"""Formats whose files libsndfile reads to their end, whatever the header says."""

# Advanced Systems Format, 3.2: an object's identifier and size, and the file's identifier and size.
_ASF_HEADER_BYTES = 1 << 16
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_FILE_SIZE_AT = 16 + 8 + 16

_TTA_HEADER = struct.Struct("<4sHHHIII")
"""Signature, format, channels, bits, sample rate, samples, and the checksum of these."""

_ROUGH = 0.5
"""Roughness between that of music (0.02 to 0.3) and that of other data read as samples (1)."""


def is_unknown(size: int, n_bytes: int = 4) -> bool:
    """Check whether a chunk's size means that the writer did not know it.

    Writers that cannot seek back to the header leave 0 or the largest signed or unsigned number
    there, with or without the bytes of the header itself subtracted.

    Parameters
    ----------
    size : int >= 0
    n_bytes : int
        Size of its field in bytes.

    Examples
    --------
    >>> is_unknown(0), is_unknown(0xFFFFFFDB), is_unknown(1000)
    (True, True, False)
    """
    largest = (1 << 8 * n_bytes - 1) - 1
    return not 0 < size & largest < largest - _HEADER_BYTES


@dataclass(frozen=True)
class DataChunk:
    """The part of a file that holds the samples.

    Parameters
    ----------
    begin : int > 0
        Offset of the first byte after the chunk's own header.
    size : int >= 0 or None
        Size in bytes according to the header; None if the header leaves it open.
    size_at : int > 0 or None
        Offset of that size in the header; None if it cannot be corrected.
    size_format : str
        Its type, for :mod:`struct`.
    """

    begin: int
    size: int | None
    size_at: int | None
    size_format: str = ""


def data_chunk(file: FilePart, container: Container) -> DataChunk | None:
    r"""Return the part of a file that holds the samples, according to its header.

    Parameters
    ----------
    file : FilePart
    container : Container

    Returns
    -------
    DataChunk or None
        None unless the file is WAV, RF64, W64, AIFF, AU, CAF, VOC or NIST SPHERE with such a part.

    Examples
    --------
    >>> import io
    >>> from featurizer.file_access import DecoderFile
    >>> from featurizer.formats import sniff
    >>> raw = io.BytesIO(b"RIFF\x0e\0\0\0WAVEdata\x02\0\0\0ab")
    >>> data_chunk(FilePart(DecoderFile(raw, None), 0, 22), sniff(raw).container)
    DataChunk(begin=20, size=2, size_at=16, size_format='<I')
    """
    if container.name == "AU":
        begin, size = struct.unpack(">II", file.read_at(4, 8))
        return DataChunk(begin, None if is_unknown(size) else size, None)
    if container.name == "VOC":
        return _voc_block(file)
    if container.name == "NIST SPHERE":
        return _nist_samples(file)
    chunks = {}
    for name, chunk in _chunks(file, container):
        chunks[name] = chunk
        if name in (b"data", b"SSND"):
            break
    else:
        return None
    begin, size, size_at, size_format = chunk
    if b"ds64" in chunks and size == _IN_DS64:
        size_at, size_format = chunks[b"ds64"][0] + 8, "<Q"
        (size,) = struct.unpack(size_format, file.read_at(size_at, 8))
    known = None if is_unknown(size, struct.calcsize(size_format)) else size
    # Decoders read a W64 to its end, whatever its header says.
    is_corrected = container.name != "W64"
    return DataChunk(begin, known, size_at if is_corrected else None, size_format)


def stated_end(file: FilePart, container: Container) -> int | None:
    r"""Return where the samples end, for formats that libsndfile reads to the end of the file.

    Parameters
    ----------
    file : FilePart
    container : Container

    Returns
    -------
    offset : int or None
        None unless the file is a W64, AU, VOC or NIST SPHERE with a length in its header.

    Examples
    --------
    >>> import io
    >>> from featurizer.file_access import DecoderFile
    >>> raw = io.BytesIO(b".snd\0\0\0\x18\0\0\0\2" + bytes(12) + b"abTAG")
    >>> stated_end(FilePart(DecoderFile(raw, None), 0, 29), Container("AU", "au"))
    26
    """
    if container.name not in _READ_TO_END:
        return None
    chunk = data_chunk(file, container)
    return None if chunk is None or chunk.size is None else chunk.begin + chunk.size


def missing_bytes(file: FilePart, container: Container) -> int:
    """Return how many bytes the header promises beyond the end of the file.

    Parameters
    ----------
    file : FilePart
    container : Container

    Returns
    -------
    n : int >= 0
    """
    if container.name == "WMA":
        return max(0, _asf_size(file) - file.size)
    chunk = data_chunk(file, container)
    if chunk is None or chunk.size is None:
        return 0
    return max(0, chunk.begin + chunk.size - file.size)


def with_corrected_length(file: FilePart, container: Container) -> FilePart | None:
    """Return the file with a header by which its samples continue to its end.

    Parameters
    ----------
    file : FilePart
    container : Container

    Returns
    -------
    FilePart or None
        None if the samples continue to the end already, or if the header cannot be corrected.
    """
    if container.name == "True Audio":
        return _tta_with_count_of_its_table(file)
    chunk = data_chunk(file, container)
    if chunk is None or not unexplained_bytes(file, chunk.begin + (chunk.size or 0), file.size):
        return None
    if chunk.size_at is None:
        return file if container.name in _READ_TO_END else None
    try:
        return file.patched(chunk.size_at, struct.pack(chunk.size_format, file.size - chunk.begin))
    except struct.error:  # too large for the field
        return None


def is_same_audio(y: npt.NDArray[np.float32], n: int, sample_rate: int) -> bool:
    """Check that a signal goes on as audio after some of its samples.

    Music varies slowly from sample to sample. Text, pictures and compressed data read as samples do
    not, and are as loud as samples can be.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), float32]
        Mono, at 22,050 Hz.
    n : int, 0 … n_samples
        Number of samples that are known to be audio.
    sample_rate : int > 0
        Rate of the recording before it was resampled, in Hz.

    Returns
    -------
    bool
        True if the rest is smooth, or like the start in roughness and level.

    Examples
    --------
    >>> y = np.sin(np.arange(4000, dtype=np.float32) / 10)
    >>> noise = np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32)
    >>> is_same_audio(y, 2000, 22050), is_same_audio(np.append(y, noise), 4000, 22050)
    (True, False)
    >>> is_same_audio(noise, 2000, 22050)
    True
    """
    step = max(1, round(SAMPLE_RATE / sample_rate))
    roughness, level = _roughness_and_level(y[n::step])
    if roughness < _ROUGH:
        return True
    known_roughness, known_level = _roughness_and_level(y[:n:step])
    return roughness < 1.5 * known_roughness and level < 2 * known_level


def _roughness_and_level(y: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the squared differences of neighbours by twice the variance, and the deviation.

    The roughness is 1 for white noise (von Neumann 1941, halved).
    """
    level = float(np.std(y, dtype=np.float64)) if len(y) else 0.0
    if level == 0:
        return 0.0, 0.0
    steps = np.diff(y.astype(np.float64))
    return float(np.mean(steps * steps)) / (2 * level**2), level


def _chunks(
    file: FilePart, container: Container
) -> Iterator[tuple[bytes, tuple[int, int, int, str]]]:
    """Yield names of chunks, and the content's offset and size, and the size's offset and type."""
    if container.name == "W64":
        # The names are GUIDs; a size counts its chunk's header, and is a multiple of 8.
        at, name_size, size_format, counted, multiple = 40, 16, "<Q", 24, 8
    elif container.name == "CAF":
        at, name_size, size_format, counted, multiple = 8, 4, ">Q", 0, 1
    elif container.name in ("WAV", "RF64", "BW64", "AIFF"):
        order = "<" if file.read_at(0, 4) in (b"RIFF", b"RF64", b"BW64") else ">"
        at, name_size, size_format, counted, multiple = 12, 4, f"{order}I", 0, 2
    else:
        return
    header_size = name_size + struct.calcsize(size_format)
    for _ in range(_MAX_CHUNKS):
        header = file.read_at(at, header_size)
        if len(header) < header_size:
            return
        (size,) = struct.unpack_from(size_format, header, name_size)
        size = max(0, size - counted)
        begin = at + header_size
        yield header[:4], (begin, size, at + name_size, size_format)
        at = begin + -(-size // multiple) * multiple


def _voc_block(file: FilePart) -> DataChunk | None:
    """Return the last block of sound, or the one that the end of the file cuts."""
    head = file.read_at(0, 22)
    at = int.from_bytes(head[20:22], "little")
    found = None
    for _ in range(_MAX_CHUNKS):
        header = file.read_at(at, 4)
        if len(header) < 4 or header[0] == 0:  # noqa: PLR2004 - the size of a block's header
            break
        size = int.from_bytes(header[1:], "little")
        if header[0] in _VOC_SOUND:
            found = DataChunk(at + 4, size, None)
        at += 4 + size
    return found


def _nist_samples(file: FilePart) -> DataChunk | None:
    head = file.read_at(0, 1024)
    fields = {name: int(number) for name, number in _NIST_FIELD.findall(head)}
    size_line = head[8:16].strip()
    if len(fields) < 3 or not size_line.isdigit() or b"embedded" in head:  # noqa: PLR2004 - all
        return None  # shortened samples have no fixed size
    size = fields[b"sample_count"] * fields[b"channel_count"] * fields[b"sample_n_bytes"]
    return DataChunk(int(size_line), size, None)


def _asf_size(file: FilePart) -> int:
    """Return the size of a WMA file according to its header; 0 if it is unknown."""
    head = file.read_at(0, _ASF_HEADER_BYTES)
    at = head.find(_ASF_FILE_PROPERTIES) + _ASF_FILE_SIZE_AT
    return int.from_bytes(head[at : at + 8], "little") if at >= _ASF_FILE_SIZE_AT else 0


def _tta_with_count_of_its_table(file: FilePart) -> FilePart | None:
    """Return a True Audio file with the sample count that fits its table of frame sizes.

    The header has no size of the table: it follows from the count. The table ends where its
    checksum is. Its last frame counts as full, so that it cannot be decoded.
    """
    header = file.read_at(0, _TTA_HEADER.size)
    if len(header) < _TTA_HEADER.size:
        return None
    *fields, rate, count, _ = _TTA_HEADER.unpack(header)
    frame = 256 * rate // 245
    table = file.read_at(len(header), 4 * (MAX_HOURS * 3600 + 1))
    crc = n = 0
    for n in range(len(table) // 4):
        entry = table[4 * n : 4 * n + 4]
        if n and crc == int.from_bytes(entry, "little"):
            break
        crc = zlib.crc32(entry, crc)
    else:
        return None
    if frame == 0 or -(-count // frame) == n:
        return None  # something else is wrong
    without_crc = _TTA_HEADER.pack(*fields, rate, n * frame, 0)[:-4]
    return file.patched(0, without_crc + struct.pack("<I", zlib.crc32(without_crc)))
