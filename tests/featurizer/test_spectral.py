import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from support.random_arrays import spectrograms

from featurizer.spectral import spectral_shape


def shape(S: np.ndarray) -> np.ndarray:
    found = np.full((len(S), 3), np.nan)
    spectral_shape(S, found)
    return found


def check(S: np.ndarray) -> None:
    centroid, bandwidth, rolloff = shape(S).T
    expected = librosa.feature.spectral_centroid(S=S.T)[0]
    np.testing.assert_allclose(centroid, expected, rtol=1e-6, atol=1e-6)
    expected = librosa.feature.spectral_bandwidth(S=S.T)[0]
    np.testing.assert_allclose(bandwidth, expected, rtol=1e-6, atol=1e-2)
    np.testing.assert_array_equal(rolloff, librosa.feature.spectral_rolloff(S=S.T)[0])


@given(S=spectrograms())
@settings(deadline=None, max_examples=60)
def test_it_is_librosas(S: np.ndarray) -> None:
    check(S)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_it_is_librosas_at_every_level(scale: float) -> None:
    rng = np.random.default_rng(0)
    S = (rng.exponential(size=(200, 1025)) ** 3 * scale).astype(np.float32)
    # Steep and flat spectra, single bins at both ends and in the middle.
    S[50:100] *= np.exp(-np.arange(1025) / np.linspace(1, 500, 50)[:, np.newaxis])
    S[100:150] *= np.arange(1025) == rng.choice([0, 1, 512, 1023, 1024], (50, 1))
    check(S)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16])
def test_a_silent_frame_has_zeros(n: int) -> None:
    S = np.zeros((n, 1025), dtype=np.float32)
    S[-1] = 1e-44
    np.testing.assert_array_equal(shape(S)[:-1], 0)
    assert shape(S)[-1, 0] == pytest.approx(librosa.feature.spectral_centroid(S=S.T)[0, -1])
    assert shape(S)[-1, 1] == pytest.approx(librosa.feature.spectral_bandwidth(S=S.T)[0, -1])


def test_a_threshold_that_is_met_exactly_is_met() -> None:
    # 17 of 20 equal bins are 85 %. In the second frame the first bin is 85 %, but only in a sum
    # of single precision, which loses the ones.
    S = np.zeros((2, 1025), dtype=np.float32)
    S[0, :20] = 1
    S[1] = 1
    S[1, :2] = 17 * 2**20, 3 * 2**20
    rolloff = shape(S)[:, 2]
    np.testing.assert_array_equal(rolloff, librosa.feature.spectral_rolloff(S=S.T)[0])
    np.testing.assert_array_equal(rolloff, [16 * 22050 / 2048, 0])
