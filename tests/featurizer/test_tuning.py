import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from support.random_arrays import spectrograms

from featurizer.tuning import TuningEstimate, _count, spectral_peaks

# librosa warns if there is no peak.
pytestmark = pytest.mark.filterwarnings("ignore:Trying to estimate tuning from empty")


def power(y: np.ndarray) -> np.ndarray:
    S = np.abs(librosa.stft(y.astype(np.float32), pad_mode="reflect")).T
    return np.ascontiguousarray(S * S)


def tuning(P: np.ndarray, block: int = 50) -> float:
    estimate = TuningEstimate()
    for start in range(0, len(P), block):
        estimate.add(spectral_peaks(P[start : start + block]))
    return estimate.tuning()


def librosa_tuning(P: np.ndarray) -> float:
    return float(librosa.estimate_tuning(S=P.T, bins_per_octave=12))


@pytest.mark.parametrize("cents", range(-50, 50, 7))
def test_tuning_is_that_of_the_tones(cents: int) -> None:
    t = np.arange(40_000) / 22050
    y = sum(np.sin(2 * np.pi * 440 * 2 ** (k / 12 + cents / 1200) * t) for k in range(-7, 20, 3))
    P = power(np.asarray(y))
    assert tuning(P) == librosa_tuning(P)
    # Modulo one semitone: half a semitone up equals half a semitone down.
    off = (tuning(P) - cents / 100 + 0.5) % 1 - 0.5
    assert abs(off) < 0.06


@pytest.mark.parametrize("seed", range(12))
def test_tuning_is_librosas_where_peaks_are_many_and_undecided(seed: int) -> None:
    rng = np.random.default_rng(seed)
    P = power(rng.normal(size=rng.integers(2048, 90_000)))
    assert tuning(P, block=int(rng.integers(1, 60))) == librosa_tuning(P)


def test_tuning_is_librosas_for_equal_peaks_and_plateaus() -> None:
    # Equal neighbours, and peaks exactly at the threshold and at the limits of the range.
    rng = np.random.default_rng(0)
    for _ in range(50):
        P = rng.choice([0.0, 1.0, 1.0, 2.0, 10.0], (20, 1025)).astype(np.float32)
        assert tuning(P) == librosa_tuning(P)


@given(P=spectrograms(max_frames=200))
@settings(deadline=None, max_examples=60)
def test_peaks_are_librosas_to_the_bit(P: np.ndarray) -> None:
    pitches, powers = librosa.piptrack(S=P.T)
    found = spectral_peaks(P)
    np.testing.assert_array_equal(found[0], pitches.T[pitches.T > 0])
    np.testing.assert_array_equal(found[1], powers.T[pitches.T > 0])


def test_deviations_at_the_edges_of_bins_are_counted_where_librosa_counts_them() -> None:
    edges = np.linspace(-0.5, 0.5, 101)
    exact = edges.astype(np.float32)
    near = np.concatenate([np.nextafter(exact, np.float32(d)) for d in (-1, 1)])
    deviations = np.concatenate([exact, near])
    for deviation in deviations[(deviations >= -0.5) & (deviations < 0.5)]:
        counts = np.zeros(100, dtype=np.int64)
        # Residuals range from 0 to 1; the upper half stands for negative deviations.
        residual = deviation if deviation >= 0 else deviation + np.float32(1)
        _count(np.array([residual], dtype=np.float32), counts)
        value = float(residual) - (1.0 if residual >= 0.5 else 0.0)
        np.testing.assert_array_equal(counts, np.histogram([value], edges)[0])


def test_without_a_peak_the_tuning_is_concert_pitch() -> None:
    P = np.zeros((10, 1025), dtype=np.float32)
    assert tuning(P) == librosa_tuning(P) == 0.0
