"""The nearest neighbours of every vector, exactly, tile by tile.

Vectors are cut into tiles. Every two tiles meet once, in any order and on any worker; what is found
there goes into the lists of both. What a list holds by then says which cosines need not be looked
at in the meetings that follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommend.topk import MOST_DUPLICATES, Block, Pairs, Side, margin, merge, padded, scan

BLOCK = (512, 1024)
"""Rows and columns of cosines that are computed together: they stay in a core's second cache."""

SAMPLE = 2048
"""So many cosines of a vector say, before all others, what cannot be among its nearest."""

TILES = 12
"""So many tiles are enough for some dozen workers."""

LEAST_TILE, MOST_TILE = 4096, 32768
"""Vectors of a tile. Small ones make many messages; for the last large one all others wait."""

_NOBODY = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Tile:
    """Some consecutive vectors.

    Parameters
    ----------
    start : int
        The index of the first among all.
    exact : np.ndarray [shape=(n, d), float64]
        The vectors, with zeros up to a multiple of :data:`recommend.topk.LANES` columns.
    single : np.ndarray [shape=(n, d), float32]
        The same, without the zeros.
    """

    start: int
    exact: np.ndarray
    single: np.ndarray

    @classmethod
    def of(cls, start: int, vectors: np.ndarray) -> "Tile":
        """Make a tile of vectors of length one or zero [shape=(n, d), float64]."""
        return cls(start, padded(vectors), vectors.astype(np.float32))

    @property
    def stop(self) -> int:
        """The index after the last vector's."""
        return self.start + len(self.exact)


@dataclass(frozen=True)
class Floors:
    """The worst entry of each list of a tile: what does not beat it does not enter.

    Parameters
    ----------
    cosines : np.ndarray [shape=(n,), float64]
    indices : np.ndarray [shape=(n,), int64]
    """

    cosines: np.ndarray
    indices: np.ndarray


@dataclass(frozen=True)
class Found:
    """What two tiles found in each other.

    Parameters
    ----------
    rows, indices : np.ndarray [shape=(m,), int64]
        That the vector ``indices[i]`` may be among the nearest of ``rows[i]``.
    cosines : np.ndarray [shape=(m,), float64]
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
    one: Tile, other: Tile, floors: tuple[Floors, Floors], k: int, duplicate_from: float
) -> Found:
    """Compute the cosines of two tiles, and return those that may count.

    Parameters
    ----------
    one, other : Tile
        ``other`` is the same tile, or one that begins where ``one`` ends or later.
    floors : (Floors, Floors)
        Of their lists by now.
    k : int
        Length of a list.
    duplicate_from : float
        From which cosine on a pair is a duplicate.
    """
    off = margin(one.single.shape[1])
    if other is one:
        raised = _raised(one, floors[0], k, off)
        floors = raised, raised
    cap = np.float32(duplicate_from - off)
    first = _side(one, floors[0], k, off, cap)
    second = first if other is one else _side(other, floors[1], k, off, cap)
    n = len(other.exact)
    shape = n, MOST_DUPLICATES
    pairs = Pairs(np.empty(shape, np.int64), np.empty(shape), np.zeros(n, np.int64))
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
                Block(cosines, one.start + i, other.start + j, duplicate_from, off),
                Side(*(array[i : i + rows] for array in first)),
                Side(*(array[j : j + columns] for array in second)),
                Pairs(*(array[j : j + columns] for array in pairs)),
            )
    entered = [_entered(one, other, first)]
    if other is not one:
        entered.append(_entered(other, one, second))
    found_rows, found_indices, found_cosines = zip(*entered, strict=True)
    kept = np.arange(MOST_DUPLICATES) < pairs.counts[:, np.newaxis]
    later = np.nonzero(kept)[0] + other.start
    return Found(
        rows=np.concatenate(found_rows),
        indices=np.concatenate(found_indices),
        cosines=np.concatenate(found_cosines),
        duplicates=np.stack([pairs.indices[kept], later], axis=1),
        duplicate_cosines=pairs.cosines[kept],
    )


def _side(tile: Tile, worst: Floors, k: int, off: float, cap: np.float32) -> Side:
    """Return lists of a tile that are full of what each of them has for its worst."""
    return Side(
        vectors=tile.exact,
        cosines=np.repeat(worst.cosines[:, np.newaxis], k, axis=1),
        indices=np.repeat(worst.indices[:, np.newaxis], k, axis=1),
        floors=np.minimum(cap, (worst.cosines - off).astype(np.float32)),
    )


def _raised(tile: Tile, worst: Floors, k: int, off: float) -> Floors:
    """Raise the floors of a tile's lists to what a sample of the tile alone would make them.

    Every entry of a list costs far more than a cosine, and most would be pushed out again.
    """
    if len(tile.exact) <= SAMPLE or k >= SAMPLE // 2:
        return worst
    sample = tile.single[:: -(-len(tile.single) // SAMPLE)].T
    cosines = np.empty(len(tile.single))
    rows = BLOCK[0]
    for i in range(0, len(cosines), rows):
        block = tile.single[i : i + rows] @ sample
        # The vector itself may be in the sample.
        cosines[i : i + rows] = np.partition(block, -(k + 1), axis=1)[:, -(k + 1)]
    cosines -= off
    better = cosines > worst.cosines
    return Floors(
        np.where(better, cosines, worst.cosines), np.where(better, _NOBODY, worst.indices)
    )


def _entered(tile: Tile, other: Tile, side: Side) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, indices and cosines of what ``tile`` found in ``other``."""
    new = (side.indices >= other.start) & (side.indices < other.stop)
    return np.nonzero(new)[0] + tile.start, side.indices[new], side.cosines[new]


class Neighbours:
    """The lists of all vectors, while they are being filled.

    Parameters
    ----------
    n : int
        Number of vectors.
    k : int
        Length of a list, below n.
    """

    def __init__(self, n: int, k: int) -> None:
        self.cosines = np.full((n, k), -np.inf)
        self.indices = np.full((n, k), _NOBODY)
        self._duplicates: list[np.ndarray] = []
        self._duplicate_cosines: list[np.ndarray] = []

    def floors(self, start: int, stop: int) -> Floors:
        """Return the worst entries of the lists ``start`` to ``stop``."""
        return Floors(self.cosines[start:stop, 0].copy(), self.indices[start:stop, 0].copy())

    def add(self, found: Found) -> None:
        """Enter what two tiles found."""
        merge(self.cosines, self.indices, found.rows, found.cosines, found.indices)
        self._duplicates.append(found.duplicates)
        self._duplicate_cosines.append(found.duplicate_cosines)

    def lists(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest of the vectors ``start`` to ``stop``, the nearest first.

        Returns
        -------
        indices : np.ndarray [shape=(stop - start, k), int64]
        cosines : np.ndarray [shape=(stop - start, k), float64]
            Descending; equal ones by ascending index.
        """
        indices, cosines = self.indices[start:stop], self.cosines[start:stop]
        order = np.lexsort((indices, -cosines), axis=-1)
        return np.take_along_axis(indices, order, 1), np.take_along_axis(cosines, order, 1)

    def duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs that are duplicates, in order, and their cosines.

        Of a vector, the :data:`recommend.topk.MOST_DUPLICATES` of the smallest index among those
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
    known = Neighbours(n, k)
    for i, j in meetings(len(tiles)):
        one, other = tiles[i], tiles[j]
        floors = known.floors(one.start, one.stop), known.floors(other.start, other.stop)
        known.add(meet(one, other, floors, k, duplicate_from))
    return known
