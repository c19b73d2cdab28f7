"""Scores of predictions, for rows and for tracks, with confidence intervals.

Macro F1 is averaged over the classes that occur in the truth. A class without test rows does not
change it.
"""

from dataclasses import dataclass

import numpy as np

from training.bootstrap import Interval, interval, resample

CHANCE_PERMUTATIONS = 1000
"""Number of random permutations of the predictions."""

CHANCE_QUANTILE = 0.99
"""Quantile of the permutations' macro F1."""

CHANCE_ROWS = 20_000
"""Maximum number of rows to permute; a sample of this size is exact to a few thousandths."""


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class.

    Parameters
    ----------
    precision, recall, f1 : float [range=[0, 1]]
        0 if the class is never predicted or never true.
    support : int
        Rows (or tracks) of this class.
    lower, upper : float [range=[0, 1]]
        Ends of the confidence interval of F1; 0 and 1 if the class is never true.
    """

    precision: float
    recall: float
    f1: float
    support: int
    lower: float
    upper: float


@dataclass(frozen=True)
class Scores:
    """Scores of all predictions.

    Parameters
    ----------
    accuracy : float [range=[0, 1]]
        Share of correct predictions.
    macro_f1 : float [range=[0, 1]]
        Mean F1 of the classes that occur in the truth.
    log_loss : float [range=[0, inf)], nats
        Mean negative log of the true class's probability.
    chance : float [range=[0, 1]]
        99th percentile of macro F1 when the predictions are randomly permuted.
    count : int
        Number of rows (or tracks).
    classes : list of ClassScores
        Scores of each class.
    confusion : np.ndarray [shape=(n_classes, n_classes), int]
        Number of rows of class i predicted as class j.
    intervals : dict of str to Interval
        Confidence intervals of ``accuracy`` and ``macro_f1``.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    chance: float
    count: int
    classes: list[ClassScores]
    confusion: np.ndarray
    intervals: dict[str, Interval]


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur in the truth.

    Parameters
    ----------
    truth, predicted : np.ndarray [shape=(n,), int]
        Classes. A prediction of -1 matches no class.

    Returns
    -------
    float [range=[0, 1]]

    Examples
    --------
    >>> round(macro_f1(np.array([0, 0, 4, 4]), np.array([0, 0, 4, 2])), 3)
    0.833
    """
    n_classes = int(max(truth.max(), predicted.max())) + 1
    correct = np.bincount(truth[truth == predicted], minlength=n_classes)
    totals = np.bincount(truth, minlength=n_classes)
    totals += np.bincount(predicted[predicted >= 0], minlength=n_classes)
    present = np.unique(truth)
    return float((2 * correct[present] / totals[present]).mean())


def score(truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray | None = None) -> Scores:
    """Score class probabilities.

    Parameters
    ----------
    truth : np.ndarray [shape=(n,), int]
        True classes.
    probabilities : np.ndarray [shape=(n, n_classes), range=[0, 1]]
        Probability of each class. The most probable class is the prediction.
    groups : np.ndarray [shape=(n,), int], optional
        Group of each row, for the intervals. By default each row is a group of its own.

    Returns
    -------
    Scores

    Examples
    --------
    >>> scores = score(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))
    >>> scores.confusion
    array([[1, 0],
           [1, 1]])
    >>> round(scores.log_loss, 3)
    0.415
    """
    return score_predicted(
        truth,
        probabilities.argmax(axis=1),
        probabilities[np.arange(len(truth)), truth],
        probabilities.shape[1],
        groups,
    )


def score_predicted(
    truth: np.ndarray,
    predicted: np.ndarray,
    true_probabilities: np.ndarray,
    n_classes: int,
    groups: np.ndarray | None = None,
) -> Scores:
    """Score predicted classes.

    Parameters
    ----------
    truth, predicted : np.ndarray [shape=(n,), int]
        Classes.
    true_probabilities : np.ndarray [shape=(n,), range=[0, 1]]
        Predicted probability of the true class.
    n_classes : int
        Number of classes.
    groups : np.ndarray [shape=(n,), int], optional
        Group of each row, for the intervals. By default each row is a group of its own.

    Returns
    -------
    Scores

    Examples
    --------
    >>> truth, predicted = np.arange(100) % 2, np.repeat([1, 0, 1], [20, 30, 50])
    >>> scores = score_predicted(truth, predicted, np.full(100, 0.9), n_classes=2)
    >>> scores.accuracy, scores.intervals["accuracy"]
    (0.5, Interval(lower=0.4, upper=0.6))
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.arange(n_classes)
    by_class = zip(
        *precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0.0),
        strict=True,
    )
    confusion = confusion_matrix(truth, predicted, labels=labels)
    (resampled,) = resample(truth, [predicted], n_classes, groups)
    of_classes = map(interval, resampled.f1.T)
    # A true class with probability 0 would make the loss infinite.
    floor = np.finfo(np.float32).eps
    logarithms = np.log(np.maximum(true_probabilities.astype(np.float64), floor))
    return Scores(
        accuracy=float(np.trace(confusion) / len(truth)),
        macro_f1=macro_f1(truth, predicted),
        log_loss=float(abs(logarithms.mean())),  # a negated mean of zeros is -0.0
        chance=chance(truth, predicted),
        count=len(truth),
        classes=[
            ClassScores(
                float(precision), float(recall), float(f1), int(support), ends.lower, ends.upper
            )
            for (precision, recall, f1, support), ends in zip(by_class, of_classes, strict=True)
        ],
        confusion=confusion,
        intervals={
            "accuracy": interval(resampled.accuracy),
            "macro_f1": interval(resampled.macro_f1),
        },
    )


def chance(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the 99th percentile of macro F1 when the predictions are randomly permuted.

    Parameters
    ----------
    truth, predicted : np.ndarray [shape=(n,), int]
        Classes. A prediction of -1 matches no class.

    Returns
    -------
    float [range=[0, 1]]
        The :data:`CHANCE_QUANTILE` over :data:`CHANCE_PERMUTATIONS` permutations.

    Examples
    --------
    >>> chance(np.array([1, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 1]))
    0.75
    """
    predicted = np.where(predicted < 0, max(truth.max(), predicted.max()) + 1, predicted)
    generator = np.random.default_rng(0)
    sample = np.linspace(0, len(truth) - 1, min(len(truth), CHANCE_ROWS)).astype(np.int64)
    truth, predicted = np.sort(truth)[sample], np.sort(predicted)[sample]
    present = np.unique(truth)
    n_classes = int(max(truth.max(), predicted.max())) + 1
    totals = np.bincount(truth, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    scores = np.empty(CHANCE_PERMUTATIONS)
    permuted = predicted.copy()
    for i in range(CHANCE_PERMUTATIONS):
        generator.shuffle(permuted)
        hits = np.bincount(truth[truth == permuted], minlength=n_classes)
        scores[i] = (2 * hits[present] / totals[present]).mean()
    return float(np.quantile(scores, CHANCE_QUANTILE))


def sum_by_track(
    tracks: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the probabilities of each track's rows.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        Track of each row.
    probabilities : np.ndarray [shape=(n, n_classes)]
        Class probabilities of each row.

    Returns
    -------
    unique_tracks : np.ndarray [shape=(n_tracks,), int]
        The tracks that have rows, ascending.
    sums : np.ndarray [shape=(n_tracks, n_classes), float64]
        Sums of their probabilities. Divided by the counts, these are the tracks' means.
    counts : np.ndarray [shape=(n_tracks,), int]
        Number of rows of each.

    Examples
    --------
    >>> sum_by_track(np.array([7, 3, 7]), np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]]))
    (array([3, 7]), array([[1.  , 0.  ],
           [0.75, 1.25]]), array([1, 2]))
    """
    unique_tracks, index, counts = np.unique(tracks, return_inverse=True, return_counts=True)
    sums = np.zeros((len(unique_tracks), probabilities.shape[1]))
    np.add.at(sums, index, probabilities)
    return unique_tracks, sums, counts


def majority_vote(tracks: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the class that most rows of each track are predicted as.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        Track of each row.
    predicted : np.ndarray [shape=(n,), int]
        Predicted class of each row.
    n_classes : int
        Number of classes.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), int]
        Classes in ascending order of the tracks. Ties go to the smaller class.

    Examples
    --------
    >>> majority_vote(np.array([7, 3, 7, 7]), np.array([1, 0, 1, 2]), n_classes=3)
    array([0, 1])
    """
    unique_tracks, index = np.unique(tracks, return_inverse=True)
    votes = np.bincount(index * n_classes + predicted, minlength=len(unique_tracks) * n_classes)
    return np.asarray(votes.reshape(len(unique_tracks), n_classes).argmax(axis=1))
