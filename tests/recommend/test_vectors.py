"""Scaling, against scikit-learn."""

import numpy as np
import pytest
from sklearn.preprocessing import scale

from recommend.vectors import Scaling


@pytest.fixture
def rows() -> np.ndarray:
    random = np.random.default_rng(1)
    return random.normal(size=(200, 7)) * 10.0 ** np.arange(-3, 4) + 5.0


def unit(rows: np.ndarray) -> np.ndarray:
    return Scaling.fit(rows).unit(rows)


def test_rows_are_scaled_as_sklearn_does_and_then_of_length_one(rows: np.ndarray) -> None:
    expected = scale(rows)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(unit(rows), expected, rtol=1e-11, atol=1e-13)


def test_a_constant_column_is_zero(rows: np.ndarray) -> None:
    rows[:, 2] = 0.1
    assert (unit(rows)[:, 2] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(unit(rows), axis=1), 1)


def test_rows_that_do_not_differ_are_zero() -> None:
    assert (unit(np.full((5, 3), 0.1)) == 0).all()
    assert (unit(np.full((1, 3), 0.1)) == 0).all()


def test_the_mean_row_is_zero_and_no_other_is() -> None:
    rows = np.array([[1.0, 1.0], [3.0, 5.0], [2.0, 3.0]])
    np.testing.assert_allclose(np.linalg.norm(unit(rows), axis=1), [1, 1, 0])


def test_equal_rows_are_equal_to_the_bit_also_if_they_are_new(rows: np.ndarray) -> None:
    rows[[3, 50, 100]] = rows[7]
    scaling = Scaling.fit(rows)
    assert (scaling.unit(rows)[[3, 50, 100]] == scaling.unit(rows[7:8])).all()
    assert (scaling.unit(rows[17:18]) == scaling.unit(rows)[17]).all()
