"""Onset strength and tempo, against librosa."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_arrays import spectrograms

from featurizer.onset import ONSET_DELAY, onset_strength
from featurizer.tempo import tempo


def strength(db: np.ndarray, previous: np.ndarray) -> np.ndarray:
    onsets = np.full(len(db), np.nan, dtype=np.float32)
    onset_strength(db, previous, onsets)
    return onsets


@given(steps=spectrograms(width=128), rising=st.floats(0.3, 0.7))
@settings(deadline=None, max_examples=100)
def test_onset_strength_is_the_median_increase_to_the_bit(steps: np.ndarray, rising: float) -> None:
    up = np.random.default_rng(len(steps)).random(steps.shape) < rising
    db = np.where(up, steps, -steps).cumsum(axis=0)
    expected = np.median(np.maximum(np.diff(db, axis=0), 0), axis=1)
    np.testing.assert_array_equal(strength(db[1:], db[0]), expected)


@pytest.mark.parametrize("rising", [0, 1, 62, 63, 64, 65, 66, 127, 128])
def test_onset_strength_is_the_median_for_any_number_of_rising_bands(rising: int) -> None:
    rng = np.random.default_rng(rising)
    change = rng.permutation(np.where(np.arange(128) < rising, 1, -1) * rng.random(128))
    db = np.stack([np.zeros(128), change]).astype(np.float32)
    expected = np.median(np.maximum(db[1], 0))
    assert strength(db[1:], db[0])[0] == expected


def test_onset_strength_is_librosas_wherever_the_block_begins() -> None:
    db = np.random.default_rng(0).normal(size=(50, 128)).cumsum(axis=0).astype(np.float32)
    expected = librosa.onset.onset_strength(S=db.T, aggregate=np.median)
    for start, stop in [(1, 47), (20, 21), (20, 40)]:
        shift = ONSET_DELAY - 1
        onsets = strength(db[start:stop], db[start - 1])
        np.testing.assert_array_equal(onsets, expected[start + shift : stop + shift])


def check_tempo(envelope: np.ndarray) -> None:
    envelope = envelope.astype(np.float32)
    expected = librosa.feature.tempo(onset_envelope=envelope)[0] if envelope.any() else 0.0
    assert tempo(envelope) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [3, 4, 5, 100, 127, 128, 129, 343, 344, 345, 1293])
def test_tempo_is_librosas(n: int) -> None:
    rng = np.random.default_rng(n)
    envelope = rng.exponential(size=n)
    envelope[:3] = 0  # all of the shortest one
    envelope[: n // 2] *= rng.random(n // 2) < 0.2
    check_tempo(envelope)


@pytest.mark.parametrize("period", [16, 20, 25, 30])
def test_the_tempo_of_regular_onsets_is_theirs(period: int) -> None:
    envelope = (np.arange(1293) % period == 0).astype(np.float32)
    assert tempo(envelope) == pytest.approx(60 * 22050 / 512 / period)


@pytest.mark.parametrize("lag", [7, 8, 9, 10, 40, 300, 343])
def test_tempo_is_librosas_for_two_onsets_in_silence(lag: int) -> None:
    # No multiple of the lag competes, and most windows are silent.
    check_tempo(np.isin(np.arange(1293), [600, 600 + lag]))


@given(
    n=st.integers(3, 1500),
    seed=st.integers(0, 2**32),
    density=st.sampled_from([0.003, 0.02, 0.2, 1.0]),
    level=st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(deadline=None, max_examples=100)
def test_tempo_is_librosas_for_few_onsets_and_many(
    n: int, seed: int, density: float, level: float
) -> None:
    rng = np.random.default_rng(seed)
    check_tempo(rng.exponential(size=n) * (rng.random(n) < density) * level)


def test_where_no_lag_has_a_correlation_the_prior_decides_and_no_rounding_error() -> None:
    envelope = np.zeros(16)
    envelope[[3, 5, 6, 7, 9, 10, 11]] = [0.65, 0.18, 0.53, 0.34, 0.02, 0.98, 2.17]
    check_tempo(envelope)
