"""Scaling, against scikit-learn."""

import numpy as np
from sklearn.preprocessing import scale

from recommend.vectors import Scaling


def some_rows(n: int = 200) -> np.ndarray:
    random = np.random.default_rng(1)
    return random.normal(size=(n, 7)) * 10.0 ** np.arange(-3, 4) + 5.0


def test_rows_are_scaled_as_sklearn_does_and_then_of_length_one() -> None:
    rows = some_rows()
    expected = scale(rows)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Scaling.fit(rows).unit(rows), expected, rtol=1e-11, atol=1e-13)


def test_a_constant_column_is_zero() -> None:
    rows = some_rows()
    rows[:, 2] = 0.1
    unit = Scaling.fit(rows).unit(rows)
    assert (unit[:, 2] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1)


def test_rows_that_do_not_differ_are_zero() -> None:
    rows = np.full((5, 3), 0.1)
    assert (Scaling.fit(rows).unit(rows) == 0).all()
    assert (Scaling.fit(rows[:1]).unit(rows[:1]) == 0).all()


def test_the_mean_row_is_zero_and_no_other_is() -> None:
    rows = np.array([[1.0, 1.0], [3.0, 5.0], [2.0, 3.0]])
    np.testing.assert_allclose(np.linalg.norm(Scaling.fit(rows).unit(rows), axis=1), [1, 1, 0])


def test_a_new_row_is_scaled_like_the_fitted_rows() -> None:
    rows = some_rows()
    scaling = Scaling.fit(rows)
    assert (scaling.unit(rows[17:18]) == scaling.unit(rows)[17]).all()


def test_equal_rows_are_equal_to_the_bit() -> None:
    rows = some_rows(101)
    rows[[3, 50, 100]] = rows[7]
    unit = Scaling.fit(rows).unit(rows)
    assert (unit[[3, 50, 100]] == unit[7]).all()
