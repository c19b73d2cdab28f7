"""How good predictions are: of rows, and of tracks by what their segments say together.

The macro F1 is the mean over the classes that the truth holds, so that a class without a row to be
tested with neither helps nor harms.
"""

from dataclasses import dataclass

import numpy as np

CHANCE_DRAWS = 1000
CHANCE_QUANTILE = 0.99

CHANCE_ROWS = 20_000
"""Of more rows so many tell what chance reaches, to a few thousandths."""


@dataclass(frozen=True)
class ClassScores:
    """How one class fares.

    Parameters
    ----------
    precision, recall, f1 : float [range=[0, 1]]
        0 where nothing was predicted or nothing was there.
    support : int
        Rows (or tracks) that are of this class.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """How good predictions are, in all.

    Parameters
    ----------
    accuracy : float [range=[0, 1]]
        Share of right predictions.
    macro_f1 : float [range=[0, 1]]
        Mean of F1 over the classes that the truth holds.
    log_loss : float [range=[0, inf)], nats
        Mean of -log of the true class's probability.
    chance : float [range=[0, 1]]
        The macro F1 that the same predictions reach once in a hundred times when they are dealt to
        the rows at random.
    count : int
        Rows (or tracks) that were predicted.
    classes : list of ClassScores
        Of each class.
    confusion : np.ndarray [shape=(n_classes, n_classes), int]
        Rows of class i that were taken for class j.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    chance: float
    count: int
    classes: list[ClassScores]
    confusion: np.ndarray


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean of F1 over the classes that the truth holds.

    Parameters
    ----------
    truth, predicted : np.ndarray [shape=(n,), int]
        Classes; a prediction of none of them may be -1.
    """
    from sklearn.metrics import f1_score

    return float(
        f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0.0)
    )


def score(truth: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Compare probabilities with the truth.

    Parameters
    ----------
    truth : np.ndarray [shape=(n,), int]
        Classes.
    probabilities : np.ndarray [shape=(n, n_classes), range=[0, 1]]
        Of each class; the greatest is the prediction.

    Returns
    -------
    Scores
    """
    return score_predicted(
        truth,
        probabilities.argmax(axis=1),
        probabilities[np.arange(len(truth)), truth],
        probabilities.shape[1],
    )


def score_predicted(
    truth: np.ndarray, predicted: np.ndarray, of_truth: np.ndarray, n_classes: int
) -> Scores:
    """Compare predictions with the truth.

    Parameters
    ----------
    truth, predicted : np.ndarray [shape=(n,), int]
        Classes.
    of_truth : np.ndarray [shape=(n,), range=[0, 1]]
        The true class's probability.
    n_classes : int
        Number of classes.

    Returns
    -------
    Scores
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    every = np.arange(n_classes)
    by_class = zip(
        *precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0.0),
        strict=True,
    )
    confusion = confusion_matrix(truth, predicted, labels=every)
    # A certain and wrong prediction would make the loss infinite.
    least = np.finfo(np.float32).eps
    return Scores(
        accuracy=float(np.trace(confusion) / len(truth)),
        macro_f1=macro_f1(truth, predicted),
        log_loss=float(-np.log(np.maximum(of_truth.astype(np.float64), least)).mean()),
        chance=chance(truth, predicted),
        count=len(truth),
        classes=[
            ClassScores(float(precision), float(recall), float(f1), int(support))
            for precision, recall, f1, support in by_class
        ],
        confusion=confusion,
    )


def chance(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the macro F1 that predictions seldom exceed which know how often, and not where.

    Parameters
    ----------
    truth, predicted : np.ndarray [shape=(n,), int]
        Classes; a prediction of none of them may be -1.

    Returns
    -------
    float [range=[0, 1]]
        The :data:`CHANCE_QUANTILE` of what the same predictions reach in any order.
    """
    predicted = np.where(predicted < 0, max(truth.max(), predicted.max()) + 1, predicted)
    generator = np.random.default_rng(0)
    every = np.linspace(0, len(truth) - 1, min(len(truth), CHANCE_ROWS)).astype(np.int64)
    truth, predicted = np.sort(truth)[every], np.sort(predicted)[every]
    held = np.unique(truth)
    n_classes = int(max(truth.max(), predicted.max())) + 1
    both = np.bincount(truth, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    reached = np.empty(CHANCE_DRAWS)
    dealt = predicted.copy()
    for draw in range(CHANCE_DRAWS):
        generator.shuffle(dealt)
        hits = np.bincount(truth[truth == dealt], minlength=n_classes)
        reached[draw] = (2 * hits[held] / both[held]).mean()
    return float(np.quantile(reached, CHANCE_QUANTILE))


def by_track(
    tracks: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the probabilities of each track's rows.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        The track of each row.
    probabilities : np.ndarray [shape=(n, n_classes)]
        Of the rows.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), int]
        The tracks that have rows, ascending.
    np.ndarray [shape=(n_tracks, n_classes), float64]
        Their sums; divided by the counts, the tracks' mean probabilities.
    np.ndarray [shape=(n_tracks,), int]
        How many rows each has.
    """
    found, place, counts = np.unique(tracks, return_inverse=True, return_counts=True)
    sums = np.zeros((len(found), probabilities.shape[1]))
    np.add.at(sums, place, probabilities)
    return found, sums, counts


def vote(tracks: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return each track's class by the majority of its rows' predictions.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        The track of each row.
    predicted : np.ndarray [shape=(n,), int]
        The class of each row.
    n_classes : int
        Number of classes.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), int]
        In ascending order of the tracks; of a tie, the smaller class.
    """
    found, place = np.unique(tracks, return_inverse=True)
    votes = np.bincount(place * n_classes + predicted, minlength=len(found) * n_classes)
    return np.asarray(votes.reshape(len(found), n_classes).argmax(axis=1))
