"""Linear discriminant analysis with shrinkage, from sums that are made block by block and added.

All classes share one covariance, which is shrunk towards a multiple of the identity. Workers make
the sums of their rows, and memory does not grow with the number of rows.

Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009, section 4.3. The
results are those of scikit-learn's ``LinearDiscriminantAnalysis`` with the same shrinkage.
"""

from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Arrays, numbers, sorted_strings
from training.scaling import Scaling

SHRINKAGE = 0.3
"""Shrinkage of the classifier's covariance: the best of .1 to .9 on six genres of GTZAN."""

TEMPERATURES = 2.0 ** (np.arange(29) / 4)
"""Temperatures that are tried, from 1 to 128; the loss is flat between neighbours."""


@dataclass(frozen=True)
class ClassSums:
    """Number and mean of each class's rows, and their common scatter; ``+`` adds two blocks' sums.

    The same blocks in the same order give the same bits. Other blocks give other roundings.

    Parameters
    ----------
    counts : np.ndarray [shape=(n_classes,), int64]
        Number of rows of each class.
    means : np.ndarray [shape=(n_classes, d), float64]
        Mean of each class; 0 without rows.
    scatter : np.ndarray [shape=(d, d), float64]
        Sum over all rows of (row - mean of its class)' (row - mean of its class).

    Examples
    --------
    >>> rows, classes = np.array([[0.0], [2.0], [4.0], [9.0]]), np.array([0, 0, 1, -1])
    >>> sums = ClassSums.of(rows[:1], classes[:1], 2) + ClassSums.of(rows[1:], classes[1:], 2)
    >>> sums.counts, sums.means.ravel(), sums.scatter
    (array([2, 1]), array([1., 4.]), array([[2.]]))
    """

    counts: np.ndarray
    means: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, classes: np.ndarray, n_classes: int) -> "ClassSums":
        """Return the sums of a block of rows.

        Parameters
        ----------
        rows : np.ndarray [shape=(n, d), float64]
            Clipped z-scores, as from :meth:`training.scaling.Scaling.clipped`.
        classes : np.ndarray [shape=(n,), range=[-1, n_classes), int]
            Class of each row. Rows of class -1, which have no label, are left out.
        n_classes : int
            Number of classes.
        """
        known = classes >= 0
        classes, rows = classes[known], rows[known]
        counts = np.bincount(classes, minlength=n_classes)
        if len(counts) > n_classes:
            raise ValueError(f"there is a row of class {len(counts) - 1}, but {n_classes} classes")
        order = np.argsort(classes, kind="stable")
        present = np.flatnonzero(counts)
        means = np.zeros((n_classes, rows.shape[1]))
        if len(present):
            first = np.cumsum(counts)[present] - counts[present]
            means[present] = np.add.reduceat(rows[order], first) / counts[present, np.newaxis]
        deviations = rows - means[classes]
        return cls(counts, means, deviations.T @ deviations)

    @classmethod
    def of_all(cls, rows: np.ndarray) -> "ClassSums":
        """Return the sums of a block of rows [shape=(n, d), float64] as one class."""
        return cls.of(rows, np.zeros(len(rows), np.int64), 1)

    def __add__(self, other: "ClassSums") -> "ClassSums":
        counts = self.counts + other.counts
        share = (other.counts / np.maximum(counts, 1))[:, np.newaxis]
        delta = other.means - self.means
        apart = np.sqrt(self.counts[:, np.newaxis] * share) * delta
        scatter = self.scatter + other.scatter + apart.T @ apart
        return ClassSums(counts, self.means + delta * share, scatter)

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @property
    def mean(self) -> np.ndarray:
        """Mean of all rows [shape=(d,)]; 0 without rows."""
        return np.asarray(self.counts @ self.means / max(self.count, 1))

    def within(self) -> np.ndarray:
        """Return the covariance within the classes [shape=(d, d)], relative to the rows' number."""
        covariance: np.ndarray = self.scatter / max(self.count, 1)
        return covariance

    def total(self) -> np.ndarray:
        """Return the covariance of all rows [shape=(d, d)], relative to their number."""
        apart = np.sqrt(self.counts)[:, np.newaxis] * (self.means - self.mean)
        covariance: np.ndarray = (self.scatter + apart.T @ apart) / max(self.count, 1)
        return covariance


def shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return a covariance, shrunk towards the identity times its mean variance.

    Parameters
    ----------
    covariance : np.ndarray [shape=(d, d), float64]
    shrinkage : float [range=[0, 1]]

    Returns
    -------
    np.ndarray [shape=(d, d), float64]

    Examples
    --------
    >>> shrunk(np.array([[3.0, 1.0], [1.0, 1.0]]), 0.5)
    array([[2.5, 0.5],
           [0.5, 1.5]])
    """
    d = len(covariance)
    target = np.trace(covariance) / d * np.eye(d)
    result: np.ndarray = (1 - shrinkage) * covariance + shrinkage * target
    return result


def discriminants(sums: ClassSums, shrinkage: float) -> np.ndarray:
    """Return the discriminant functions: directions in which the classes differ most.

    Fisher, "The use of multiple measurements in taxonomic problems", 1936.

    Parameters
    ----------
    sums : ClassSums
        Sums of labelled rows. Classes without rows do not count.
    shrinkage : float [range=(0, 1]]
        Shrinkage of the covariances.

    Returns
    -------
    np.ndarray [shape=(d, min(n_classes - 1, d)), float64]
        A function per column, the most discriminating first. Variances within the classes are 1.
        The greatest weight of each function is positive.

    Raises
    ------
    ValueError
        Fewer than two classes have rows, or no row differs from others of its class.

    Examples
    --------
    >>> rows = np.array([[0.0, 1.0], [0.0, -1.0], [3.0, 1.0], [3.0, -1.0]])
    >>> discriminants(ClassSums.of(rows, np.array([0, 0, 1, 1]), 2), 0.5).round(3)
    array([[2.],
           [0.]])
    """
    from scipy.linalg import eigh

    n_classes = _check(sums)
    d = sums.means.shape[1]
    within, total = (shrunk(covariance, shrinkage) for covariance in (sums.within(), sums.total()))
    wanted = d - min(n_classes - 1, d), d - 1
    _, functions = eigh(total - within, within, subset_by_index=wanted)
    return oriented(functions[:, ::-1])


def oriented(vectors: np.ndarray) -> np.ndarray:
    """Return columns with the sign that makes the greatest entry positive; solvers differ in it.

    Examples
    --------
    >>> oriented(np.array([[0.6, 0.8], [-0.8, 0.6]]))
    array([[-0.6,  0.8],
           [ 0.8,  0.6]])
    """
    greatest = np.abs(vectors).argmax(axis=0)
    return vectors * np.where(vectors[greatest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


@dataclass(frozen=True)
class Lda:
    """A classifier by linear discriminant analysis of clipped z-scores.

    Parameters
    ----------
    classes : tuple of str
        Names of the outputs, ascending.
    scaling : Scaling
        Scaling of the features.
    priors : np.ndarray [shape=(n_classes,), range=[0, 1], float64]
        Share of each class in the training rows.
    coefficients : np.ndarray [shape=(n_classes, d), float64]
        Weights of the z-scores for each class.
    intercepts : np.ndarray [shape=(n_classes,), float64]
        Constants of each class, without the logarithm of its prior.
    temperature : float [range=(0, inf)]
        Divisor of the scores. Above 1, probabilities are less extreme; the order of the classes
        stays. Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.

    Examples
    --------
    >>> from training.scaling import ColumnSums
    >>> features, classes = np.array([[1.0], [2.0], [6.0], [7.0]]), np.array([0, 0, 1, 1])
    >>> scaling = ColumnSums.of(features, ("tempo",)).scaling()
    >>> sums = ClassSums.of(scaling.clipped(features), classes, 2)
    >>> model = Lda.fit(("jazz", "rock"), scaling, sums)
    >>> model.probabilities(np.array([[0.0], [4.0]])).round(3)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """

    classes: tuple[str, ...]
    scaling: Scaling
    priors: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    temperature: float = 1.0

    @classmethod
    def fit(cls, classes: tuple[str, ...], scaling: Scaling, sums: ClassSums) -> "Lda":
        """Fit the classifier.

        Parameters
        ----------
        classes : tuple of str
            Names of the classes, ascending. A class without rows has probability 0.
        scaling : Scaling
            Scaling of the features.
        sums : ClassSums
            Sums of the clipped z-scores of training rows, by class.

        Raises
        ------
        ValueError
            Fewer than two classes have rows, or no row differs from others of its class.
        """
        from scipy.linalg import solve

        _check(sums)
        covariance = shrunk(sums.within(), SHRINKAGE)
        coefficients = solve(covariance, sums.means.T, assume_a="pos").T
        return cls(
            classes=classes,
            scaling=scaling,
            priors=sums.counts / sums.count,
            coefficients=np.ascontiguousarray(coefficients),
            intercepts=-0.5 * np.einsum("ij,ij->i", sums.means, coefficients),
        )

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the natural logarithm of the probability of each class.

        Parameters
        ----------
        features : np.ndarray [shape=(n, d), float]
            Features, unscaled.

        Returns
        -------
        np.ndarray [shape=(n, n_classes), range=[-inf, 0], float64]

        Raises
        ------
        ValueError
            A value is NaN or infinite; the message names its column.
        """
        return _log_softmax(self._scores(features) / self.temperature)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each class; otherwise as :meth:`log_probabilities`."""
        return np.asarray(np.exp(self.log_probabilities(features)))

    def losses(self, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the log loss of a block of rows at each of :data:`TEMPERATURES`.

        The losses of several blocks are added, for :meth:`calibrated`.

        Parameters
        ----------
        features : np.ndarray [shape=(n, d), float]
            Features of rows that the classifier was not fitted to, unscaled.
        classes : np.ndarray [shape=(n,), range=[0, n_classes), int]
            Class of each row. Rows of classes that the classifier was not fitted to do not count.

        Returns
        -------
        np.ndarray [shape=(n_temperatures,), float64]
            Sums over the rows, in nats.
        """
        known = self.priors[classes] > 0
        scores, own = self._scores(features[known]), classes[known, np.newaxis]
        return np.array(
            [-np.take_along_axis(_log_softmax(scores / t), own, 1).sum() for t in TEMPERATURES]
        )

    def calibrated(self, losses: np.ndarray) -> "Lda":
        """Return the classifier at the temperature of the smallest loss.

        Parameters
        ----------
        losses : np.ndarray [shape=(n_temperatures,)]
            Sum of the :meth:`losses` of all rows; without rows, the temperature becomes 1.

        Examples
        --------
        >>> from training.scaling import ColumnSums
        >>> rows, classes = np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([0, 0, 1, 1])
        >>> scaling = ColumnSums.of(rows, ("tempo",)).scaling()
        >>> sums = ClassSums.of(scaling.clipped(rows), classes, 2)
        >>> model = Lda.fit(("jazz", "rock"), scaling, sums)
        >>> others, of_others = np.array([[1.0], [4.0], [2.0], [5.0]]), np.array([0, 0, 1, 1])
        >>> model.probabilities(others[1:2]).round(2)
        array([[0.02, 0.98]])
        >>> model = model.calibrated(model.losses(others, of_others))
        >>> round(model.temperature, 2), model.probabilities(others[1:2]).round(2)
        (9.51, array([[0.4, 0.6]]))
        """
        return replace(self, temperature=float(TEMPERATURES[losses.argmin()]))

    def _scores(self, features: np.ndarray) -> np.ndarray:
        """Return the score of each class, up to a constant for each row."""
        with np.errstate(divide="ignore"):  # a class without rows: -inf
            constants = self.intercepts + np.log(self.priors)
        return np.asarray(self.scaling.clipped(features) @ self.coefficients.T + constants)

    def to_arrays(self) -> Arrays:
        """Return the arrays of :meth:`from_arrays`."""
        return {
            **self.scaling.to_arrays(),
            "classes": np.array(self.classes, np.str_),
            "priors": self.priors,
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "temperature": np.array(self.temperature),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Lda":
        """Return the classifier that :meth:`to_arrays` gave; ValueError if an array is damaged."""
        scaling, classes = Scaling.from_arrays(arrays), sorted_strings(arrays, "classes")
        n_classes, d = len(classes), len(scaling.columns)
        priors = numbers(arrays, "priors", n_classes)
        if (priors < 0).any() or not np.isclose(priors.sum(), 1):
            raise ValueError("priors are not shares that add up to 1")
        # A file of an older songmill has none.
        temperature = numbers({"temperature": np.array(1.0), **arrays}, "temperature").item()
        if temperature <= 0:
            raise ValueError("temperature is not above 0")
        return cls(
            classes=classes,
            scaling=scaling,
            priors=priors,
            coefficients=numbers(arrays, "coefficients", n_classes, d),
            intercepts=numbers(arrays, "intercepts", n_classes),
            temperature=temperature,
        )


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return the logarithm of the probability of each class by its score [shape=(n, n_classes)]."""
    scores = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def _check(sums: ClassSums) -> int:
    """Return the number of classes with rows; ValueError if their covariance is undefined."""
    present = int(np.count_nonzero(sums.counts))
    if present <= 1:
        raise ValueError(
            f"{present} of {len(sums.counts)} classes have rows. Linear discriminant analysis "
            "needs two or more"
        )
    # Equal rows have a scatter too: the rounding of their mean.
    rounding = np.finfo(np.float64).eps * np.trace(sums.total())
    if np.trace(sums.within()) <= rounding:
        raise ValueError(
            "no class has two rows that differ. Linear discriminant analysis needs rows that "
            "differ within a class"
        )
    return present
