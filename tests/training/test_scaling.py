"""Scaling and its sums, against scikit-learn and exact fractions."""

import functools
import operator
from fractions import Fraction

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler, scale

from training.scaling import CLIP, ColumnSums, Scaling, finite_rows

COLUMNS = tuple("abcdefg")


@pytest.fixture
def rows() -> np.ndarray:
    random = np.random.default_rng(1)
    return random.normal(size=(200, 7)) * 10.0 ** np.arange(-3, 4) + 5.0


def fit(rows: np.ndarray) -> Scaling:
    return ColumnSums.of(rows, COLUMNS[: rows.shape[1]]).scaling()


def fit_in_blocks(rows: np.ndarray, n_blocks: int, seed: int) -> Scaling:
    """Fit to blocks of random sizes, some of them empty, that are added in a random order."""
    random = np.random.default_rng(seed)
    bounds = np.sort(random.integers(0, len(rows) + 1, n_blocks - 1))
    blocks = [ColumnSums.of(one, COLUMNS[: rows.shape[1]]) for one in np.split(rows, bounds)]
    random.shuffle(blocks)
    while len(blocks) > 1:
        i = int(random.integers(len(blocks) - 1))
        blocks[i : i + 2] = [blocks[i] + blocks[i + 1]]
    return blocks[0].scaling()


def test_z_scores_are_those_of_sklearn(rows: np.ndarray) -> None:
    np.testing.assert_allclose(fit(rows).z_scores(rows), scale(rows), rtol=1e-11, atol=1e-13)
    # One block is measured to the bit as by scikit-learn.
    scaler = StandardScaler().fit(rows)
    assert (fit(rows).mean == scaler.mean_).all()
    assert (fit(rows).deviation == scaler.scale_).all()


def test_z_scores_of_single_precision_are_those_of_double(rows: np.ndarray) -> None:
    single = rows.astype(np.float32)
    found = fit(single)
    assert (found.z_scores(single) == fit(single.astype(float)).z_scores(single)).all()
    assert found.z_scores(single).dtype == np.float64


@pytest.mark.parametrize("n_blocks", [2, 3, 20])
def test_any_division_into_blocks_gives_the_same(rows: np.ndarray, n_blocks: int) -> None:
    for seed in range(20):
        found, expected = fit_in_blocks(rows, n_blocks, seed), fit(rows)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-13)
        np.testing.assert_allclose(found.deviation, expected.deviation, rtol=1e-11)


def test_the_same_blocks_in_the_same_order_give_the_same_bits(rows: np.ndarray) -> None:
    found = [
        functools.reduce(operator.add, (ColumnSums.of(one, COLUMNS) for one in np.split(rows, 8)))
        for _ in range(2)
    ]
    assert (found[0].mean == found[1].mean).all()
    assert (found[0].squares == found[1].squares).all()


@pytest.mark.parametrize("n_blocks", [1, 3, 40])
def test_large_means_cost_no_digits(n_blocks: int) -> None:
    # The sum of squares less the square of the sum would have none left. A mean is rounded by 1e-7.
    rows = 1e9 + np.random.default_rng(0).normal(size=(400, 2)) * [1.0, 1e-3]
    rows = rows[np.argsort(rows[:, 0])]  # the blocks' means differ
    found = fit_in_blocks(rows, n_blocks, 5)
    for column in range(2):
        exact = [Fraction(value) for value in rows[:, column].tolist()]
        mean = sum(exact) / 400
        variance = sum((value - mean) ** 2 for value in exact) / 400
        assert found.mean[column] == pytest.approx(float(mean), rel=1e-15)
        assert found.deviation[column] == pytest.approx(float(variance) ** 0.5, abs=1e-7)


@pytest.mark.parametrize("n_blocks", [1, 2, 7])
def test_a_constant_column_is_zero(rows: np.ndarray, n_blocks: int) -> None:
    rows[:, 2], rows[:, 3], rows[:, 4] = 0.1, 0.0, -1e12 / 3
    found = fit_in_blocks(rows, n_blocks, 1)
    assert (found.deviation > 0).tolist() == [True, True, False, False, False, True, True]
    assert (found.z_scores(rows)[:, 2:5] == 0).all()
    rows[:, 2] = 7.0  # a new value says nothing either
    assert (found.clipped(rows)[:, 2] == 0).all()


def test_z_scores_are_clipped_on_both_sides(rows: np.ndarray) -> None:
    scaling = fit(rows)
    rows[:50] *= 1000
    expected = np.clip(scaling.z_scores(rows), -CLIP, CLIP)
    found = scaling.clipped(rows)
    assert (found == expected).all()
    assert found.min() == -4
    assert found.max() == 4


def test_rows_of_no_or_one_block() -> None:
    assert (fit(np.full((1, 3), 0.1)).z_scores(np.full((1, 3), 0.1)) == 0).all()
    empty = ColumnSums.of(np.empty((0, 2)), ("a", "b"))
    with pytest.raises(ValueError, match="there are no rows to take means"):
        (empty + empty).scaling()
    one = ColumnSums.of(np.array([[1.0, 2.0], [3.0, 5.0]]), ("a", "b"))
    for both in (one + empty, empty + one):
        assert both.count == 2
        assert (both.mean == one.mean).all()
        assert (both.squares == one.squares).all()
    with pytest.raises(ValueError, match="sums of other columns cannot be added"):
        one + ColumnSums.of(np.empty((0, 2)), ("b", "a"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_by_its_column(
    rows: np.ndarray, value: float
) -> None:
    scaling = fit(rows)
    rows[150, 4] = value
    for use in (scaling.z_scores, scaling.clipped, fit):
        with pytest.raises(ValueError, match=f"the column e has the value {value}"):
            use(rows)


def test_another_number_of_columns_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"rows of shape \(200, 6\) do not have 7 columns"):
        finite_rows(rows[:, 1:], COLUMNS)


def test_a_scaling_survives_as_arrays(rows: np.ndarray) -> None:
    scaling = fit(rows)
    found = Scaling.from_arrays(scaling.to_arrays())
    assert found.columns == COLUMNS
    assert (found.z_scores(rows) == scaling.z_scores(rows)).all()
    for name, wrong in (
        ("deviation", -scaling.deviation),
        ("mean", scaling.mean[1:]),
        ("columns", np.array(["a"] * 7)),
    ):
        with pytest.raises(ValueError, match=r"negative|instead of|twice"):
            Scaling.from_arrays(scaling.to_arrays() | {name: wrong})
