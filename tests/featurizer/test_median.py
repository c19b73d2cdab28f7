import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import median_filter

from featurizer.median import HALO, reflected_rows, running_median


def by_definition(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # Not SciPy's filter, which reads memory of others where the array is shorter than the window.
    padded = np.pad(x, ((HALO, HALO), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * HALO + 1, axis=0)
    medians: npt.NDArray[np.float32] = np.median(windows, axis=-1)
    return medians


@pytest.mark.parametrize("columns", [1, 127, 128, 129, 1025])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 14, 15, 16, 31, 38, 39, 130])
def test_it_is_the_median_of_every_window(n: int, columns: int) -> None:
    rng = np.random.default_rng(n * columns)
    # Few distinct values, so that ties are common, and many, so that every rank is tried.
    for x in (
        rng.integers(0, 4, (n, columns)).astype(np.float32),
        rng.normal(size=(n, columns)).astype(np.float32),
    ):
        result = running_median(x, reflected_rows(n, -HALO, n + HALO))
        np.testing.assert_array_equal(result, by_definition(x))


def test_it_is_scipys_median_filter_to_the_bit() -> None:
    x = np.random.default_rng(1).exponential(size=(400, 300)).astype(np.float32)
    result = running_median(x, reflected_rows(400, -HALO, 400 + HALO))
    np.testing.assert_array_equal(result, median_filter(x, size=(31, 1), mode="reflect"))


def test_the_network_selects_the_middle_of_any_zeros_and_ones() -> None:
    # A network of comparisons that is right for zeros and ones is right for all numbers.
    rng = np.random.default_rng(2)
    x = (rng.random((38, 20_000)) < rng.random(20_000)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, 31, axis=0)
    np.testing.assert_array_equal(running_median(x, np.arange(38)), windows.sum(axis=-1) > 15)


@pytest.mark.parametrize("n", [1, 2, 14, 40])
def test_rows_beyond_the_ends_are_reflected_as_often_as_it_takes(n: int) -> None:
    expected = np.pad(np.arange(n), 45, mode="symmetric")
    np.testing.assert_array_equal(reflected_rows(n, -45, n + 45), expected)
