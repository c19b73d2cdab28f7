"""Kernels that keep, for each vector, the k vectors with the greatest cosines.

Cosines are computed block by block in single precision. A list keeps the best ones, with a few to
spare. Only the cosines of its entries are computed again, in double precision and with a fixed
order of additions, to choose the nearest. So the lists are exact and do not depend on the blocks.
If too many cosines are too close to tell apart in single precision (a collection full of copies),
that vector is compared with all others again.

A list is a binary min-heap: its worst entry is the root.
"""

from typing import NamedTuple

import numpy as np

from compiling.compiled import compiled, inlined

LANES = 8
"""Partial sums of a dot product."""

FOLD = 8
"""Cosines per flag."""


def error_bound(n_columns: int) -> float:
    """Return an upper bound on the error of a cosine in single precision.

    Parameters
    ----------
    n_columns : int
        Columns of the vectors, which have length one.

    Returns
    -------
    float
        Bound on the rounding of the vectors, of their products and of a sum in any order
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).

    Examples
    --------
    >>> round(error_bound(57) * 1e6, 2)
    3.7
    """
    rounding = 2.0**-24
    terms = (n_columns + 3) * rounding
    return terms / (1 - terms) + 2 * rounding


class Side(NamedTuple):
    """Vectors of a block's rows or columns, and their lists, which are updated in place.

    Parameters
    ----------
    vectors : np.ndarray [shape=(m, d), float64]
    cosines, indices : np.ndarray [shape=(m, size), float32 and int32]
        The lists.
    floors : np.ndarray [shape=(m,), float32]
        Only greater cosines are considered. Updated in place.
    """

    vectors: np.ndarray
    cosines: np.ndarray
    indices: np.ndarray
    floors: np.ndarray


class Duplicates(NamedTuple):
    """For each vector of the columns' side, its duplicates among vectors of smaller index.

    Parameters
    ----------
    indices, cosines : np.ndarray [shape=(n, limit), int32 and float64]
        The first ``limit`` duplicates, by ascending index.
    counts : np.ndarray [shape=(n,), int64]
        Number of entries.
    """

    indices: np.ndarray
    cosines: np.ndarray
    counts: np.ndarray


class Block(NamedTuple):
    """A block of the matrix of cosines.

    Parameters
    ----------
    cosines : np.ndarray [shape=(m, n), float32]
        Cosines of m row vectors with n column vectors.
    start_row, start_column : int
        Index of the first row vector and column vector. Only pairs above the diagonal count: the
        row has the smaller index.
    duplicate_from : float
        Minimum cosine of duplicates.
    cap : np.float32
        Single-precision cosines up to this cannot belong to duplicates.
    """

    cosines: np.ndarray
    start_row: int
    start_column: int
    duplicate_from: float
    cap: np.float32


@inlined
def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Return the dot product of unit vectors, with an order of additions that no compiler changes.

    The result does not depend on which vector comes first.
    """
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = x.shape[0] - x.shape[0] % LANES
    for c in range(0, whole, LANES):
        s0 += x[c] * y[c]
        s1 += x[c + 1] * y[c + 1]
        s2 += x[c + 2] * y[c + 2]
        s3 += x[c + 3] * y[c + 3]
        s4 += x[c + 4] * y[c + 4]
        s5 += x[c + 5] * y[c + 5]
        s6 += x[c + 6] * y[c + 6]
        s7 += x[c + 7] * y[c + 7]
    rest = 0.0
    for c in range(whole, x.shape[0]):
        rest += x[c] * y[c]
    total = (((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))) + rest
    return min(1.0, max(-1.0, total))


@compiled
def cosines_with(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the cosine of each vector with one vector, equal to the bit to those in the lists.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        Vectors of length one.
    vector : np.ndarray [shape=(d,), float64]
        Vector of length one.

    Returns
    -------
    cosines : np.ndarray [shape=(n,), range=[-1, 1], float64]

    Examples
    --------
    >>> cosines_with(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1.0, 0.0]))
    array([1. , 0.6])
    """
    cosines = np.empty(vectors.shape[0])
    for i in range(vectors.shape[0]):
        cosines[i] = _cosine(vectors[i], vector)
    return cosines


@inlined
def _flag_folds(row: np.ndarray, floor: float, floors: np.ndarray, flags: np.ndarray) -> None:
    """Flag each group of :data:`FOLD` cosines, a stride apart, in which one exceeds its floor.

    LLVM vectorises this loop.
    """
    stride = row.shape[0] // FOLD
    for j in range(stride):
        above = np.float32(-np.inf)
        for fold in range(FOLD):
            lower = min(floors[j + fold * stride], floor)
            over = row[j + fold * stride] - lower
            above = over if over > above else above
        flags[j] = above > 0


@inlined
def _select_columns(  # noqa: PLR0917  # kernels take no keyword arguments
    row: np.ndarray,
    begin: int,
    floor: float,
    floors: np.ndarray,
    flags: np.ndarray,
    columns: np.ndarray,
) -> int:
    """Write the columns, from ``begin`` on, of cosines that exceed a floor; return their number.

    Branch-free: every column is written, and the next one overwrites it unless it counts. An
    unpredictable branch would take longer than all the rest.
    """
    n = row.shape[0]
    stride = n // FOLD
    flagged = 0
    for flag in range(stride):
        columns[flagged] = flag
        flagged += flags[flag]
    # Moved to the end of the array, because the columns are written from its start.
    count = 0
    last = columns.shape[0] - 1
    for i in range(flagged):
        columns[last - i] = columns[i]
    for i in range(flagged):
        flag = columns[last - i]
        for fold in range(FOLD):
            j = flag + fold * stride
            columns[count] = j
            count += (row[j] > min(floor, floors[j])) & (j >= begin)
    for j in range(max(begin, stride * FOLD), n):
        columns[count] = j
        count += row[j] > min(floor, floors[j])
    return count


@inlined
def _replace_worst(
    cosines: np.ndarray, indices: np.ndarray, row: int, cosine: float, index: int
) -> bool:
    """Replace the root of a heap if an entry is better; return whether it was."""
    # Indexed by row, because a view of the row would cost more: Numba counts its references.
    if cosine <= cosines[row, 0]:
        return False
    n = cosines.shape[1]
    hole = 0
    child = 1
    while child < n:
        if child + 1 < n and cosines[row, child + 1] < cosines[row, child]:
            child += 1
        if cosines[row, child] >= cosine:
            break
        cosines[row, hole] = cosines[row, child]
        indices[row, hole] = indices[row, child]
        hole = child
        child = 2 * hole + 1
    cosines[row, hole] = cosine
    indices[row, hole] = index
    return True


@compiled
def scan_block(block: Block, rows: Side, columns: Side, duplicates: Duplicates) -> None:
    """Add the pairs of a block to the lists of its rows and columns, and to the duplicates."""
    m, n = block.cosines.shape
    flags = np.empty(n // FOLD, np.uint8)
    selected = np.empty(n + n // FOLD + 2, np.int64)
    for i in range(m):
        row = block.cosines[i]
        floor = rows.floors[i]
        begin = max(0, block.start_row + i + 1 - block.start_column)
        _flag_folds(row, floor, columns.floors, flags)
        count = _select_columns(row, begin, floor, columns.floors, flags, selected)
        for c in range(count):
            j = selected[c]
            cosine = row[j]
            if _replace_worst(rows.cosines, rows.indices, i, cosine, block.start_column + j):
                rows.floors[i] = min(block.cap, rows.cosines[i, 0])
            if _replace_worst(columns.cosines, columns.indices, j, cosine, block.start_row + i):
                columns.floors[j] = min(block.cap, columns.cosines[j, 0])
            if cosine > block.cap and duplicates.counts[j] < duplicates.indices.shape[1]:
                exact = _cosine(rows.vectors[i], columns.vectors[j])
                if exact >= block.duplicate_from:
                    duplicates.indices[j, duplicates.counts[j]] = block.start_row + i
                    duplicates.cosines[j, duplicates.counts[j]] = exact
                    duplicates.counts[j] += 1


@compiled
def merge(
    cosines: np.ndarray,
    indices: np.ndarray,
    rows: np.ndarray,
    new_cosines: np.ndarray,
    new_indices: np.ndarray,
) -> None:
    """Add entries to lists.

    Parameters
    ----------
    cosines, indices : np.ndarray [shape=(n, size), float32 and int32]
        The lists; updated in place.
    rows : np.ndarray [shape=(m,), int]
        List of each new entry.
    new_cosines, new_indices : np.ndarray [shape=(m,), float32 and int32]
        The new entries.

    Examples
    --------
    >>> cosines, indices = np.full((1, 2), -np.inf, np.float32), np.full((1, 2), -1, np.int32)
    >>> new = np.array([0.25, 0.75, 0.5], np.float32)
    >>> merge(cosines, indices, np.zeros(3, int), new, np.array([4, 5, 6], np.int32))
    >>> cosines, indices
    (array([[0.5 , 0.75]], dtype=float32), array([[6, 5]], dtype=int32))
    """
    for i in range(rows.shape[0]):
        _replace_worst(cosines, indices, rows[i], new_cosines[i], new_indices[i])


@inlined
def _insert_sorted(cosines: np.ndarray, indices: np.ndarray, cosine: float, index: int) -> None:
    """Insert an entry into a list sorted by descending cosine and ascending index; drop the last.

    An entry that is no better than the last is itself dropped.
    """
    slot = cosines.shape[0] - 1
    if cosine < cosines[slot] or (cosine == cosines[slot] and index > indices[slot]):
        return
    while slot > 0 and (
        cosines[slot - 1] < cosine or (cosines[slot - 1] == cosine and indices[slot - 1] > index)
    ):
        cosines[slot] = cosines[slot - 1]
        indices[slot] = indices[slot - 1]
        slot -= 1
    cosines[slot] = cosine
    indices[slot] = index


@compiled
def rank_exactly(
    vectors: np.ndarray, start: int, cosines: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k nearest of each list's entries, by their exact cosines.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    start : int
        Index of the vector of the first list.
    cosines, indices : np.ndarray [shape=(m, size), float32 and int32]
        The lists. A negative index marks an empty entry.
    k : int
        Number of neighbours.

    Returns
    -------
    nearest : np.ndarray [shape=(m, k), int64]
        Indices of the nearest.
    exact_cosines : np.ndarray [shape=(m, k), float64]
        Descending; ties by ascending index.
    gaps : np.ndarray [shape=(m,), float64]
        Cosine of the k-th nearest minus an upper bound on those outside the list, up to rounding.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    >>> cosines, indices = np.array([[0.6, 0.8]], np.float32), np.array([[1, 2]], np.int32)
    >>> nearest, exact_cosines, _ = rank_exactly(vectors, 0, cosines, indices, 2)
    >>> nearest, exact_cosines
    (array([[2, 1]]), array([[0.8, 0.6]]))
    """
    m, size = cosines.shape
    nearest = np.full((m, k), np.iinfo(np.int64).max)
    exact_cosines = np.full((m, k), -np.inf)
    gaps = np.empty(m)
    exact = np.empty(size)
    for i in range(m):
        for entry in range(size):
            exact[entry] = -np.inf
            if indices[i, entry] >= 0:
                exact[entry] = _cosine(vectors[start + i], vectors[indices[i, entry]])
        order = np.argsort(-exact)
        for rank in range(size):
            # Insertion sort of ties by index: ties are few, or the list is short.
            at = rank
            while at > 0 and (
                exact[order[at - 1]] == exact[order[at]]
                and indices[i, order[at - 1]] > indices[i, order[at]]
            ):
                order[at - 1], order[at] = order[at], order[at - 1]
                at -= 1
        for rank in range(k):
            if indices[i, order[rank]] >= 0:
                nearest[i, rank] = indices[i, order[rank]]
                exact_cosines[i, rank] = exact[order[rank]]
        gaps[i] = exact_cosines[i, k - 1] - cosines[i, 0]
    return nearest, exact_cosines, gaps


@compiled
def insert_exactly(
    block: np.ndarray,
    start_column: int,
    rows: np.ndarray,
    vectors: np.ndarray,
    lists: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Insert every vector whose cosine reaches a floor into sorted lists, by its exact cosine.

    Parameters
    ----------
    block : np.ndarray [shape=(m, n), float32]
        Cosines of the vectors ``rows`` with those from ``start_column`` on.
    start_column : int
        Index of the first column's vector.
    rows : np.ndarray [shape=(m,), int64]
        Index of each row's vector.
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    lists : tuple of arrays
        Floor of each list [shape=(m,), float32], and the cosines and indices of the lists
        [shape=(m, k), float64 and int64], which are updated in place.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    >>> block = (vectors[:1] @ vectors.T).astype(np.float32)
    >>> cosines, indices = np.full((1, 1), -np.inf), np.full((1, 1), -1)
    >>> insert_exactly(
    ...     block, 0, np.array([0]), vectors, (np.zeros(1, np.float32), cosines, indices)
    ... )
    >>> cosines, indices
    (array([[0.8]]), array([[2]]))
    """
    floors, cosines, indices = lists
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            if block[i, j] >= floors[i] and start_column + j != rows[i]:
                exact = _cosine(vectors[rows[i]], vectors[start_column + j])
                _insert_sorted(cosines[i], indices[i], exact, start_column + j)
