"""Headers of the frames of MPEG audio, AAC and (Enhanced) AC-3, which need no file header."""

# ruff: noqa: PLR2004 - the numbers are bit fields and limits from the standards cited here.

import re
from collections.abc import Callable

_RUN_FRAMES = 8
"""Consecutive frames that identify a format without a file header."""

# A parser of frame headers: the frame's length in bytes and the fields that all frames of a file
# share; None if the bytes are not a frame header.
FrameParser = Callable[[bytes, int], tuple[int, tuple[int, ...]] | None]


def is_run(head: bytes, offset: int, whole: bool, frame: FrameParser) -> bool:
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
MAX_FRAME_BYTES = 1729
"""Size of the longest frame: layer II, 384 kbit/s at 32 kHz, padded."""
FRAME_COUNT_TAG = re.compile(b"Xing|Info|VBRI")
"""Tags in the first frame that give the number of frames."""


def mpeg_audio_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
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


def adts_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
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


def ac3_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
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


def eac3_frame(head: bytes, offset: int) -> tuple[int, tuple[int, ...]] | None:
    """Parse a frame header of Enhanced AC-3 (ATSC A/52, E.1)."""
    header = head[offset : offset + 6]
    if len(header) < 6 or header[:2] != b"\x0b\x77":
        return None
    rate, version = header[4] >> 6, header[5] >> 3
    if not 11 <= version <= 16:
        return None
    return 2 * (((header[2] & 7) << 8 | header[3]) + 1), (rate, version)
