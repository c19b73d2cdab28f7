"""Exact nearest neighbours after some vectors of a collection have changed.

Changed vectors, and those that have lost a neighbour, are compared with all others. Every other
list can only have gained a changed vector, so it is merged with those that reach its last entry.
The result equals that of :mod:`recommend.neighbours` for all vectors, to the bit.

Products in single precision choose the candidates. They are off by no more than a bound, and the
scores of the candidates are computed again exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommend.neighbours import MAX_DUPLICATES, factors
from recommend.topk import cosines_of_pairs, error_bound, merge

COLUMNS = 8192
"""Vectors that are compared with a block of queries at a time."""

QUERIES = 256
"""Queries per block."""

_SAFETY = 1.1
"""Factor that covers the rounding of an error bound to single precision."""


@dataclass(frozen=True)
class Lists:
    """Nearest neighbours of every vector, and pairs of duplicates.

    Parameters
    ----------
    indices : np.ndarray [shape=(n, k), int64]
        Neighbours by descending score; ties by ascending index.
    cosines : np.ndarray [shape=(n, k), float64]
        Their cosines.
    pairs : np.ndarray [shape=(p, 2), int64]
        Pairs of duplicates in order, the smaller index first.
    pair_cosines : np.ndarray [shape=(p,), float64]
        Their cosines.
    """

    indices: np.ndarray
    cosines: np.ndarray
    pairs: np.ndarray
    pair_cosines: np.ndarray

    def is_stale(self, is_changed: np.ndarray) -> np.ndarray:
        """Return which lists must be searched again [shape=(n,), bool].

        They are those of changed vectors, and those with a neighbour that is gone or changed.
        """
        return np.asarray(is_changed | (self.indices < 0).any(axis=1))

    def lists(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the neighbours of the vectors ``start`` to ``stop``, and their cosines."""
        return self.indices[start:stop], self.cosines[start:stop]

    def duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of duplicates, and their cosines."""
        return self.pairs, self.pair_cosines


@dataclass(frozen=True)
class _Candidates:
    """Pairs of vectors: a candidate ``other`` for the list of ``row``."""

    row: np.ndarray
    other: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """The pairs [shape=(m, 2), int64]."""
        return np.stack([self.row, self.other], axis=1)


def update(
    vectors: np.ndarray,
    offsets: np.ndarray | None,
    known: Lists,
    is_changed: np.ndarray,
    *,
    duplicate_from: float | None,
) -> Lists | None:
    """Return the lists of all vectors from those before a change.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one or less.
    offsets : np.ndarray [shape=(n,), float64] or None
        Offset of each vector as a neighbour.
    known : Lists
        The earlier lists, by the present indices. A negative index marks a neighbour that is gone
        or changed. Pairs of duplicates are those of unchanged vectors.
    is_changed : np.ndarray [shape=(n,), bool]
        New and changed vectors; their lists are ignored.
    duplicate_from : float [range=[-1, 1]] or None
        Minimum cosine of duplicates; None: none are sought.

    Returns
    -------
    Lists or None
        None if a vector has more than :data:`recommend.neighbours.MAX_DUPLICATES` duplicates, of
        which the known pairs are only the first.

    Examples
    --------
    A fourth vector comes to three, between the first two:

    >>> vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.96, 0.28]])
    >>> known = Lists(np.array([[1], [0], [1], [-1]]), np.array([[0.8], [0.8], [0.6], [0.0]]),
    ...               np.empty((0, 2), int), np.empty(0))
    >>> found = update(vectors, None, known, np.arange(4) == 3, duplicate_from=0.9999)
    >>> found.indices.ravel()
    array([3, 3, 1, 0])
    """
    n, k = known.indices.shape
    own = np.zeros(n) if offsets is None else offsets
    is_stale = known.is_stale(is_changed)
    last = np.full(n, np.inf)
    if k:
        fresh = np.flatnonzero(~is_stale)
        last[fresh] = known.cosines[fresh, -1] - own[known.indices[fresh, -1]]
    error = _SAFETY * error_bound(vectors.shape[1], float(np.abs(own).max(initial=0.0)))
    queries = np.flatnonzero(is_stale)
    searched, entering, duplicates = _compare(
        vectors, offsets, queries, is_changed, k, last - own, error, duplicate_from
    )
    indices, cosines = known.indices.copy(), known.cosines.copy()
    indices[queries] = -1
    _insert(vectors, own, indices, cosines, searched)
    _insert(vectors, own, indices, cosines, entering)
    pairs, pair_cosines = known.pairs, known.pair_cosines
    if duplicate_from is not None:
        found = np.unique(np.sort(duplicates.pairs, axis=1), axis=0)
        exact = cosines_of_pairs(vectors, found)
        found, exact = found[exact >= duplicate_from], exact[exact >= duplicate_from]
        pairs, pair_cosines = np.concatenate([pairs, found]), np.append(pair_cosines, exact)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        pairs, pair_cosines = pairs[order], pair_cosines[order]
        if np.bincount(pairs[:, 1]).max(initial=0) >= MAX_DUPLICATES:
            return None
    return Lists(indices, cosines, pairs, pair_cosines)


def _compare(  # noqa: PLR0917
    vectors: np.ndarray,
    offsets: np.ndarray | None,
    queries: np.ndarray,
    is_changed: np.ndarray,
    k: int,
    last: np.ndarray,
    error: float,
    duplicate_from: float | None,
) -> tuple[_Candidates, _Candidates, _Candidates]:
    """Compare queries with all vectors.

    Returns
    -------
    searched : _Candidates
        Candidates for the lists of the queries.
    entering : _Candidates
        Changed vectors that may enter the list of another vector: their similarity reaches its
        ``last``.
    duplicates : _Candidates
        Pairs that may be duplicates.
    """
    found: tuple[list[np.ndarray], ...] = ([], [], [], [], [], [])
    tops = np.full((len(queries), max(k, 1)), -np.inf, np.float32)
    top_indices = np.full(tops.shape, -1, np.int32)
    for start in range(0, len(vectors), COLUMNS):
        part = slice(start, start + COLUMNS)
        right = factors(vectors[part], None if offsets is None else offsets[part])[1]
        for first in range(0, len(queries), QUERIES):
            rows = queries[first : first + QUERIES]
            left = factors(vectors[rows], None if offsets is None else offsets[rows])[0]
            block = left @ right.T
            inside = np.flatnonzero((rows >= start) & (rows < start + len(right)))
            block[inside, rows[inside] - start] = -np.inf
            if k:
                top, indices = tops[first : first + QUERIES], top_indices[first : first + QUERIES]
                floors = top[:, 0]
                if start == 0 and len(right) > k + 1:
                    floors = np.partition(block, -k, axis=1)[:, -k]
                row, column = np.nonzero(block >= (floors - 2 * error)[:, np.newaxis])
                row, column = _finite(block, row, column)
                found[0].append(rows[row])
                found[1].append(column + start)
                merge(top, indices, row, block[row, column], (column + start).astype(np.int32))
            changed = np.flatnonzero(is_changed[rows])
            if not len(changed):
                continue
            of_changed = block[changed]
            row, column = np.nonzero(of_changed >= (last[part] - error).astype(np.float32))
            found[2].append(column + start)
            found[3].append(rows[changed[row]])
            if duplicate_from is not None:
                row, column = np.nonzero(of_changed >= duplicate_from - error)
                found[4].append(rows[changed[row]])
                found[5].append(column + start)
    arrays = [np.concatenate([np.empty(0, np.int64), *one]) for one in found]
    return _Candidates(*arrays[:2]), _Candidates(*arrays[2:4]), _Candidates(*arrays[4:])


def _finite(
    block: np.ndarray, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries that are not minus infinity: a vector is no neighbour of its own."""
    kept = block[row, column] > -np.inf
    return row[kept], column[kept]


def _insert(
    vectors: np.ndarray,
    offsets: np.ndarray,
    indices: np.ndarray,
    cosines: np.ndarray,
    candidates: _Candidates,
) -> None:
    """Insert candidates into sorted lists, by their exact scores. An empty list has indices -1."""
    k = indices.shape[1]
    exact = cosines_of_pairs(vectors, candidates.pairs)
    for row, piece in _by_row(candidates.row):
        others, values = candidates.other[piece], exact[piece]
        if indices[row, 0] >= 0:
            others = np.append(others, indices[row])
            values = np.append(values, cosines[row])
        best = np.lexsort((others, -(values - offsets[others])))[:k]
        indices[row], cosines[row] = others[best], values[best]


def _by_row(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each value of an array, and the indices of its occurrences."""
    order = np.argsort(rows, kind="stable")
    values, starts, counts = np.unique(rows[order], return_index=True, return_counts=True)
    for value, start, count in zip(values.tolist(), starts, counts, strict=True):
        yield value, order[start : start + count]
