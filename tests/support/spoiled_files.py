"""Recordings of every codec, and what goes wrong with them between encoder and reader."""

import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from support.audio_files import chord, ffmpeg_bytes, flac_with_length, sndfile_bytes

SECONDS = 3.0
"""Length of the recordings."""


def _sndfile(rate: int, format: str, subtype: str = "") -> bytes:
    return sndfile_bytes(chord(rate, SECONDS), rate, format, subtype)


def _ffmpeg(rate: int, muxer: str, codec: str, options: dict[str, str] | None = None) -> bytes:
    samples = chord(rate, SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        # Some muxers read their output back.
        file = str(Path(folder) / "a") if muxer in ("ipod", "asf", "tta") else None
        return ffmpeg_bytes(samples, rate, muxer, codec, file=file, muxer_options=options)


_ENCODERS: dict[str, Callable[[], bytes]] = {
    "wav": lambda: _sndfile(22050, "WAV"),
    "wav float": lambda: _sndfile(22050, "WAV", "FLOAT"),
    "wav adpcm": lambda: _sndfile(22050, "WAV", "IMA_ADPCM"),
    "rf64": lambda: _sndfile(22050, "RF64"),
    "w64": lambda: _sndfile(22050, "W64"),
    "aiff": lambda: _sndfile(22050, "AIFF"),
    "au": lambda: _sndfile(22050, "AU"),
    "caf": lambda: _sndfile(22050, "CAF"),
    "voc": lambda: _sndfile(22050, "VOC"),
    "nist": lambda: _sndfile(22050, "NIST"),
    "flac": lambda: _sndfile(44100, "FLAC"),
    "vorbis": lambda: _sndfile(44100, "OGG", "VORBIS"),
    "opus": lambda: _sndfile(48000, "OGG", "OPUS"),
    "ogg flac": lambda: _ffmpeg(44100, "ogg", "flac"),
    "mp3": lambda: _ffmpeg(44100, "mp3", "libmp3lame"),
    "mp3 without count": lambda: _ffmpeg(
        44100, "mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}
    ),
    "mp2": lambda: _ffmpeg(44100, "mp2", "mp2"),
    "aac": lambda: _ffmpeg(44100, "adts", "aac"),
    "ac3": lambda: _ffmpeg(44100, "ac3", "ac3"),
    "eac3": lambda: _ffmpeg(48000, "eac3", "eac3"),
    "m4a": lambda: _ffmpeg(44100, "ipod", "aac"),
    "m4a with index first": lambda: _ffmpeg(44100, "ipod", "aac", {"movflags": "faststart"}),
    "m4a in fragments": lambda: _ffmpeg(
        44100, "ipod", "aac", {"movflags": "frag_keyframe+empty_moov"}
    ),
    "alac": lambda: _ffmpeg(44100, "ipod", "alac"),
    "webm": lambda: _ffmpeg(48000, "webm", "libopus"),
    "matroska": lambda: _ffmpeg(44100, "matroska", "flac"),
    "wma": lambda: _ffmpeg(44100, "asf", "wmav2"),
    "wavpack": lambda: _ffmpeg(44100, "wv", "wavpack"),
    "tta": lambda: _ffmpeg(44100, "tta", "tta"),
    "amr": lambda: _ffmpeg(8000, "amr", "libopencore_amrnb"),
}
CODECS = tuple(_ENCODERS)
OGG = ("vorbis", "opus", "ogg flac")


@cache
def encoded(codec: str) -> bytes:
    """Return a recording of three seconds."""
    return _ENCODERS[codec]()


def id3(size: int) -> bytes:
    """Return an ID3v2.3 tag of a size in bytes, without its header."""
    return b"ID3\x03\0\0" + bytes(size >> s & 127 for s in (21, 14, 7, 0)) + bytes(size)


def ape(size: int) -> bytes:
    """Return an APEv2 tag with an item of a size in bytes."""
    item = struct.pack("<II", size, 0) + b"Artist\0" + bytes(size)

    def edge(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII8x", 2000, len(item) + 32, 1, flags)

    return edge(0xA0000000) + item + edge(0x80000000)


def _chunk(name: bytes, content: bytes, order: str) -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


_PICTURE = b"APIC" + b"\xff\xd8\xff\xe0\0\x10JFIF" + random.Random(0).randbytes(40_000)
_LYRICS = b"LYRICSBEGIN" + b"la la la " * 400
TRAILING = {
    "ID3v1": b"TAG" + bytes(125),
    "ID3v2": id3(9000),
    "ID3v2 with a picture": id3(len(_PICTURE))[:10] + _PICTURE,
    "APEv2": ape(60_000),
    "APEv1": ape(500)[32:],  # without a header
    "APEv2 and ID3v1": ape(500) + b"TAG" + bytes(125),
    "Lyrics3": _LYRICS + b"LYRICSEND" + b"TAG" + bytes(125),
    "Lyrics3v2": _LYRICS + b"003611LYRICS200" + b"TAG" + bytes(125),
    "chunks of RIFF": _chunk(b"bext", bytes(603), "<") + _chunk(b"_PMX", b"<?xpacket" * 999, "<"),
    "a chunk of IFF": _chunk(b"ID3 ", id3(len(_PICTURE))[:10] + _PICTURE, ">"),
    "zeros": bytes(40_000),
    "zeros and ID3v1": bytes(5000) + b"TAG" + bytes(125),
}
"""Tails of real files, after the samples: neither audio nor damage."""


# The bytes before each length in the header, the distance from them, and the length's type.
_LENGTHS: dict[str, tuple[tuple[bytes, int, str], ...]] = {
    "wav": ((b"data", 0, "<I"),),
    "wav float": ((b"data", 0, "<I"),),
    "wav adpcm": ((b"data", 0, "<I"),),
    "rf64": ((b"ds64", 12, "<Q"),),
    "w64": ((b"data", 12, "<Q"),),
    "aiff": ((b"SSND", 0, ">I"), (b"COMM", 6, ">I")),
    "au": ((b".snd", 4, ">I"),),
    "caf": ((b"data", 0, ">Q"),),
    "vorbis": ((b"", 6, "<Q"),),
    "opus": ((b"", 6, "<Q"),),
    "ogg flac": ((b"", 6, "<Q"),),
    "mp3": ((b"Info", 4, ">I"),),
    "m4a": ((b"mvhd", 16, ">I"), (b"tkhd", 20, ">I"), (b"mdhd", 16, ">I"), (b"elst", 8, ">I")),
    "webm": ((b"\x44\x89\x88", 0, ">d"),),
    "wma": ((bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 40, "<Q"),),
    "wavpack": ((b"wvpk", 8, "<I"),),
    "tta": ((b"TTA1", 10, "<I"),),
}
_LENGTHS["m4a with index first"] = _LENGTHS["alac"] = _LENGTHS["m4a"]
_LENGTHS["matroska"] = _LENGTHS["webm"]


def with_length(codec: str, share: float) -> bytes | None:
    """Return a recording with another length in its header; None if it has none."""
    if codec == "flac":
        return flac_with_length(encoded(codec), int(SECONDS * 44100 * share))
    if codec not in _LENGTHS:
        return None
    content = bytearray(encoded(codec))
    page = content.rindex(b"OggS") if codec in OGG else 0
    for mark, distance, kind in _LENGTHS[codec]:
        at = content.index(mark, page) + len(mark) + distance
        (length,) = struct.unpack_from(kind, content, at)
        struct.pack_into(kind, content, at, type(length)(length * share))
    if page:
        struct.pack_into("<I", content, page + 22, 0)
        struct.pack_into("<I", content, page + 22, _ogg_crc(content[page:]))
    if codec == "tta":
        struct.pack_into("<I", content, 18, zlib.crc32(content[:18]))
    return bytes(content)


def _ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        crc &= 0xFFFFFFFF
    return crc


def spoiled(codec: str) -> Iterator[tuple[str, bytes, float]]:
    """Yield what was done to a recording, the file, and the seconds that its bytes hold."""
    content = encoded(codec)
    middle = len(content) // 2
    yield "whole", content, SECONDS
    yield "joined", content + content, 2 * SECONDS
    yield "truncated", content[: len(content) * 7 // 10], 0.7 * SECONDS
    yield "tag before", id3(2000) + content, SECONDS
    yield "tag inside", content[:middle] + id3(2000) + content[middle:], SECONDS
    for how, share in (("header too long", 1.5), ("header too short", 0.5)):
        changed = with_length(codec, share)
        if changed is not None:
            yield how, changed, SECONDS
