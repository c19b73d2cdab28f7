"""Recognising recordings: suffixes, and the output of real encoders."""

import io
import subprocess
import sys

import av
import numpy as np
import pytest

from featurizer.formats import AUDIO_SUFFIXES, sniff


def encode(demuxer: str, codec: str, rate: int, *, kbits: int | None = None) -> bytes:
    """Encode one second of a chord, in stereo."""
    t = np.arange(rate) / rate
    y = np.stack([0.4 * np.sin(2 * np.pi * f * t) for f in (330, 440)]).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=demuxer, options={"id3v2_version": "0"}) as media:
        stream = media.add_stream(codec, rate=rate, layout="stereo")
        if kbits:
            stream.bit_rate = kbits * 1000
        frame = av.AudioFrame.from_ndarray(y, "fltp", "stereo")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            stream.format, "stereo", rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            media.mux(stream.encode(part))
        media.mux(stream.encode(None))
    return file.getvalue()


def demuxer_of(content: bytes) -> str | None:
    container = sniff(io.BytesIO(content))
    return container and container.demuxer


def test_importing_the_suffixes_imports_no_decoder():
    command = (
        "import sys, featurizer.formats;"
        "print({'numpy', 'soundfile', 'soxr', 'av', 'librosa'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert found.stdout.strip() == b"set()"


def test_suffixes_are_lower_case_and_dotted():
    assert {
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".opus",
        ".aif",
        ".au",
        ".m4a",
        ".aac",
    } < AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)
    assert not {".txt", ".jpg", ".csv", ".m3u", ""} & AUDIO_SUFFIXES


# MPEG-1, MPEG-2 and MPEG-2.5 have different tables; at 44.1 kHz some frames are padded by a byte.
@pytest.mark.parametrize(
    ("muxer", "codec", "rate", "kbits"),
    [
        *[
            ("mp3", "libmp3lame", rate, kbits)
            for rate in (32000, 44100, 48000)
            for kbits in (64, 320)
        ],
        *[
            ("mp3", "libmp3lame", rate, kbits)
            for rate in (16000, 22050, 24000)
            for kbits in (16, 160)
        ],
        *[("mp3", "libmp3lame", rate, 16) for rate in (8000, 11025, 12000)],
        *[("mp2", "mp2", rate, kbits) for rate in (32000, 44100, 48000) for kbits in (64, 384)],
        *[("mp2", "mp2", rate, 64) for rate in (16000, 22050, 24000)],
        *[("adts", "aac", rate, 64) for rate in (8000, 22050, 44100, 96000)],
        *[("ac3", "ac3", rate, kbits) for rate in (32000, 44100, 48000) for kbits in (96, 640)],
        *[("eac3", "eac3", rate, kbits) for rate in (32000, 44100, 48000) for kbits in (96, 640)],
    ],
)
def test_frames_of_every_rate_are_recognised(muxer, codec, rate, kbits):
    content = encode(muxer, codec, rate, kbits=kbits)
    expected = {"mp2": "mp3", "adts": "aac"}.get(muxer, muxer)
    assert demuxer_of(content) == expected
    # Eight consecutive frames are enough; the last may be truncated.
    assert demuxer_of(content[: len(content) * 2 // 3]) == expected


def adts_frames(content: bytes) -> list[bytes]:
    """Split an ADTS stream by the lengths in its frame headers."""
    frames = []
    while content:
        length = (content[3] & 3) << 11 | content[4] << 3 | content[5] >> 5
        frames.append(content[:length])
        content = content[length:]
    return frames


def test_frames_that_do_not_follow_each_other_are_not_a_recording():
    content = encode("adts", "aac", 22050)
    frames = adts_frames(content)
    assert b"".join(frames) == content
    assert demuxer_of(b"\0".join(frames)) is None


def test_fewer_than_eight_frames_are_not_a_recording():
    frames = adts_frames(encode("adts", "aac", 22050))
    noise = np.random.default_rng(0).bytes(5000)
    assert demuxer_of(b"".join(frames[:4]) + noise) is None
    assert demuxer_of(b"".join(frames[:12]) + noise) == "aac"


def test_frames_of_different_kinds_are_not_a_recording():
    frames = adts_frames(encode("adts", "aac", 22050))
    assert [f[2] & 0x3C for f in frames] == [7 << 2] * len(frames)  # 22,050 Hz is number 7
    changed = [f[:2] + bytes([f[2] ^ 4]) + f[3:] if i % 2 else f for i, f in enumerate(frames)]
    assert demuxer_of(b"".join(changed)) is None


@pytest.mark.parametrize(("muxer", "codec"), [("mp3", "libmp3lame"), ("adts", "aac")])
def test_a_single_frame_is_a_recording_if_it_fills_the_file(muxer, codec):
    content = encode(muxer, codec, 22050)
    shortest = next(n for n in range(1, 2000) if demuxer_of(content[:n]) is not None)
    assert content[shortest : shortest + 2] == content[:2]  # the next frame would start there
    assert demuxer_of(content[: shortest + 1]) is None


def id3(size: int) -> bytes:
    return b"ID3\x04\0\0" + bytes(size >> s & 127 for s in (21, 14, 7, 0)) + bytes(size)


@pytest.mark.parametrize("size", [0, 20, 200_000, 3_000_000])
def test_tags_are_skipped(size):
    content = encode("mp3", "libmp3lame", 44100)
    assert demuxer_of(id3(size) + content) == "mp3"
    assert demuxer_of(id3(size) + id3(size) + content) == "mp3"
    assert demuxer_of(id3(size) + bytes(100) + content) == "mp3"
    assert demuxer_of(id3(size)) is None


def test_a_recording_may_start_inside_a_frame_but_not_inside_an_archive():
    content = encode("mp3", "libmp3lame", 44100)
    assert demuxer_of(content[37:]) == "mp3"
    assert demuxer_of(bytes(10_000) + content) == "mp3"
    assert demuxer_of(np.random.default_rng(0).bytes(5000) + content) is None
    name = b"song.mp3"
    header = b"PK\x03\x04" + bytes(22) + len(name).to_bytes(2, "little") + bytes(2) + name
    assert demuxer_of(header + content) is None
    assert demuxer_of(b"%PDF-1.7\n" + content) is None


def test_a_tag_may_have_a_footer():
    content = encode("mp3", "libmp3lame", 44100)
    tag = bytearray(id3(200))
    tag[5] |= 0x10
    footer = b"3DI" + bytes(tag[3:10])
    assert sniff(io.BytesIO(bytes(tag) + footer + content)) == sniff(io.BytesIO(content))


def test_only_a_few_tags_are_skipped():
    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    file = Counting(id3(0) * 10_000)
    assert sniff(file) is None
    assert file.reads < 100
