"""Z-scores of features, from sums that are made block by block and added.

Chan, Golub and LeVeque, "Algorithms for computing the sample variance: analysis and
recommendations", The American Statistician 37, 1983: deviations from each block's own mean lose
nothing to large means, and neither does the addition of two blocks.
"""

from dataclasses import dataclass

import numpy as np

from training.arrays import Arrays, numbers, strings

CLIP = 4.0
"""Maximum absolute z-score of models and metrics. Silence and pure tones lie up to 46 out."""


@dataclass(frozen=True)
class ColumnSums:
    """Number of rows, and mean and spread of each column; sums of blocks are added with ``+``.

    The same blocks in the same order give the same bits. Other blocks give other roundings.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns.
    count : int
        Number of rows.
    mean : np.ndarray [shape=(d,), float64]
        Mean of each column; 0 without rows.
    squares : np.ndarray [shape=(d,), float64]
        Sum of the squared deviations from the mean.

    Examples
    --------
    >>> rows = np.array([[1.0, 7.0], [3.0, 7.0], [8.0, 7.0]])
    >>> blocks = [ColumnSums.of(block, ("tempo", "rms_mean")) for block in (rows[:1], rows[1:])]
    >>> total = blocks[0] + blocks[1]
    >>> total.count, total.mean, total.squares
    (3, array([4., 7.]), array([26.,  0.]))
    """

    columns: tuple[str, ...]
    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, columns: tuple[str, ...]) -> "ColumnSums":
        """Return the sums of a block of rows [shape=(n, d), float].

        Raises
        ------
        ValueError
            A value is NaN or infinite; the message names its column.
        """
        rows = finite_rows(rows, columns)
        n = len(rows)
        if not n:
            return cls(columns, 0, np.zeros(len(columns)), np.zeros(len(columns)))
        mean = rows.sum(axis=0) / n
        deviations = rows - mean
        # Zero but for the rounding of the mean, which this corrects.
        rest = deviations.sum(axis=0)
        deviations **= 2
        return cls(columns, n, mean, deviations.sum(axis=0) - rest**2 / n)

    def __add__(self, other: "ColumnSums") -> "ColumnSums":
        if self.columns != other.columns:
            raise ValueError("sums of other columns cannot be added")
        count = self.count + other.count
        share = other.count / max(count, 1)
        delta = other.mean - self.mean
        squares = self.squares + other.squares + delta**2 * (self.count * share)
        return ColumnSums(self.columns, count, self.mean + delta * share, squares)

    def scaling(self) -> "Scaling":
        """Return the scaling by these rows' means and population standard deviations.

        Raises
        ------
        ValueError
            There are no rows.
        """
        if not self.count:
            raise ValueError("there are no rows to take means and standard deviations of")
        variance = self.squares / self.count
        # The bound on the rounding of a variance. A column below it is constant.
        eps = np.finfo(np.float64).eps
        rounding = self.count * eps * variance + (self.count * self.mean * eps) ** 2
        deviation = np.where(variance <= rounding, 0.0, np.sqrt(variance))
        return Scaling(self.columns, self.mean, deviation)


@dataclass(frozen=True)
class Scaling:
    """Standardisation of each column to mean 0 and standard deviation 1.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns.
    mean, deviation : np.ndarray [shape=(d,), float64]
        Mean and population standard deviation of each column; a constant column's deviation is 0.

    Examples
    --------
    >>> rows = np.array([[1.0, 5.0, 7.0], [3.0, 9.0, 7.0]])
    >>> scaling = ColumnSums.of(rows, ("tempo", "rms_mean", "rms_var")).scaling()
    >>> scaling.z_scores(rows)
    array([[-1., -1.,  0.],
           [ 1.,  1.,  0.]])
    >>> scaling.clipped(np.array([[12.0, 6.0, 6.0]]))
    array([[ 4. , -0.5,  0. ]])
    """

    columns: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray

    def z_scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the z-scores of rows.

        Parameters
        ----------
        rows : np.ndarray [shape=(n, d), float]
            Features.

        Returns
        -------
        np.ndarray [shape=(n, d), float64]
            0 in constant columns.

        Raises
        ------
        ValueError
            A value is NaN or infinite; the message names its column.
        """
        rows = finite_rows(rows, self.columns)
        varies = self.deviation > 0
        return np.where(varies, rows - self.mean, 0.0) / np.where(varies, self.deviation, 1.0)

    def clipped(self, rows: np.ndarray) -> np.ndarray:
        """Return the z-scores of rows, clipped at +-:data:`CLIP`; otherwise as :meth:`z_scores`."""
        scores = self.z_scores(rows)
        return np.clip(scores, -CLIP, CLIP, out=scores)

    def to_arrays(self) -> Arrays:
        """Return the arrays of :meth:`from_arrays`."""
        return {
            "columns": np.array(self.columns, np.str_),
            "mean": self.mean,
            "deviation": self.deviation,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Scaling":
        """Return the scaling that :meth:`to_arrays` gave; ValueError if an array is damaged."""
        columns = strings(arrays, "columns")
        d = len(columns)
        mean, deviation = (numbers(arrays, name, d) for name in ("mean", "deviation"))
        if not d or (deviation < 0).any():
            raise ValueError("there are no columns, or a standard deviation is negative")
        return cls(columns, mean, deviation)


def finite_rows(rows: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """Return rows in double precision, if all values are finite.

    Parameters
    ----------
    rows : np.ndarray [shape=(n, d), float]
        Features.
    columns : tuple of str
        Names of the columns.

    Returns
    -------
    np.ndarray [shape=(n, d), float64]

    Raises
    ------
    ValueError
        A value is NaN or infinite, or the number of columns differs.

    Examples
    --------
    >>> finite_rows(np.array([[120.0, np.nan]]), ("tempo", "rms_mean"))
    Traceback (most recent call last):
    ValueError: the column rms_mean has the value nan. Leave such rows out
    """
    if rows.shape[1:] != (len(columns),):
        raise ValueError(f"rows of shape {rows.shape} do not have {len(columns)} columns")
    wrong = ~np.isfinite(rows)
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        value = float(rows[row, column])
        raise ValueError(f"the column {columns[column]} has the value {value}. Leave such rows out")
    return np.asarray(rows, np.float64)
