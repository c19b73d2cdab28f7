"""Statistics that the pictures of a collection show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """First two principal components.

    Parameters
    ----------
    points : np.ndarray [shape=(n, 2), float64]
        Coordinates of each row.
    explained : tuple of (float, float)
        Fraction of the variance that each component explains.
    """

    points: np.ndarray
    explained: tuple[float, float]


def principal_components(rows: np.ndarray) -> Components | None:
    """Project rows onto their first two principal components.

    Parameters
    ----------
    rows : np.ndarray [shape=(n, n_columns), float64]
        Every column is first scaled to 0 … 1, as in the tutorial.

    Returns
    -------
    Components or None
        None for fewer than three rows, or if all rows are equal.

    Examples
    --------
    >>> rows = np.array([[0.0, 5.0], [1.0, 7.0], [2.0, 9.0]])
    >>> principal_components(rows).explained[0]
    1.0
    >>> principal_components(rows[:2]) is None
    True
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import MinMaxScaler

    if len(rows) < 3 or not np.ptp(rows, axis=0).any():  # noqa: PLR2004  # two lie on one line
        return None
    # Exact and deterministic, and fast for many rows.
    pca = PCA(n_components=2, svd_solver="covariance_eigh")
    points = pca.fit_transform(MinMaxScaler().fit_transform(rows))
    first, second = pca.explained_variance_ratio_.tolist()
    return Components(points, (first, second))


def correlations(columns: np.ndarray) -> np.ndarray:
    """Compute the correlation of every pair of columns, as pandas does.

    Parameters
    ----------
    columns : np.ndarray [shape=(n, n_columns), float64]
        The rows.

    Returns
    -------
    np.ndarray [shape=(n_columns, n_columns), -1 … 1]
        Pearson's r; NaN for constant columns.

    Examples
    --------
    >>> correlations(np.array([[1.0, -1.0, 4.0], [2.0, -2.0, 4.0], [4.0, -4.0, 4.0]]))
    array([[ 1., -1., nan],
           [-1.,  1., nan],
           [nan, nan, nan]])
    """
    varying = np.ptp(columns, axis=0) > 0
    found = np.full((columns.shape[1],) * 2, np.nan)
    if len(columns) > 1 and varying.any():
        found[np.ix_(varying, varying)] = np.corrcoef(columns[:, varying], rowvar=False)
    bounded: np.ndarray = np.clip(found, -1, 1)
    return bounded


def block_correlations(correlations: np.ndarray, blocks: Sequence[str]) -> np.ndarray:
    """Compute how strongly the columns of every two blocks correlate.

    Parameters
    ----------
    correlations : np.ndarray [shape=(n_columns, n_columns), -1 … 1]
        Pearson's r; NaN for constant columns.
    blocks : sequence of str
        Block of each column.

    Returns
    -------
    np.ndarray [shape=(n_blocks, n_blocks), 0 … 1]
        Mean of abs(r) over all pairs of different columns, the blocks in order of appearance; NaN
        if there is no pair.

    Examples
    --------
    >>> r = np.array([[1.0, 0.2, -0.9], [0.2, 1.0, -0.5], [-0.9, -0.5, 1.0]])
    >>> block_correlations(r, ["chroma", "chroma", "level"])
    array([[0.2, 0.7],
           [0.7, nan]])
    """
    strengths = np.abs(correlations)
    np.fill_diagonal(strengths, np.nan)
    member = np.array([[block == one for block in blocks] for one in dict.fromkeys(blocks)], float)
    counts = member @ ~np.isnan(strengths) @ member.T
    sums = member @ np.nan_to_num(strengths) @ member.T
    means: np.ndarray = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means


@dataclass(frozen=True)
class Distribution:
    """Distribution of a label's values, for a box plot.

    Parameters
    ----------
    label : str
        The label.
    values : np.ndarray [shape=(n,), float64]
        All values in ascending order.

    Examples
    --------
    >>> Distribution("rock", np.array([90.0, 100.0, 120.0, 121.0])).quartiles
    (97.5, 110.0, 120.25)
    """

    label: str
    values: np.ndarray

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile, linearly interpolated."""
        low, middle, high = np.percentile(self.values, [25, 50, 75]).tolist()
        return low, middle, high
