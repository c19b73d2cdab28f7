"""Rows of features as vectors of length one: what is compared when recordings are."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """What takes every column to mean zero and deviation one.

    Parameters
    ----------
    mean, deviation : np.ndarray [shape=(d,), float64]
        Of each column; the population's standard deviation, 0 of a column that is constant.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Scaling":
        """Measure rows, as ``sklearn.preprocessing.scale`` does.

        Parameters
        ----------
        rows : np.ndarray [shape=(n, d), float64]
            Features, finite; at least one row.
        """
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(rows)
        constant = rows.min(axis=0) == rows.max(axis=0)
        return cls(scaler.mean_, np.where(constant, 0.0, scaler.scale_))

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        """Return the z-scores of rows [shape=(n, d), float64]; 0 in a column that is constant."""
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
            Of length one; zero where a row is the mean in every column, or no column varies. Equal
            rows give equal vectors, to the last bit.
        """
        scaled = self.scaled(rows)
        norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, np.newaxis]
        unit: np.ndarray = np.divide(scaled, norms, out=np.zeros_like(scaled), where=norms > 0)
        return unit
