"""Whether a new model is worse than earlier ones, by more than the noise of their scores.

Two comparisons decide: with the champion, and with the best champion so far. The noise of one night
hides a small loss, and small losses add up. The second comparison therefore uses all nights since
the best became champion: a straight line through the nights' differences shows whether they fall.
The best model's own luck moves all of them alike and leaves the slope as it is. A best model that
was merely lucky therefore does not shut out its equals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from training.bootstrap import Interval, interval, resample
from training.evaluate import macro_f1

LEVEL = 0.99
"""Confidence level of each of the two comparisons.

Higher than 95 %, because there are two, the champion is often a lucky model, and seeds differ more
than the bootstrap can know: equal models are refused in about 2 % of the nights.
"""

MAX_NIGHTS = 30
"""Nights in the line: the last ones."""


@dataclass(frozen=True)
class Difference:
    """Difference of two scores: the new one minus the earlier one.

    Parameters
    ----------
    value : float [range=[-1, 1]]
        Negative if the new one is worse.
    deviation : float
        Its standard deviation.
    interval : Interval
        Its confidence interval, at the :data:`LEVEL`.
    """

    value: float
    deviation: float
    interval: Interval


@dataclass(frozen=True)
class Night:
    """Difference in macro F1 between a night's new model and the best one.

    Parameters
    ----------
    difference : float [range=[-1, 1]]
        Negative if the new model is worse; 0 for the best model itself.
    deviation : float
        Standard deviation of the difference.
    """

    difference: float
    deviation: float


BEST_ITSELF = Night(0.0, 0.0)
"""The first night of a line: that of the best model."""


def compare(
    truth: np.ndarray, newcomer: np.ndarray, earlier: np.ndarray, groups: np.ndarray | None = None
) -> Difference:
    """Return the difference in macro F1 between a new and an earlier model.

    Parameters
    ----------
    truth, newcomer, earlier : np.ndarray [shape=(n,), int]
        True and predicted classes of tracks that neither model has learnt. A prediction of -1
        matches no class.
    groups : np.ndarray [shape=(n,), int], optional
        Group of each track. By default each track is a group of its own.

    Returns
    -------
    Difference
        From a paired bootstrap: both models are scored on the same resamples.

    Examples
    --------
    >>> truth = np.arange(200) % 2
    >>> better, worse = (np.where(np.arange(200) < right, truth, 0) for right in (180, 140))
    >>> found = compare(truth, worse, better)
    >>> round(found.value, 3), found.interval.lower < found.value < found.interval.upper < 0
    (-0.103, True)
    """
    n_classes = int(max(truth.max(), newcomer.max(), earlier.max())) + 1
    ours, theirs = resample(truth, [newcomer, earlier], n_classes, groups)
    differences = ours.macro_f1 - theirs.macro_f1
    value = macro_f1(truth, newcomer) - macro_f1(truth, earlier)
    return Difference(value, float(differences.std()), interval(differences, LEVEL))


def change(nights: Sequence[Night]) -> Difference:
    """Return the change of macro F1 over some nights, by a line of least squares.

    All scores have the same noise: half the mean variance of the differences, which have that of
    two scores. With the best model and one night after it, the change is that night's difference.

    Parameters
    ----------
    nights : sequence of Night
        Two or more, in order.

    Returns
    -------
    Difference
        Rise of the line from the first night to the last.

    Examples
    --------
    >>> change([BEST_ITSELF, Night(-0.02, 0.01)]).value
    -0.02
    >>> steady = change([BEST_ITSELF, *(Night(-0.02, 0.01) for _ in range(8))])
    >>> falling = change([BEST_ITSELF, *(Night(-0.005 * i, 0.01) for i in range(1, 9))])
    >>> steady.interval.upper < 0, falling.interval.upper < 0
    (False, True)
    """
    values = np.array([night.difference for night in nights])
    x = np.arange(len(values)) - (len(values) - 1) / 2
    variances = [night.deviation**2 for night in nights if night.deviation]
    variance = np.mean(variances) / 2 if variances else 0.0
    span = (len(values) - 1) / float(x @ x)
    value = span * float(x @ values)
    deviation = span * float(np.sqrt((x @ x) * variance))
    margin = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation
    return Difference(value, deviation, Interval(value - margin, value + margin))
