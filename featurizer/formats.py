"""Recognise recordings by their name and by their first bytes, without importing a decoder.

Listings select files by name (:data:`AUDIO_SUFFIXES`), because opening a million files takes hours.
Decoding ignores the name and selects by content (:func:`sniff`).

Decoders accept too much: libmpg123 plays quiet headerless PCM as MPEG audio, libsndfile accepts two
bytes as the header of an Akai sampler, and FFmpeg reads text as subtitles and follows playlists.
A file therefore reaches a decoder only if it identifies itself: by a signature of four bytes or
more or, in formats without a file header, by a run of frames that follow each other without gaps.
"""

# ruff: noqa: PLR2004 - the numbers are bit fields and limits from the standards cited here.

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

AUDIO_SUFFIXES: frozenset[str] = frozenset(
    (
        *(".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".spx"),
        *(".mp2", ".mp3", ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(".voc", ".8svx", ".iff", ".sph", ".nist", ".sf", ".ircam"),
        *(".aac", ".adts", ".m4a", ".m4b", ".m4r", ".mp4", ".3gp", ".3ga", ".mov", ".wma", ".asf"),
        *(".mka", ".mkv", ".webm", ".weba", ".ac3", ".eac3", ".ec3", ".amr", ".awb"),
        *(".ape", ".wv", ".tta", ".mpc"),
    )
)
"""Lower-case suffixes of the files that listings treat as recordings."""

USUAL_FORMATS = "WAV, FLAC, Ogg, MP3, M4A or AAC"
"""Formats to recommend in error messages."""


@dataclass(frozen=True)
class Container:
    """A file format, as recognised by its content.

    Parameters
    ----------
    name : str
        Name for messages.
    demuxer : str or None
        FFmpeg's name of its demuxer; None if only libsndfile reads the format.
    sndfile : bool
        Whether libsndfile reads the format.
    has_duration : bool
        Whether the header gives the duration; decoders guess it otherwise.
    """

    name: str
    demuxer: str | None
    sndfile: bool = False
    has_duration: bool = False


_MPEG_AUDIO = Container("MP3", "mp3", sndfile=True)
_MPEG_AUDIO_WITH_DURATION = Container("MP3", "mp3", sndfile=True, has_duration=True)
_MPEG_AUDIO_AFTER_GARBAGE = Container("MP3", "mp3")
_ADTS = Container("AAC", "aac")
_AC3 = Container("AC-3", "ac3")
_EAC3 = Container("E-AC-3", "eac3")
_MP4 = Container("MP4", "mov", has_duration=True)
_AIFF = Container("AIFF", "aiff", sndfile=True, has_duration=True)
_SVX = Container("8SVX", None, sndfile=True, has_duration=True)
_IRCAM = Container("IRCAM", None, sndfile=True, has_duration=True)

# The bytes to find at each offset, and the format they identify.
_SIGNATURES: tuple[tuple[tuple[tuple[int, bytes], ...], Container], ...] = (
    (((0, b"RIFF"), (8, b"WAVE")), Container("WAV", "wav", sndfile=True, has_duration=True)),
    (((0, b"RIFX"), (8, b"WAVE")), Container("WAV", "wav", sndfile=True, has_duration=True)),
    (((0, b"RF64"), (8, b"WAVE")), Container("RF64", "wav", sndfile=True, has_duration=True)),
    (((0, b"BW64"), (8, b"WAVE")), Container("BW64", "wav", sndfile=True, has_duration=True)),
    (((0, b"riff\x2e\x91\xcf\x11"),), Container("W64", "w64", sndfile=True, has_duration=True)),
    (((0, b"fLaC"),), Container("FLAC", "flac", sndfile=True, has_duration=True)),
    (((0, b"OggS"),), Container("Ogg", "ogg", sndfile=True, has_duration=True)),
    (((0, b"FORM"), (8, b"AIFF")), _AIFF),
    (((0, b"FORM"), (8, b"AIFC")), _AIFF),
    (((0, b"FORM"), (8, b"8SVX")), _SVX),
    (((0, b"FORM"), (8, b"16SV")), _SVX),
    (((0, b".snd"),), Container("AU", "au", sndfile=True, has_duration=True)),
    (((0, b"caff"),), Container("CAF", "caf", sndfile=True, has_duration=True)),
    (((0, b"Creative Voice File"),), Container("VOC", "voc", sndfile=True, has_duration=True)),
    (((0, b"NIST_1A"),), Container("NIST SPHERE", "nistsphere", sndfile=True, has_duration=True)),
    (((0, b"\x64\xa3\x01\x00"),), _IRCAM),
    (((0, b"\x64\xa3\x02\x00"),), _IRCAM),
    (((0, b"\x64\xa3\x03\x00"),), _IRCAM),
    (((0, b"\x64\xa3\x04\x00"),), _IRCAM),
    (((4, b"ftyp"),), _MP4),
    (((4, b"moov"),), _MP4),
    (((4, b"mdat"),), _MP4),
    (((4, b"wide"),), _MP4),
    (((0, b"\x1a\x45\xdf\xa3"),), Container("Matroska or WebM", "matroska", has_duration=True)),
    (((0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),), Container("WMA", "asf", has_duration=True)),
    (((0, b"#!AMR"),), Container("AMR", "amr")),
    (((0, b"MAC "),), Container("Monkey's Audio", "ape", has_duration=True)),
    (((0, b"wvpk"),), Container("WavPack", "wv", has_duration=True)),
    (((0, b"TTA1"),), Container("True Audio", "tta", has_duration=True)),
    (((0, b"MP+"),), Container("Musepack", "mpc")),
    (((0, b"MPCK"),), Container("Musepack", "mpc8", has_duration=True)),
)

# Archives and documents, which may contain a recording after a short header.
_NOT_AUDIO: tuple[tuple[int, bytes], ...] = (
    (0, b"PK\x03\x04"),
    (0, b"Rar!"),
    (0, b"7z\xbc\xaf"),
    (0, b"%PDF"),
    (257, b"ustar"),
)

_RUN_FRAMES = 8
"""Consecutive frames that identify a format without a file header."""

_HEAD_BYTES = 1 << 16
"""Bytes to look at, from the start of the file or the end of its tags."""

_MAX_TAGS = 8
"""ID3 tags to skip."""


class Readable(Protocol):
    """The methods of a binary file that :func:`sniff` uses."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes; return no bytes only at the end of the file."""

    def seek(self, offset: int, /) -> int:
        """Set the position, counted from the start."""


def sniff(file: Readable) -> Container | None:
    """Recognise a recording by its content.

    Parameters
    ----------
    file : Readable
        A binary file. Its position afterwards is undefined.

    Returns
    -------
    Container or None
        None if the content is not a known audio format.

    Examples
    --------
    >>> import io
    >>> sniff(io.BytesIO(b"fLaC")).name
    'FLAC'
    >>> sniff(io.BytesIO(b"%PDF-1.7")) is None
    True
    """
    start = 0
    head = _read(file, start)
    for _ in range(_MAX_TAGS):
        if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) >= 0x80:
            break
        # ID3v2.4, 3.1: four bytes of seven bits, excluding header and footer of ten bytes each.
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += 10 + size + (10 if head[5] & 0x10 else 0)
        head = _read(file, start)
    for signature, container in _SIGNATURES:
        if all(head.startswith(mark, offset) for offset, mark in signature):
            return container
    if any(head.startswith(mark, offset) for offset, mark in _NOT_AUDIO):
        return None
    whole = len(head) < _HEAD_BYTES
    for container, frame in (
        (_MPEG_AUDIO, _mpeg_audio_frame),
        (_ADTS, _adts_frame),
        (_AC3, _ac3_frame),
        (_EAC3, _eac3_frame),
    ):
        if _is_run(head, 0, whole, frame):
            if container is _MPEG_AUDIO and _FRAME_COUNT_TAG.search(head, 0, _MAX_FRAME_BYTES):
                return _MPEG_AUDIO_WITH_DURATION
            return container
    # Excerpts of a broadcast start inside a frame, and removed tags leave zeros.
    zeros = len(head) - len(head.lstrip(b"\0"))
    for container, frame in ((_MPEG_AUDIO_AFTER_GARBAGE, _mpeg_audio_frame), (_ADTS, _adts_frame)):
        offset = 0
        while 0 <= (offset := head.find(b"\xff", offset + 1)) < zeros + _MAX_FRAME_BYTES:
            if _is_run(head, offset, False, frame):
                return container
    return None


def _read(file: Readable, start: int) -> bytes:
    file.seek(start)
    head = b""
    while len(head) < _HEAD_BYTES and (more := file.read(_HEAD_BYTES - len(head))):
        head += more
    return head


# A parser of frame headers: the frame's length in bytes and the fields that all frames of a file
# share; None if the bytes are not a frame header.
_FrameParser = Callable[[bytes, int], tuple[int, tuple[int, ...]] | None]


def _is_run(head: bytes, offset: int, whole: bool, frame: _FrameParser) -> bool:
    """Check for a run of frames, or a shorter one that ends with the file.

    Parameters
    ----------
    head : bytes
    offset : int
        Position of the first frame in `head`.
    whole : bool
        Whether `head` is the whole file.
    frame : callable
        Parser of the frame headers.
    """
    kind: tuple[int, ...] | None = None
    for count in range(_RUN_FRAMES):
        if whole and offset >= len(head):
            # The last of two or more frames may be truncated; a single one must be complete.
            return count > 2 or (count > 0 and offset == len(head))
        found = frame(head, offset)
        if found is None or (kind is not None and found[1] != kind):
            return False
        length, kind = found
        offset += length
    return True


# ISO 11172-3, 2.4.2.3, and ISO 13818-3: kbit/s by bitrate index, for each (version, layer).
_KBITS = {
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = (44100, 48000, 32000)
_MAX_FRAME_BYTES = 1729
"""Size of the longest frame: layer II, 384 kbit/s at 32 kHz, padded."""
_FRAME_COUNT_TAG = re.compile(b"Xing|Info|VBRI")
"""Tags in the first frame that give the number of frames."""


def _mpeg_audio_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
    """Parse a frame header of layer II or III of MPEG-1, -2 or -2.5.

    Layer I is excluded: it is not in use, and the samples -1 and -2 of 16-bit PCM look like its
    header. Free-format frames are excluded: their header does not give their length.
    """
    header = head[offset : offset + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version = {0: 4, 2: 2, 3: 1}.get(header[1] >> 3 & 3)
    layer = 4 - (header[1] >> 1 & 3)
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version is None or layer not in (2, 3) or not 1 <= bitrate <= 14 or rate == 3:
        return None
    kbits = _KBITS[min(version, 2), layer][bitrate - 1]
    samples = 576 if layer == 3 and version > 1 else 1152
    length = samples // 8 * kbits * 1000 * version // _MPEG_RATES[rate] + (header[2] >> 1 & 1)
    return length, (version, layer, rate)


def _adts_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
    """Parse an ADTS frame header of AAC (ISO 14496-3, 1.A.2.2)."""
    header = head[offset : offset + 7]
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    profile, rate = header[2] >> 6, header[2] >> 2 & 15
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate > 12 or length <= 7:
        return None
    return length, (header[1], profile, rate)


# ATSC A/52, 5.4.1.4: kbit/s by frmsizecod // 2.
_AC3_KBITS = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
)


def _ac3_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
    """Parse a frame header of AC-3 (ATSC A/52, 5.3)."""
    header = head[offset : offset + 6]
    if len(header) < 6 or header[:2] != b"\x0b\x77":
        return None
    rate, size, version = header[4] >> 6, header[4] & 63, header[5] >> 3
    if rate == 3 or size >= 2 * len(_AC3_KBITS) or version > 10:
        return None
    kbits = _AC3_KBITS[size // 2]
    words = (2 * kbits, kbits * 96000 // 44100 + size % 2, 3 * kbits)[rate]
    return 2 * words, (rate, version)


def _eac3_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
    """Parse a frame header of Enhanced AC-3 (ATSC A/52, E.1)."""
    header = head[offset : offset + 6]
    if len(header) < 6 or header[:2] != b"\x0b\x77":
        return None
    rate, version = header[4] >> 6, header[5] >> 3
    if not 11 <= version <= 16:
        return None
    return 2 * (((header[2] & 7) << 8 | header[3]) + 1), (rate, version)
