"""Exact nearest neighbours of every vector, tile by tile.

The vectors are cut into tiles, and every pair of tiles is compared once, in any order and in any
process. The candidates found are added to the lists of both tiles. The worst entry of a list is a
floor for the comparisons that follow: similarities that do not exceed it are skipped.

Neighbours are ranked by score: their cosine less their offset. Offsets correct hubness
(:mod:`recommend.metric`); without them, the score is the cosine. Tiles are compared by similarity,
the cosine less the offsets of both vectors, so that one product serves the lists of both.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommend.arrangement import arrange
from recommend.topk import (
    GROUP,
    MAX_INDEX,
    Side,
    cosines_of,
    error_bound,
    insert_exactly,
    merge,
    rank_exactly,
    scan_block,
)

BLOCK_COLUMNS = 512
"""Columns of a block: a group of their coordinates fits in a core's L1 cache."""

SLACK = 2
"""Entries of a list beyond k, for scores too close to tell apart in single precision."""

WINDOW = 1024
"""Consecutive vectors that are compared first, to set the first floors of a tile."""

TILES = 12
"""Target number of tiles; their 78 pairs keep a dozen workers busy."""

MIN_TILE_ROWS, MAX_TILE_ROWS = 4096, 32768
"""Vectors per tile. Small tiles mean many messages; large ones mean a long wait for the last."""

MAX_DUPLICATES = 100
"""Maximum number of duplicates kept per vector: those of smallest index."""

_UNCLEAR_ROWS = 256

_EMPTY = -1
"""Index of an empty entry."""

_SAFETY = 1.1
"""Factor that covers the rounding of an error bound to single precision."""


@dataclass(frozen=True)
class Tile:
    """Consecutive vectors in the order of comparison.

    Parameters
    ----------
    start : int
        Position of the first vector.
    indices : np.ndarray [shape=(n,), int32]
        Index of each vector among all.
    exact : np.ndarray [shape=(n, d), float64]
        The vectors in double precision.
    coordinates : np.ndarray [shape=(n, c), float32]
        The rotated vectors, with zeros up to a multiple of :data:`recommend.topk.GROUP`.
    rests : np.ndarray [shape=(c / GROUP + 1, n), float32]
        Norm of the coordinates after the first 0, 1, 2... groups.
    offsets : np.ndarray [shape=(n,), float32] or None
        Offset of each vector as a neighbour.
    error : float
        Bound on the error of similarities within the tile, and of their upper bounds.
    """

    start: int
    indices: np.ndarray
    exact: np.ndarray
    coordinates: np.ndarray
    rests: np.ndarray
    offsets: np.ndarray | None
    error: float

    @classmethod
    def of(
        cls,
        start: int,
        indices: np.ndarray,
        vectors: np.ndarray,
        rotation: np.ndarray,
        offsets: np.ndarray | None = None,
    ) -> "Tile":
        """Make a tile of vectors [shape=(n, d), float64] of length one or less.

        Examples
        --------
        >>> tile = Tile.of(0, np.array([7]), np.array([[0.6, 0.8]]), np.eye(2))
        >>> tile.coordinates
        array([[0.6, 0.8, 0. , 0. , 0. , 0. , 0. , 0. ]], dtype=float32)
        >>> tile.rests
        array([[1.],
               [0.]], dtype=float32)
        """
        n, d = vectors.shape
        groups = -(-d // GROUP)
        coordinates = np.zeros((n, groups * GROUP), np.float32)
        coordinates[:, :d] = vectors @ rotation
        energy = np.square(coordinates, dtype=np.float64).reshape(n, groups, GROUP).sum(axis=2)
        rests = np.zeros((groups + 1, n), np.float32)
        rests[:-1] = np.sqrt(energy[:, ::-1].cumsum(axis=1)[:, ::-1]).T
        return cls(
            start=start,
            indices=indices.astype(np.int32),
            exact=vectors,
            coordinates=coordinates,
            rests=rests,
            offsets=None if offsets is None else offsets.astype(np.float32),
            error=_product_error(vectors, offsets),
        )


def factors(vectors: np.ndarray, offsets: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of similarities, in single precision.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors u of length one or less.
    offsets : np.ndarray [shape=(n,), float64] or None
        Offset c of each vector as a neighbour.

    Returns
    -------
    left, right : np.ndarray [shape=(n, d) or (n, d + 2), float32]
        The vectors; with offsets, ``(u, 1, -c)`` and ``(u, -c, 1)``.

    Examples
    --------
    >>> left, right = factors(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([0.0, 0.5]))
    >>> (left @ right.T).round(2)
    array([[1. , 0.1],
           [0.1, 0. ]], dtype=float32)
    """
    single = vectors.astype(np.float32)
    if offsets is None:
        return single, single
    lowered, ones = -offsets.astype(np.float32), np.ones(len(single), np.float32)
    return np.column_stack([single, ones, lowered]), np.column_stack([single, lowered, ones])


@dataclass(frozen=True)
class Candidates:
    """Candidates for the lists of two tiles, and duplicates between the tiles.

    Parameters
    ----------
    rows, indices : np.ndarray [shape=(m,), int64 and int32]
        The vector ``indices[i]`` may be among the nearest of the vector ``rows[i]``.
    similarities : np.ndarray [shape=(m,), float32]
        Similarity of each such pair.
    duplicates : np.ndarray [shape=(p, 2), int64]
        Pairs of duplicates, the smaller index first.
    duplicate_cosines : np.ndarray [shape=(p,), float64]
        Cosine of each pair of duplicates.
    """

    rows: np.ndarray
    indices: np.ndarray
    similarities: np.ndarray
    duplicates: np.ndarray
    duplicate_cosines: np.ndarray


def compare_tiles(
    one: Tile,
    other: Tile,
    floors: tuple[np.ndarray, np.ndarray],
    size: int,
    duplicate_from: float,
) -> Candidates:
    """Return the candidates among the similarities of two tiles.

    Parameters
    ----------
    one, other : Tile
        ``other`` is ``one`` itself or a later tile.
    floors : tuple of np.ndarray [shape=(n,), float32]
        Worst entries of the lists of each tile, possibly outdated. Candidates exceed them.
    size : int
        Entries per list.
    duplicate_from : float [range=[-1, 1]]
        Minimum cosine of duplicates. With offsets, none are sought.

    Returns
    -------
    Candidates

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    >>> tile = Tile.of(0, np.arange(3), vectors, rotation=np.eye(2))
    >>> floors = np.full(3, -np.inf, np.float32)
    >>> found = compare_tiles(tile, tile, (floors, floors), size=1, duplicate_from=0.9999)
    >>> found.rows, found.indices
    (array([0, 1, 2]), array([2, 0, 0], dtype=int32))
    >>> found.duplicates
    array([[0, 2]])
    """
    if other is one:
        raised = _raise_floors(one, floors[0], size)
        floors = raised, raised
    cap: np.float32 = np.float32(np.inf)
    limit = 0
    if one.offsets is None:
        cap = np.nextafter(np.float32(duplicate_from - _SAFETY * one.error), np.float32(-2))
        limit = MAX_DUPLICATES
    first = _empty_lists(one, floors[0], size, cap, limit)
    second = first if other is one else _empty_lists(other, floors[1], size, cap, limit)
    # A block's columns stay cached while all rows pass.
    for j in range(0, len(other.indices), BLOCK_COLUMNS):
        columns = _part(second, j, j + BLOCK_COLUMNS)
        rows = _part(first, 0, j + BLOCK_COLUMNS) if other is one else first
        scan_block(rows, columns, duplicate_from, cap)
    sides = [first] if other is one else [first, second]
    entries = [_entries(side, side.indices, side.similarities, _EMPTY) for side in sides]
    copies = [_entries(side, side.duplicate_keys, side.duplicate_cosines, 0) for side in sides]
    listed, indices, similarities = map(np.concatenate, zip(*entries, strict=True))
    later, keys, cosines = map(np.concatenate, zip(*copies, strict=True))
    return Candidates(
        rows=listed,
        indices=indices,
        similarities=similarities,
        duplicates=np.stack([MAX_INDEX - keys, later], axis=1).astype(np.int64),
        duplicate_cosines=cosines,
    )


def _empty_lists(tile: Tile, floors: np.ndarray, size: int, cap: np.float32, limit: int) -> Side:
    """Empty lists (index -1), filled with each row's current floor."""
    n = len(floors)
    return Side(
        start=tile.start,
        rests=tile.rests,
        ids=tile.indices,
        vectors=tile.exact,
        coordinates=tile.coordinates,
        offsets=np.zeros(n, np.float32) if tile.offsets is None else tile.offsets,
        similarities=np.repeat(floors[:, np.newaxis], size, axis=1),
        indices=np.full((n, size), _EMPTY, np.int32),
        floors=np.minimum(cap, floors),
        duplicate_keys=np.zeros((n, limit), np.int32),
        duplicate_cosines=np.empty((n, limit)),
    )


def _part(side: Side, start: int, stop: int) -> Side:
    rests = np.ascontiguousarray(side.rests[:, start:stop])
    return Side(side.start + start, rests, *(array[start:stop] for array in side[2:]))


def _product_error(vectors: np.ndarray, offsets: np.ndarray | None) -> float:
    """Return a bound on the error of the vectors' similarities in single precision."""
    greatest = 0.0 if offsets is None else float(np.abs(offsets).max(initial=0.0))
    # One term more: the product of the rests.
    return error_bound(vectors.shape[1] + 1, greatest)


def _raise_floors(tile: Tile, floors: np.ndarray, size: int) -> np.ndarray:
    """Raise the floors of a tile to the ``size``-th best similarity with vectors close by.

    Adding to a list costs far more than a similarity, and most entries would soon be replaced.
    """
    n = len(floors)
    if n <= WINDOW or size >= WINDOW // 2:
        return floors
    similarities = np.empty(n, np.float32)
    rows = WINDOW // 2
    for i in range(0, n, rows):
        start = min(max(0, i - rows // 2), n - WINDOW)
        window = slice(start, start + WINDOW)
        block = tile.coordinates[i : i + rows] @ tile.coordinates[window].T
        if tile.offsets is not None:
            block -= tile.offsets[i : i + rows, np.newaxis] + tile.offsets[window]
        # One more, because the vector itself is in the window.
        similarities[i : i + rows] = np.partition(block, -(size + 1), axis=1)[:, -(size + 1)]
    # Another matrix product may round the similarity of the same vectors differently.
    raised: np.ndarray = np.maximum(floors, similarities - np.float32(3 * _SAFETY * tile.error))
    return raised


def _entries(
    side: Side, keys: np.ndarray, values: np.ndarray, empty: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the indices of the vectors, the keys and the values of all entries of their heaps."""
    rows, columns = np.nonzero(keys != empty)
    return side.ids[rows].astype(np.int64), keys[rows, columns], values[rows, columns]


class Neighbours:
    """The lists of all vectors, which candidates are added to.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one or less, as from :meth:`recommend.metric.Metric.vectors`.
    k : int [range=[1, n)]
        Neighbours per vector.
    offsets : np.ndarray [shape=(n,), float64], optional
        Offset of each vector as a neighbour, as from :meth:`recommend.metric.Metric.offsets`. The
        tiles need the same ones.
    """

    def __init__(self, vectors: np.ndarray, k: int, offsets: np.ndarray | None = None) -> None:
        self._vectors = vectors
        self._offsets = np.zeros(len(vectors)) if offsets is None else offsets
        self._corrected = offsets is not None
        self._error = _SAFETY * _product_error(vectors, offsets)
        self.k = k
        self.size = max(1, min(k + SLACK, len(vectors) - 1))
        self._similarities = np.full((len(vectors), self.size), -np.inf, np.float32)
        self._indices = np.full((len(vectors), self.size), _EMPTY, np.int32)
        self._duplicates: list[np.ndarray] = []
        self._duplicate_cosines: list[np.ndarray] = []

    def floors(self, indices: np.ndarray) -> np.ndarray:
        """Return the worst entries of some vectors' lists [shape=(m,), float32]."""
        return np.asarray(self._similarities[indices, 0])

    def add(self, candidates: Candidates) -> None:
        """Add the candidates of a pair of tiles."""
        new = candidates.rows, candidates.similarities, candidates.indices
        merge(self._similarities, self._indices, *new)
        self._duplicates.append(candidates.duplicates)
        self._duplicate_cosines.append(candidates.duplicate_cosines)

    def lists(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest of the vectors ``start`` to ``stop``.

        Call it after all pairs of tiles have been compared and added.

        Returns
        -------
        indices : np.ndarray [shape=(stop - start, k), int64]
            By descending score; ties by ascending index. The scores are
            ``cosines - offsets[indices]``, to the bit.
        cosines : np.ndarray [shape=(stop - start, k), float64]
        """
        entries = self._similarities[start:stop], self._indices[start:stop]
        indices, scores, gaps = rank_exactly(self._vectors, self._offsets, start, *entries, self.k)
        if self.size < len(self._vectors) - 1:
            # Within the error bound, a vector outside the list may be nearer than the k-th.
            unclear = np.flatnonzero(gaps <= self._error)
            for first in range(0, len(unclear), _UNCLEAR_ROWS):
                rows = unclear[first : first + _UNCLEAR_ROWS]
                indices[rows], scores[rows] = self._compare_all(rows + start, scores[rows, -1])
        if not self._corrected:
            return indices, scores
        return indices, cosines_of(self._vectors, start, indices)

    def _compare_all(self, rows: np.ndarray, kth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest of the vectors ``rows`` among all, from a lower bound on the k-th."""
        shape = len(rows), self.k
        scores, indices = np.full(shape, -np.inf), np.full(shape, np.iinfo(np.int64).max)
        floors = (kth - self._offsets[rows] - self._error).astype(np.float32)
        left = self._factors(rows)[0]
        for start in range(0, len(self._vectors), MIN_TILE_ROWS):
            right = self._factors(slice(start, start + MIN_TILE_ROWS))[1]
            lists = floors, scores, indices
            insert_exactly(left @ right.T, start, rows, self._vectors, self._offsets, lists)
        return indices, scores

    def _factors(self, part: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        return factors(self._vectors[part], self._offsets[part] if self._corrected else None)

    def duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of duplicates, in order, and their cosines.

        Each vector keeps the first :data:`MAX_DUPLICATES` duplicates of smaller index.

        Returns
        -------
        pairs : np.ndarray [shape=(p, 2), int64]
            The smaller index first.
        cosines : np.ndarray [shape=(p,), float64]
        """
        pairs = np.concatenate([np.empty((0, 2), np.int64), *self._duplicates])
        cosines = np.concatenate([np.empty(0), *self._duplicate_cosines])
        order = np.lexsort((pairs[:, 0], pairs[:, 1]))
        later = pairs[order, 1]
        rank = np.arange(len(later)) - np.searchsorted(later, later)
        order = order[rank < MAX_DUPLICATES]
        order = order[np.lexsort((pairs[order, 1], pairs[order, 0]))]
        return pairs[order], cosines[order]


def tile_rows(n: int) -> int:
    """Return the number of vectors per tile for n vectors.

    Examples
    --------
    >>> tile_rows(1_000), tile_rows(100_000), tile_rows(10_000_000)
    (4096, 8704, 32768)
    """
    step = BLOCK_COLUMNS
    return min(MAX_TILE_ROWS, max(MIN_TILE_ROWS, -(-n // (TILES * step)) * step))


def tile_pairs(n_tiles: int) -> Iterator[tuple[int, int]]:
    """Yield each pair of tiles once.

    Each tile is first paired with itself, which fills its lists and so raises the floors.

    Examples
    --------
    >>> list(tile_pairs(3))
    [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)]
    """
    for gap in range(n_tiles):
        for i in range(n_tiles - gap):
            yield i, i + gap


def nearest(
    vectors: np.ndarray,
    k: int,
    *,
    offsets: np.ndarray | None = None,
    duplicate_from: float = 0.9999,
) -> Neighbours:
    """Find the nearest neighbours of every vector, in this process.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one or less, as from :meth:`recommend.metric.Metric.vectors`.
    k : int [range=[1, n)]
        Neighbours per vector.
    offsets : np.ndarray [shape=(n,), float64], optional
        What is taken off the cosines with each vector, as a neighbour.
    duplicate_from : float [range=[-1, 1]]
        Minimum cosine of duplicates. With offsets, none are sought.

    Returns
    -------
    Neighbours

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    >>> neighbours = nearest(vectors, 2)
    >>> indices, cosines = neighbours.lists(0, 4)
    >>> indices
    array([[3, 2],
           [2, 0],
           [1, 0],
           [0, 2]])
    >>> cosines[0]
    array([1. , 0.8])
    >>> neighbours.duplicates()
    (array([[0, 3]]), array([1.]))
    >>> nearest(vectors, 2, offsets=np.array([0.0, 0.0, 0.0, 0.3])).lists(0, 1)[0]
    array([[2, 3]])
    """
    n = len(vectors)
    rows = tile_rows(n)
    order, rotation = arrange(vectors)
    tiles = []
    for start in range(0, n, rows):
        part = order[start : start + rows]
        own = None if offsets is None else offsets[part]
        tiles.append(Tile.of(start, part, vectors[part], rotation, own))
    lists = Neighbours(vectors, k, offsets)
    for i, j in tile_pairs(len(tiles)):
        one, other = tiles[i], tiles[j]
        floors = lists.floors(one.indices), lists.floors(other.indices)
        lists.add(compare_tiles(one, other, floors, lists.size, duplicate_from))
    return lists
