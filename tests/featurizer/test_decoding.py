"""Decoding whole files: real recordings, truncated or damaged ones, and files without audio."""

import os
from functools import cache

import numpy as np
import pytest
from support.audio_files import (
    SR,
    chord,
    decode_bytes,
    decode_error,
    ffmpeg_bytes,
    lag,
    loaded_as_librosa,
    picture,
    sndfile_bytes,
    snr_db,
)

from featurizer.decoding import decode
from featurizer.errors import RecordingError


@cache
def encoded(format: str, rate: int = SR, seconds: float = 3.0) -> bytes:
    """Encode two channels with libsndfile or, if the name is in lower case, with FFmpeg."""
    samples = chord(rate, seconds, channels=2)
    if format.isupper():
        return sndfile_bytes(samples, rate, format)
    codec = {"wv": "wavpack", "matroska": "flac", "webm": "libopus"}.get(format, "aac")
    return ffmpeg_bytes(samples, rate, format, codec)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3", "adts"])
def test_a_file_object_gives_what_its_path_gives(tmp_path, format):
    path = tmp_path / "recording.of.any.name"
    path.write_bytes(encoded(format, 44100, 5))
    by_path, by_text = decode(path), decode(str(path))
    with path.open("rb") as file:
        file.seek(100)  # the position does not matter
        by_file = decode(file)
        assert not file.closed
    for other in (by_text, by_file, decode_bytes(path.read_bytes())):
        np.testing.assert_array_equal(other.y, by_path.y)
        assert other.duration_s == by_path.duration_s


def test_no_descriptor_stays_open(tmp_path):
    (tmp_path / "good").write_bytes(sndfile_bytes(chord()))
    (tmp_path / "aac").write_bytes(ffmpeg_bytes(chord(), SR, "adts", "aac"))
    (tmp_path / "bad").write_bytes(b"RIFF    WAVE" * 10)
    before = len(os.listdir("/proc/self/fd"))
    decode(tmp_path / "good")
    decode(tmp_path / "aac")
    for name in ("bad", "."):
        decode_error(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_wav_and_flac_of_one_recording_are_equal(shared_data):
    wav, flac = (decode(shared_data / "formats" / f"dubstep.{kind}") for kind in ("wav", "flac"))
    np.testing.assert_array_equal(wav.y, flac.y)
    assert wav.duration_s == flac.duration_s == 6.85


@pytest.mark.parametrize(
    ("kind", "delay", "db"),
    # Vorbis marks its start; these MP3 and AAC files do not and begin with the encoder delay.
    [("ogg", 0, 10), ("mp3", 288, 10), ("aac", 512, 10)],
)
def test_lossy_encodings_of_one_recording_are_close(shared_data, kind, delay, db):
    reference = decode(shared_data / "formats" / "dubstep.wav").y
    y = decode(shared_data / "formats" / f"dubstep.{kind}").y
    assert abs(len(y) - len(reference)) < 1000
    assert abs(lag(y, reference) - delay) <= 1
    assert snr_db(y[delay:], reference) > db


@pytest.mark.parametrize("name", ["cat_purrrr24bit.wav", "hungarian_dance_44k_stereo.ogg"])
def test_24_bits_and_44_khz_are_decoded_as_by_librosa(shared_data, name):
    path = shared_data / "formats" / name
    recording = decode(path)
    np.testing.assert_allclose(recording.y, loaded_as_librosa(path), rtol=0, atol=1e-6)
    assert (recording.sample_rate, recording.channels) == (44100, 2)


@pytest.fixture(scope="module")
def m4a(tmp_path_factory):
    """Return a recording that starts with its index."""
    file = str(tmp_path_factory.mktemp("m4a") / "a")  # the muxer reads its output back
    options = {"movflags": "faststart"}
    samples = chord(48000, channels=2)
    return ffmpeg_bytes(samples, 48000, "ipod", "aac", file=file, muxer_options=options)


@pytest.mark.parametrize("share", np.linspace(0.1, 0.95, 18))
@pytest.mark.parametrize("kind", ["FLAC", "MP3", "OGG", "adts", "m4a", "webm"])
def test_a_truncated_recording_is_a_failure_or_a_shorter_recording(m4a, kind, share):
    whole = m4a if kind == "m4a" else encoded(kind, 48000)
    reference = decode_bytes(whole).y
    cut = whole[: int(len(whole) * share)]
    try:
        recording = decode_bytes(cut)
    except RecordingError as error:
        assert error.kind in ("unreadable", "empty")  # noqa: PT017 - most truncations do not fail
        assert share < 0.4  # noqa: PT017 - the headers alone
    else:
        assert len(recording.y) < len(reference)
        # The last frames have no successor to overlap with.
        n = min(len(recording.y), len(reference)) - 4000
        if n > 0:
            np.testing.assert_allclose(recording.y[:n], reference[:n], rtol=0, atol=1e-4)
        if kind in ("FLAC", "MP3", "webm", "m4a") and share < 0.9:
            assert recording.note is not None
            assert recording.note.endswith("but its header promises 3.0 s.")


@pytest.mark.parametrize(
    "tail", [b"TAG" + bytes(125), b"LIST\x10\0\0\0" + bytes(16), bytes(3000), b"\x55" * 777]
)
@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "OGG", "MP3", "wv", "adts", "ipod"])
def test_data_after_a_complete_recording_is_ignored(format, tail):
    content = encoded(format)
    recording = decode_bytes(content + tail)
    np.testing.assert_array_equal(recording.y, decode_bytes(content).y)
    assert recording.note is None


def test_noise_after_a_complete_mp3_is_ignored():
    content = encoded("MP3", 44100)
    recording = decode_bytes(content + np.random.default_rng(1).bytes(3 * len(content)))
    np.testing.assert_array_equal(recording.y, decode_bytes(content).y)
    assert recording.note is None


def test_a_large_tag_or_a_truncated_frame_before_an_mp3_is_skipped():
    content = encoded("MP3")
    tag = b"ID3\x03\0\0" + bytes(300_000 >> s & 127 for s in (21, 14, 7, 0)) + bytes(300_000)
    whole = decode_bytes(content)
    np.testing.assert_array_equal(decode_bytes(tag + content).y, whole.y)
    for before in (b"\x55" * 300, tag + tag, content[-301:]):
        recording = decode_bytes(before + content)
        assert abs(recording.duration_s - whole.duration_s) < 0.1
        assert recording.note is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        sndfile_bytes(np.zeros((0, 2), np.int16)),
        sndfile_bytes(np.zeros((0, 2), np.int16), SR, "AIFF"),
        sndfile_bytes(np.zeros((0, 1), np.int16), SR, "AU"),
        sndfile_bytes(chord())[:45],  # half a sample
    ],
)
def test_no_bytes_or_no_samples_are_empty(content):
    assert decode_error(content).kind == "empty"


@pytest.mark.parametrize(
    "content",
    [
        b"These are the notes of the session.\n" * 500,
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 50,
        b"[Script Info]\nTitle: subtitles\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,a\n" * 50,
        b"[00:01.00]a line of a song\n[00:02.00]and another\n" * 50,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        picture("png"),
        picture("mjpeg"),
        b"PK\x03\x04" + bytes(22) + b"\x08\0\0\0song.mp3" + encoded("MP3"),
        b"%PDF-1.7\n" + encoded("MP3"),
        b"\x7fELF\x02\x01\x01" + bytes(5000),
        b"GIF89a" + bytes(5000),
        bytes(100_000),
        b"\xff" * 100_000,
        b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100),
        b"RIFF\x24\0\0\0AVI LIST" + bytes(100),
        b"OggS" + bytes(1000),
        b"fLaC" + bytes(1000),
        b"\x01\x04name" + bytes(10_000),  # an Akai sampler's header to libsndfile
        b"\0\0\0\x18ftypheic" + bytes(1000),
        b"RIFF",
        b"\0",
    ],
)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".raw", ".au", ".gsm", ".vox"])
def test_other_files_are_unreadable_whatever_their_name(tmp_path, content, suffix, capfd):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert decode_error(path).kind == "unreadable"
    assert capfd.readouterr() == ("", "")


def test_random_bytes_are_unreadable():
    starts = [b"", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"\x0b\x77", b"\xff\xff", b"\x01\x04"]
    sizes = [1, 3, 10, 44, 300, 2000, 20_000, 100_000]
    for seed in range(2000):
        content = np.random.default_rng(seed).bytes(sizes[seed % len(sizes)])
        assert decode_error(starts[seed % len(starts)] + content).kind == "unreadable"


# libmpg123 plays nearly all of these as layer I of MPEG audio, in frames of 100 bytes or more.
@pytest.mark.parametrize("loudness", [0.6, 1, 2, 10, 100, 3000])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "i1"])
def test_samples_without_a_header_are_unreadable(loudness, dtype, capfd):
    for seed in range(30):
        noise = np.random.default_rng(seed).standard_normal(30_000)
        tone = np.sin(2 * np.pi * 441 / SR * np.arange(30_000))
        for y in (noise, np.round(tone)):
            samples = np.clip(np.round(loudness * y), -128, 127) if dtype == "i1" else loudness * y
            content = samples.astype(dtype).tobytes()
            for start in (b"", b"\xff\xff", b"\xff\xfb"):
                assert decode_error(start + content).kind == "unreadable"
    assert capfd.readouterr() == ("", "")


def test_gtzans_broken_file_is_unreadable(shared_data):
    error = decode_error(shared_data / "gtzan/genres_original/jazz/jazz.00054.wav")
    assert error.kind == "unreadable"
    assert "1,207,592 bytes begin with cb 15 1e 16" in error.message


def test_damage_anywhere_is_a_failure_or_a_recording():
    rng = np.random.default_rng(0)
    formats = ["WAV", "AIFF", "AU", "FLAC", "OGG", "MP3", "CAF", "adts", "ipod", "matroska", "wv"]
    for format in formats:
        content = encoded(format, 44100, 0.5)
        for among in (64, 64, 400, 400, len(content)) * 8:
            damaged = bytearray(content)
            for at in rng.integers(0, among, rng.integers(1, 5)):
                damaged[at] = rng.integers(256)
            try:
                recording = decode_bytes(bytes(damaged))
            except RecordingError as error:
                assert error.kind in ("unreadable", "empty", "not-finite", "too-long")  # noqa: PT017 - either outcome is valid
            else:
                assert np.isfinite(recording.y).all()
                assert len(recording.y) > 0
