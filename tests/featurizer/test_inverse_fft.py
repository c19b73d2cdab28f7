import numpy as np
import pytest
import scipy.fft

from featurizer.inverse_fft import inverse_real_fft

RNG = np.random.default_rng(0)
FRAMES = {
    "noise": RNG.normal(size=2048),
    "offset": RNG.normal(size=2048) + 100.0,
    "loud and faint": RNG.normal(size=2048) * 10.0 ** RNG.uniform(-6, 4, 2048),
    "silence": np.zeros(2048),
}


def inverse(spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    frames = np.full((len(spectra), 2048), np.nan, dtype=np.float32)
    inverse_real_fft(spectra, weights, frames)
    return frames


@pytest.mark.parametrize("x", FRAMES.values(), ids=FRAMES)
def test_the_frame_is_scipys_of_the_weighted_spectrum(x: np.ndarray) -> None:
    spectra = scipy.fft.rfft([x]).astype(np.complex64)
    weights = RNG.random((1, 1025)).astype(np.float32)
    expected = scipy.fft.irfft(spectra.astype(np.complex128) * weights)
    found = inverse(spectra, weights)
    np.testing.assert_allclose(found, expected, atol=1e-7 * np.linalg.norm(expected))


def test_an_impulse_at_any_sample_is_restored() -> None:
    impulses = np.eye(2048)
    ones = np.ones((2048, 1025), dtype=np.float32)
    found = inverse(scipy.fft.rfft(impulses).astype(np.complex64), ones)
    np.testing.assert_allclose(found, impulses, atol=5e-7)
