import warnings

import librosa
import numpy as np
import numpy.typing as npt
import pytest

from featurizer.chroma import TuningEstimate, _peaks, chroma, median_of_positive


def power(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    S = np.abs(librosa.stft(y.astype(np.float32), pad_mode="reflect")).T
    return np.ascontiguousarray(S * S)


def tuning(P: npt.NDArray[np.float32], portion: int = 50) -> float:
    estimate = TuningEstimate()
    for start in range(0, len(P), portion):
        estimate.add(P[start : start + portion])
    return estimate.tuning()


def librosas(P: npt.NDArray[np.float32]) -> float:
    with warnings.catch_warnings():
        # librosa warns where there is no peak.
        warnings.simplefilter("ignore", UserWarning)
        return float(librosa.estimate_tuning(S=P.T, bins_per_octave=12))


@pytest.mark.parametrize("cents", range(-50, 50, 7))
def test_tuning_is_that_of_the_tones(cents: int) -> None:
    t = np.arange(40_000) / 22050
    y = sum(np.sin(2 * np.pi * 440 * 2 ** (k / 12 + cents / 1200) * t) for k in range(-7, 20, 3))
    P = power(np.asarray(y))
    assert tuning(P) == librosas(P)
    # Modulo one semitone, half of which up is half of which down.
    off = (tuning(P) - cents / 100 + 0.5) % 1 - 0.5
    assert abs(off) < 0.06


@pytest.mark.parametrize("seed", range(12))
def test_tuning_is_librosas_where_peaks_are_many_and_undecided(seed: int) -> None:
    rng = np.random.default_rng(seed)
    P = power(rng.normal(size=rng.integers(2048, 90_000)))
    assert tuning(P, portion=int(rng.integers(1, 60))) == librosas(P)


def test_tuning_is_librosas_for_equal_peaks_and_plateaus() -> None:
    # Equal neighbours, peaks exactly at the threshold and at the borders of the range.
    rng = np.random.default_rng(0)
    for _ in range(50):
        P = rng.choice([0.0, 1.0, 1.0, 2.0, 10.0], (20, 1025)).astype(np.float32)
        assert tuning(P) == librosas(P)


def test_peaks_are_librosas_to_the_bit() -> None:
    rng = np.random.default_rng(1)
    P = (rng.exponential(size=(300, 1025)) ** 2).astype(np.float32)
    pitches, powers = librosa.piptrack(S=P.T)
    ours = _peaks(P)
    np.testing.assert_array_equal(ours[0], pitches.T[pitches.T > 0])
    np.testing.assert_array_equal(ours[1], powers.T[pitches.T > 0])


def test_without_a_peak_the_tuning_is_concert_pitch() -> None:
    P = np.zeros((10, 1025), dtype=np.float32)
    assert tuning(P) == librosas(P) == 0.0


@pytest.mark.parametrize("sizes", [[1], [2], [0, 3], [4, 0, 1], [1000, 1, 999], [501, 500]])
def test_the_median_of_chunks_is_the_median_of_all(sizes: list[int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for spread in (1e-4, 1.0, 15.0):
        chunks = [np.exp(rng.normal(size=n) * spread).astype(np.float32) for n in sizes]
        assert median_of_positive(chunks) == np.median(np.concatenate(chunks))


@pytest.mark.parametrize("estimate", [-0.5, -0.13, 0.0, 0.49])
def test_chroma_is_librosas(estimate: float) -> None:
    rng = np.random.default_rng(0)
    P = (rng.exponential(size=(40, 1025)) ** 4).astype(np.float32)
    P[3] = 0
    P[4] *= np.float32(1e-40)
    C = chroma(P, tuning=estimate)
    expected = librosa.feature.chroma_stft(S=P.T, tuning=estimate).T
    np.testing.assert_allclose(C, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(C[3], 0)


def test_the_strongest_pitch_class_of_a_tone_is_its_own() -> None:
    t = np.arange(20_000) / 22050
    assert (chroma(power(np.sin(2 * np.pi * 440 * t)), tuning=0.0).argmax(axis=1) == 9).all()
