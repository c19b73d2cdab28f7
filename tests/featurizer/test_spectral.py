import librosa
import numpy as np
import pytest

from featurizer.spectral import spectral_shape


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_it_is_librosas(scale: float) -> None:
    rng = np.random.default_rng(0)
    S = (rng.exponential(size=(200, 1025)) ** 3 * scale).astype(np.float32)
    # Steep and flat spectra, lone bins at both ends and in the middle.
    S[50:100] *= np.exp(-np.arange(1025) / np.linspace(1, 500, 50)[:, np.newaxis])
    S[100:150] *= np.arange(1025) == rng.choice([0, 1, 512, 1023, 1024], (50, 1))
    centroid, bandwidth, rolloff = spectral_shape(S).T
    np.testing.assert_allclose(centroid, librosa.feature.spectral_centroid(S=S.T)[0], rtol=1e-6)
    expected = librosa.feature.spectral_bandwidth(S=S.T)[0]
    np.testing.assert_allclose(bandwidth, expected, rtol=1e-6, atol=1e-2)
    np.testing.assert_array_equal(rolloff, librosa.feature.spectral_rolloff(S=S.T)[0])


def test_a_silent_frame_lies_at_zero() -> None:
    S = np.zeros((3, 1025), dtype=np.float32)
    S[2] = 1e-44
    np.testing.assert_array_equal(spectral_shape(S)[:2], 0)
    assert spectral_shape(S)[2, 0] == pytest.approx(librosa.feature.spectral_centroid(S=S.T)[0, 2])


def test_a_lone_bin_is_where_it_is() -> None:
    S = np.zeros((1, 1025), dtype=np.float32)
    S[0, 100] = 3.0
    hz = 100 * 22050 / 2048
    assert spectral_shape(S)[0] == pytest.approx([hz, 0.0, hz])


def test_a_threshold_that_is_met_exactly_is_met() -> None:
    # 17 of 20 equal bins are 85 %. In the second frame 17 of 20 parts are, but only as long as the
    # sum is one of single precision, which loses the ones.
    S = np.zeros((2, 1025), dtype=np.float32)
    S[0, :20] = 1
    S[1] = 1
    S[1, :2] = 17 * 2**20, 3 * 2**20
    rolloff = spectral_shape(S)[:, 2]
    np.testing.assert_array_equal(rolloff, librosa.feature.spectral_rolloff(S=S.T)[0])
    np.testing.assert_array_equal(rolloff, [16 * 22050 / 2048, 0])
