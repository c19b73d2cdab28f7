"""The order in which vectors are compared, and the axes along which they vary most.

Similar vectors next to each other raise each other's floors early. The first coordinates along the
principal axes say most about a cosine. Neither changes a result.
"""

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

from recommend.vectors import unit

CELL_SIZE = 400
"""Mean number of vectors per cell."""

MAX_CELLS = 1024
"""Maximum number of cells."""

SAMPLE_PER_CELL = 20
"""Vectors per cell from which the centres are computed."""

ITERATIONS = 5
"""Iterations of k-means."""

_BLOCK_ROWS = 8192


class Arrangement(NamedTuple):
    """An order of vectors, and a rotation.

    Parameters
    ----------
    order : np.ndarray [shape=(n,), int64]
        Indices of the vectors; similar vectors are close.
    rotation : np.ndarray [shape=(d, d), float64]
        Principal axes as columns, by descending energy.
    """

    order: np.ndarray
    rotation: np.ndarray


def arrange(vectors: np.ndarray) -> Arrangement:
    """Order vectors by similarity, and find their principal axes.

    Spherical k-means divides the vectors into cells (Dhillon and Modha, Concept decompositions for
    large sparse text data using clustering, 2001). Hierarchical clustering orders the centres.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one or less.

    Returns
    -------
    Arrangement

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> arrange(vectors).rotation.round(2) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    rotation = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1]
    n = len(vectors)
    n_cells = min(MAX_CELLS, n // CELL_SIZE)
    if n_cells <= 1:
        return Arrangement(np.arange(n), rotation)
    sample = vectors[:: max(1, n // (n_cells * SAMPLE_PER_CELL))]
    centres = sample[:: len(sample) // n_cells][:n_cells]
    for _ in range(ITERATIONS):
        nearest = _nearest(sample, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        centres = unit(sums)
    centres = centres[leaves_list(linkage(centres, "average"))]
    return Arrangement(np.argsort(_nearest(vectors, centres), kind="stable"), rotation)


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the index of each vector's nearest centre [shape=(n,), int64]."""
    columns = centres.T.astype(np.float32)
    nearest = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        rows = vectors[start : start + _BLOCK_ROWS].astype(np.float32)
        nearest[start : start + _BLOCK_ROWS] = (rows @ columns).argmax(axis=1)
    return nearest
