"""Reference neighbours, from one matrix of cosines in double precision."""

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import scale


def cosines(rows: np.ndarray) -> np.ndarray:
    """Return the matrix of cosines, as the tutorial computes it."""
    return np.asarray(cosine_similarity(scale(rows)))


def check_lists(indices: np.ndarray, found: np.ndarray, matrix: np.ndarray, k: int) -> None:
    """Assert that lists hold the k nearest of each row, in order.

    Cosines that differ only by the matrix's rounding may come in either order. The order of ties is
    checked with the lists' own cosines.
    """
    n = len(matrix)
    assert indices.shape == found.shape == (n, k)
    others = matrix.copy()
    np.fill_diagonal(others, -np.inf)
    best = np.sort(others, axis=1)[:, ::-1][:, :k]
    np.testing.assert_allclose(found, best, rtol=0, atol=1e-12)
    assert (indices != np.arange(n)[:, np.newaxis]).all()
    assert (np.diff(np.sort(indices, axis=1), axis=1) > 0).all(), "a neighbour twice"
    of_indices = np.take_along_axis(matrix, indices, 1)
    np.testing.assert_allclose(found, of_indices, rtol=0, atol=1e-12)
    equal = found[:, 1:] == found[:, :-1]
    assert (found[:, 1:] <= found[:, :-1]).all()
    assert (indices[:, 1:] > indices[:, :-1])[equal].all(), "ties by index"


def pairs_from(matrix: np.ndarray, minimum: float) -> list[tuple[int, int]]:
    """Return the pairs with a cosine of at least ``minimum``, the smaller index first."""
    first, second = np.nonzero(np.triu(matrix >= minimum, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))
