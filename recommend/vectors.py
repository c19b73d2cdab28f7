"""Rows of features as vectors of length one, the input of every comparison."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """Standardisation of each column to mean 0 and standard deviation 1.

    Parameters
    ----------
    mean, deviation : np.ndarray [shape=(d,), float64]
        Mean and population standard deviation of each column; a constant column's deviation is 0.

    Examples
    --------
    >>> rows = np.array([[1.0, 5.0, 7.0], [3.0, 9.0, 7.0]])
    >>> scaling = Scaling.fit(rows)
    >>> scaling.z_scores(rows)
    array([[-1., -1.,  0.],
           [ 1.,  1.,  0.]])
    >>> scaling.unit(rows).round(3)
    array([[-0.707, -0.707,  0.   ],
           [ 0.707,  0.707,  0.   ]])
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray) -> "Scaling":
        """Measure the columns, as ``sklearn.preprocessing.scale`` does.

        Parameters
        ----------
        rows : np.ndarray [shape=(n, d), float64]
            Finite features; at least one row.
        """
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(rows)
        constant = rows.min(axis=0) == rows.max(axis=0)
        return cls(scaler.mean_, np.where(constant, 0.0, scaler.scale_))

    def z_scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the z-scores of rows.

        Parameters
        ----------
        rows : np.ndarray [shape=(n, d), float64]
            Features.

        Returns
        -------
        np.ndarray [shape=(n, d), float64]
            0 in constant columns.
        """
        varies = self.deviation > 0
        return np.where(varies, rows - self.mean, 0.0) / np.where(varies, self.deviation, 1.0)

    def unit(self, rows: np.ndarray) -> np.ndarray:
        """Return the z-scores of each row, divided by their Euclidean norm.

        Parameters
        ----------
        rows : np.ndarray [shape=(n, d), float64]
            Features.

        Returns
        -------
        vectors : np.ndarray [shape=(n, d), float64]
            Vectors of length one; zero if all z-scores of the row are 0. Equal rows give equal
            vectors, to the last bit.
        """
        scores = self.z_scores(rows)
        norms = np.sqrt(np.einsum("ij,ij->i", scores, scores))[:, np.newaxis]
        unit: np.ndarray = np.divide(scores, norms, out=np.zeros_like(scores), where=norms > 0)
        return unit
