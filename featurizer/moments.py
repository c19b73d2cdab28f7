"""Mean and variance of values that arrive in portions, in double precision.

Mean and squared deviations of each portion are computed in two passes and merged by the update of
Chan et al. [1]_. Unlike a sum of squares, it does not suffer from cancellation.

.. [1] Chan, T. F., G. H. Golub, and R. J. LeVeque. "Updating formulae and a pairwise algorithm for
   computing sample variances." COMPSTAT 1982, Physica, pp. 30-41.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled


class Moments:
    """Running mean and population variance of several quantities.

    Parameters
    ----------
    size : int > 0
        Quantities.

    Attributes
    ----------
    count : int
        Values of each quantity so far.
    mean : np.ndarray [shape=(size,), float64]
        Mean of each quantity so far.

    Examples
    --------
    >>> moments = Moments(1)
    >>> moments.add(np.array([[1.0], [2.0]]))
    >>> moments.add(np.array([[6.0]]))
    >>> moments.mean, moments.variance.round(3)
    (array([3.]), array([4.667]))
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = np.zeros(size)
        self._deviations = np.zeros(size)

    def add(self, x: npt.NDArray[np.floating]) -> None:
        """Add a portion.

        Parameters
        ----------
        x : np.ndarray [shape=(n, size)]
            ``n > 0`` values of each quantity.
        """
        mean, deviations = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        _column_moments(x, mean, deviations)
        self.merge(len(x), mean, deviations)

    def merge(
        self, count: int, mean: npt.NDArray[np.float64], deviations: npt.NDArray[np.float64]
    ) -> None:
        """Add a portion by its mean and squared deviations.

        Parameters
        ----------
        count : int >= 0
            Values of each quantity in the portion.
        mean : np.ndarray [shape=(size,), float64]
            Mean of the portion.
        deviations : np.ndarray [shape=(size,), float64]
            Sum of its squared deviations from that mean.
        """
        if count:
            merge(self.mean, self._deviations, mean, deviations, (self.count, count))
            self.count += count

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Population variance so far [shape=(size,), float64]."""
        return self._deviations / self.count

    def interleaved(self) -> npt.NDArray[np.float64]:
        """Return mean, variance, mean, variance, … [shape=(2 * size,), float64]."""
        values = np.empty(2 * len(self.mean))
        values[::2] = self.mean
        values[1::2] = self.variance
        return values


@compiled
def _column_moments(
    x: npt.NDArray[np.floating],
    mean: npt.NDArray[np.float64],
    deviations: npt.NDArray[np.float64],
) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            mean[j] += x[i, j]
    for j in range(x.shape[1]):
        mean[j] /= len(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            deviations[j] += (x[i, j] - mean[j]) ** 2


@compiled
def merge(
    mean: npt.NDArray[np.float64],
    deviations: npt.NDArray[np.float64],
    further_mean: npt.NDArray[np.float64],
    further_deviations: npt.NDArray[np.float64],
    counts: tuple[int, int],
) -> None:
    """Merge the moments of two portions; the kernel behind :meth:`Moments.merge`.

    Parameters
    ----------
    mean, deviations : np.ndarray [shape=(size,), float64]
        Mean and sum of squared deviations of the first portion. Overwritten with those of both.
    further_mean, further_deviations : np.ndarray [shape=(size,), float64]
        Mean and sum of squared deviations of the second portion.
    counts : tuple of int
        Values in the first portion and in the second; the latter is greater than 0.

    Examples
    --------
    >>> mean, deviations = np.array([1.0]), np.array([0.0])
    >>> merge(mean, deviations, np.array([3.0]), np.array([0.0]), (1, 1))
    >>> mean, deviations
    (array([2.]), array([2.]))
    """
    count, further = counts
    share = further / (count + further)
    for j in range(len(mean)):
        delta = further_mean[j] - mean[j]
        mean[j] += delta * share
        deviations[j] += further_deviations[j] + delta * delta * (count * share)
