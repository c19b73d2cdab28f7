"""Vectors of length one, and products that do not depend on other rows."""

import numpy as np
import pytest

import recommend.vectors
from recommend.vectors import project, unit


@pytest.fixture
def rows() -> np.ndarray:
    random = np.random.default_rng(1)
    return random.normal(size=(200, 7)) * 10.0 ** np.arange(-3, 4)


def test_rows_are_divided_by_their_length(rows: np.ndarray) -> None:
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(unit(rows), expected, rtol=1e-14)


def test_only_a_row_of_zeros_is_zero(rows: np.ndarray) -> None:
    rows[3] = 0
    lengths = np.linalg.norm(unit(rows), axis=1)
    assert lengths[3] == 0
    np.testing.assert_allclose(np.delete(lengths, 3), 1)


def test_equal_rows_give_equal_bits_also_alone(rows: np.ndarray) -> None:
    rows[[3, 50, 100]] = rows[7]
    assert (unit(rows)[[3, 50, 100]] == unit(rows[7:8])).all()
    assert (unit(rows[17:18]) == unit(rows)[17]).all()


@pytest.mark.parametrize(("n", "d", "c"), [(1, 1, 1), (5, 0, 3), (300, 57, 1), (300, 458, 63)])
def test_a_projection_is_a_matrix_product(
    n: int, d: int, c: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(n)
    rows, matrix = random.normal(size=(n, d)), random.normal(size=(d, c))
    found = project(rows, matrix)
    np.testing.assert_allclose(found, rows @ matrix, rtol=0, atol=1e-12)
    # To the bit, whatever the other rows are.
    assert (project(rows[n // 2 : n // 2 + 1], matrix) == found[n // 2]).all()
    monkeypatch.setattr(recommend.vectors, "MAX_NUMPY_ROWS", n - 1)
    assert (project(rows, matrix) == found).all()
