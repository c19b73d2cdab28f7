"""The nearest neighbours of every vector, exactly, tile by tile.

Vectors are cut into tiles. Every two tiles meet once, in any order and on any worker; what is found
there goes into the lists of both. What a list holds by then says which cosines need not be looked
at in the meetings that follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommend.topk import (
    Block,
    Pairs,
    Side,
    enter_exactly,
    margin,
    merge,
    scan,
    settle,
)

BLOCK = (512, 1024)
"""Rows and columns of cosines that are computed together: they stay in a core's second cache."""

SLACK = 2
"""So many entries more than are wanted does a list have, for cosines too close to tell apart."""

SAMPLE = 2048
"""So many cosines of a vector say, before all others, what cannot be among its nearest."""

TILES = 12
"""So many tiles are enough for some dozen workers."""

LEAST_TILE, MOST_TILE = 4096, 32768
"""Vectors of a tile. Small ones make many messages; for the last large one all others wait."""

MOST_DUPLICATES = 100
"""So many duplicates of a vector are kept, those of the smallest index."""

_NOBODY = -1

_SAFE = 1.1
"""More than the rounding of a bound to single precision."""


@dataclass(frozen=True)
class Tile:
    """Some consecutive vectors.

    Parameters
    ----------
    start : int
        The index of the first among all.
    exact : np.ndarray [shape=(n, d), float64]
        The vectors.
    single : np.ndarray [shape=(n, d), float32]
        The same.
    """

    start: int
    exact: np.ndarray
    single: np.ndarray

    @classmethod
    def of(cls, start: int, vectors: np.ndarray) -> "Tile":
        """Make a tile of vectors of length one or zero [shape=(n, d), float64]."""
        return cls(start, vectors, vectors.astype(np.float32))

    @property
    def stop(self) -> int:
        """The index after the last vector's."""
        return self.start + len(self.exact)


@dataclass(frozen=True)
class Found:
    """What two tiles found in each other.

    Parameters
    ----------
    rows, indices : np.ndarray [shape=(m,), int64 and int32]
        That the vector ``indices[i]`` may be among the nearest of ``rows[i]``.
    cosines : np.ndarray [shape=(m,), float32]
        Of these two.
    duplicates : np.ndarray [shape=(p, 2), int64]
        Pairs that are duplicates, the smaller index first.
    duplicate_cosines : np.ndarray [shape=(p,), float64]
        Of each pair.
    """

    rows: np.ndarray
    indices: np.ndarray
    cosines: np.ndarray
    duplicates: np.ndarray
    duplicate_cosines: np.ndarray


def meet(
    one: Tile,
    other: Tile,
    floors: tuple[np.ndarray, np.ndarray],
    size: int,
    duplicate_from: float,
) -> Found:
    """Compute the cosines of two tiles, and return those that may count.

    Parameters
    ----------
    one, other : Tile
        ``other`` is the same tile, or one that begins where ``one`` ends or later.
    floors : tuple of np.ndarray [shape=(n,), float32]
        The worst entry of each of their lists by now: what is not above it does not enter.
    size : int
        Entries of a list.
    duplicate_from : float
        From which cosine on a pair is a duplicate.
    """
    off = margin(one.single.shape[1])
    if other is one:
        raised = _raised(one, floors[0], size, off)
        floors = raised, raised
    cap = np.nextafter(np.float32(duplicate_from - _SAFE * off), np.float32(-2))
    first = _side(one, floors[0], size, cap)
    second = first if other is one else _side(other, floors[1], size, cap)
    n = len(other.exact)
    shape = n, MOST_DUPLICATES
    pairs = Pairs(np.empty(shape, np.int32), np.empty(shape), np.zeros(n, np.int64))
    rows, columns = BLOCK
    buffer = np.empty(rows * columns, np.float32)
    # The columns' lists, which are met in no order, stay in the cache while the rows change.
    for j in range(0, n, columns):
        for i in range(0, len(one.exact), rows):
            left, right = one.single[i : i + rows], other.single[j : j + columns]
            if other.start + j + len(right) <= one.start + i + 1:
                continue  # all below the diagonal
            cosines = buffer[: len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left, right.T, out=cosines)
            scan(
                Block(cosines, one.start + i, other.start + j, duplicate_from, cap),
                Side(*(array[i : i + rows] for array in first)),
                Side(*(array[j : j + columns] for array in second)),
                Pairs(*(array[j : j + columns] for array in pairs)),
            )
    entered = [_entered(one, first)]
    if other is not one:
        entered.append(_entered(other, second))
    found_rows, found_indices, found_cosines = zip(*entered, strict=True)
    later = np.flatnonzero(pairs.counts)
    kept = np.arange(MOST_DUPLICATES) < pairs.counts[later, np.newaxis]
    both = pairs.indices[later][kept], np.repeat(later, pairs.counts[later]) + other.start
    return Found(
        rows=np.concatenate(found_rows),
        indices=np.concatenate(found_indices),
        cosines=np.concatenate(found_cosines),
        duplicates=np.stack(both, axis=1).astype(np.int64),
        duplicate_cosines=pairs.cosines[later][kept],
    )


def _side(tile: Tile, worst: np.ndarray, size: int, cap: np.float32) -> Side:
    """Return lists of a tile that are full of nobody, at what each has for its worst."""
    return Side(
        vectors=tile.exact,
        cosines=np.repeat(worst[:, np.newaxis], size, axis=1),
        indices=np.full((len(worst), size), _NOBODY, np.int32),
        floors=np.minimum(cap, worst),
    )


def _raised(tile: Tile, worst: np.ndarray, size: int, off: float) -> np.ndarray:
    """Raise the floors of a tile's lists to what a sample of the tile alone would make them.

    Every entry of a list costs far more than a cosine, and most would be pushed out again.
    """
    if len(tile.single) <= SAMPLE or size >= SAMPLE // 2:
        return worst
    sample = tile.single[:: -(-len(tile.single) // SAMPLE)].T
    cosines = np.empty(len(tile.single), np.float32)
    rows = BLOCK[0]
    for i in range(0, len(cosines), rows):
        block = tile.single[i : i + rows] @ sample
        # The vector itself may be in the sample.
        cosines[i : i + rows] = np.partition(block, -(size + 1), axis=1)[:, -(size + 1)]
    # Another product of the same two vectors may be rounded in another way.
    raised: np.ndarray = np.maximum(worst, cosines - np.float32(3 * _SAFE * off))
    return raised


def _entered(tile: Tile, side: Side) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, indices and cosines of what a tile found."""
    rows, places = np.nonzero(side.indices != _NOBODY)
    return rows + tile.start, side.indices[rows, places], side.cosines[rows, places]


class Neighbours:
    """The lists of all vectors, while they are being filled.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Of length one or zero, as from :class:`recommend.vectors.Scaling`.
    k : int
        Neighbours that are wanted of each, below n.
    """

    def __init__(self, vectors: np.ndarray, k: int) -> None:
        self._vectors = vectors
        self.k = k
        self.size = max(1, min(k + SLACK, len(vectors) - 1))
        self._cosines = np.full((len(vectors), self.size), -np.inf, np.float32)
        self._indices = np.full((len(vectors), self.size), _NOBODY, np.int32)
        self._duplicates: list[np.ndarray] = []
        self._duplicate_cosines: list[np.ndarray] = []

    def floors(self, start: int, stop: int) -> np.ndarray:
        """Return the worst entries of the lists ``start`` to ``stop`` [shape=(m,), float32]."""
        return self._cosines[start:stop, 0].copy()

    def add(self, found: Found) -> None:
        """Enter what two tiles found."""
        merge(self._cosines, self._indices, found.rows, found.cosines, found.indices)
        self._duplicates.append(found.duplicates)
        self._duplicate_cosines.append(found.duplicate_cosines)

    def lists(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest of the vectors ``start`` to ``stop``, once all tiles have met.

        Returns
        -------
        indices : np.ndarray [shape=(stop - start, k), int64]
        cosines : np.ndarray [shape=(stop - start, k), float64]
            Descending; equal ones by ascending index.
        """
        entries = self._cosines[start:stop], self._indices[start:stop]
        indices, cosines, clear = settle(self._vectors, start, *entries, self.k)
        if self.size < len(self._vectors) - 1:
            # What is not in a list may be as near as its k-th entry, for all that is known.
            unclear = np.flatnonzero(clear <= _SAFE * margin(self._vectors.shape[1]))
            for first in range(0, len(unclear), BLOCK[0]):
                rows = unclear[first : first + BLOCK[0]]
                indices[rows], cosines[rows] = self._settled(rows + start, cosines[rows, -1])
        return indices, cosines

    def _settled(self, rows: np.ndarray, kth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest of some vectors, of whose k-th best the cosine is no less than kth."""
        shape = len(rows), self.k
        cosines, indices = np.full(shape, -np.inf), np.full(shape, np.iinfo(np.int64).max)
        least = (kth - _SAFE * margin(self._vectors.shape[1])).astype(np.float32)
        left = self._vectors[rows].astype(np.float32)
        for start in range(0, len(self._vectors), LEAST_TILE):
            right = self._vectors[start : start + LEAST_TILE].astype(np.float32)
            enter_exactly(left @ right.T, start, rows, self._vectors, (least, cosines, indices))
        return indices, cosines

    def duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs that are duplicates, in order, and their cosines.

        Of a vector, the :data:`MOST_DUPLICATES` of the smallest index among those
        before it.

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
        place = np.arange(len(later)) - np.searchsorted(later, later)
        order = order[place < MOST_DUPLICATES]
        order = order[np.lexsort((pairs[order, 1], pairs[order, 0]))]
        return pairs[order], cosines[order]


def tile_rows(n: int) -> int:
    """Return of how many vectors a tile is best, for n of them."""
    step = max(BLOCK)
    return min(MOST_TILE, max(LEAST_TILE, -(-n // (TILES * step)) * step))


def meetings(n_tiles: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of tiles, each once: a tile with itself first, which fills its lists."""
    for gap in range(n_tiles):
        for i in range(n_tiles - gap):
            yield i, i + gap


def nearest(vectors: np.ndarray, k: int, *, duplicate_from: float = 0.9999) -> Neighbours:
    """Find the nearest of every vector, in this process.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Of length one or zero, as from :class:`recommend.vectors.Scaling`.
    k : int
        Neighbours of each, 1 to n - 1.
    duplicate_from : float
        From which cosine on a pair is a duplicate.
    """
    n = len(vectors)
    rows = tile_rows(n)
    tiles = [Tile.of(start, vectors[start : start + rows]) for start in range(0, n, rows)]
    known = Neighbours(vectors, k)
    for i, j in meetings(len(tiles)):
        one, other = tiles[i], tiles[j]
        floors = known.floors(one.start, one.stop), known.floors(other.start, other.stop)
        known.add(meet(one, other, floors, known.size, duplicate_from))
    return known
