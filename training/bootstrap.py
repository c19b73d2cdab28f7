"""Confidence intervals of scores, by the bootstrap over groups of tracks.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993: percentile intervals (chapter 13).
The units that are drawn are groups, such as artists, because a model that fails on one track of a
group often fails on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

RESAMPLES = 2000
"""Bootstrap resamples. The ends of an interval vary by about 2 % of its width with the seed."""

LEVEL = 0.95
"""Confidence level of the interval of a score; both tails are equal."""

MAX_GROUPS = 2_000
"""Maximum number of groups with several rows.

More are merged at random into this number of groups, to bound time and memory. The merged groups
are independent, too, so the expected width of an interval stays the same, within 2 %.
"""

_MAX_WEIGHTS = 2_000_000
"""Groups times resamples that are in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Parameters
    ----------
    lower, upper : float
        Its ends.
    """

    lower: float
    upper: float


@dataclass(frozen=True)
class Resampled:
    """Scores of each resample.

    Parameters
    ----------
    accuracy, macro_f1 : np.ndarray [shape=(RESAMPLES,), range=[0, 1]]
        Scores of all classes.
    f1 : np.ndarray [shape=(RESAMPLES, n_classes), range=[0, 1]]
        F1 of each class; NaN where the resample has no row of the class.
    """

    accuracy: np.ndarray
    macro_f1: np.ndarray
    f1: np.ndarray


def interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Return the percentile interval of a score's resamples.

    Parameters
    ----------
    values : np.ndarray [shape=(n,)]
        The score of each resample. NaN is left out. If all are NaN, the interval is 0 to 1.
    level : float [range=(0, 1)]
        Confidence level.

    Examples
    --------
    >>> interval(np.arange(5), level=0.5)
    Interval(lower=1.0, upper=3.0)
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(0.0, 1.0)
    tail = (1 - level) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail]).tolist()
    return Interval(lower, upper)


def resample(
    truth: np.ndarray,
    predictions: Sequence[np.ndarray],
    n_classes: int,
    groups: np.ndarray | None = None,
    *,
    seed: int = 0,
) -> list[Resampled]:
    """Score predictions of the same rows on resamples of the rows' groups.

    The predictions are scored on the same resamples, so the scores of two of them are paired.

    Parameters
    ----------
    truth : np.ndarray [shape=(n,), int]
        True classes.
    predictions : sequence of np.ndarray [shape=(n,), int]
        Predicted classes. A prediction of -1 matches no class.
    n_classes : int
        Number of classes.
    groups : np.ndarray [shape=(n,), int], optional
        Group of each row. By default each row is a group of its own.
    seed : int
        Random seed. Scores of different rows that are averaged need different ones.

    Returns
    -------
    list of Resampled
        Scores of each of the predictions.

    Examples
    --------
    >>> truth = np.arange(100) % 2
    >>> (found,) = resample(truth, [np.where(np.arange(100) < 80, truth, 0)], 2)
    >>> interval(found.accuracy)
    Interval(lower=0.84, upper=0.95)
    """
    columns = [truth, *predictions]
    # A cell is a combination of the true class and the predictions. Rows of a cell are alike.
    codes = np.zeros(len(truth), np.int64)
    for column in columns:
        codes = codes * (n_classes + 1) + np.where(column < 0, n_classes, column)
    _, first, cell_of = np.unique(codes, return_index=True, return_inverse=True)
    singles, large = _units(cell_of, groups)
    counts = _counts_of_cells([column[first] for column in columns], n_classes)
    of_units = sparse.vstack([counts, large @ counts]).T.tocsr()
    generator = np.random.default_rng(seed)
    step = max(1, _MAX_WEIGHTS // of_units.shape[1])
    found: list[list[Resampled]] = [[] for _ in predictions]
    for start in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - start)
        weights = _draw(generator, singles, large.shape[0], size)
        drawn = (of_units @ weights.T).T.reshape(size, -1, n_classes)
        for i, scores in enumerate(found):
            scores.append(_score(drawn[:, 0], drawn[:, 1 + 2 * i], drawn[:, 2 + 2 * i]))
    return [
        Resampled(*(np.concatenate([getattr(one, x) for one in scores]) for x in _NAMES))
        for scores in found
    ]


_NAMES = ("accuracy", "macro_f1", "f1")


def _units(cell_of: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, sparse.csr_array]:
    """Return the number of groups of one row, by cell, and the rows of all larger groups, by cell.

    Groups of one row and one cell are alike, so that any number of them costs as much as one. The
    shapes are (n_cells,) and (n_large, n_cells).
    """
    n_cells = int(cell_of.max()) + 1
    if groups is None:
        groups = np.arange(len(cell_of))
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    is_large = sizes > 1
    n_large = int(is_large.sum())
    number = np.zeros(len(sizes), np.int64)
    number[is_large] = np.random.default_rng(0).permutation(n_large) % MAX_GROUPS
    in_large = is_large[group_of]
    where = number[group_of[in_large]], cell_of[in_large]
    ones = np.ones(len(where[0]), np.int64)
    shape = (min(n_large, MAX_GROUPS), n_cells)
    singles = np.bincount(cell_of[~in_large], minlength=n_cells)
    return singles, sparse.coo_array((ones, where), shape).tocsr()


def _draw(
    generator: np.random.Generator, singles: np.ndarray, n_large: int, size: int
) -> np.ndarray:
    """Draw as many groups as there are, with replacement, ``size`` times.

    The result [shape=(size, n_cells + n_large), int] is how often each is drawn: the groups of one
    row of each cell together, and each large group.
    """
    sizes = np.append(singles, n_large)
    drawn = generator.multinomial(sizes.sum(), sizes / sizes.sum(), size)
    # Uniform numbers, because a multinomial takes one binomial for each group.
    resample_of = np.repeat(np.arange(size), drawn[:, -1])
    chosen = resample_of * n_large + generator.integers(0, max(n_large, 1), len(resample_of))
    of_large = np.bincount(chosen, minlength=size * n_large).reshape(size, n_large)
    return np.concatenate([drawn[:, :-1], of_large], axis=1)


def _counts_of_cells(columns: Sequence[np.ndarray], n_classes: int) -> sparse.csr_array:
    """Return what a row of each cell adds to the counts of true, predicted and correct classes.

    The result [shape=(n_cells, (1 + 2 * n_predictions) * n_classes)] has a block of columns for
    the true classes, and two blocks for each prediction: predicted, and predicted correctly.
    """
    truth, *predictions = columns
    blocks = [(truth, np.full(len(truth), True))]
    for predicted in predictions:
        blocks += [(predicted, predicted >= 0), (predicted, predicted == truth)]
    cells = np.arange(len(truth))
    where = [(cells[kept], i * n_classes + of[kept]) for i, (of, kept) in enumerate(blocks)]
    index, column = (np.concatenate(found) for found in zip(*where, strict=True))
    shape = (len(truth), len(blocks) * n_classes)
    return sparse.coo_array((np.ones(len(index), np.int64), (index, column)), shape).tocsr()


def _score(true: np.ndarray, predicted: np.ndarray, correct: np.ndarray) -> Resampled:
    """Return the scores of resamples, from their counts [shape=(n_resamples, n_classes)]."""
    occurs = true > 0
    f1 = np.divide(2.0 * correct, true + predicted, where=occurs, out=np.full(true.shape, np.nan))
    macro_f1 = np.where(occurs, f1, 0.0).sum(axis=1) / occurs.sum(axis=1)
    return Resampled(correct.sum(axis=1) / true.sum(axis=1), macro_f1, f1)
