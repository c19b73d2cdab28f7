import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter
from support.random_arrays import KINDS, positive, spectrograms

from compiling.compiled import compiled
from featurizer.median import (
    HALO,
    MEMORY,
    PADDED_BINS,
    medians_along_frequency,
    medians_along_time,
    reflected_rows,
)


def along_time(x: np.ndarray) -> np.ndarray:
    medians = np.full_like(x, np.nan)
    medians_along_time(x, reflected_rows(len(x), -HALO, len(x) + HALO), medians)
    return medians


@compiled
def _along_frequency(x: np.ndarray, memory: np.ndarray, medians: np.ndarray) -> None:
    for t in range(len(x)):
        medians_along_frequency(x[t], memory, medians[t])


def along_frequency(x: np.ndarray) -> np.ndarray:
    medians = np.full((len(x), PADDED_BINS), np.nan, dtype=np.float32)
    _along_frequency(x, np.full(MEMORY, np.nan, dtype=np.float32), medians)
    return medians[:, :1025]


def by_definition(x: np.ndarray) -> np.ndarray:
    # Not SciPy's filter, which reads out of bounds if the array is shorter than the window.
    padded = np.pad(x, ((HALO, HALO), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * HALO + 1, axis=0)
    return np.median(windows, axis=-1)


@given(
    n=st.integers(1, 400),
    columns=st.one_of(st.integers(1, 200), st.just(1025)),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
)
@settings(deadline=None, max_examples=60)
def test_along_time_it_is_the_median_of_every_window(
    n: int, columns: int, seed: int, kind: str
) -> None:
    x = positive(seed, (n, columns), kind)
    np.testing.assert_array_equal(along_time(x), by_definition(x))


@given(x=spectrograms())
@settings(deadline=None, max_examples=60)
def test_along_frequency_it_is_scipys_median_filter_to_the_bit(x: np.ndarray) -> None:
    np.testing.assert_array_equal(along_frequency(x), median_filter(x, (1, 31), mode="reflect"))


def test_the_network_selects_the_middle_of_any_zeros_and_ones() -> None:
    # The zero-one principle: a comparison network correct for zeros and ones is correct for all.
    rng = np.random.default_rng(2)
    x = (rng.random((38, 20_000)) < rng.random(20_000)).astype(np.float32)
    medians = np.empty((8, 20_000), dtype=np.float32)
    medians_along_time(x, np.arange(38), medians)
    windows = np.lib.stride_tricks.sliding_window_view(x, 31, axis=0)
    np.testing.assert_array_equal(medians, windows.sum(axis=-1) > 15)


@pytest.mark.parametrize("n", [1, 2, 14, 40])
def test_rows_beyond_the_ends_are_reflected_repeatedly(n: int) -> None:
    expected = np.pad(np.arange(n), 45, mode="symmetric")
    np.testing.assert_array_equal(reflected_rows(n, -45, n + 45), expected)
