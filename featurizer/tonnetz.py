"""Tonnetz: place and motion of the harmony on three circles."""

import numpy as np
import numpy.typing as npt

from featurizer.filters import N_CHROMA

# Steps of a semitone on the circles of fifths, minor thirds and major thirds, in radians.
_ANGLES = np.outer(np.arange(N_CHROMA), np.pi * np.array([7 / 6, 3 / 2, 2 / 3]))
_CIRCLES = np.hstack([np.sin(_ANGLES), np.cos(_ANGLES)])


def tonnetz_statistics(C: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute how chroma lies and moves on three circles [1]_.

    Parameters
    ----------
    C : np.ndarray [shape=(n_frames, 12), float64]
        From :func:`featurizer.harmony.harmonic_chroma`.

    Returns
    -------
    columns : np.ndarray [shape=(15,), float64]
        With T the coordinates of each frame, sum over pitch classes n of C sin(n a) and C cos(n a),
        for the circles of fifths (a = 7 pi / 6), minor thirds (3 pi / 2) and major thirds
        (2 pi / 3), and r a frame's distance from the centre of a circle: mean of r, standard
        deviation of r, distance of the mean of T, standard deviation of T (sine plus cosine), and
        of T[t] - T[t - 1] (sine plus cosine). None depends on the key.

    Examples
    --------
    >>> C = np.eye(12)[[0, 7, 0]]  # C, G, C
    >>> tonnetz_statistics(C)[:3]
    array([1., 1., 1.])

    .. [1] Harte, C., M. Sandler, and M. Gasser. "Detecting harmonic change in musical audio." ACM
       Workshop on Audio and Music Computing Multimedia 2006.
    """
    T = C @ _CIRCLES
    r = np.hypot(T[:, :3], T[:, 3:])
    columns: npt.NDArray[np.float64] = np.concatenate(
        [
            r.mean(axis=0),
            r.std(axis=0),
            np.hypot(*T.mean(axis=0).reshape(2, 3)),
            T.std(axis=0).reshape(2, 3).sum(axis=0),
            np.diff(T, axis=0).std(axis=0).reshape(2, 3).sum(axis=0),
        ]
    )
    return columns
