"""Permutation importance: the accuracy that a model loses when features are shuffled.

Breiman, "Random forests", Machine Learning 45, 2001; computed on held-out rows.
Correlated features each get a low importance, because the others still carry their information. A
block of features that are shuffled together has the importance of all of them.
"""

from collections.abc import Callable, Sequence

import numpy as np

REPEATS = 5
"""Shuffles per feature or block."""


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    truth: np.ndarray,
    columns: Sequence[int],
) -> tuple[float, float]:
    """Return the accuracy lost when columns are shuffled.

    Parameters
    ----------
    predict : callable
        Returns the class probabilities [shape=(n, n_classes)] of features [shape=(n, n_columns)].
    features : np.ndarray [shape=(n, n_columns)]
        Test rows. Their order determines the shuffles.
    truth : np.ndarray [shape=(n,), int]
        True classes.
    columns : sequence of int
        Columns to shuffle, all into the same order.

    Returns
    -------
    mean, deviation : float [range=[-1, 1]] and float
        Mean and population standard deviation of the lost accuracy over :data:`REPEATS` shuffles.
        Negative if the shuffled columns score better by chance.

    Examples
    --------
    >>> features = np.array([[0.0, 5.0], [0.0, 6.0], [1.0, 7.0], [1.0, 8.0]])
    >>> truth = np.array([0, 0, 1, 1])
    >>> predict = lambda rows: np.stack([1 - rows[:, 0], rows[:, 0]], axis=1)
    >>> permutation_importance(predict, features, truth, columns=[1])
    (0.0, 0.0)
    >>> mean, deviation = permutation_importance(predict, features, truth, columns=[0])
    >>> round(mean, 3), round(deviation, 3)
    (0.6, 0.374)
    """
    baseline = np.mean(predict(features).argmax(axis=1) == truth)
    shuffled = features.copy()
    lost = np.empty(REPEATS)
    for repeat in range(REPEATS):
        order = np.random.default_rng((repeat, *columns)).permutation(len(features))
        shuffled[:, columns] = features[order][:, columns]
        lost[repeat] = baseline - np.mean(predict(shuffled).argmax(axis=1) == truth)
    return float(lost.mean()), float(lost.std())
