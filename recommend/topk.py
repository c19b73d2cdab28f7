"""The hot loops: which pairs of a block of cosines enter the lists of the nearest.

A block of cosines comes in single precision. A pair that may enter a list by it is computed again
in double precision, in one fixed order of additions, and only that value is compared: so the lists
are exact, and the same whatever the blocks.

A list is a heap of the k best found so far, its worst at the root. Of two with one cosine, the one
of the smaller index is the better.
"""

from typing import NamedTuple

import numpy as np

from compiling.compiled import compiled, inlined

LANES = 8
"""Vectors are padded with zeros to a multiple of this, for the loops below."""

FOLD = 8
"""So many cosines of a row share a flag, and so many flags are looked at together."""

MOST_DUPLICATES = 100
"""So many duplicates of a row are kept, those of the smallest index."""


def margin(n_columns: int) -> float:
    """Return by how much a cosine in single precision may be off.

    Parameters
    ----------
    n_columns : int
        Of the vectors, which have length one.

    Returns
    -------
    float
        A bound of the rounding of the vectors, of their products and of a sum in any order
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
    """
    rounding = 2.0**-24
    terms = (n_columns + 3) * rounding
    return terms / (1 - terms) + 2 * rounding


def padded(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [shape=(n, d)] with columns of zeros up to a multiple of :data:`LANES`."""
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % LANES))))


class Side(NamedTuple):
    """Vectors on one side of a block, and their lists, which change.

    Parameters
    ----------
    vectors : np.ndarray [shape=(m, d), float64]
        d is a multiple of :data:`LANES`.
    cosines, indices : np.ndarray [shape=(m, k), float64 and int64]
        The lists.
    floors : np.ndarray [shape=(m,), float32]
        What a cosine in single precision must reach to be looked at; kept up to date.
    """

    vectors: np.ndarray
    cosines: np.ndarray
    indices: np.ndarray
    floors: np.ndarray


class Pairs(NamedTuple):
    """The duplicates of each vector of the columns' side among vectors of smaller index.

    Parameters
    ----------
    indices, cosines : np.ndarray [shape=(n, MOST_DUPLICATES), int64 and float64]
        Of these.
    counts : np.ndarray [shape=(n,), int64]
        How many there are.
    """

    indices: np.ndarray
    cosines: np.ndarray
    counts: np.ndarray


class Block(NamedTuple):
    """A block of cosines, and what is to be known of it.

    Parameters
    ----------
    cosines : np.ndarray [shape=(m, n), float32]
        Of m vectors with n others.
    start_row, start_column : int
        The index of the first vector of each side. Only pairs count whose row has the smaller
        index.
    duplicate_from : float
        From which cosine on a pair is a duplicate.
    off : float
        By how much a cosine may be off: :func:`margin`.
    """

    cosines: np.ndarray
    start_row: int
    start_column: int
    duplicate_from: float
    off: float


@inlined
def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Sum the products in an order that no compiler changes, whichever vector comes first."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for c in range(0, x.shape[0], LANES):
        s0 += x[c] * y[c]
        s1 += x[c + 1] * y[c + 1]
        s2 += x[c + 2] * y[c + 2]
        s3 += x[c + 3] * y[c + 3]
        s4 += x[c + 4] * y[c + 4]
        s5 += x[c + 5] * y[c + 5]
        s6 += x[c + 6] * y[c + 6]
        s7 += x[c + 7] * y[c + 7]
    return min(1.0, max(-1.0, ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))))


@compiled
def cosines_with(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the cosine of each vector with one, to the bit what the lists hold.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        d is a multiple of :data:`LANES`.
    vector : np.ndarray [shape=(d,), float64]

    Returns
    -------
    cosines : np.ndarray [shape=(n,), float64]
    """
    cosines = np.empty(vectors.shape[0])
    for i in range(vectors.shape[0]):
        cosines[i] = _cosine(vectors[i], vector)
    return cosines


@inlined
def _worse(cosine: float, index: int, other_cosine: float, other_index: int) -> bool:
    return cosine < other_cosine or (cosine == other_cosine and index > other_index)


@inlined
def _offer(cosines: np.ndarray, indices: np.ndarray, cosine: float, index: int) -> bool:
    """Put an entry into a heap in place of its worst, if it is better; tell whether it was."""
    if not _worse(cosines[0], indices[0], cosine, index):
        return False
    n = cosines.shape[0]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= n:
            break
        if child + 1 < n and _worse(
            cosines[child + 1], indices[child + 1], cosines[child], indices[child]
        ):
            child += 1
        if not _worse(cosines[child], indices[child], cosine, index):
            break
        cosines[hole] = cosines[child]
        indices[hole] = indices[child]
        hole = child
    cosines[hole] = cosine
    indices[hole] = index
    return True


@inlined
def _flag(row: np.ndarray, floor: float, floors: np.ndarray, flags: np.ndarray) -> None:
    """Flag where one of the :data:`FOLD` cosines a stride apart passes; LLVM vectorises this."""
    stride = row.shape[0] // FOLD
    for j in range(stride):
        above = np.float32(-np.inf)
        for fold in range(FOLD):
            lower = min(floors[j + fold * stride], floor)
            over = row[j + fold * stride] - lower
            above = over if over > above else above
        flags[j] = above >= 0


@inlined
def _passing(  # noqa: PLR0917  # a kernel has no keywords
    row: np.ndarray,
    begin: int,
    floor: float,
    floors: np.ndarray,
    flags: np.ndarray,
    places: np.ndarray,
) -> int:
    """Put into ``places`` where a row, from ``begin`` on, passes; return how many these are."""
    n = row.shape[0]
    stride = n // FOLD
    words = flags.view(np.uint64)
    count = 0
    for word in range(words.shape[0]):
        if words[word] != 0:
            for flag in range(word * FOLD, min(stride, word * FOLD + FOLD)):
                if flags[flag]:
                    for j in range(flag, stride * FOLD, stride):
                        if j >= begin and row[j] >= min(floor, floors[j]):
                            places[count] = j
                            count += 1
    for j in range(max(begin, stride * FOLD), n):
        if row[j] >= min(floor, floors[j]):
            places[count] = j
            count += 1
    return count


@compiled
def scan(block: Block, rows: Side, columns: Side, pairs: Pairs) -> None:
    """Enter the pairs of a block into the lists of its rows and of its columns."""
    m, n = block.cosines.shape
    off = block.off
    cap = np.float32(block.duplicate_from - off)
    flags = np.zeros(-(-n // (FOLD * FOLD)) * FOLD, np.uint8)
    places = np.empty(n, np.int64)
    cosines = np.empty(n)
    for i in range(m):
        row = block.cosines[i]
        floor = rows.floors[i]
        begin = max(0, block.start_row + i + 1 - block.start_column)
        _flag(row, floor, columns.floors, flags)
        # First all that pass, then all their cosines, then the lists: memory is waited for once.
        count = _passing(row, begin, floor, columns.floors, flags, places)
        for place in range(count):
            cosines[place] = _cosine(rows.vectors[i], columns.vectors[places[place]])
        for place in range(count):
            j, cosine = places[place], cosines[place]
            if _offer(rows.cosines[i], rows.indices[i], cosine, block.start_column + j):
                rows.floors[i] = min(cap, np.float32(rows.cosines[i, 0] - off))
            if _offer(columns.cosines[j], columns.indices[j], cosine, block.start_row + i):
                columns.floors[j] = min(cap, np.float32(columns.cosines[j, 0] - off))
            if cosine >= block.duplicate_from and pairs.counts[j] < MOST_DUPLICATES:
                pairs.indices[j, pairs.counts[j]] = block.start_row + i
                pairs.cosines[j, pairs.counts[j]] = cosine
                pairs.counts[j] += 1


@compiled
def merge(
    cosines: np.ndarray,
    indices: np.ndarray,
    rows: np.ndarray,
    new_cosines: np.ndarray,
    new_indices: np.ndarray,
) -> None:
    """Enter what was found elsewhere into lists.

    Parameters
    ----------
    cosines, indices : np.ndarray [shape=(n, k), float64 and int64]
        The lists, which change.
    rows : np.ndarray [shape=(m,), int64]
        The list that each entry is for.
    new_cosines, new_indices : np.ndarray [shape=(m,), float64 and int64]
        The entries.
    """
    for place in range(rows.shape[0]):
        row = rows[place]
        _offer(cosines[row], indices[row], new_cosines[place], new_indices[place])
