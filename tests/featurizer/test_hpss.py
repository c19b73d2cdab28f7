import librosa
import numpy as np
import numpy.typing as npt
import pytest

import featurizer.stft
from featurizer.hpss import HarmonicPercussive, percussive_mask
from featurizer.stft import Spectra


def separate(y: npt.NDArray[np.float32]) -> HarmonicPercussive:
    spectra = Spectra(y)
    parts = HarmonicPercussive(y, spectra)
    for start, stop in spectra:
        parts.add(start, stop)
    return parts


def test_the_mask_is_librosas() -> None:
    rng = np.random.default_rng(0)
    S = (rng.exponential(size=(130, 1025)) ** 3).astype(np.float32)
    # Both medians are zero in a rectangle, and so faint in another that squares would vanish.
    S[40:110, 300:500] = 0
    S[40:110, 600:800] *= np.float32(1e-30)
    _, expected = librosa.decompose.hpss(S.T, mask=True)
    np.testing.assert_allclose(percussive_mask(S, 0, 130), expected.T, rtol=2e-7, atol=1e-30)
    assert (percussive_mask(S, 60, 90)[:, 320:480] == 0.5).all()
    inner = percussive_mask(S[5:95], 15, 75)
    np.testing.assert_array_equal(inner, percussive_mask(S, 20, 80))


@pytest.mark.parametrize("kept", [0, 5168], ids=["computed again", "kept"])
@pytest.mark.parametrize("n", [16 * 512, 66149, 65536, 97_791, 97_792, 98_815, 150_000])
def test_the_moments_are_those_of_librosas_parts(
    n: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(featurizer.stft, "KEPT_FRAMES", kept)
    rng = np.random.default_rng(n)
    t = np.arange(n)
    y = (0.3 * np.sin(t * 0.1) + 0.1 * rng.normal(size=n) + 0.02).astype(np.float32)
    y[::5000] += 0.9
    parts = separate(y)
    D = librosa.stft(y, pad_mode="reflect")
    both = (parts.harmonic, parts.percussive)
    for moments, part in zip(both, librosa.decompose.hpss(D), strict=True):
        x = librosa.util.fix_length(librosa.istft(part), size=n)
        assert moments.count == n
        assert moments.mean[0] == pytest.approx(x.mean(dtype=np.float64), abs=2e-9)
        assert moments.variance[0] == pytest.approx(x.var(dtype=np.float64), rel=1e-5)


def test_tones_are_harmonic_and_clicks_percussive() -> None:
    t = np.arange(100_000)
    tone = separate(np.sin(t * 0.1).astype(np.float32))
    clicks = separate((t % 9000 == 0).astype(np.float32))
    assert tone.harmonic.variance[0] > 100 * tone.percussive.variance[0]
    assert clicks.percussive.variance[0] > 100 * clicks.harmonic.variance[0]
