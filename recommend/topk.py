"""The hot loops: which pairs of a block of cosines may be among the nearest, and which are.

Cosines come block by block in single precision. A list keeps the best of these: some more than are
wanted in the end. Only its entries are computed again, in double precision and in one fixed order
of additions, and by that the nearest are chosen: so the lists are exact, and the same whatever the
blocks. Where more cosines lie closer together than single precision can tell than a list has room
for, as in a collection full of copies, all of them are looked at again.

A list is a heap, its worst at the root.
"""

from typing import NamedTuple

import numpy as np

from compiling.compiled import compiled, inlined

LANES = 8
"""So many sums of products are formed side by side."""

FOLD = 8
"""So many cosines of a row share a flag."""


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


class Side(NamedTuple):
    """Vectors on one side of a block, and their lists, which change.

    Parameters
    ----------
    vectors : np.ndarray [shape=(m, d), float64]
    cosines, indices : np.ndarray [shape=(m, size), float32 and int32]
        The lists.
    floors : np.ndarray [shape=(m,), float32]
        What a cosine must be above to be looked at; kept up to date.
    """

    vectors: np.ndarray
    cosines: np.ndarray
    indices: np.ndarray
    floors: np.ndarray


class Pairs(NamedTuple):
    """The duplicates of each vector of the columns' side among vectors of smaller index.

    Parameters
    ----------
    indices, cosines : np.ndarray [shape=(n, most), int32 and float64]
        Of these, as many as there is room for: those of the smallest index.
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
    cap : np.float32
        No cosine that is not above this can be one.
    """

    cosines: np.ndarray
    start_row: int
    start_column: int
    duplicate_from: float
    cap: np.float32


@inlined
def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Sum the products in an order that no compiler changes, whichever vector comes first."""
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
    """Return the cosine of each vector with one, to the bit what the lists hold.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
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
def _flag(row: np.ndarray, floor: float, floors: np.ndarray, flags: np.ndarray) -> None:
    """Flag where one of the :data:`FOLD` cosines a stride apart passes; LLVM vectorises this."""
    stride = row.shape[0] // FOLD
    for j in range(stride):
        above = np.float32(-np.inf)
        for fold in range(FOLD):
            lower = min(floors[j + fold * stride], floor)
            over = row[j + fold * stride] - lower
            above = over if over > above else above
        flags[j] = above > 0


@inlined
def _passing(  # noqa: PLR0917  # a kernel has no keywords
    row: np.ndarray,
    begin: int,
    floor: float,
    floors: np.ndarray,
    flags: np.ndarray,
    places: np.ndarray,
) -> int:
    """Put into ``places`` where a row, from ``begin`` on, passes; return how many these are.

    What does not count is written too, and then written over: a branch that no processor can
    foresee takes longer than all the rest.
    """
    n = row.shape[0]
    stride = n // FOLD
    flagged = 0
    for flag in range(stride):
        places[flagged] = flag
        flagged += flags[flag]
    # The flags' places are taken from the end, so that they can be written over.
    count = 0
    last = places.shape[0] - 1
    for i in range(flagged):
        places[last - i] = places[i]
    for i in range(flagged):
        flag = places[last - i]
        for fold in range(FOLD):
            j = flag + fold * stride
            places[count] = j
            count += (row[j] > min(floor, floors[j])) & (j >= begin)
    for j in range(max(begin, stride * FOLD), n):
        places[count] = j
        count += row[j] > min(floor, floors[j])
    return count


@inlined
def _offer(cosines: np.ndarray, indices: np.ndarray, row: int, cosine: float, index: int) -> bool:
    """Put an entry into a list in place of its worst, if it is better; tell whether it was."""
    # A view of the row would cost more than all the rest: its references are counted.
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
def scan(block: Block, rows: Side, columns: Side, pairs: Pairs) -> None:
    """Enter the pairs of a block into the lists of its rows and of its columns."""
    m, n = block.cosines.shape
    flags = np.empty(n // FOLD, np.uint8)
    places = np.empty(n + n // FOLD + 2, np.int64)
    for i in range(m):
        row = block.cosines[i]
        floor = rows.floors[i]
        begin = max(0, block.start_row + i + 1 - block.start_column)
        _flag(row, floor, columns.floors, flags)
        count = _passing(row, begin, floor, columns.floors, flags, places)
        for place in range(count):
            j = places[place]
            cosine = row[j]
            if _offer(rows.cosines, rows.indices, i, cosine, block.start_column + j):
                rows.floors[i] = min(block.cap, rows.cosines[i, 0])
            if _offer(columns.cosines, columns.indices, j, cosine, block.start_row + i):
                columns.floors[j] = min(block.cap, columns.cosines[j, 0])
            if cosine > block.cap and pairs.counts[j] < pairs.indices.shape[1]:
                exact = _cosine(rows.vectors[i], columns.vectors[j])
                if exact >= block.duplicate_from:
                    pairs.indices[j, pairs.counts[j]] = block.start_row + i
                    pairs.cosines[j, pairs.counts[j]] = exact
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
    cosines, indices : np.ndarray [shape=(n, size), float32 and int32]
        The lists, which change.
    rows : np.ndarray [shape=(m,), int]
        The list that each entry is for.
    new_cosines, new_indices : np.ndarray [shape=(m,), float32 and int32]
        The entries.
    """
    for place in range(rows.shape[0]):
        _offer(cosines, indices, rows[place], new_cosines[place], new_indices[place])


@inlined
def _insert(cosines: np.ndarray, indices: np.ndarray, cosine: float, index: int) -> None:
    """Put an entry into a descending list, of equals by index, if it is better than the last."""
    place = cosines.shape[0] - 1
    if cosine < cosines[place] or (cosine == cosines[place] and index > indices[place]):
        return
    while place > 0 and (
        cosines[place - 1] < cosine or (cosines[place - 1] == cosine and indices[place - 1] > index)
    ):
        cosines[place] = cosines[place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    cosines[place] = cosine
    indices[place] = index


@compiled
def settle(
    vectors: np.ndarray, start: int, cosines: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the nearest among the entries of lists, by exact cosines.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    start : int
        The index of the vector that the first list is for.
    cosines, indices : np.ndarray [shape=(m, size), float32 and int32]
        The lists; an index below 0 is no entry.
    k : int
        How many are wanted.

    Returns
    -------
    found_indices : np.ndarray [shape=(m, k), int64]
    found_cosines : np.ndarray [shape=(m, k), float64]
        Descending; equal ones by ascending index.
    clear : np.ndarray [shape=(m,), float64]
        By how much the k-th nearest is nearer than what did not enter the list, but for rounding.
    """
    m, size = cosines.shape
    found_indices = np.full((m, k), np.iinfo(np.int64).max)
    found_cosines = np.full((m, k), -np.inf)
    clear = np.empty(m)
    exact = np.empty(size)
    for i in range(m):
        for place in range(size):
            exact[place] = -np.inf
            if indices[i, place] >= 0:
                exact[place] = _cosine(vectors[start + i], vectors[indices[i, place]])
        order = np.argsort(-exact)
        for place in range(size):
            # Equal ones by index: they are few, or the list is short.
            at = place
            while at > 0 and (
                exact[order[at - 1]] == exact[order[at]]
                and indices[i, order[at - 1]] > indices[i, order[at]]
            ):
                order[at - 1], order[at] = order[at], order[at - 1]
                at -= 1
        for place in range(k):
            if indices[i, order[place]] >= 0:
                found_indices[i, place] = indices[i, order[place]]
                found_cosines[i, place] = exact[order[place]]
        clear[i] = found_cosines[i, k - 1] - cosines[i, 0]
    return found_indices, found_cosines, clear


@compiled
def enter_exactly(
    block: np.ndarray,
    start_column: int,
    rows: np.ndarray,
    vectors: np.ndarray,
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Enter into descending lists all vectors whose cosine is not too small, by exact cosines.

    Parameters
    ----------
    block : np.ndarray [shape=(m, n), float32]
        Cosines of the vectors ``rows`` with those from ``start_column`` on.
    start_column : int
        The index of the first column's vector.
    rows : np.ndarray [shape=(m,), int64]
        The index of each row's vector.
    vectors : np.ndarray [shape=(n, d), float64]
        All vectors.
    found : tuple of arrays
        The least cosine that is looked at [shape=(m,), float32], and the lists' cosines and indices
        [shape=(m, k), float64 and int64].
    """
    least, cosines, indices = found
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            if block[i, j] >= least[i] and start_column + j != rows[i]:
                exact = _cosine(vectors[rows[i]], vectors[start_column + j])
                _insert(cosines[i], indices[i], exact, start_column + j)
