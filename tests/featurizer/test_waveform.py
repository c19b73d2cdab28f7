import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from support.random_arrays import signals

from featurizer.stft import n_frames
from featurizer.waveform import rms_and_zero_crossings


def check(y: np.ndarray, start: int, stop: int) -> None:
    rms, rate = rms_and_zero_crossings(y, start, stop)
    expected = librosa.feature.rms(y=y, pad_mode="reflect")[0]
    np.testing.assert_allclose(rms, expected[start:stop], rtol=1e-6)
    np.testing.assert_array_equal(rate, librosa.feature.zero_crossing_rate(y)[0][start:stop])


@pytest.mark.parametrize("n", [1025, 1026, 1535, 1536, 1537, 2047, 2048, 2049, 66149])
def test_every_frame_is_librosas(n: int) -> None:
    check(np.random.default_rng(n).normal(size=n).astype(np.float32), 0, n_frames(n))


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (1, 3), (2, 3), (7, 60), (126, 130), (129, 130)]
)
def test_a_block_is_a_part_of_the_whole(start: int, stop: int) -> None:
    check(np.random.default_rng(0).normal(size=66149).astype(np.float32), start, stop)


def test_zero_and_tiny_samples_are_positive() -> None:
    steps = [0.0, -0.0, 1e-11, -1e-11, -1e-10, -1.1e-10, 1.1e-10, -1.0, 1.0]
    y = np.random.default_rng(0).choice(steps, 5000).astype(np.float32)
    check(y, 0, n_frames(5000))


def test_crossings_at_the_borders_of_hops_and_frames() -> None:
    y = np.ones(6000, dtype=np.float32)
    for border in (1, 511, 512, 1024, 1025, 2048, 3071, 3072, 5999):
        y[border:] *= -1
    check(y, 0, n_frames(6000))


@given(y=signals())
@settings(deadline=None, max_examples=60)
def test_every_frame_of_any_signal_is_librosas(y: np.ndarray) -> None:
    check(y, 0, n_frames(len(y)))
