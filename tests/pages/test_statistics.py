"""Statistics of the pictures, against pandas and the tutorial's own numbers."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pages.statistics import (
    Distribution,
    block_correlations,
    correlations,
    principal_components,
)


def test_the_published_table_has_the_tutorials_components(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "gtzan" / "features_30_sec.csv")
    found = principal_components(table.drop(columns=["filename", "label"]).to_numpy(float))
    assert found.explained == pytest.approx((0.2439355, 0.21781804), abs=1e-8)
    assert found.points.shape == (1000, 2)


def test_components_do_not_depend_on_the_scale_of_a_column() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 5))
    one = principal_components(rows)
    other = principal_components(rows * [1, 10, 1e6, 1e-6, 3] + [5, 0, 1e7, 0, -4])
    np.testing.assert_allclose(one.points, other.points, atol=1e-9)
    assert one.points.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((2, 4)), np.ones((9, 4))])
def test_too_few_rows_or_equal_ones_have_no_components(rows: np.ndarray) -> None:
    assert principal_components(rows) is None


def test_correlations_are_pandas() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 6))
    rows[:, 2] = 7.0
    rows[:, 4] = -3 * rows[:, 0] + 1
    np.testing.assert_allclose(correlations(rows), pd.DataFrame(rows).corr(), atol=1e-12)


@pytest.mark.parametrize("rows", [np.ones((1, 3)), np.ones((5, 3))])
def test_columns_that_never_change_correlate_with_nothing(rows: np.ndarray) -> None:
    assert np.isnan(correlations(rows)).all()


def test_correlations_of_blocks_are_means_over_pairs_of_different_columns() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 6))
    rows[:, 2] = 7.0  # constant
    blocks = ["a", "b", "a", "b", "b", "c"]
    r = pd.DataFrame(rows).corr().to_numpy()
    found = block_correlations(r.copy(), blocks)
    for (i, one), (j, other) in itertools.product(enumerate("abc"), repeat=2):
        pairs = itertools.product(range(6), repeat=2)
        values = [
            abs(r[k, m]) for k, m in pairs if k != m and (blocks[k], blocks[m]) == (one, other)
        ]
        expected = np.nanmean(values) if not np.isnan(values).all() else np.nan
        assert found[i, j] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found[2, 2])


@pytest.mark.parametrize("n", [1, 2, 3, 100, 101])
def test_quartiles_are_pandas(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    expected = pd.Series(values).quantile([0.25, 0.5, 0.75]).tolist()
    assert Distribution("a", np.sort(values)).quartiles == pytest.approx(tuple(expected))
