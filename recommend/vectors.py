"""Vectors of length one, the input of every comparison.

Nothing here needs Numba for a few rows: loading it takes half a second.
"""

import numpy as np

LANES = 8
"""Partial sums of a dot product."""

MAX_NUMPY_ROWS = 4096
"""Rows that NumPy multiplies in a tenth of a second."""


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows divided by their Euclidean norm.

    Parameters
    ----------
    rows : np.ndarray [shape=(n, d), float64]
        Z-scores, or projections of them.

    Returns
    -------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one; zero if the row is zero. Equal rows give equal vectors, to the last
        bit.

    Examples
    --------
    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    vectors: np.ndarray = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return vectors


def cosines_with(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the cosine of each vector with one vector, equal to the bit to those in the lists.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one.
    vector : np.ndarray [shape=(d,), float64]
        Vector of length one.

    Returns
    -------
    cosines : np.ndarray [shape=(n,), range=[-1, 1], float64]
        The products are added in the order of :mod:`recommend.topk`.

    Examples
    --------
    >>> cosines_with(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1.0, 0.0]))
    array([1. , 0.6])
    """
    n, d = vectors.shape
    whole = d - d % LANES
    sums, rest = np.zeros((n, LANES)), np.zeros(n)
    for c in range(0, whole, LANES):
        sums += vectors[:, c : c + LANES] * vector[c : c + LANES]
    for c in range(whole, d):
        rest += vectors[:, c] * vector[c]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return np.clip(sums[:, 0] + rest, -1.0, 1.0)


def project(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the matrix product of rows and a matrix, to the same bits for each row by itself.

    A product by BLAS depends on the number of rows and on the processor.

    Parameters
    ----------
    rows : np.ndarray [shape=(n, d), float64]
    matrix : np.ndarray [shape=(d, c), float64]
        Contiguous.

    Returns
    -------
    np.ndarray [shape=(n, c), float64]

    Examples
    --------
    >>> project(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 4.0]]))
    array([[ 1.,  2., 11.]])
    """
    if len(rows) > MAX_NUMPY_ROWS:
        from recommend.projection import project_many

        return project_many(rows, matrix)
    products = np.zeros((len(rows), matrix.shape[1]))
    for column, factors in zip(rows.T, matrix, strict=True):
        products += column[:, np.newaxis] * factors
    return products
