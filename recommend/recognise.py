"""Is a recording a cut, or another encoding, of one that is known? By its segments.

Two things are compared. Of a cut, each segment sounds like some segment of the whole. Of another
encoding, which may shift all features at once, each segment differs from the recording's mean as
the same segment of the original differs from its own. Either is enough.
"""

import numpy as np

CLEARLY = 1.3
"""The nearest is recognised if the next is farther away by this factor (as in Lowe, Distinctive
image features from scale-invariant keypoints, IJCV 2004)."""


def distances(segments: np.ndarray, known: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """Return how far a recording is from each of n known ones, by their segments.

    Parameters
    ----------
    segments : np.ndarray [shape=(m, d), float64]
        z-scores of the recording's segments, m at least 1.
    known : np.ndarray [shape=(p, d), float64]
        z-scores, by the same scaling, of the segments of the known recordings.
    owners : np.ndarray [shape=(p,), int]
        The recording, 0 to n - 1, that each of these is of.
    n : int
        Number of known recordings.

    Returns
    -------
    distances : np.ndarray [shape=(n,), float64]
        0 (the same) to 1; 1 of a recording without segments.
    """
    found: np.ndarray = 1 - _best(segments, known, owners, n)
    if len(segments) > 1:
        counts = np.maximum(np.bincount(owners, minlength=n), 1)
        sums = np.zeros((n, known.shape[1]))
        np.add.at(sums, owners, known)
        means = sums / counts[:, np.newaxis]
        centred = segments - segments.mean(axis=0)
        found *= 1 - _best(centred, known - means[owners], owners, n)
    return found


def clearly_first(distances: np.ndarray, same: np.ndarray) -> bool:
    """Tell whether the nearest of all is recognised.

    Parameters
    ----------
    distances : np.ndarray [shape=(n,), float64]
        As from :func:`distances`.
    same : np.ndarray [shape=(n,), bool]
        Which are the same recording as the nearest, itself among them: they are no rivals.
    """
    rivals = distances[~same]
    return len(rivals) > 0 and bool(distances.min() * CLEARLY <= rivals.min())


def _best(segments: np.ndarray, known: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """Return the mean, over segments, of the cosine with the best segment of each recording."""
    cosines = _unit(segments) @ _unit(known).T
    best = np.zeros((len(segments), n))
    for row, found in zip(best, cosines, strict=True):
        np.maximum.at(row, owners, found)
    mean: np.ndarray = best.mean(axis=0)
    return mean


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
