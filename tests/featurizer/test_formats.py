"""Recognising recordings: suffixes, and the output of real encoders."""

import io
import struct
import subprocess
import sys
from functools import cache
from itertools import product
from unittest.mock import Mock

import numpy as np
import pytest
from support.audio_files import chord, decode_bytes, ffmpeg_bytes, picture, sndfile_bytes

from featurizer.formats import AUDIO_SUFFIXES, sniff


@cache
def encode(muxer: str, rate: int, kbits: int | None = None) -> bytes:
    """Encode one second of a chord, in stereo and without a tag."""
    codec = {"mp3": "libmp3lame", "adts": "aac"}.get(muxer, muxer)
    muxer_options = {"id3v2_version": "0"} if muxer == "mp3" else None
    codec_options = {"b": f"{kbits}k"} if kbits else None
    samples = chord(rate, 1, channels=2)
    return ffmpeg_bytes(
        samples, rate, muxer, codec, muxer_options=muxer_options, codec_options=codec_options
    )


def demuxer_of(content: bytes) -> str | None:
    found = sniff(io.BytesIO(content))
    return found and found.container.demuxer


def test_importing_the_suffixes_imports_no_decoder():
    decoders = "{'numpy', 'soundfile', 'soxr', 'av', 'librosa'}"
    code = f"import sys, featurizer.formats; sys.exit({decoders} & set(sys.modules) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_suffixes_are_lower_case_and_dotted():
    assert {".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".au", ".m4a"} < AUDIO_SUFFIXES
    assert ".aac" in AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)
    assert not {".txt", ".jpg", ".csv", ".m3u", ""} & AUDIO_SUFFIXES


# MPEG-1, MPEG-2 and MPEG-2.5 have different tables; at 44.1 kHz some frames are padded by a byte.
@pytest.mark.parametrize(
    ("muxer", "rate", "kbits"),
    [
        *product(["mp3"], [32000, 44100, 48000], [64, 320]),
        *product(["mp3"], [16000, 22050, 24000], [16, 160]),
        *product(["mp3"], [8000, 11025, 12000], [16]),
        *product(["mp2"], [32000, 44100, 48000], [64, 384]),
        *product(["mp2"], [16000, 22050, 24000], [64]),
        *product(["adts"], [8000, 22050, 44100, 96000], [64]),
        *product(["ac3"], [32000, 44100, 48000], [96, 640]),
        *product(["eac3"], [32000, 44100, 48000], [96, 640]),
    ],
)
def test_frames_of_every_rate_are_recognised(muxer, rate, kbits):
    content = encode(muxer, rate, kbits)
    expected = {"mp2": "mp3", "adts": "aac"}.get(muxer, muxer)
    assert demuxer_of(content) == expected
    # Eight consecutive frames are enough; the last may be truncated.
    assert demuxer_of(content[: len(content) * 2 // 3]) == expected


def test_frames_are_a_recording_only_if_eight_of_a_kind_follow_each_other():
    content = encode("adts", 22050)
    frames = []
    while content:
        length = (content[3] & 3) << 11 | content[4] << 3 | content[5] >> 5
        frames.append(content[:length])
        content = content[length:]
    assert demuxer_of(b"".join(frames)) == "aac"
    assert demuxer_of(b"\0".join(frames)) is None
    noise = np.random.default_rng(0).bytes(5000)
    assert demuxer_of(b"".join(frames[:4]) + noise) is None
    assert demuxer_of(b"".join(frames[:12]) + noise) == "aac"
    assert [f[2] & 0x3C for f in frames] == [7 << 2] * len(frames)  # 22,050 Hz is number 7
    changed = [f[:2] + bytes([f[2] ^ 4]) + f[3:] if i % 2 else f for i, f in enumerate(frames)]
    assert demuxer_of(b"".join(changed)) is None


@pytest.mark.parametrize("muxer", ["mp3", "adts"])
def test_a_single_frame_is_a_recording_if_it_fills_the_file(muxer):
    content = encode(muxer, 22050)
    shortest = next(n for n in range(1, 2000) if demuxer_of(content[:n]) is not None)
    assert content[shortest : shortest + 2] == content[:2]  # the next frame would start there
    assert demuxer_of(content[: shortest + 1]) is None


def id3(size: int) -> bytes:
    return b"ID3\x04\0\0" + bytes(size >> s & 127 for s in (21, 14, 7, 0)) + bytes(size)


@pytest.mark.parametrize("size", [0, 20, 200_000, 3_000_000])
def test_tags_are_skipped(size):
    content = encode("mp3", 44100)
    assert demuxer_of(id3(size) + content) == "mp3"
    assert demuxer_of(id3(size) + id3(size) + content) == "mp3"
    assert demuxer_of(id3(size) + bytes(100) + content) == "mp3"
    assert demuxer_of(id3(size)) is None


def test_a_recording_may_start_inside_a_frame_but_not_inside_an_archive():
    content = encode("mp3", 44100)
    assert demuxer_of(content[37:]) == "mp3"
    assert demuxer_of(bytes(10_000) + content) == "mp3"
    assert demuxer_of(np.random.default_rng(0).bytes(5000) + content) == "mp3"
    name = b"song.mp3"
    header = b"PK\x03\x04" + bytes(22) + len(name).to_bytes(2, "little") + bytes(2) + name
    assert demuxer_of(header + content) is None
    assert demuxer_of(b"%PDF-1.7\n" + content) is None


def test_a_tag_may_have_a_footer():
    content = encode("mp3", 44100)
    tag = bytearray(id3(200))
    tag[5] |= 0x10
    footer = b"3DI" + bytes(tag[3:10])
    found, expected = (sniff(io.BytesIO(start + content)) for start in (bytes(tag) + footer, b""))
    assert found is not None
    assert expected is not None
    assert found.container == expected.container


def test_only_a_few_tags_are_skipped():
    file = Mock(wraps=io.BytesIO(id3(0) * 10_000))
    assert sniff(file) is None
    assert file.read.call_count < 100


def ape_tag(size: int) -> bytes:
    """Return an APEv2 tag with a header and a footer."""
    fields = b"APETAGEX" + struct.pack("<III", 2000, size + 32, 1)
    header, footer = (fields + flags + bytes(8) for flags in (b"\0\0\0\xa0", b"\0\0\0\x80"))
    return header + bytes(size) + footer


def bad_id3(size: int, stated: int) -> bytes:
    """Return an ID3v2 tag with a plain number as its size."""
    return b"ID3\x03\0\0" + stated.to_bytes(4, "big") + bytes(size)


NOISE = np.random.default_rng(0).bytes(90_000)
BEFORE = {
    "size not syncsafe": bad_id3(3000, 3000),
    "size not syncsafe, but it looks so": bad_id3(10_000, 10_000),
    "size of a picture not syncsafe": bad_id3(0, 90_000) + NOISE,
    "size 0": bad_id3(3000, 0),
    "size too large": b"ID3\x03\0\0\0\0\x20\0" + bytes(1000),
    "size beyond the end": b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + bytes(1000),
    "APE": ape_tag(500),
    "ID3 and APE": id3(300) + ape_tag(200_000),
    "APE and ID3": ape_tag(500) + id3(300),
    "ID3v1": b"TAG" + bytes(125),
    "zeros": bytes(200_000),
    "noise": NOISE,
    "a megabyte": bytes((1 << 20) - 1),
    "HTTP header": b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
    "a part of a frame": encode("mp3", 44100)[-150:],
}


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        *product(["mp3"], BEFORE),
        *product(["adts", "FLAC"], ["size not syncsafe", "size 0", "APE", "zeros", "noise"]),
        *product(["ac3", "OGG", "WAV"], ["size beyond the end", "APE and ID3"]),
    ],
)
def test_a_recording_may_follow_tags_and_junk(kind, before):
    is_sndfile = kind.isupper()
    content = sndfile_bytes(chord(44100, 1), 44100, kind) if is_sndfile else encode(kind, 44100)
    found = sniff(io.BytesIO(BEFORE[before] + content))
    alone = sniff(io.BytesIO(content))
    assert found is not None
    assert alone is not None
    assert found.container == alone.container
    recording, expected = decode_bytes(BEFORE[before] + content), decode_bytes(content)
    np.testing.assert_array_equal(recording.y, expected.y)
    assert recording.note is None


@pytest.mark.parametrize(
    "content",
    [
        picture("png") + encode("mp3", 44100),
        picture("mjpeg") + encode("mp3", 44100),
        b"RIFF\0\0\1\0AVI LIST" + bytes(3000) + encode("mp3", 44100),
        b"\x7fELF\x02\x01\x01" + bytes(5000) + encode("mp3", 44100),
        id3(300) + picture("mjpeg"),
        ape_tag(300) + b"These are the words of a song.\n" * 100,
        b"RIFF and fLaC and OggS are the first words of recordings.\n" * 1000,
    ],
)
def test_other_files_are_no_recordings(content):
    assert sniff(io.BytesIO(content)) is None


def test_a_search_starts_after_a_large_tag_too():
    tag = id3(9 << 20)
    content = tag + bytes(500) + encode("mp3", 44100)
    assert sniff(io.BytesIO(content)).start == len(tag) + 500


def test_the_search_for_a_recording_ends():
    file = Mock(wraps=io.BytesIO(bytes(10 << 20) + encode("mp3", 44100)))
    assert sniff(file) is None
    assert file.seek.call_args.args[0] < 8 << 20
