"""Linear discriminant analysis on the cluster, from sums that workers make and the job adds.

The rows are divided in the same way for any number of workers, and the sums are added in the order
of the rows, so that the same store gives the same numbers to the bit.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from featurizer.feature_set import feature_set
from jobs.errors import UsageError
from jobs.learning.dataset import Labelled, Rows, load
from jobs.learning.ordered import map_ordered
from training.lda import SHRINKAGE, ClassSums, Lda
from training.scaling import CLIP, ColumnSums, Scaling

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

PARAMETERS: dict[str, Any] = {"shrinkage": SHRINKAGE, "clip": CLIP}
"""Parameters of the analysis: the covariance's shrinkage, and the largest z-score."""

BLOCK_ROWS = 2_000
"""Rows that a worker sums at a time, which take 7 MB in double precision if they are rich."""


def fit_lda(
    pool: "WorkerPool",
    pieces: Callable[[], Iterable[Rows]],
    labelled: Labelled,
    *,
    tick: Callable[[int], None],
) -> Lda:
    """Fit a linear discriminant analysis.

    ``pieces`` returns the rows, which are read twice: for the z-scores, and for the covariance.
    ``tick`` is called about every second with the number of threads.

    Raises
    ------
    UsageError
        A value is NaN or infinite, or no row differs from others of its class.
    """
    classes = labelled.tracks.classes

    def sum_on_workers(function: Callable[..., Any], *given: Any) -> Any:
        calls = ((rows, *given) for rows in pieces())
        return reduce(add, map_ordered(pool, function, calls, purpose="add the rows", tick=tick))

    scaling = sum_on_workers(_column_sums).scaling()
    return _fit(classes, scaling, sum_on_workers(_class_sums, scaling, len(classes)))


def _fit(classes: tuple[str, ...], scaling: Scaling, sums: ClassSums) -> Lda:
    try:
        with threadpool_limits(limits=1):
            return Lda.fit(classes, scaling, sums)
    except ValueError as error:
        raise UsageError(f"{error}. Use --model xgboost") from None


def calibrate(
    pool: "WorkerPool", pieces: Iterable[Rows], lda: Lda, *, tick: Callable[[int], None]
) -> Lda:
    """Return the analysis at the temperature that suits rows which it was not fitted to."""
    calls = ((rows, lda) for rows in pieces)
    losses = map_ordered(pool, _losses, calls, purpose="calibrate the probabilities", tick=tick)
    return lda.calibrated(reduce(add, losses))


# On workers


def fit_lda_alone(rows: Rows, classes: tuple[str, ...]) -> Lda:
    """Fit as :func:`fit_lda` does, without other workers."""
    scaling = _column_sums(rows).scaling()
    return _fit(classes, scaling, _class_sums(rows, scaling, len(classes)))


def _losses(rows: Rows, lda: Lda) -> np.ndarray:
    _use_single_thread()
    return reduce(add, (lda.losses(*block) for block in _blocks(rows)))


def _column_sums(rows: Rows) -> ColumnSums:
    columns = feature_set(rows.features).names
    try:
        return reduce(add, (ColumnSums.of(features, columns) for features, _ in _blocks(rows)))
    except ValueError as error:
        raise UsageError(f"{error}, or use --model xgboost") from None


def _class_sums(rows: Rows, scaling: Scaling, n_classes: int) -> ClassSums:
    _use_single_thread()
    return reduce(
        add,
        (
            ClassSums.of(scaling.clipped(features), classes, n_classes)
            for features, classes in _blocks(rows)
        ),
    )


@cache
def _use_single_thread() -> None:
    """Limit BLAS to one thread for good: with more threads, it adds in another order."""
    threadpool_limits(limits=1)


def _blocks(rows: Rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield features and classes, a block of rows at a time."""
    loaded = load(rows)
    for first in range(0, len(loaded.classes), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        yield loaded.features[block], loaded.classes[block]
