import io
import subprocess
import sys
from typing import Any
from unittest.mock import Mock

import av
import librosa
import numpy as np
import pytest
from support.audio_files import chord, ffmpeg_bytes, sndfile_bytes

import featurizer.gtzan_accumulator
import featurizer.spectrogram
import featurizer.stft
from benchmarks.plain_recipe import plain_features, plain_segments
from featurizer.columns import N_MFCC
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.extract import extract
from featurizer.extract import features as features_in_sets
from featurizer.feature_set import feature_set

GTZAN = feature_set("gtzan")

N = 100_000
T = np.arange(N) / 22050
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)

SIGNALS = {
    "silence": np.zeros(N),
    "constant": np.full(N, 0.25),
    "faint constant": np.full(N, 1 / 32768),
    "impulse": np.eye(1, N, 40_000)[0],
    "impulse at the start": np.eye(1, N, 0)[0],
    "impulse at the end": np.eye(1, N, N - 1)[0],
    "full-scale square wave": np.where(np.arange(N) % 100 < 50, 1.0, -1.0),
    "square wave of a power of two": np.where(np.arange(N) % 64 < 32, 1.0, -1.0),
    "tone": np.sin(2 * np.pi * 440 * T),
    "low tone": np.sin(2 * np.pi * 30 * T),
    "sweep": np.sin(2 * np.pi * (50 * T + 1000 * T**2)),
    "noise": 0.1 * NOISE,
    "faint noise": 1e-6 * NOISE,
    "noise of denormal numbers": 1e-40 * NOISE,
    "noise far beyond full scale": 1e6 * NOISE,
    "noise, then silence": np.where(T < 2, NOISE, 0.0),
    "silence, then a constant": np.where(T < 2, 0.0, 1.0),
    "clicks": np.where(np.arange(N) % 11025 == 0, 1.0, 0.0),
    "clicks, resampled": librosa.resample(
        np.where(np.arange(2 * N) % 22050 == 7, 0.7, 0.0), orig_sr=44100, target_sr=22050
    ),
    "tone that decays to nothing": np.exp(-50 * T) * np.sin(2 * np.pi * 440 * T),
    "noise that decays to nothing": np.exp(-200 * T) * NOISE,
    "chord with offset and clicks": 0.1
    + 0.2 * sum(np.sin(2 * np.pi * 445 * 2 ** (k / 12) * T) for k in (0, 4, 7))
    + np.where(np.arange(N) % 11025 < 30, 0.3 * NOISE, 0.0),
}

# About a thousandth of each column's spread between recordings; smaller errors are negligible.
FLOORS_OF_MEAN_AND_VAR = {
    "chroma_stft": (1e-4, 1e-5),
    "rms": (1e-4, 1e-6),
    "spectral_centroid": (1.0, 400.0),
    "spectral_bandwidth": (1.0, 100.0),
    "rolloff": (2.0, 2000.0),
    "zero_crossing_rate": (5e-5, 1e-6),
    "harmony": (1e-6, 1e-5),
    "perceptr": (1e-6, 1e-5),
}


def features(y: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the published features of a signal and of its segments."""
    rows = features_in_sets(y, sets=["gtzan"], **options)["gtzan"]
    assert rows.track is not None
    return rows.track, rows.segments


def floor(column: str) -> float:
    name, _, statistic = column.rpartition("_")
    mean, var = FLOORS_OF_MEAN_AND_VAR.get(name, (1e-2, 1e-2))
    return var if statistic == "var" else mean


def check(row: np.ndarray, expected: np.ndarray) -> None:
    floors = np.array([floor(name) for name in GTZAN.names])
    # Rounding to single precision decides roll-offs that fall on a tie.
    limit = np.array([1e-2 if "rolloff" in name else 1e-3 for name in GTZAN.names])
    errors = np.abs(row - expected) / (np.abs(expected) + floors) / limit
    worst = int(np.argmax(errors))
    assert errors[worst] < 1, (GTZAN.names[worst], row[worst], expected[worst])


@pytest.mark.parametrize("name", SIGNALS)
def test_every_kind_of_signal_gives_the_plain_recipes_row(name: str) -> None:
    y = SIGNALS[name].astype(np.float32)
    check(features(y)[0], plain_features(y))


def decoded_by_ffmpeg(content: bytes) -> list[tuple[int, np.ndarray]]:
    """Return the rate and the mono signal of every frame of a file."""
    with av.open(io.BytesIO(content)) as media:
        return [
            (frame.sample_rate, frame.to_ndarray().mean(axis=0))
            for frame in media.decode(media.streams.audio[0])
        ]


@pytest.mark.parametrize("muxer", ["flac", "mp3", "adts"])
def test_joined_recordings_of_two_rates_have_the_plain_recipes_row(muxer: str) -> None:
    codec = {"flac": "flac", "mp3": "libmp3lame", "adts": "aac"}[muxer]
    options = {"write_xing": "0", "id3v2_version": "0"} if muxer == "mp3" else None
    parts = [
        ffmpeg_bytes(chord(rate, 2), rate, muxer, codec, muxer_options=options)
        for rate in (44100, 32000)
    ]
    content = b"".join(parts)
    # FFmpeg reads a FLAC by the header of the first one.
    frames = [
        frame
        for file in (parts if muxer == "flac" else [content])
        for frame in decoded_by_ffmpeg(file)
    ]
    pieces = []
    for rate in (44100, 32000):
        piece = np.concatenate([samples for its_rate, samples in frames if its_rate == rate])
        if muxer == "flac":
            piece = piece / 32768
        pieces.append(librosa.resample(piece.astype(np.float32), orig_sr=rate, target_sr=22050))
    row = extract(io.BytesIO(content), sets=["gtzan"]).rows["gtzan"].track
    assert row is not None
    check(row, plain_features(np.concatenate(pieces)))


@pytest.mark.parametrize("level", [10**-17.75, 1e-18, 1e-19, 1e-20])
def test_a_chord_far_below_audibility_gives_the_plain_recipes_row(level: float) -> None:
    y = 1e-6 * NOISE[:66150]
    for k in range(8):
        y += np.sin(2 * np.pi * 445 * 2 ** (k / 6) * T[:66150] + 4 * k * k) / 8
    y = (level * y).astype(np.float32)
    check(features(y)[0], plain_features(y))


@pytest.mark.parametrize(
    "n",
    [
        *(1025, 1026, 1535, 1536, 2047, 2048, 2049, 8192, 15 * 512 - 1, 15 * 512, 16 * 512 - 1),
        *(31 * 512, 128 * 512 - 1, 128 * 512, 128 * 512 + 1, 191 * 512 - 1, 191 * 512, 98_815),
    ],
)
def test_every_length_gives_the_plain_recipes_row(n: int) -> None:
    rng = np.random.default_rng(n)
    y = (rng.normal(size=n) * np.exp(rng.normal(size=n)) * 0.1).astype(np.float32)
    check(features(y)[0], plain_features(y))


def test_a_segment_is_a_signal_of_its_own() -> None:
    # Levels differ by segment: each segment has its own loudest band.
    rng = np.random.default_rng(3)
    y = (rng.normal(size=3 * 66150) * np.repeat([1.0, 1e-5, 1e-2], 66150)).astype(np.float32)
    _, segments = features(y)
    expected = plain_segments(y)
    assert segments.shape == expected.shape == (3, 57)
    for row, plain in zip(segments, expected, strict=True):
        check(row, plain)


@pytest.mark.parametrize(
    ("n", "count"), [(1025, 0), (66148, 0), (66149, 1), (132_298, 1), (132_299, 2)]
)
def test_only_complete_segments_have_rows(n: int, count: int) -> None:
    _, segments = features(np.ones(n, dtype=np.float32))
    assert segments.shape == (count, 57)


def test_the_length_of_a_segment_may_be_chosen_down_to_the_minimum_of_the_message() -> None:
    y = (0.1 * NOISE).astype(np.float32)
    _, segments = features(y, segment_seconds=1.0)
    assert segments.shape == (4, 57)
    np.testing.assert_array_equal(segments[2], features(y[44100 : 44100 + 22049])[0])
    _, shortest = features(y[:5000], segment_seconds=0.0466)
    assert len(shortest) == 4


@pytest.mark.parametrize("seconds", [0.0465, 0.0, -3.0, float("nan"), float("inf")])
def test_a_segment_too_short_to_be_analysed_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"shortest is 0\.0466 seconds"):
        features(np.zeros(5000, dtype=np.float32), segment_seconds=seconds)
    with pytest.raises(ValueError, match="shortest"):  # before the recording is read
        extract("/no/such/file", segment_seconds=seconds)


@pytest.mark.parametrize("n", [0, 1, 1024])
def test_a_signal_too_short_to_be_reflected_is_refused_with_the_required_length(n: int) -> None:
    with pytest.raises(RecordingError, match=rf" {n:,} samples at 22,050 Hz; at least 1,025") as e:
        features(np.zeros(n, dtype=np.float32))
    assert e.value.kind == "too-short"


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf, 1e20, -3e38])
@pytest.mark.parametrize("position", [0, 40_000, N - 1])
def test_samples_that_are_not_finite_are_reported(sample: float, position: int) -> None:
    y = (0.1 * NOISE).astype(np.float32)
    y[position] = sample
    with pytest.raises(RecordingError, match="not a finite number") as failure:
        features(y)
    assert failure.value.kind == "not-finite"


def test_a_signal_has_one_channel() -> None:
    with pytest.raises(ValueError, match=r"one channel, not the shape \(2, 5000\)"):
        features(np.zeros((2, 5000), dtype=np.float32))


@pytest.mark.parametrize("kept", [303, 5168], ids=["computed again", "kept"])
def test_the_deadline_is_checked_once_per_block(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(featurizer.spectrogram, "KEPT_FRAMES", kept)
    deadline = Mock(Deadline)
    deadline.check.side_effect = [None] * 4 + [RecordingError("timeout", "over")]
    with pytest.raises(RecordingError, match="over"):
        features(np.ones(22050 * 20, dtype=np.float32), deadline=deadline)
    assert deadline.check.call_count == 5


def test_recomputed_spectra_give_the_same_features(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.tile(SIGNALS["chord with offset and clicks"], 3).astype(np.float32)
    kept, _ = features(y)
    monkeypatch.setattr(featurizer.spectrogram, "KEPT_FRAMES", 303)
    again, _ = features(y)
    np.testing.assert_array_equal(again, kept)


def test_the_size_of_blocks_does_not_change_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    y = (0.1 * NOISE * np.exp(np.sin(T * 9))).astype(np.float32)
    # The tempo alone would hardly reveal an onset that is lost between two blocks.
    tempo = Mock(return_value=0.0)
    monkeypatch.setattr(featurizer.gtzan_accumulator, "tempo", tempo)
    whole, _ = features(y, segment_seconds=10.0)
    monkeypatch.setattr(featurizer.stft, "BLOCK_FRAMES", 20)
    small_blocks, _ = features(y, segment_seconds=10.0)
    # Means of MFCC may be near 0, but their rounding errors are those of values around 10.
    near_zero = [name.startswith("mfcc") and name.endswith("mean") for name in GTZAN.names]
    assert sum(near_zero) == N_MFCC
    error = np.abs(small_blocks - whole)
    assert (error <= 1e-6 * np.abs(whole) + np.where(near_zero, 1e-6, 1e-9)).all(), error
    (of_whole,), (of_blocks,) = (call.args for call in tempo.call_args_list)
    np.testing.assert_allclose(of_blocks, of_whole, atol=1e-4)


def test_a_signal_longer_than_the_kept_frames_gives_the_plain_recipes_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(featurizer.spectrogram, "KEPT_FRAMES", 646)
    n = featurizer.spectrogram.KEPT_FRAMES * 512 + 12_345
    rng = np.random.default_rng(5)
    t = np.arange(n)
    y = 0.1 * rng.normal(size=n) * (t % 12_000 < 3000) + 0.3 * np.sin(t * (0.05 + 1e-9 * t))
    check(features(y.astype(np.float32))[0], plain_features(y.astype(np.float32)))


def test_a_recording_gives_its_features_and_metadata() -> None:
    y = (np.clip(0.1 * NOISE, -1, 1) * 32767).astype(np.int16)
    found = extract(io.BytesIO(sndfile_bytes(y)), segment_seconds=2.0, deadline=Deadline(60))
    track, segments = features((y / 32768).astype(np.float32), segment_seconds=2.0)
    np.testing.assert_array_equal(found.rows["gtzan"].track, track)
    np.testing.assert_array_equal(found.rows["gtzan"].segments, segments)
    assert (found.length, found.segment_length, found.segment_step) == (N, 44099, 44100)
    assert (found.sample_rate, found.channels, found.note) == (22050, 1, None)
    assert found.duration_s == pytest.approx(N / 22050)


def test_features_are_computed_without_librosa() -> None:
    # Importing it would add seconds to the start of every worker.
    code = (
        "import sys; import numpy as np; from featurizer.extract import features; "
        "features(np.ones(70_000, np.float32)); sys.exit('librosa' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
