"""Recognition of excerpts and re-encodings of known recordings, by their segments.

Each segment of an excerpt is close to some segment of the original. A re-encoding may shift all
features at once, but hardly changes how each segment differs from the recording's mean. Either
match makes the distance small. ``python -m benchmarks.recognise`` measures how often the calls are
right.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

BLOCK = 100
"""Segments compared at a time, which bounds the memory for long recordings."""

Call = Literal["yes", "perhaps", "no"]
"""Whether two recordings are the same."""


@dataclass(frozen=True)
class Limits:
    """Limits of a call.

    Parameters
    ----------
    ratio : float
        Minimum ratio of the second distance to the first (ratio test of Lowe, Distinctive image
        features from scale-invariant keypoints, IJCV 2004).
    direct, deviation : float [range=[0, 1]]
        Maximum distances of the first recording.
    """

    ratio: float
    direct: float
    deviation: float


ONE_SEGMENT: dict[Call, Limits] = {"yes": Limits(2.0, 0.2, 0.3), "perhaps": Limits(1.4, 0.3, 0.5)}
"""Limits by one segment, of which all must be kept."""

SEVERAL_SEGMENTS: dict[Call, Limits] = {
    "yes": Limits(5.0, 1.0, 0.5),
    "perhaps": Limits(2.0, 1.0, 0.6),
}
"""Limits by several segments. A re-encoding may have any direct distance."""


@dataclass(frozen=True)
class Distances:
    """Distances of a recording from n known ones, by its segments.

    Parameters
    ----------
    direct : np.ndarray [shape=(n,), range=[0, 1], float64]
        By the segments: 0 for the same ones, 1 for a known recording without segments.
    deviation : np.ndarray [shape=(n,), range=[0, 1], float64]
        By the segments' deviations from the mean of their recording. A single segment is compared
        by its deviation from the mean of the known recording.
    segments : int
        Number of the recording's segments, at least 1.
    """

    direct: np.ndarray
    deviation: np.ndarray
    segments: int

    @property
    def total(self) -> np.ndarray:
        """The distances to rank by [shape=(n,)]."""
        return self.direct if self.segments == 1 else self.direct * self.deviation

    def call(self, same: np.ndarray) -> Call:
        """Return whether the nearest recording is the same.

        Parameters
        ----------
        same : np.ndarray [shape=(n,), bool]
            Whether a known recording is the nearest one or a copy of it. Copies do not count as
            second.

        Returns
        -------
        {"yes", "perhaps", "no"}
            "no" without a second recording.

        Examples
        --------
        >>> distances = Distances(np.array([0.1, 0.5]), np.array([0.2, 0.9]), segments=4)
        >>> distances.call(np.array([True, False]))
        'yes'
        >>> Distances(np.array([0.5, 0.6]), np.array([0.5, 0.6]), 4).call(np.array([True, False]))
        'no'
        """
        others = self.total[~same]
        if not len(others):
            return "no"
        nearest = int(self.total.argmin())
        for call, limit in (ONE_SEGMENT if self.segments == 1 else SEVERAL_SEGMENTS).items():
            if (
                self.total[nearest] * limit.ratio <= others.min()
                and self.direct[nearest] <= limit.direct
                and self.deviation[nearest] <= limit.deviation
            ):
                return call
        return "no"


def distances(segments: np.ndarray, known: np.ndarray, owners: np.ndarray, n: int) -> Distances:
    """Return the distances of a recording from n known ones, by their segments.

    Parameters
    ----------
    segments : np.ndarray [shape=(m, d), float64]
        z-scores of the recording's segments; m is at least 1.
    known : np.ndarray [shape=(p, d), float64]
        z-scores of the segments of the known recordings, by the same scaling, in playing order.
    owners : np.ndarray [shape=(p,), range=[0, n), int]
        Recording of each known segment, ascending.
    n : int
        Number of known recordings.

    Examples
    --------
    >>> known = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> distances(known[:1], known, owners=np.array([0, 0, 1, 1]), n=2).direct
    array([0., 1.])
    """
    counts = np.maximum(np.bincount(owners, minlength=n), 1)
    means = np.zeros((n, known.shape[1]))
    np.add.at(means, owners, known)
    means /= counts[:, np.newaxis]
    # A segment of an excerpt starts anywhere, and so overlaps two consecutive known ones.
    overlapped = np.flatnonzero(owners[1:] == owners[:-1])
    known = np.concatenate([known, (known[overlapped] + known[overlapped + 1]) / 2])
    owners = np.concatenate([owners, owners[overlapped]])
    order = np.argsort(owners, kind="stable")
    known, owners = known[order], owners[order]
    unit_known, deviations = _unit(known), _unit(known - means[owners])
    direct = np.zeros(n)
    deviation = np.zeros(n)
    for start in range(0, len(segments), BLOCK):
        block = segments[start : start + BLOCK]
        direct += _sum_of_best(_unit(block) @ unit_known.T, owners, n)
        if len(segments) == 1:
            centred = _unit(block - means)
            cosines = np.einsum("pd,pd->p", centred[owners], deviations)[np.newaxis]
        else:
            cosines = _unit(block - segments.mean(axis=0)) @ deviations.T
        deviation += _sum_of_best(cosines, owners, n)
    return Distances(1 - direct / len(segments), 1 - deviation / len(segments), len(segments))


def _sum_of_best(cosines: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """Return, per recording, the sum over segments of the best cosine, 0 or more [shape=(n,)].

    ``cosines`` [shape=(m, p)] are those of the segments with the known ones.
    """
    sums = np.zeros(n)
    if len(owners):
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        best = np.maximum(np.maximum.reduceat(cosines, starts, axis=1), 0)
        sums[owners[starts]] = best.sum(axis=0)
    return sums


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
