"""Suspected mislabels, by confident learning.

Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", Journal
of Artificial Intelligence Research 70, 2021. The suspects are the off-diagonal entries of its
confident joint, ranked by margin.
"""

import numpy as np


def find_suspects(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find labels that out-of-fold predictions contradict.

    A track is confidently of a class if its probability of the class is not below the mean of the
    tracks with that label. A track is suspected if the most probable of these classes is not its
    label.

    Parameters
    ----------
    labels : np.ndarray [shape=(n,), range=[0, n_classes), int]
        Label of each track.
    probabilities : np.ndarray [shape=(n, n_classes), range=[0, 1], float]
        Probabilities of each track's classes, by a model that has not learnt the track.

    Returns
    -------
    suspects : np.ndarray [shape=(n_suspects,), int]
        Indices of the suspected tracks: the largest margin first, which is the probability of the
        suggested label less that of the track's own. Of equal margins the smaller index is first.
    suggested : np.ndarray [shape=(n_suspects,), int]
        Label that is suggested for each.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.8, 0.2]])
    >>> find_suspects(np.array([0, 0, 1, 1]), probabilities)
    (array([3]), array([0]))
    """
    tracks = np.arange(len(labels))
    own = probabilities[tracks, labels].astype(np.float64)
    n_classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    sums = np.bincount(labels, own, minlength=n_classes)
    # No track is confidently of a class without tracks.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = probabilities >= thresholds
    best = np.where(confident, probabilities, -1.0).argmax(axis=1)
    suspects = np.flatnonzero(confident.any(axis=1) & (best != labels))
    margins = probabilities[suspects, best[suspects]] - own[suspects]
    suspects = suspects[np.argsort(-margins, kind="stable")]
    return suspects, best[suspects]
