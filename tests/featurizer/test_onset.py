import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_arrays import KINDS, positive

from featurizer.onset import ONSET_DELAY, onset_strength


def strength(
    db: npt.NDArray[np.float32], previous: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    onsets = np.full(len(db), np.nan, dtype=np.float32)
    onset_strength(db, previous, onsets)
    return onsets


@given(
    n=st.integers(2, 60),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    rising=st.floats(0.3, 0.7),
)
@settings(deadline=None, max_examples=100)
def test_it_is_the_median_increase_to_the_bit(n: int, seed: int, kind: str, rising: float) -> None:
    rng = np.random.default_rng(seed)
    steps = positive(seed, (n, 128), kind) * np.where(rng.random((n, 128)) < rising, 1, -1)
    db = steps.cumsum(axis=0).astype(np.float32)
    expected = np.median(np.maximum(np.diff(db, axis=0), 0), axis=1)
    np.testing.assert_array_equal(strength(db[1:], db[0]), expected)


@pytest.mark.parametrize("rising", [0, 1, 62, 63, 64, 65, 66, 127, 128])
def test_it_is_the_median_for_any_number_of_rising_bands(rising: int) -> None:
    rng = np.random.default_rng(rising)
    change = rng.permutation(np.where(np.arange(128) < rising, 1, -1) * rng.random(128))
    db = np.stack([np.zeros(128), change]).astype(np.float32)
    expected = np.median(np.maximum(db[1], 0))
    assert strength(db[1:], db[0])[0] == expected


def test_it_is_librosas_wherever_the_block_begins() -> None:
    db = np.random.default_rng(0).normal(size=(50, 128)).cumsum(axis=0).astype(np.float32)
    expected = librosa.onset.onset_strength(S=db.T, aggregate=np.median)
    for start, stop in [(1, 47), (20, 21), (20, 40)]:
        shift = ONSET_DELAY - 1
        onsets = strength(db[start:stop], db[start - 1])
        np.testing.assert_array_equal(onsets, expected[start + shift : stop + shift])
