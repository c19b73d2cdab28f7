"""Permutation importance: the accuracy that a model loses when one feature is shuffled.

Breiman, "Random forests", Machine Learning 45, 2001; computed on held-out rows.
Correlated features each get a low importance, because the others still carry their information.
"""

from collections.abc import Callable

import numpy as np

REPEATS = 5
"""Shuffles per feature."""


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    truth: np.ndarray,
    column: int,
) -> tuple[float, float]:
    """Return the accuracy lost when one column is shuffled.

    Parameters
    ----------
    predict : callable
        Returns the class probabilities [shape=(n, n_classes)] of features [shape=(n, n_columns)].
    features : np.ndarray [shape=(n, n_columns)]
        Test rows. Their order determines the shuffles.
    truth : np.ndarray [shape=(n,), int]
        True classes.
    column : int
        Column to shuffle.

    Returns
    -------
    mean, deviation : float [range=[-1, 1]] and float
        Mean and population standard deviation of the lost accuracy over :data:`REPEATS` shuffles.
        Negative if the shuffled column scores better by chance.

    Examples
    --------
    >>> features = np.array([[0.0, 5.0], [0.0, 6.0], [1.0, 7.0], [1.0, 8.0]])
    >>> truth = np.array([0, 0, 1, 1])
    >>> predict = lambda rows: np.stack([1 - rows[:, 0], rows[:, 0]], axis=1)
    >>> permutation_importance(predict, features, truth, column=1)
    (0.0, 0.0)
    >>> mean, deviation = permutation_importance(predict, features, truth, column=0)
    >>> round(mean, 3), round(deviation, 3)
    (0.6, 0.374)
    """
    baseline = np.mean(predict(features).argmax(axis=1) == truth)
    shuffled = features.copy()
    lost = np.empty(REPEATS)
    for repeat in range(REPEATS):
        order = np.random.default_rng((repeat, column)).permutation(len(features))
        shuffled[:, column] = features[order, column]
        lost[repeat] = baseline - np.mean(predict(shuffled).argmax(axis=1) == truth)
    return float(lost.mean()), float(lost.std())
