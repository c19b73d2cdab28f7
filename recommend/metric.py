"""Metrics of similarity: how features become vectors, and how their cosines are corrected.

Every metric is one inner product: score(i, j) = u_i . u_j - c_j. The vectors u have length one.
The offset c_j of a neighbour corrects its hubness: some tracks are near to nearly all others. A
metric consists of numbers only, which are fitted to sums of a collection's rows. Workers make the
sums, one process adds them and fits, and a file that is compared later is compared by the same
numbers.

- ``cosine``: z-scores, without offsets.
- ``rich``: 63 principal components of clipped z-scores, each divided by its standard deviation to
  the power of 1/4.
- ``learned``: the discriminant functions of labelled tracks for one half of the cosine, and 58
  components for the other half.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from recommend.vectors import project, unit
from training.arrays import Arrays, numbers, sorted_strings
from training.lda import ClassSums, discriminants, oriented
from training.scaling import Scaling

Name = Literal["cosine", "rich", "learned"]

COMPONENTS = 63
"""Principal components of ``rich``. All 458 would gain nothing; 32 would lose .01."""

LEARNED_COMPONENTS = 58
"""Principal components of ``learned``: 63 numbers with the discriminant functions of 6 genres."""

SHRINKAGE = 0.5
"""Shrinkage of the covariances of ``learned``; .7 is up to .005 worse."""


@dataclass(frozen=True)
class VectorSums:
    """Number, sum and products of vectors; ``+`` adds two blocks' sums.

    Parameters
    ----------
    count : int
        Number of vectors.
    total : np.ndarray [shape=(c,), float64]
        Sum of the vectors.
    products : np.ndarray [shape=(c, c), float64]
        Sum of the products u' u.

    Examples
    --------
    >>> sums = VectorSums.of(np.array([[1.0, 0.0]])) + VectorSums.of(np.array([[0.6, 0.8]]))
    >>> sums.count, sums.total, sums.products
    (2, array([1.6, 0.8]), array([[1.36, 0.48],
           [0.48, 0.64]]))
    """

    count: int
    total: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> "VectorSums":
        """Return the sums of a block of vectors [shape=(n, c), float64]."""
        return cls(len(vectors), vectors.sum(axis=0), vectors.T @ vectors)

    def __add__(self, other: "VectorSums") -> "VectorSums":
        return VectorSums(
            self.count + other.count, self.total + other.total, self.products + other.products
        )


@dataclass(frozen=True)
class Projection:
    """Linear functions of z-scores, in groups that contribute equally to the cosine.

    Parameters
    ----------
    matrix : np.ndarray [shape=(d, c), float64]
        A function per column.
    shift : np.ndarray [shape=(c,), float64]
        Value of each function that becomes zero.
    widths : tuple of int
        Number of functions in each group; the sum is c.
    """

    matrix: np.ndarray
    shift: np.ndarray
    widths: tuple[int, ...]

    def vectors(self, scores: np.ndarray) -> np.ndarray:
        """Return the vectors [shape=(n, c), float64] of clipped z-scores [shape=(n, d)]."""
        values = project(scores, self.matrix) - self.shift
        groups = np.split(values, np.cumsum(self.widths)[:-1], axis=1)
        return np.asarray(np.hstack([unit(one) for one in groups]) * np.sqrt(1 / len(groups)))


@dataclass(frozen=True)
class Metric:
    """A fitted metric.

    Parameters
    ----------
    name : {"cosine", "rich", "learned"}
        Kind of the metric.
    scaling : Scaling
        Scaling of the features.
    projection : Projection or None
        Functions of the clipped z-scores. None for ``cosine``: the z-scores themselves, unclipped.
    classes : tuple of str
        Labels that ``learned`` is fitted to, ascending; otherwise empty.
    collection : VectorSums or None
        Sums over the vectors of the collection, from which the offsets follow. None for ``cosine``
        and before :meth:`corrected`.

    Examples
    --------
    >>> from training.scaling import ColumnSums
    >>> features = np.random.default_rng(0).normal(size=(200, 3))
    >>> scaling = ColumnSums.of(features, ("tempo", "rms_mean", "rms_var")).scaling()
    >>> metric = fit_rich(scaling, ClassSums.of_all(scaling.clipped(features)))
    >>> vectors = metric.vectors(features)
    >>> metric = metric.corrected(VectorSums.of(vectors))
    >>> vectors.shape, metric.offsets(vectors).shape
    ((200, 3), (200,))
    """

    name: Name
    scaling: Scaling
    projection: Projection | None = None
    classes: tuple[str, ...] = ()
    collection: VectorSums | None = None

    def vectors(self, features: np.ndarray) -> np.ndarray:
        """Return the vectors of rows.

        Parameters
        ----------
        features : np.ndarray [shape=(n, d), float]
            Features, unscaled.

        Returns
        -------
        np.ndarray [shape=(n, c), float64]
            Vectors of length one; shorter if a group of functions is zero, as for the mean row.
            Equal rows give equal vectors, to the last bit.

        Raises
        ------
        ValueError
            A value is NaN or infinite; the message names its column.
        """
        if self.projection is None:
            return unit(self.scaling.z_scores(features))
        return self.projection.vectors(self.scaling.clipped(features))

    def corrected(self, collection: VectorSums) -> "Metric":
        """Return the metric with offsets for a collection: the sums of all its vectors."""
        return replace(self, collection=collection)

    def offsets(self, vectors: np.ndarray) -> np.ndarray | None:
        """Return the offsets of tracks as neighbours: mean / 2 + deviation of their cosines.

        Mean and deviation are over a track's cosines with all others. Both follow from the sums of
        the collection, without any pair. Cross-domain similarity local scaling (Conneau et al.,
        "Word translation without parallel data", ICLR 2018) subtracts half the mean cosine of the
        nearest neighbours. For normally distributed cosines, mean + 2 deviations is about the mean
        of the nearest 5 %.

        Parameters
        ----------
        vectors : np.ndarray [shape=(n, c), float64]
            Vectors of the collection.

        Returns
        -------
        np.ndarray [shape=(n,), range=[-0.5, 1.5], float64] or None
            None for ``cosine``.

        Raises
        ------
        ValueError
            The metric is not :meth:`corrected`.
        """
        if self.projection is None:
            return None
        if self.collection is None:
            raise ValueError(f"the metric {self.name} has no sums of a collection")
        others = self.collection.count - 1
        if not others:
            return np.zeros(len(vectors))
        products = project(vectors, self.collection.products)
        own = np.einsum("ij,ij->i", vectors, vectors)
        total = project(vectors, self.collection.total[:, np.newaxis])[:, 0]
        squares = np.einsum("ij,ij->i", products, vectors)
        mean = (total - own) / others
        variance = (squares - own**2) / others - mean**2
        offsets: np.ndarray = mean / 2 + np.sqrt(np.maximum(variance, 0))
        return offsets

    def to_arrays(self) -> Arrays:
        """Return the arrays of :meth:`from_arrays`."""
        arrays = {"name": np.array(self.name), **self.scaling.to_arrays()}
        if self.projection:
            arrays |= {
                "matrix": self.projection.matrix,
                "shift": self.projection.shift,
                "widths": np.array(self.projection.widths, np.int64),
                "classes": np.array(self.classes, np.str_),
            }
        if self.collection:
            arrays |= {
                "count": np.array(self.collection.count),
                "total": self.collection.total,
                "products": self.collection.products,
            }
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Metric":
        """Return the metric that :meth:`to_arrays` gave.

        Raises
        ------
        ValueError
            An array is missing or damaged.
        """
        name, scaling = str(arrays.get("name")), Scaling.from_arrays(arrays)
        if name not in get_args(Name):
            raise ValueError(f"name is {name!r} instead of one of {', '.join(get_args(Name))}")
        if name == "cosine":
            return cls("cosine", scaling)
        widths = arrays.get("widths", np.empty(0))
        classes = sorted_strings(arrays, "classes")
        n_groups = 2 if name == "learned" else 1
        if widths.shape != (n_groups,) or widths.dtype != np.int64 or widths.min() < 1:
            raise ValueError(f"widths is not a list of {n_groups} positive whole numbers")
        if len(classes) == 1 or bool(classes) != (name == "learned"):
            raise ValueError("classes does not fit the metric")
        c = int(widths.sum())
        count = arrays.get("count", np.empty(0))
        if count.shape != () or count.dtype != np.int64 or count < 1:
            raise ValueError("count is not a positive whole number")
        return cls(
            "learned" if name == "learned" else "rich",
            scaling,
            Projection(
                matrix=numbers(arrays, "matrix", len(scaling.columns), c),
                shift=numbers(arrays, "shift", c),
                widths=tuple(widths.tolist()),
            ),
            classes,
            VectorSums(
                count=int(count),
                total=numbers(arrays, "total", c),
                products=numbers(arrays, "products", c, c),
            ),
        )


def fit_rich(scaling: Scaling, rows: ClassSums) -> Metric:
    """Fit the metric ``rich``.

    Parameters
    ----------
    scaling : Scaling
        Scaling of the features.
    rows : ClassSums
        Sums of the clipped z-scores of all rows, as one class. One row or more.

    Returns
    -------
    Metric
        Not yet :meth:`Metric.corrected`.
    """
    matrix, shift = _components(rows, COMPONENTS)
    return Metric("rich", scaling, Projection(matrix, shift, (len(shift),)))


def fit_learned(
    scaling: Scaling, rows: ClassSums, labelled: ClassSums, classes: tuple[str, ...]
) -> Metric:
    """Fit the metric ``learned``.

    Parameters
    ----------
    scaling : Scaling
        Scaling of the features.
    rows : ClassSums
        Sums of the clipped z-scores of all rows, as one class.
    labelled : ClassSums
        Sums of those of labelled rows, by class.
    classes : tuple of str
        Names of the classes, ascending.

    Returns
    -------
    Metric
        Not yet :meth:`Metric.corrected`.

    Raises
    ------
    ValueError
        Fewer than two classes have rows, or no row differs from others of its class.
    """
    functions = discriminants(labelled, SHRINKAGE)
    matrix, shift = _components(rows, LEARNED_COMPONENTS)
    projection = Projection(
        matrix=np.ascontiguousarray(np.hstack([functions, matrix])),
        shift=np.concatenate([labelled.mean @ functions, shift]),
        widths=(functions.shape[1], len(shift)),
    )
    return Metric("learned", scaling, projection, classes)


def _components(rows: ClassSums, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first principal components over sd^(1/4) [shape=(d, c)], and their means.

    c is at most d. Components in which the rows do not vary, because they are few or their columns
    are constant, are zero.
    """
    from scipy.linalg import eigh  # slow to import, and needed only to fit

    d = len(rows.scatter)
    variances, vectors = eigh(rows.total(), subset_by_index=(d - min(count, d), d - 1))
    varies = variances > variances.max() * d * np.finfo(np.float64).eps
    weights = np.where(varies, np.where(varies, variances, 1.0) ** -0.125, 0.0)
    matrix = np.ascontiguousarray(oriented(vectors[:, ::-1]) * weights[::-1])
    return matrix, rows.mean @ matrix
