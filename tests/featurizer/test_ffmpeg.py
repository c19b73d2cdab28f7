"""Decoding with FFmpeg: lossless and lossy codecs, and streams that change or have no audio."""

import io

import av
import librosa
import numpy as np
import pytest
from support.audio_files import (
    SR,
    chord,
    decode_bytes,
    decode_error,
    ffmpeg_bytes,
    lag,
    sndfile_bytes,
    snr_db,
)


@pytest.mark.parametrize(
    ("muxer", "codec", "sample_format"),
    [
        *[("ipod", "alac", f) for f in ("s16p", "s32p")],
        *[("wv", "wavpack", f) for f in ("s16p", "s32p", "fltp")],
        *[("tta", "tta", f) for f in ("s16", "s32")],
        *[("ogg", "flac", "s16"), ("matroska", "flac", "s16"), ("matroska", "flac", "s32")],
        *[("matroska", f"pcm_{f}", None) for f in ("s16le", "s24le", "s32le", "f32le", "f64le")],
        *[("mov", f"pcm_{f}", None) for f in ("s16be", "s16le")],
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_codecs_of_ffmpeg_return_the_samples_exactly(
    muxer, codec, sample_format, channels
):
    samples = chord(seconds=7, channels=channels)
    recording = decode_bytes(ffmpeg_bytes(samples, SR, muxer, codec, sample_format=sample_format))
    expected = librosa.to_mono((samples / np.float32(32768)).T)
    np.testing.assert_array_equal(recording.y, expected)
    assert (recording.sample_rate, recording.channels) == (SR, channels)
    assert recording.duration_s == 7.0
    assert recording.note is None


@pytest.mark.parametrize("channels", [8, 16])
@pytest.mark.parametrize("sample_format", ["s16p", "fltp"])
def test_more_planes_than_a_frame_of_ffmpeg_has_fields_for_are_averaged(sample_format, channels):
    samples = chord(seconds=1, channels=channels)
    content = ffmpeg_bytes(samples, SR, "wv", "wavpack", sample_format=sample_format)
    recording = decode_bytes(content)
    expected = samples.mean(axis=1) / 32768
    np.testing.assert_allclose(recording.y, expected, rtol=0, atol=1e-6)
    assert recording.channels == channels


def test_8_bit_samples_from_ffmpeg_are_centred_on_128():
    samples = np.repeat(np.array([[-32768], [-16384], [0], [16384]], np.int16), 3000, axis=0)
    recording = decode_bytes(ffmpeg_bytes(samples, SR, "mov", "pcm_u8"))
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))


@pytest.mark.parametrize(
    ("muxer", "codec", "rate"),
    [
        *[("adts", "aac", SR), ("ipod", "aac", 44100), ("matroska", "aac", 48000)],
        *[("webm", "libopus", 48000), ("ogg", "libopus", 48000), ("ac3", "ac3", 44100)],
        *[("eac3", "eac3", 48000), ("mp2", "mp2", 44100), ("mp3", "libmp3lame", 44100)],
        *[("asf", "wmav2", 44100), ("wav", "adpcm_ima_wav", SR), ("wav", "libmp3lame", 44100)],
    ],
)
def test_lossy_codecs_return_a_close_signal(tmp_path, muxer, codec, rate):
    samples = chord(rate, channels=2)
    file = str(tmp_path / "asf") if muxer == "asf" else None  # the muxer opens its output by name
    recording = decode_bytes(ffmpeg_bytes(samples, rate, muxer, codec, file=file))
    expected = decode_bytes(sndfile_bytes(samples, rate)).y
    assert (recording.sample_rate, recording.channels) == (rate, 2)
    assert abs(len(recording.y) - len(expected)) < 2500  # a frame or two of padding
    delay = lag(recording.y, expected)
    assert abs(delay) <= 1300  # encoder delay without a header; WMA skips too much
    if muxer in ("ipod", "webm", "ogg", "mp3"):
        assert delay == 0
    assert snr_db(recording.y[max(delay, 0) :], expected[max(-delay, 0) :]) > 12


def film(samples=None, muxer="matroska", pictures=5):
    """Return a film of some pictures, with the samples as its sound [shape=(n, 2), int16]."""
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    with av.open(file, "w", format=muxer) as media:
        picture = media.add_stream("mpeg4", rate=25)
        picture.width = picture.height = 64
        if samples is not None:
            sound = media.add_stream("pcm_s16le", rate=SR, layout="stereo")
        for _ in range(pictures):
            noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
            media.mux(picture.encode(av.VideoFrame.from_ndarray(noise)))
        media.mux(picture.encode(None))
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "stereo")
            frame.sample_rate = SR
            media.mux(sound.encode(frame))
    return file.getvalue()


def test_the_first_audio_stream_of_a_film_is_its_sound():
    samples = chord(channels=2)
    y = decode_bytes(film(samples)).y
    np.testing.assert_array_equal(y, librosa.to_mono((samples / np.float32(32768)).T))


def test_pictures_after_the_sound_of_a_film_are_not_missing_sound():
    recording = decode_bytes(film(chord(channels=2), "mov", pictures=200))
    assert (recording.duration_s, recording.note) == (3, None)


def test_a_film_without_sound_is_unreadable():
    error = decode_error(film())
    assert error.kind == "unreadable"
    assert "no audio stream" in error.message


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_channels_that_change_midway_are_averaged_all_the_same(order):
    parts = [ffmpeg_bytes(chord(channels=n), SR, "adts", "aac") for n in order]
    y = decode_bytes(b"".join(parts)).y
    first, second = (decode_bytes(part).y for part in parts)
    assert len(y) == len(first) + len(second)
    # Not exactly: the decoder continues its noise substitution, and windows overlap.
    assert snr_db(y[: len(first) - 2048], first) > 20
    assert snr_db(y[len(first) + 2048 :], second[2048:]) > 20
