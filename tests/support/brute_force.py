"""Reference neighbours, from one matrix of cosines in double precision."""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize, scale


def cosines(rows: np.ndarray) -> np.ndarray:
    """Return the matrix of cosines, as the tutorial computes it."""
    return np.asarray(cosine_similarity(scale(rows)))


def metric_vectors(name: str, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the vectors of a metric by scikit-learn, up to the signs of their columns.

    Parameters
    ----------
    name : {"cosine", "rich", "learned"}
        Name of the metric.
    rows : np.ndarray [shape=(n, d), float]
        Features, unscaled.
    classes : np.ndarray [shape=(n,), int]
        Class of each row; -1 if it has no label.
    """
    unclipped = scale(rows.astype(np.float64))
    scores = np.clip(unclipped, -4, 4)

    def principal(count: int) -> np.ndarray:
        components = PCA(min(count, *scores.shape), svd_solver="full").fit(scores)
        varies = components.explained_variance_ > 1e-12
        weighted = components.transform(scores)[:, varies]
        deviation = np.sqrt(components.explained_variance_[varies])
        return np.asarray(normalize(weighted / deviation ** (1 / 4)))

    if name == "cosine":
        return np.asarray(normalize(unclipped))
    if name == "rich":
        return principal(63)
    known = classes >= 0
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.5)
    lda.fit(scores[known], classes[known])
    learned = lda.transform(scores) - lda.transform(scores[known]).mean(axis=0)
    return np.hstack([normalize(learned), principal(58)]) / np.sqrt(2)


def vectors_by(numbers: pd.Series, rows: np.ndarray) -> np.ndarray:
    """Return the vectors of rows by a row of the table ``metrics``, as documented.

    Parameters
    ----------
    numbers : pd.Series
        The row, of another metric than ``cosine``.
    rows : np.ndarray [shape=(n, d), float]
        Features, in the order of its ``columns``.
    """
    scores = np.clip((rows - numbers["mean"]) / numbers["deviation"], -4, 4)
    values = scores @ numbers["matrix"].reshape(len(numbers["columns"]), -1) - numbers["shift"]
    groups = np.split(values, np.cumsum(numbers["widths"])[:-1], axis=1)
    return np.hstack([normalize(group) for group in groups]) / np.sqrt(len(groups))


def corrected_scores(vectors: np.ndarray) -> np.ndarray:
    """Return the cosines less mean / 2 + deviation of each column's cosines with all others."""
    n = len(vectors)
    matrix = vectors @ vectors.T
    others = matrix.T[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return np.asarray(matrix - (others.mean(axis=1) / 2 + others.std(axis=1)))


def check_lists(
    indices: np.ndarray, found: np.ndarray, matrix: np.ndarray, k: int, tolerance: float = 1e-12
) -> None:
    """Assert that lists hold the k nearest of each row, in order.

    Cosines that differ only by the matrix's rounding may come in either order. The order of ties is
    checked with the lists' own cosines.
    """
    n = len(matrix)
    assert indices.shape == found.shape == (n, k)
    others = matrix.copy()
    np.fill_diagonal(others, -np.inf)
    best = np.sort(others, axis=1)[:, ::-1][:, :k]
    np.testing.assert_allclose(found, best, rtol=0, atol=tolerance)
    assert (indices != np.arange(n)[:, np.newaxis]).all()
    assert (np.diff(np.sort(indices, axis=1), axis=1) > 0).all(), "a neighbour twice"
    of_indices = np.take_along_axis(matrix, indices, 1)
    np.testing.assert_allclose(found, of_indices, rtol=0, atol=tolerance)
    equal = found[:, 1:] == found[:, :-1]
    assert (found[:, 1:] <= found[:, :-1]).all()
    assert (indices[:, 1:] > indices[:, :-1])[equal].all(), "ties by index"


def pairs_from(matrix: np.ndarray, minimum: float) -> list[tuple[int, int]]:
    """Return the pairs with a cosine of at least ``minimum``, the smaller index first."""
    first, second = np.nonzero(np.triu(matrix >= minimum, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))
