"""Kernels that keep, for each vector, the k vectors with the greatest scores.

The score of a neighbour is its cosine less its offset, which is 0 without a correction of hubness.
The similarity of two vectors is their cosine less the offsets of both, which orders the lists of
both alike: a vector's own offset is the same for its whole list.

Similarities are computed in single precision, and only where an upper bound exceeds a floor. Their
error and that of the bound are within :func:`error_bound`. A list keeps the best entries, with a
few to spare. Only their scores are computed again, in double precision and with a fixed order of
additions, to choose the nearest. So the lists are exact and do not depend on the blocks. If too
many scores are too close to tell apart in single precision (a collection full of copies), that
vector is compared with all others again.

A list is a binary min-heap: its worst entry is the root.
"""

from typing import NamedTuple

import numpy as np

from compiling.compiled import compiled, fusing, inlined, summing
from recommend.vectors import LANES

GROUP = 8
"""Coordinates that are multiplied at a time."""

ROWS = 4
"""Rows that are multiplied at a time."""

MIN_PASSES, MAX_PASSES = 2, 24
"""Pairs of four rows and a block to compare in full: with more, another group of coordinates takes
less time; with fewer, one group less would do."""

MAX_INDEX = np.iinfo(np.int32).max
"""Greatest index of a vector."""


def error_bound(n_columns: int, offset: float = 0.0) -> float:
    """Return an upper bound on the error of a block's entry in single precision.

    Parameters
    ----------
    n_columns : int
        Columns of the vectors, which have length one or less.
    offset : float
        Greatest absolute offset. With offsets, the product has two more terms.

    Returns
    -------
    float
        Bound on the rounding of the vectors, of their products and of a sum in any order
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). It grows with
        the sum of the terms' absolute values.

    Examples
    --------
    >>> round(error_bound(57) * 1e6, 2)
    3.7
    >>> round(error_bound(63, offset=0.25) * 1e6, 2)
    6.26
    """
    rounding = 2.0**-24
    terms = (n_columns + (2 if offset else 0) + 3) * rounding
    return (terms / (1 - terms) + 2 * rounding) * (1 + 2 * offset)


class Side(NamedTuple):
    """Vectors of a block's rows or columns, and their lists, which are updated in place.

    Parameters
    ----------
    start : int
        Position of the first vector in the order of comparison.
    rests : np.ndarray [shape=(c / GROUP + 1, m), float32]
        Norm of the coordinates after the first 0, 1, 2... groups.
    ids : np.ndarray [shape=(m,), int32]
        Index of each vector.
    vectors : np.ndarray [shape=(m, d), float64]
        The vectors.
    coordinates : np.ndarray [shape=(m, c), float32]
        Their coordinates after a rotation; c is a multiple of :data:`GROUP`.
    offsets : np.ndarray [shape=(m,), float32]
        Offset of each vector as a neighbour.
    similarities, indices : np.ndarray [shape=(m, size), float32 and int32]
        The lists.
    floors : np.ndarray [shape=(m,), float32]
        Only greater similarities are considered.
    duplicate_keys, duplicate_cosines : np.ndarray [shape=(m, limit), int32 and float64]
        Heaps of the duplicates of smaller index. A key is :data:`MAX_INDEX` minus the index, so a
        heap keeps the smallest indices; 0 marks an empty entry.
    """

    start: int
    rests: np.ndarray
    ids: np.ndarray
    vectors: np.ndarray
    coordinates: np.ndarray
    offsets: np.ndarray
    similarities: np.ndarray
    indices: np.ndarray
    floors: np.ndarray
    duplicate_keys: np.ndarray
    duplicate_cosines: np.ndarray


@inlined
def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Return the dot product of unit vectors, with an order of additions that no compiler changes.

    The result does not depend on which vector comes first. It equals that of
    :func:`recommend.vectors.cosines_with`, to the bit.
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
def cosines_of_pairs(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the cosines of pairs of vectors.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    pairs : np.ndarray [shape=(m, 2), int64]
        Indices of both vectors of each pair.

    Returns
    -------
    cosines : np.ndarray [shape=(m,), range=[-1, 1], float64]

    Examples
    --------
    >>> cosines_of_pairs(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[0, 1]]))
    array([0.6])
    """
    cosines = np.empty(len(pairs))
    for i in range(len(pairs)):
        cosines[i] = _cosine(vectors[pairs[i, 0]], vectors[pairs[i, 1]])
    return cosines


@fusing
def _group(coordinates: np.ndarray, row: int, group: int) -> tuple[float, ...]:
    """Return a row's coordinates of one group. LLVM keeps the entries of a tuple in registers."""
    c = group * GROUP
    return (
        coordinates[row, c],
        coordinates[row, c + 1],
        coordinates[row, c + 2],
        coordinates[row, c + 3],
        coordinates[row, c + 4],
        coordinates[row, c + 5],
        coordinates[row, c + 6],
        coordinates[row, c + 7],
    )


@fusing
def _add_products(
    sums: np.ndarray,
    coordinates: np.ndarray,
    four: tuple[int, int, int, int],
    transposed: np.ndarray,
    group: int,
) -> None:
    """Add the products of four rows' coordinates of one group with those of all columns.

    LLVM unrolls the inner loop and vectorises the outer one.
    """
    x0, x1 = _group(coordinates, four[0], group), _group(coordinates, four[1], group)
    x2, x3 = _group(coordinates, four[2], group), _group(coordinates, four[3], group)
    for j in range(transposed.shape[1]):
        s0, s1, s2, s3 = sums[0, j], sums[1, j], sums[2, j], sums[3, j]
        for c in range(GROUP):
            y = transposed[group * GROUP + c, j]
            s0 += x0[c] * y
            s1 += x1[c] * y
            s2 += x2[c] * y
            s3 += x3[c] * y
        sums[0, j], sums[1, j], sums[2, j], sums[3, j] = s0, s1, s2, s3


@fusing
def _flag(  # noqa: PLR0917  # kernels take no keyword arguments
    passes: np.ndarray,
    sums: np.ndarray,
    rows: Side,
    four: tuple[int, int, int, int],
    columns: Side,
    groups: int,
) -> int:
    """Flag the pairs whose similarity may exceed a floor; return their number."""
    t0, t1 = rows.rests[groups, four[0]], rows.rests[groups, four[1]]
    t2, t3 = rows.rests[groups, four[2]], rows.rests[groups, four[3]]
    f0, f1 = rows.floors[four[0]], rows.floors[four[1]]
    f2, f3 = rows.floors[four[2]], rows.floors[four[3]]
    count = 0
    for j in range(sums.shape[1]):
        rest, floor = columns.rests[groups, j], columns.floors[j]
        p0 = sums[0, j] + t0 * rest > min(f0, floor)
        p1 = sums[1, j] + t1 * rest > min(f1, floor)
        p2 = sums[2, j] + t2 * rest > min(f2, floor)
        p3 = sums[3, j] + t3 * rest > min(f3, floor)
        passes[0, j], passes[1, j], passes[2, j], passes[3, j] = p0, p1, p2, p3
        count += p0 + p1 + p2 + p3
    return count


@summing
def _product(x: np.ndarray, i: int, y: np.ndarray, j: int) -> np.float32:
    """Return the dot product of a row of each matrix, in single precision."""
    # Indexed by row, because a view of the row would cost more: Numba counts its references.
    total = np.float32(0)
    for c in range(x.shape[1]):
        total += x[i, c] * y[j, c]
    return total


@inlined
def _replace_worst(
    similarities: np.ndarray,
    indices: np.ndarray,
    row: int,
    similarity: float | np.float32,
    index: float,
) -> bool:
    """Replace the root of a heap if an entry is better; return whether it was."""
    # Indexed by row, because a view of the row would cost more: Numba counts its references.
    if similarity <= similarities[row, 0]:
        return False
    n = similarities.shape[1]
    hole = 0
    child = 1
    while child < n:
        if child + 1 < n and similarities[row, child + 1] < similarities[row, child]:
            child += 1
        if similarities[row, child] >= similarity:
            break
        similarities[row, hole] = similarities[row, child]
        indices[row, hole] = indices[row, child]
        hole = child
        child = 2 * hole + 1
    similarities[row, hole] = similarity
    indices[row, hole] = index
    return True


@inlined
def _add_pair(  # noqa: PLR0917  # kernels take no keyword arguments
    rows: Side,
    i: int,
    columns: Side,
    j: int,
    similarity: np.float32,
    duplicate_from: float,
    cap: np.float32,
) -> None:
    """Add a pair to the lists of its row and column, and to the duplicates."""
    if _replace_worst(rows.similarities, rows.indices, i, similarity, columns.ids[j]):
        rows.floors[i] = min(cap, rows.similarities[i, 0])
    if _replace_worst(columns.similarities, columns.indices, j, similarity, rows.ids[i]):
        columns.floors[j] = min(cap, columns.similarities[j, 0])
    if similarity > cap:
        exact = _cosine(rows.vectors[i], columns.vectors[j])
        if exact >= duplicate_from:
            keys, cosines = columns.duplicate_keys, columns.duplicate_cosines
            if rows.ids[i] < columns.ids[j]:
                _replace_worst(keys, cosines, j, MAX_INDEX - rows.ids[i], exact)
            else:
                keys, cosines = rows.duplicate_keys, rows.duplicate_cosines
                _replace_worst(keys, cosines, i, MAX_INDEX - columns.ids[j], exact)


@compiled
def scan_block(rows: Side, columns: Side, duplicate_from: float, cap: np.float32) -> None:
    """Add the pairs of a row and a column of greater position to the lists and the duplicates.

    The leading coordinates of two vectors, and the norms of their rests, bound their similarity
    from above (by the inequality of Cauchy and Schwarz). Only pairs whose bound exceeds a floor are
    compared in full.

    Parameters
    ----------
    rows, columns : Side
        The vectors and their lists.
    duplicate_from : float
        Minimum cosine of duplicates.
    cap : float32
        Similarities up to this cannot belong to duplicates. Infinite if none are sought.
    """
    m, n = rows.coordinates.shape[0], columns.coordinates.shape[0]
    transposed = np.ascontiguousarray(columns.coordinates.T)
    sums = np.empty((ROWS, n), np.float32)
    passes = np.zeros((ROWS, -(-n // 8) * 8), np.uint8)
    words = passes.view(np.uint64)
    all_groups = transposed.shape[0] // GROUP
    least = all_groups
    for start in range(0, m, ROWS):
        # The last row stands in for rows after the end.
        four = (start, min(start + 1, m - 1), min(start + 2, m - 1), min(start + 3, m - 1))
        for row in range(ROWS):
            for j in range(n):
                sums[row, j] = -(rows.offsets[four[row]] + columns.offsets[j])
        groups = 0
        count = MAX_PASSES + 1
        while groups < least or (count > MAX_PASSES and groups < all_groups):
            _add_products(sums, rows.coordinates, four, transposed, groups)
            groups += 1
            if groups >= least:
                count = _flag(passes, sums, rows, four, columns, groups)
        least = groups if count > MIN_PASSES else max(1, groups - 1)
        if count == 0:
            continue
        for row in range(min(ROWS, m - start)):
            i = start + row
            for word in range(words.shape[1]):
                if words[row, word] == 0:
                    continue
                for j in range(8 * word, min(8 * word + 8, n)):
                    if passes[row, j] and rows.start + i < columns.start + j:
                        product = _product(rows.coordinates, i, columns.coordinates, j)
                        similarity = product - (rows.offsets[i] + columns.offsets[j])
                        if similarity > min(rows.floors[i], columns.floors[j]):
                            _add_pair(rows, i, columns, j, similarity, duplicate_from, cap)


@compiled
def merge(
    similarities: np.ndarray,
    indices: np.ndarray,
    rows: np.ndarray,
    new_similarities: np.ndarray,
    new_indices: np.ndarray,
) -> None:
    """Add entries to lists.

    Parameters
    ----------
    similarities, indices : np.ndarray [shape=(n, size), float32 and int32]
        The lists; updated in place.
    rows : np.ndarray [shape=(m,), int]
        List of each new entry.
    new_similarities, new_indices : np.ndarray [shape=(m,), float32 and int32]
        The new entries.

    Examples
    --------
    >>> lists = np.full((1, 2), -np.inf, np.float32), np.full((1, 2), -1, np.int32)
    >>> new = np.array([0.25, 0.75, 0.5], np.float32)
    >>> merge(*lists, np.zeros(3, int), new, np.array([4, 5, 6], np.int32))
    >>> lists
    (array([[0.5 , 0.75]], dtype=float32), array([[6, 5]], dtype=int32))
    """
    for i in range(rows.shape[0]):
        _replace_worst(similarities, indices, rows[i], new_similarities[i], new_indices[i])


@inlined
def _insert_sorted(scores: np.ndarray, indices: np.ndarray, score: float, index: int) -> None:
    """Insert an entry into a list sorted by descending score and ascending index; drop the last.

    An entry that is no better than the last is itself dropped.
    """
    slot = scores.shape[0] - 1
    if score < scores[slot] or (score == scores[slot] and index > indices[slot]):
        return
    while slot > 0 and (
        scores[slot - 1] < score or (scores[slot - 1] == score and indices[slot - 1] > index)
    ):
        scores[slot] = scores[slot - 1]
        indices[slot] = indices[slot - 1]
        slot -= 1
    scores[slot] = score
    indices[slot] = index


@compiled
def rank_exactly(  # noqa: PLR0917  # kernels take no keyword arguments
    vectors: np.ndarray,
    offsets: np.ndarray,
    start: int,
    similarities: np.ndarray,
    indices: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k nearest of each list's entries, by their exact scores.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    offsets : np.ndarray [shape=(n,), float64]
        Offset of each vector as a neighbour.
    start : int
        Index of the vector of the first list.
    similarities, indices : np.ndarray [shape=(m, size), float32 and int32]
        The lists. A negative index marks an empty entry.
    k : int
        Number of neighbours.

    Returns
    -------
    nearest : np.ndarray [shape=(m, k), int64]
        Indices of the nearest.
    exact_scores : np.ndarray [shape=(m, k), float64]
        Descending; ties by ascending index.
    gaps : np.ndarray [shape=(m,), float64]
        Score of the k-th nearest minus an upper bound on those outside the list, up to rounding.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    >>> lists = np.array([[0.6, 0.8]], np.float32), np.array([[1, 2]], np.int32)
    >>> nearest, exact_scores, _ = rank_exactly(vectors, np.zeros(3), 0, *lists, 2)
    >>> nearest, exact_scores
    (array([[2, 1]]), array([[0.8, 0.6]]))
    """
    m, size = similarities.shape
    nearest = np.full((m, k), np.iinfo(np.int64).max)
    exact_scores = np.full((m, k), -np.inf)
    gaps = np.empty(m)
    exact = np.empty(size)
    for i in range(m):
        for entry in range(size):
            exact[entry] = -np.inf
            index = indices[i, entry]
            if index >= 0:
                exact[entry] = _cosine(vectors[start + i], vectors[index]) - offsets[index]
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
                exact_scores[i, rank] = exact[order[rank]]
        # Without the vector's own offset, an entry is a score.
        gaps[i] = exact_scores[i, k - 1] - (similarities[i, 0] + offsets[start + i])
    return nearest, exact_scores, gaps


@compiled
def insert_exactly(  # noqa: PLR0917  # kernels take no keyword arguments
    block: np.ndarray,
    start_column: int,
    rows: np.ndarray,
    vectors: np.ndarray,
    offsets: np.ndarray,
    lists: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Insert every vector that reaches a floor into sorted lists, by its exact score.

    Parameters
    ----------
    block : np.ndarray [shape=(m, n), float32]
        Similarities of the vectors ``rows`` and those from ``start_column`` on.
    start_column : int
        Index of the first column's vector.
    rows : np.ndarray [shape=(m,), int64]
        Index of each row's vector.
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    offsets : np.ndarray [shape=(n,), float64]
        Offset of each vector as a neighbour.
    lists : tuple of arrays
        Floor of each list [shape=(m,), float32], and the scores and indices of the lists
        [shape=(m, k), float64 and int64], which are updated in place.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    >>> block = (vectors[:1] @ vectors.T).astype(np.float32)
    >>> lists = np.zeros(1, np.float32), np.full((1, 1), -np.inf), np.full((1, 1), -1)
    >>> insert_exactly(block, 0, np.array([0]), vectors, np.zeros(3), lists)
    >>> lists[1:]
    (array([[0.8]]), array([[2]]))
    """
    floors, scores, indices = lists
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            index = start_column + j
            if block[i, j] >= floors[i] and index != rows[i]:
                exact = _cosine(vectors[rows[i]], vectors[index]) - offsets[index]
                _insert_sorted(scores[i], indices[i], exact, index)


@compiled
def cosines_of(vectors: np.ndarray, start: int, indices: np.ndarray) -> np.ndarray:
    """Return the cosines of consecutive vectors with the vectors in their lists.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    start : int
        Index of the vector of the first list.
    indices : np.ndarray [shape=(m, k), int64]
        The lists.

    Returns
    -------
    cosines : np.ndarray [shape=(m, k), range=[-1, 1], float64]
        -inf for an index that is out of range.

    Examples
    --------
    >>> cosines_of(np.array([[1.0, 0.0], [0.6, 0.8]]), 0, np.array([[1], [0]]))
    array([[0.6],
           [0.6]])
    """
    m, k = indices.shape
    cosines = np.full((m, k), -np.inf)
    for i in range(m):
        for rank in range(k):
            index = indices[i, rank]
            if index < vectors.shape[0]:
                cosines[i, rank] = _cosine(vectors[start + i], vectors[index])
    return cosines
