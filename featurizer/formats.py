"""Recognise recordings by their name and by their first bytes, without importing a decoder.

Listings select files by name (:data:`AUDIO_SUFFIXES`), because opening a million files takes hours.
Decoding ignores the name and selects by content (:func:`sniff`).

Decoders accept too much: libmpg123 plays quiet headerless PCM as MPEG audio, libsndfile accepts two
bytes as the header of an Akai sampler, and FFmpeg reads text as subtitles and follows playlists.
A file therefore reaches a decoder only if it identifies itself: by a signature of four bytes or
more or, in formats without a file header, by a run of frames that follow each other without gaps.
"""

# ruff: noqa: PLR2004 - the numbers are bit fields and limits from the standards cited here.

import math
import re
import struct
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from featurizer.frames import (
    FRAME_COUNT_TAG,
    MAX_FRAME_BYTES,
    ac3_frame,
    adts_frame,
    eac3_frame,
    is_run,
    mpeg_audio_frame,
)

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
        Whether the header gives the duration.
    """

    name: str
    demuxer: str | None
    sndfile: bool = False
    has_duration: bool = False


_MPEG_AUDIO = Container("MP3", "mp3")
_MPEG_AUDIO_WITH_COUNT = Container("MP3", "mp3", sndfile=True, has_duration=True)
_ADTS = Container("AAC", "aac")
_AC3 = Container("AC-3", "ac3")
_EAC3 = Container("E-AC-3", "eac3")
_MP4 = Container("MP4", "mov", has_duration=True)
_WAV = Container("WAV", "wav", sndfile=True, has_duration=True)
_MUSEPACK_8 = Container("Musepack", "mpc8", has_duration=True)

# The container, the bytes that identify it at the start of a file, and the bytes after them that,
# together with them, identify it anywhere; None if a recording cannot be found by its signature,
# because the signature is too short or is that of every block.
_SIGNATURES: tuple[tuple[Container, bytes, bytes | None], ...] = (
    (_WAV, rb"RIFF.{4}WAVE", b""),
    (_WAV, rb"RIFX.{4}WAVE", b""),
    (Container("RF64", "wav", sndfile=True, has_duration=True), rb"RF64.{4}WAVE", b""),
    (Container("BW64", "wav", sndfile=True, has_duration=True), rb"BW64.{4}WAVE", b""),
    (
        Container("W64", "w64", sndfile=True, has_duration=True),
        rb"riff\x2e\x91\xcf\x11",
        rb"\xa5\xd6\x28\xdb",
    ),
    (
        Container("FLAC", "flac", sndfile=True, has_duration=True),
        rb"fLaC",
        rb"(?<!\x7fFLAC.{4}fLaC)[\0\x80]\0\0\x22",  # not that of FLAC in Ogg
    ),
    (
        Container("Ogg", "ogg", sndfile=True, has_duration=True),
        rb"OggS",
        # The page that starts a logical stream, and the first bytes of its only packet.
        rb"\0[\x02\x06].{20}\x01.(?:\x01vorbis|OpusHead|\x7fFLAC|Speex   )",
    ),
    (Container("AIFF", "aiff", sndfile=True, has_duration=True), rb"FORM.{4}AIF[FC]", b""),
    (Container("8SVX", None, sndfile=True, has_duration=True), rb"FORM.{4}(?:8SVX|16SV)", b""),
    (
        Container("AU", "au", sndfile=True, has_duration=True),
        rb"\.snd",
        rb"\0\0.{2}.{4}\0\0\0[\x01-\x1b]\0",
    ),
    (Container("CAF", "caf", sndfile=True, has_duration=True), rb"caff", rb"\0\x01\0\0desc"),
    (Container("VOC", "voc", sndfile=True, has_duration=True), rb"Creative Voice File", b""),
    (Container("NIST SPHERE", "nistsphere", sndfile=True, has_duration=True), rb"NIST_1A", rb"\n"),
    (
        Container("IRCAM", None, sndfile=True, has_duration=True),
        rb"\x64\xa3[\x01-\x04]\0",
        None,
    ),
    (_MP4, rb"\0\0.{2}ftyp", rb"[ -~]{4}"),
    (_MP4, rb".{4}(?:moov|mdat|wide|free|skip)", None),
    (
        Container("Matroska or WebM", "matroska", has_duration=True),
        rb"\x1a\x45\xdf\xa3",
        rb".{1,8}\x42[\x82\x86\xf2\xf3\xf7]",
    ),
    (
        Container("WMA", "asf", has_duration=True),
        rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        rb"\xa6\xd9",
    ),
    (Container("AMR", "amr"), rb"#!AMR", rb"(?:-WB)?\n"),
    (Container("Monkey's Audio", "ape", has_duration=True), rb"MAC ", None),
    (
        Container("WavPack", "wv", has_duration=True),
        rb"wvpk",
        rb".{4}.\x04.{6}\0{4}",  # the block of the first sample
    ),
    (
        Container("True Audio", "tta", has_duration=True),
        rb"TTA1",
        rb"[\x01-\x03]\0[\x01-\x20]\0[\x08-\x20]\0",
    ),
    (Container("Musepack", "mpc"), rb"MP\+", None),
    (_MUSEPACK_8, rb"MPCK", rb"SH"),
)
_AT_START = [(re.compile(at, re.DOTALL), container) for container, at, _ in _SIGNATURES]
_ANYWHERE = {
    container: re.compile(
        rb"|".join(
            at + more for same, at, more in _SIGNATURES if same == container and more is not None
        ),
        re.DOTALL,
    )
    for container, _, more in _SIGNATURES
    if more is not None
}

_SIGNATURE = re.compile(rb"|".join(mark.pattern for mark in _ANYWHERE.values()), re.DOTALL)

# The first bytes of a frame of MPEG audio, ADTS and (Enhanced) AC-3, by demuxer.
_FRAME_STARTS = {
    "mp3": rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xeb]",
    "aac": rb"\xff[\xf0\xf1\xf8\xf9][\x00-\xf3]",
    "ac3": rb"\x0b\x77",
}
_MAX_SIGNATURE_BYTES = 64

# Archives, pictures, films and programs, which may contain a recording after a short header.
_NOT_AUDIO = re.compile(
    rb"PK\x03\x04|Rar!|7z\xbc\xaf|%PDF|.{257}ustar|\x1f\x8b\x08|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd"
    rb"|\xff\xd8\xff|\x89PNG|GIF8|RIFF|FLV\x01|[FC]WS|\0\0\x01[\xb3\xba]"
    rb"|\x7fELF|MZ|SQLite format",
    re.DOTALL,
)

# Lyrics3 and Lyrics3v2, the former with at most 5,100 bytes of text.
_LYRICS = re.compile(rb"LYRICSBEGIN.*?(?:LYRICSEND|[0-9]{6}LYRICS200)", re.DOTALL)
_MAX_TAG_BYTES = 1 << 13

_CHUNK_NAME = re.compile(rb"[A-Za-z0-9 _-]{4}(?=.{4})", re.DOTALL)
_MIN_PADDING = 16

_HEAD_BYTES = 1 << 16
"""Bytes to look at, from the start of the file or the end of its tags."""

_SEARCH_BYTES = 1 << 23
"""Bytes in which to search for the start of a file's first recording."""

_BLOCK_BYTES = 1 << 20
"""Bytes to search at a time."""

_MAX_TAGS = 8
"""Tags to skip."""


class Readable(Protocol):
    """The methods of a binary file that :func:`sniff` uses."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes; return no bytes only at the end of the file."""

    def seek(self, offset: int, /) -> int:
        """Set the position, counted from the start."""


@dataclass(frozen=True)
class Found:
    """A recording in a file.

    Parameters
    ----------
    container : Container
    start : int >= 0
        Offset in bytes of what the decoders are to read. Correct ID3 tags in front of an MP3
        are included: libsndfile skips them, and reads a whole file faster than a part.
    """

    container: Container
    start: int


def sniff(file: Readable) -> Found | None:
    r"""Find the recording in a file by its content.

    A recording may follow tags, and then anything that is not known to be another kind of file:
    the rest of a frame, zeros, or the content of a tag with a wrong size.

    Parameters
    ----------
    file : Readable
        A binary file. Its position afterwards is undefined.

    Returns
    -------
    Found or None
        None if the content is not a known audio format.

    Examples
    --------
    >>> import io
    >>> sniff(io.BytesIO(b"fLaC")).container.name
    'FLAC'
    >>> sniff(io.BytesIO(bytes(100_000) + b"fLaC\0\0\0\x22")).start
    100000
    >>> sniff(io.BytesIO(b"%PDF-1.7")) is None
    True
    """
    start = begin = 0
    head = _read(file, 0, _HEAD_BYTES)
    for _ in range(_MAX_TAGS):
        length, is_skipped = tag_length(head)
        if not length:
            break
        begin += length
        if not is_skipped:
            start = begin
        head = _read(file, begin, _HEAD_BYTES)
    container = _identify(head)
    if container is not None:
        return Found(container, start if container.demuxer == "mp3" else begin)
    if _NOT_AUDIO.match(head):
        return None
    # A tag whose size is too large ends within the recording, so the search starts before it.
    candidates = _candidates(None)
    return _search(file, candidates, 0, _SEARCH_BYTES) or _search(
        file, candidates, begin, _SEARCH_BYTES
    )


def tag_length(head: bytes) -> tuple[int, bool]:
    r"""Return the size of the tag at the start of some bytes.

    Parameters
    ----------
    head : bytes
        At least 32 bytes, unless the file is shorter.

    Returns
    -------
    length : int >= 0
        In bytes; 0 if there is no tag.
    is_skipped : bool
        Whether decoders skip it.

    Examples
    --------
    >>> tag_length(b"ID3\x04\0\0\0\0\x02\0" + bytes(256))
    (266, True)
    >>> tag_length(b"fLaC")
    (0, False)
    """
    if head.startswith(b"ID3") and len(head) >= 10:
        if max(head[6:10]) >= 0x80:  # a plain number, which some writers left there
            return 10 + int.from_bytes(head[6:10], "big"), False
        # ID3v2.4, 3.1: four bytes of seven bits, excluding header and footer of ten bytes each.
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0), True
    if head.startswith(b"APETAGEX") and len(head) >= 32:
        # APEv2: the size excludes the header, unless this is the footer that ends the tag.
        is_header = head[23] & 0x20
        return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0), False
    if head.startswith(b"TAG"):
        return 128, False  # ID3v1
    return 0, False


def _identify(head: bytes) -> Container | None:
    for signature, container in _AT_START:
        if signature.match(head):
            return container
    whole = len(head) < _HEAD_BYTES
    return _identify_frames(head, 0, whole)


def _identify_frames(
    head: bytes, offset: int, whole: bool, played: Container | None = None
) -> Container | None:
    for container, frame in FRAME_FORMATS:
        is_other = played is None or container.demuxer != played.demuxer
        if is_other and is_run(head, offset, whole, frame):
            return _with_count(head, offset) if container is _MPEG_AUDIO else container
    return None


def _with_count(head: bytes, offset: int) -> Container:
    """Return the container of MPEG audio, which depends on a count of frames in the first one."""
    tag = FRAME_COUNT_TAG.search(head, offset, offset + MAX_FRAME_BYTES)
    if tag is None:
        return _MPEG_AUDIO
    at, has_count = tag.end(), True
    if tag[0] == b"VBRI":
        at += 10
    else:
        has_count = bool(int.from_bytes(head[at : at + 4], "big") & 1)
        at += 4
    count = int.from_bytes(head[at : at + 4], "big")
    return _MPEG_AUDIO_WITH_COUNT if has_count and count else _MPEG_AUDIO


@cache
def _candidates(played: str | None) -> re.Pattern[bytes]:
    """Return the pattern of signatures, and of the starts of frames of all demuxers but one."""
    starts = [start for demuxer, start in _FRAME_STARTS.items() if demuxer != played]
    return re.compile(rb"|".join((*starts, _SIGNATURE.pattern)), re.DOTALL)


def _search(
    file: Readable,
    candidates: re.Pattern[bytes],
    begin: int,
    limit: float = math.inf,
    played: Container | None = None,
) -> Found | None:
    """Search for the first signature or run of frames, unless a played format has such frames."""
    start = begin
    while start < begin + limit:
        block = _read(file, start, _BLOCK_BYTES + _HEAD_BYTES)
        end = min(_BLOCK_BYTES, begin + limit - start)
        for found in candidates.finditer(block, 0, int(end) + _MAX_SIGNATURE_BYTES):
            offset = found.start()
            if offset >= end:
                break
            if block[offset] in b"\xff\x0b":
                container = _identify_frames(block, offset, False, played)
            else:
                marks = _ANYWHERE.items()
                container = next(one for one, mark in marks if mark.match(block, offset))
            if container is not None:
                return Found(container, start + offset)
        if len(block) < _BLOCK_BYTES:
            break
        start += _BLOCK_BYTES
    return None


def next_signature(file: Readable, start: int, container: Container | None = None) -> Found | None:
    r"""Find the next recording by its signature.

    Parameters
    ----------
    file : Readable
        A binary file. Its position afterwards is undefined.
    start : int >= 0
        Where to start the search.
    container : Container, optional
        The format to find; by default any.

    Returns
    -------
    Found or None
        None if there is none, or if the format's signature does not tell a recording's start from
        its other blocks.

    Examples
    --------
    >>> import io
    >>> one = b"fLaC\0\0\0\x22" + bytes(34)
    >>> file = io.BytesIO(one + bytes(1000) + one)
    >>> next_signature(file, 1, sniff(file).container).start
    1042
    """
    mark = _SIGNATURE if container is None else _ANYWHERE.get(container)
    return None if mark is None else _search(file, mark, start)


def next_recording(
    file: Readable, intact: int, unread: int, size: int, played: Container
) -> Found | None:
    r"""Find the recording that follows the samples of another one.

    Parameters
    ----------
    file : Readable
        A binary file. Its position afterwards is undefined.
    intact, unread : int
        Offsets between which the samples end. Tags and chunks are skipped after the second.
    size : int
        Size of the file.
    played : Container
        The format of the samples. Frames of this format are no other recording.

    Returns
    -------
    Found or None

    Examples
    --------
    >>> import io
    >>> flac = b"fLaC\0\0\0\x22" + bytes(34)
    >>> file = io.BytesIO(b"TAG" + bytes(125) + flac)
    >>> next_recording(file, 0, 0, 170, Container("MP3", "mp3")).start
    128
    """
    candidates = _candidates(played.demuxer)
    found = _search(file, candidates, intact, unread - intact, played)
    if found is None:
        # The padding may include the zeros at the start of an MP4.
        begin = max(unread, size - unexplained_bytes(file, unread, size) - 3)
        found = _search(file, candidates, begin, size - begin, played)
    return found


def unexplained_bytes(file: Readable, start: int, stop: int) -> int:
    r"""Count the bytes after a recording that are neither tags nor chunks nor padding.

    Parameters
    ----------
    file : Readable
        A binary file. Its position afterwards is undefined.
    start, stop : int
        End of the last sample, and size of the file.

    Returns
    -------
    n : int >= 0
        The bytes from the first one that is none of these to the end.

    Examples
    --------
    >>> import io
    >>> unexplained_bytes(io.BytesIO(b"LIST\x02\0\0\0abTAG" + bytes(125)), 0, 138)
    0
    >>> unexplained_bytes(io.BytesIO(bytes(1000) + b"what is this?"), 0, 1013)
    13
    """
    while start < stop:
        head = _read(file, start, _MAX_TAG_BYTES)
        if _SIGNATURE.match(head):
            break
        length = _block_length(head, stop - start)
        if not length:
            # Padding repeats one byte. A chunk of odd size is padded with one.
            rest = head.lstrip(head[:1])
            length = len(head) - len(rest)
            is_padding = length >= min(_MIN_PADDING, stop - start)
            if not is_padding and (head[0] or not _block_length(rest, stop - start - length)):
                break
        start += length
    return max(0, stop - start)


def _block_length(head: bytes, longest: int) -> int:
    """Return the size of the tag or chunk at the start of some bytes; 0 if there is none."""
    length, _ = tag_length(head)
    if length:
        return length
    lyrics = _LYRICS.match(head)
    if lyrics:
        return len(lyrics[0])
    footer = head.find(b"APETAGEX")  # of a tag without a header
    if footer > 0 and int.from_bytes(head[footer + 12 : footer + 16], "little") == footer + 32:
        return footer + 32
    return _chunk_length(head, longest)


def _chunk_length(head: bytes, longest: int) -> int:
    """Return the size of the chunk of RIFF or IFF, or box of MP4, at the start of some bytes."""
    sizes = []
    if _CHUNK_NAME.match(head):
        for order in (">", "<"):
            size = int(struct.unpack_from(f"{order}I", head, 4)[0]) + 8
            sizes.append(size + size % 2)
    if _CHUNK_NAME.match(head, 4):
        sizes.append(int(struct.unpack_from(">I", head)[0]))
    return min((size for size in sizes if 8 <= size <= longest + 1), default=0)


def _read(file: Readable, start: int, size: int) -> bytes:
    file.seek(start)
    content = b""
    while len(content) < size and (more := file.read(size - len(content))):
        content += more
    return content


FRAME_FORMATS = (
    (_MPEG_AUDIO, mpeg_audio_frame),
    (_ADTS, adts_frame),
    (_AC3, ac3_frame),
    (_EAC3, eac3_frame),
)
