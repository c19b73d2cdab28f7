"""How much a model needs each feature: what it loses when that column is shuffled.

Breiman, "Random forests", Machine Learning 45, 2001; on rows that the model has not learnt from.
Of features that say the same, each alone seems to matter little.
"""

from collections.abc import Callable

import numpy as np

REPEATS = 5


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    truth: np.ndarray,
    column: int,
) -> tuple[float, float]:
    """Shuffle one column and see how many more rows are predicted wrong.

    Parameters
    ----------
    predict : callable
        Returns the probabilities [shape=(n, n_classes)] of features [shape=(n, n_columns)].
    features : np.ndarray [shape=(n, n_columns)]
        Rows to test with, in an order that is always the same.
    truth : np.ndarray [shape=(n,), int]
        Their classes.
    column : int
        Which to shuffle.

    Returns
    -------
    float, float
        Mean and population standard deviation, over :data:`REPEATS` shuffles, of the accuracy
        that is lost; below zero where the shuffled column does better by chance.
    """
    before = np.mean(predict(features).argmax(axis=1) == truth)
    shuffled = features.copy()
    lost = np.empty(REPEATS)
    for repeat in range(REPEATS):
        order = np.random.default_rng((repeat, column)).permutation(len(features))
        shuffled[:, column] = features[order, column]
        lost[repeat] = before - np.mean(predict(shuffled).argmax(axis=1) == truth)
    return float(lost.mean()), float(lost.std())
