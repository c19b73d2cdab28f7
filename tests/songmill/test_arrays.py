"""Features of one recording, and neighbours of any matrix against brute force."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from support import brute_force
from support.recordings import write_recording

import songmill
from featurizer.columns import FEATURE_COLUMNS
from featurizer.extract import extract
from featurizer.process import single_thread


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_recording(tmp_path / "take.wav", 0)
    return tmp_path / "take.wav"


def test_features_of_a_file_are_those_of_the_store(path: Path) -> None:
    with single_thread():
        found_by_extract = extract(str(path), segment_seconds=1.0)
    expected = found_by_extract.rows["gtzan"]
    found = songmill.features(path)
    assert list(found.index) == list(FEATURE_COLUMNS)
    np.testing.assert_array_equal(found, expected.track)
    segments = songmill.features(str(path), segments=True, segment_seconds=1.0)
    assert list(segments.columns) == ["start_s", *FEATURE_COLUMNS]
    np.testing.assert_array_equal(segments[list(FEATURE_COLUMNS)], expected.segments)
    step = found_by_extract.segment_step / 22050
    assert segments["start_s"].tolist() == [i * step for i in range(len(segments))]


def test_features_of_samples_are_those_of_their_file(tmp_path: Path) -> None:
    y = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 44100))
    soundfile.write(tmp_path / "stereo.wav", y.T, 44100, subtype="FLOAT")
    expected = songmill.features(tmp_path / "stereo.wav")
    np.testing.assert_array_equal(songmill.features((y.astype(np.float32), 44100)), expected)
    mono = librosa.to_mono(y)
    np.testing.assert_allclose(songmill.features((mono, 44100)), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        ("nowhere.wav", "nowhere.wav gives no features"),
        ((np.zeros(1000, np.int16), 22050), "floating-point samples"),
        ((np.zeros((2, 2, 9)), 22050), "floating-point samples"),
        ((np.zeros(0), 22050), "0 samples at 22050 Hz"),
        ((np.full(22050, np.nan), 22050), "not a finite number"),
        ((np.zeros(22050), 10), "22050 samples at 10 Hz"),
        ((np.zeros(22050), 0), "22050 samples at 0 Hz"),
    ],
)
def test_an_unusable_recording_raises_one_clear_error(recording: object, message: str) -> None:
    with pytest.raises(songmill.SongmillError, match=message):
        songmill.features(recording)  # type: ignore[call-overload]


def test_a_segment_that_is_too_short_is_rejected(path: Path) -> None:
    with pytest.raises(songmill.SongmillError, match="segment"):
        songmill.features(path, segments=True, segment_seconds=0.0)


@pytest.mark.parametrize("k", [1, 7, 99])
def test_neighbours_are_those_of_brute_force(k: int) -> None:
    X = np.random.default_rng(1).normal(size=(100, 13)) * np.logspace(-200, 200, 100)[:, None]
    X[3], X[70] = 0.0, X[7]
    before = X.copy()
    indices, cosines = songmill.nearest(X, k=k)
    with np.errstate(invalid="ignore"):
        unit = np.nan_to_num(X / np.abs(X).max(axis=1, keepdims=True))
        unit = np.nan_to_num(unit / np.linalg.norm(unit, axis=1, keepdims=True))
    brute_force.check_lists(indices, cosines, unit @ unit.T, k)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("X", "k", "message"),
    [
        (np.zeros(5), 1, "give a matrix"),
        (np.full((5, 2), np.inf), 1, "finite"),
        (np.zeros((5, 2)), 5, "X has 5 rows"),
        (np.zeros((5, 2)), 0, "k is 0"),
        (np.zeros((1, 2)), 1, "X has 1 rows"),
    ],
)
def test_an_unusable_matrix_or_k_is_rejected(X: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(songmill.SongmillError, match=message):
        songmill.nearest(X, k=k)
