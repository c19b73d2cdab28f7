"""Mixing, resampling, limits and memory of the decoded signal."""

import io
import tracemalloc
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile as sf
from support.audio_files import (
    SR,
    chord,
    decode_bytes,
    decode_error,
    ffmpeg_bytes,
    flac_with_length,
    loaded_as_librosa,
    sndfile_bytes,
)

from featurizer import libsndfile, mono_signal
from featurizer.deadline import Deadline
from featurizer.decoding import decode
from featurizer.errors import RecordingError


@pytest.mark.parametrize(
    "rate", [8000, 11025, 16000, 22049, 22051, 32000, 44100, 48000, 88200, 96000, 192000, 384000]
)
@pytest.mark.parametrize("seconds", [0.1, 3.3337])
def test_resampled_as_librosa_does(tmp_path, rate, seconds):
    path = tmp_path / "a.wav"
    sf.write(path, chord(rate, seconds, channels=2), rate)
    expected = loaded_as_librosa(path)
    y = decode(path).y
    assert len(y) == len(expected)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [3, 4, 6, 8, 9, 64])
def test_many_channels_are_averaged(channels):
    samples = chord(seconds=4, channels=channels)
    y = decode_bytes(sndfile_bytes(samples)).y
    np.testing.assert_allclose(y, samples.mean(axis=1) / 32768, rtol=0, atol=1e-6)


def test_one_channel_of_eight_is_an_eighth():
    samples = np.zeros((SR, 8), np.int16)
    samples[:, 5] = chord(seconds=1)[:, 0]
    recording = decode_bytes(sndfile_bytes(samples, SR, "FLAC"))
    np.testing.assert_array_equal(recording.y, samples[:, 5] / np.float32(32768) / 8)
    assert recording.channels == 8


@pytest.mark.parametrize("rate", [8000, SR, 44100])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_samples_are_a_recording(rate, frames):
    recording = decode_bytes(sndfile_bytes(np.full((frames, 2), 1000, np.int16), rate))
    assert len(recording.y) == int(np.ceil(frames * SR / rate))
    assert recording.duration_s == frames / rate


@pytest.mark.parametrize(("rate", "channels"), [(SR, 1), (SR, 2), (44100, 2), (8000, 256)])
def test_memory_is_that_of_the_result_and_a_few_blocks(tmp_path, rate, channels):
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros((rate * 240 // channels, channels), np.int16), rate)
    decode(path)
    tracemalloc.start()
    recording = decode(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < recording.y.nbytes + 4e6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("rate", "channels"), [(SR, 1), (44100, 1), (44100, 2)])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_the_first_non_finite_sample_is_reported(bad, rate, channels, subtype):
    samples = np.zeros((5 * rate, channels))
    samples[round(4.321 * rate) :, -1] = bad
    error = decode_error(sndfile_bytes(samples, rate, "WAV", subtype))
    assert error.kind == "not-finite"
    assert "4.321 s" in error.message
    assert str(bad) in error.message


def test_numbers_beyond_float32_are_not_finite():
    one_channel = sndfile_bytes(np.full((100, 1), 1e300), SR, "WAV", "DOUBLE")
    sum_of_two = sndfile_bytes(np.full((100, 2), 3e38), SR, "WAV", "FLOAT")
    assert decode_error(one_channel).kind == decode_error(sum_of_two).kind == "not-finite"


def test_longer_than_four_hours_is_known_from_the_header(monkeypatch):
    samples = np.zeros((1000 * (4 * 3600 + 36), 1), np.int16)
    content = sndfile_bytes(samples, 1000, "WAV", "PCM_U8")
    monkeypatch.setattr(libsndfile, "MonoSignal", None)  # nothing is decoded
    error = decode_error(content)
    assert error.kind == "too-long"
    assert "4.01 hours" in error.message
    assert "4 hours" in error.message


@pytest.mark.parametrize("kind", ["flac", "aac"])
def test_longer_than_the_limit_is_found_while_decoding(monkeypatch, kind):
    monkeypatch.setattr(mono_signal, "MAX_HOURS", 10 / 3600)
    samples = chord(seconds=20)
    if kind == "flac":
        content = flac_with_length(sndfile_bytes(samples, SR, "FLAC"), 0)
    else:
        content = ffmpeg_bytes(samples, SR, "adts", "aac")
    assert decode_error(content).kind == "too-long"
    monkeypatch.setattr(mono_signal, "MAX_HOURS", 21 / 3600)
    assert decode_bytes(content).duration_s > 19.9


def test_a_deadline_is_checked_in_every_block():
    patient, content = Mock(Deadline), sndfile_bytes(chord(seconds=60))
    decode(io.BytesIO(content), deadline=patient)
    assert patient.check.call_count >= 60 * SR / 2**16
    impatient, timeout = Mock(Deadline), RecordingError("timeout", "six checks are too many")
    impatient.check.side_effect = [None] * 5 + [timeout]
    assert decode_error(content, deadline=impatient).kind == "timeout"
    content = ffmpeg_bytes(chord(seconds=20), SR, "adts", "aac")
    assert decode_error(content, deadline=Deadline(1e-9)).kind == "timeout"


def test_an_absurd_sample_rate_is_refused_before_memory_is_reserved():
    error = decode_error(sndfile_bytes(np.zeros((44100, 1), np.int16), 4))
    assert error.kind == "unreadable"
    assert "sample rate of 4 Hz" in error.message
