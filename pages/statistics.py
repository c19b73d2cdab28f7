"""What the pictures of a collection show, as numbers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """The first two principal components.

    Parameters
    ----------
    points : np.ndarray [shape=(n, 2), float64]
        Where each row lies.
    explained : tuple of (float, float)
        Share of the variance that each explains.
    """

    points: np.ndarray
    explained: tuple[float, float]


def principal_components(rows: np.ndarray) -> Components | None:
    """Find the two directions along which rows differ most.

    Parameters
    ----------
    rows : np.ndarray [shape=(n, n_columns), float64]
        Every column is scaled to 0 … 1 first, as in the tutorial.

    Returns
    -------
    Components or None
        None where there are fewer than three rows, or all are alike.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import MinMaxScaler

    if len(rows) < 3 or not np.ptp(rows, axis=0).any():  # noqa: PLR2004  # two lie on one line
        return None
    # The exact solver, whose result depends on nothing but the rows.
    found = PCA(n_components=2, svd_solver="full")
    points = found.fit_transform(MinMaxScaler().fit_transform(rows))
    first, second = found.explained_variance_ratio_.tolist()
    return Components(points, (first, second))


def correlations(columns: np.ndarray) -> np.ndarray:
    """Correlate columns with one another, as pandas does.

    Parameters
    ----------
    columns : np.ndarray [shape=(n, n_columns), float64]
        The rows.

    Returns
    -------
    np.ndarray [shape=(n_columns, n_columns), -1 … 1]
        Pearson's coefficients; NaN where a column never changes.
    """
    spread = np.ptp(columns, axis=0) > 0
    found = np.full((columns.shape[1],) * 2, np.nan)
    if len(columns) > 1 and spread.any():
        found[np.ix_(spread, spread)] = np.corrcoef(columns[:, spread], rowvar=False)
    bounded: np.ndarray = np.clip(found, -1, 1)
    return bounded


@dataclass(frozen=True)
class Spread:
    """How the values of a label are spread: what a box plot shows.

    Parameters
    ----------
    label : str
        The label.
    values : np.ndarray [shape=(n,), float64]
        All of them, ascending.
    """

    label: str
    values: np.ndarray

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """The first quartile, the median and the third, between values where need be."""
        low, middle, high = np.percentile(self.values, [25, 50, 75]).tolist()
        return low, middle, high
