"""Groups of vectors that are the same recording, without comparing all pairs.

Vectors of length one with cosine c have the distance sqrt(2 - 2 c), and projections have at most
that distance. So the vectors are sorted by their first two principal components, in strips, and
only those near to each other in a strip or the next one are compared.
"""

import numpy as np

from compiling.compiled import compiled, inlined

COMPONENTS = 8
"""Principal components that are compared first, because they are together in memory."""

MIN_REACH = 1e-3
"""Minimum width of a strip, which limits their number to 2,000."""

_SLACK = 1e-9
"""Bound on the rounding of a distance."""


def same_recording(vectors: np.ndarray, cosine: float) -> np.ndarray:
    """Group the vectors that are connected by pairs with at least some cosine.

    Vectors may be connected through others. The result is exact. 1,000,000 vectors of 57 features
    take some seconds.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one, or zero; zero vectors are equal to each other.
    cosine : float [range=(0.5, 1]]
        Minimum cosine of a pair.

    Returns
    -------
    np.ndarray [shape=(n,), range=[0, n), int64]
        Group of each vector: the index of the group's first vector.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.6, 0.8]])
    >>> same_recording(vectors, 0.95)
    array([0, 1, 2, 2])
    >>> same_recording(vectors, 0.79)
    array([0, 0, 0, 0])
    """
    n, d = vectors.shape
    if not n:
        return np.empty(0, np.int64)
    limit = 2 - 2 * cosine
    reach = max(np.sqrt(limit), MIN_REACH) + _SLACK
    mean = vectors.mean(axis=0)
    components = np.linalg.eigh(vectors.T @ vectors - n * np.outer(mean, mean))[1]
    axes = np.zeros((d, COMPONENTS))
    axes[:, : min(d, COMPONENTS)] = components[:, ::-1][:, :COMPONENTS]
    projected = vectors @ axes
    strips = np.floor(projected[:, 0] / reach).astype(np.int64)
    strips -= strips.min()
    order = np.lexsort((projected[:, 1], strips))
    strips = strips[order]
    starts = np.searchsorted(strips, np.arange(strips[-1] + 2))
    second, others = projected[order, 1], np.ascontiguousarray(projected[order, 2:])
    vectors = np.ascontiguousarray(vectors)
    groups = _connect(vectors, order, second, others, strips, starts, reach, limit)
    first = np.full(n, n)
    np.minimum.at(first, groups, np.arange(n))
    return np.asarray(first[groups])


@compiled
def _connect(  # noqa: PLR0917  # kernels take no keyword arguments
    vectors: np.ndarray,
    order: np.ndarray,
    second: np.ndarray,
    others: np.ndarray,
    strips: np.ndarray,
    starts: np.ndarray,
    reach: float,
    limit: float,
) -> np.ndarray:
    """Return a number for the group of each vector, the index of one of its vectors.

    A vector that has joined a group is not compared with later ones of the group, so even a
    collection of copies takes linear time.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
    order : np.ndarray [shape=(n,), int64]
        Indices of the vectors by strip, and by the second component within a strip.
    second, others : np.ndarray [shape=(n,) and (n, COMPONENTS - 2), float64]
        Second component, and those after it, in this order.
    strips : np.ndarray [shape=(n,), int64]
        Strip of each vector, in this order.
    starts : np.ndarray [shape=(n_strips + 1,), int64]
        First position of each strip.
    reach : float
        Maximum distance of the projections of a pair.
    limit : float
        Maximum squared distance of a pair.
    """
    n = len(order)
    groups = np.empty(n, np.int64)
    pending = np.arange(n + 1)  # links to the next position without a group
    stack = np.empty(n, np.int64)
    for seed in range(n):
        if pending[seed] != seed:
            continue
        pending[seed] = seed + 1
        stack[0] = seed
        size = 1
        while size:
            size -= 1
            here = stack[size]
            groups[order[here]] = order[seed]
            for strip in range(max(strips[here] - 1, 0), min(strips[here] + 2, len(starts) - 1)):
                start, stop = starts[strip], starts[strip + 1]
                start += np.searchsorted(second[start:stop], second[here] - reach)
                other = _next(pending, start)
                while other < stop and second[other] <= second[here] + reach:
                    if _within(others[here], others[other], reach * reach) and _within(
                        vectors[order[here]], vectors[order[other]], limit
                    ):
                        pending[other] = other + 1
                        stack[size] = other
                        size += 1
                    other = _next(pending, other + 1)
    return groups


@inlined
def _next(pending: np.ndarray, position: int) -> int:
    """Return the first position from this one on without a group; shorten the way there."""
    while pending[position] != position:
        pending[position] = pending[pending[position]]
        position = pending[position]
    return position


@inlined
def _within(x: np.ndarray, y: np.ndarray, limit: float) -> bool:
    """Return whether the squared distance of two vectors is at most ``limit``."""
    total = 0.0
    for c in range(len(x)):
        total += (x[c] - y[c]) ** 2
        if total > limit:
            return False
    return True
