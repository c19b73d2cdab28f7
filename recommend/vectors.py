"""Vectors of length one, the input of every comparison."""

import numpy as np

from compiling.compiled import compiled


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


@compiled
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
    n, d = rows.shape
    c = matrix.shape[1]
    products = np.zeros((n, c))
    for i in range(n):
        for j in range(d):
            value = rows[i, j]
            for k in range(c):
                products[i, k] += value * matrix[j, k]
    return products
