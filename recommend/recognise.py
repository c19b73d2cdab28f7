"""Recognition of excerpts and re-encodings of known recordings, by their segments.

Each segment of an excerpt is close to some segment of the original. A re-encoding may shift all
features at once, but hardly changes how each segment differs from the recording's mean. Either
match makes the distance small.
"""

import numpy as np

MIN_RATIO = 1.3
"""Minimum ratio of the second distance to the first for a match (ratio test of Lowe, Distinctive
image features from scale-invariant keypoints, IJCV 2004)."""


def distances(segments: np.ndarray, known: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """Return the distances of a recording from n known ones, by their segments.

    Parameters
    ----------
    segments : np.ndarray [shape=(m, d), float64]
        z-scores of the recording's segments; m is at least 1.
    known : np.ndarray [shape=(p, d), float64]
        z-scores of the segments of the known recordings, by the same scaling.
    owners : np.ndarray [shape=(p,), range=[0, n), int]
        Recording of each known segment.
    n : int
        Number of known recordings.

    Returns
    -------
    distances : np.ndarray [shape=(n,), range=[0, 1], float64]
        0 for the same segments; 1 for a known recording without segments.

    Examples
    --------
    >>> known = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> distances(known[:1], known, owners=np.array([0, 0, 1, 1]), n=2)
    array([0., 1.])
    """
    result: np.ndarray = 1 - _mean_best_cosine(segments, known, owners, n)
    if len(segments) > 1:
        counts = np.maximum(np.bincount(owners, minlength=n), 1)
        sums = np.zeros((n, known.shape[1]))
        np.add.at(sums, owners, known)
        means = sums / counts[:, np.newaxis]
        centred = segments - segments.mean(axis=0)
        result *= 1 - _mean_best_cosine(centred, known - means[owners], owners, n)
    return result


def passes_ratio_test(distances: np.ndarray, same: np.ndarray) -> bool:
    """Return whether the nearest recording is near enough, relative to the second, for a match.

    Parameters
    ----------
    distances : np.ndarray [shape=(n,), float64]
        Distances, as from :func:`distances`.
    same : np.ndarray [shape=(n,), bool]
        Whether a recording is the nearest one or a copy of it. Copies do not count as second.

    Returns
    -------
    bool
        False without a second recording.

    Examples
    --------
    >>> passes_ratio_test(np.array([0.1, 0.5, 0.1]), np.array([True, False, True]))
    True
    >>> passes_ratio_test(np.array([0.4, 0.5]), np.array([True, False]))
    False
    """
    others = distances[~same]
    return len(others) > 0 and bool(distances.min() * MIN_RATIO <= others.min())


def _mean_best_cosine(
    segments: np.ndarray, known: np.ndarray, owners: np.ndarray, n: int
) -> np.ndarray:
    """Return, per recording, the mean over ``segments`` of the best cosine [shape=(n,)]."""
    cosines = _unit(segments) @ _unit(known).T
    best = np.zeros((len(segments), n))
    for row, of_segment in zip(best, cosines, strict=True):
        np.maximum.at(row, owners, of_segment)
    mean: np.ndarray = best.mean(axis=0)
    return mean


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
