"""A running median of 31, by a selection network.

Eight windows that follow each other share 24 of their 31 samples. Sorted once, only the middle 8 of
those can be a median of any of the eight windows; each window's other 7 samples are then added in
halves, 4 shared by four windows, 2 shared by two and 1 of its own, and each time only the middle
stays. That is some 45 minima and maxima an output, without a branch: LLVM turns the network into
vector instructions over a tile of neighbouring columns. The results are bit for bit those of
``scipy.ndimage.median_filter``.

The merges are Batcher's odd-even merges [1]_: the even and the odd elements of two sorted runs are
merged by themselves, and neighbours of the two results are put in order. A comparison whose outcome
nobody reads is dropped by the compiler.

.. [1] Batcher, K. E. "Sorting networks and their applications." AFIPS Spring Joint Computer
   Conference 32, 1968, pp. 307-314.
"""

import numpy as np
import numpy.typing as npt

from featurizer.compiled import compiled, inlined

WIDTH = 31
"""Samples of a window."""

HALO = WIDTH // 2
"""Samples that an output needs on each of its sides."""

_OUTPUTS = 8
_ROWS = _OUTPUTS + WIDTH - 1
_LANES = 128


def reflected_rows(n: int, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Give the rows that stand at positions before, in and after an array of ``n`` rows.

    Parameters
    ----------
    n : int > 0
        Rows of the array.
    start, stop : int
        First position and end of the positions; below 0 or above ``n`` where the border is crossed.

    Returns
    -------
    rows : np.ndarray [shape=(stop - start,), int64, each in 0 … n - 1]
        Reflected at the edge of the outermost rows (``c b a | a b c``), as often as it takes; SciPy
        calls this ``reflect``, NumPy ``symmetric``.
    """
    rows = np.arange(start, stop) % (2 * n)
    return np.minimum(rows, 2 * n - 1 - rows)


def running_median(
    x: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Take the median of 31 neighbouring rows, column by column.

    Parameters
    ----------
    x : np.ndarray [shape=(n, m), float32, C-contiguous]
        No NaN in it.
    rows : np.ndarray [shape=(k + 30,), int64, each in 0 … n - 1]
        The rows of ``x`` in the order in which the window passes over them.

    Returns
    -------
    medians : np.ndarray [shape=(k, m), float32]
        ``medians[i]`` is the median of ``x[rows[i]] … x[rows[i + 30]]``.
    """
    medians = np.empty((len(rows) - WIDTH + 1, x.shape[1]), dtype=np.float32)
    _running_median(x, rows, medians)
    return medians


@compiled
def _running_median(
    x: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    medians: npt.NDArray[np.float32],
) -> None:
    n_outputs, n_columns = medians.shape
    # Tiles of fixed size, as LLVM vectorises only where the offset between rows is a constant.
    tile = np.zeros((_ROWS, _LANES), dtype=np.float32)
    result = np.empty((_OUTPUTS, _LANES), dtype=np.float32)
    for column in range(0, n_columns, _LANES):
        lanes = min(_LANES, n_columns - column)
        for row in range(0, n_outputs, _OUTPUTS):
            outputs = min(_OUTPUTS, n_outputs - row)
            for i in range(outputs + WIDTH - 1):
                for j in range(lanes):
                    tile[i, j] = x[rows[row + i], column + j]
            _medians_of_tile(tile, result)
            for i in range(outputs):
                for j in range(lanes):
                    medians[row + i, column + j] = result[i, j]


@inlined
def _low(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@inlined
def _high(a, b):  # type: ignore[no-untyped-def]
    return b if a < b else a


@inlined
def _merge_2_1(a, b):  # type: ignore[no-untyped-def]
    low, high = _low(a[0], b[0]), _high(a[0], b[0])
    return low, _low(a[1], high), _high(a[1], high)


@inlined
def _merge_2_2(a, b):  # type: ignore[no-untyped-def]
    e0, e1 = _low(a[0], b[0]), _high(a[0], b[0])
    o0, o1 = _low(a[1], b[1]), _high(a[1], b[1])
    return e0, _low(o0, e1), _high(o0, e1), o1


@inlined
def _merge_4_2(a, b):  # type: ignore[no-untyped-def]
    e = _merge_2_1((a[0], a[2]), (b[0],))
    o = _merge_2_1((a[1], a[3]), (b[1],))
    return (
        e[0],
        _low(o[0], e[1]),
        _high(o[0], e[1]),
        _low(o[1], e[2]),
        _high(o[1], e[2]),
        o[2],
    )


@inlined
def _merge_4_4(a, b):  # type: ignore[no-untyped-def]
    e = _merge_2_2((a[0], a[2]), (b[0], b[2]))
    o = _merge_2_2((a[1], a[3]), (b[1], b[3]))
    return (
        e[0],
        _low(o[0], e[1]),
        _high(o[0], e[1]),
        _low(o[1], e[2]),
        _high(o[1], e[2]),
        _low(o[2], e[3]),
        _high(o[2], e[3]),
        o[3],
    )


@inlined
def _merge_8_4(a, b):  # type: ignore[no-untyped-def]
    e = _merge_4_2((a[0], a[2], a[4], a[6]), (b[0], b[2]))
    o = _merge_4_2((a[1], a[3], a[5], a[7]), (b[1], b[3]))
    return (
        e[0],
        _low(o[0], e[1]),
        _high(o[0], e[1]),
        _low(o[1], e[2]),
        _high(o[1], e[2]),
        _low(o[2], e[3]),
        _high(o[2], e[3]),
        _low(o[3], e[4]),
        _high(o[3], e[4]),
        _low(o[4], e[5]),
        _high(o[4], e[5]),
        o[5],
    )


@inlined
def _merge_8_8(a, b):  # type: ignore[no-untyped-def]
    e = _merge_4_4((a[0], a[2], a[4], a[6]), (b[0], b[2], b[4], b[6]))
    o = _merge_4_4((a[1], a[3], a[5], a[7]), (b[1], b[3], b[5], b[7]))
    return (
        e[0],
        _low(o[0], e[1]),
        _high(o[0], e[1]),
        _low(o[1], e[2]),
        _high(o[1], e[2]),
        _low(o[2], e[3]),
        _high(o[2], e[3]),
        _low(o[3], e[4]),
        _high(o[3], e[4]),
        _low(o[4], e[5]),
        _high(o[4], e[5]),
        _low(o[5], e[6]),
        _high(o[5], e[6]),
        _low(o[6], e[7]),
        _high(o[6], e[7]),
        o[7],
    )


@inlined
def _middle_8_of_16_8(a, b):  # type: ignore[no-untyped-def]
    e = _merge_8_4(
        (a[0], a[2], a[4], a[6], a[8], a[10], a[12], a[14]), (b[0], b[2], b[4], b[6])
    )
    o = _merge_8_4(
        (a[1], a[3], a[5], a[7], a[9], a[11], a[13], a[15]), (b[1], b[3], b[5], b[7])
    )
    return (
        _high(o[3], e[4]),
        _low(o[4], e[5]),
        _high(o[4], e[5]),
        _low(o[5], e[6]),
        _high(o[5], e[6]),
        _low(o[6], e[7]),
        _high(o[6], e[7]),
        _low(o[7], e[8]),
    )


@inlined
def _sort_2(a, b):  # type: ignore[no-untyped-def]
    return _low(a, b), _high(a, b)


@inlined
def _sort_4(a, b, c, d):  # type: ignore[no-untyped-def]
    return _merge_2_2(_sort_2(a, b), _sort_2(c, d))


@inlined
def _sort_8_rows(tile, row, j):  # type: ignore[no-untyped-def]
    return _merge_4_4(
        _sort_4(tile[row, j], tile[row + 1, j], tile[row + 2, j], tile[row + 3, j]),
        _sort_4(tile[row + 4, j], tile[row + 5, j], tile[row + 6, j], tile[row + 7, j]),
    )


@inlined
def _median_of_3(pair, c):  # type: ignore[no-untyped-def]
    return _low(_high(pair[0], c), pair[1])


@compiled
def _medians_of_tile(tile: npt.NDArray[np.float32], result: npt.NDArray[np.float32]) -> None:
    for j in range(_LANES):
        shared = _middle_8_of_16_8(
            _merge_8_8(_sort_8_rows(tile, 7, j), _sort_8_rows(tile, 15, j)),
            _sort_8_rows(tile, 23, j),
        )
        # Windows 0-3 and 4-7: four more rows each, of which the middle four stay.
        first = _merge_8_4(shared, _sort_4(tile[3, j], tile[4, j], tile[5, j], tile[6, j]))[4:8]
        last = _merge_8_4(shared, _sort_4(tile[31, j], tile[32, j], tile[33, j], tile[34, j]))[4:8]
        # Windows 0-1, 2-3, 4-5 and 6-7: two more rows, of which the middle two stay.
        w01 = _merge_4_2(first, _sort_2(tile[1, j], tile[2, j]))[2:4]
        w23 = _merge_4_2(first, _sort_2(tile[31, j], tile[32, j]))[2:4]
        w45 = _merge_4_2(last, _sort_2(tile[5, j], tile[6, j]))[2:4]
        w67 = _merge_4_2(last, _sort_2(tile[35, j], tile[36, j]))[2:4]
        result[0, j] = _median_of_3(w01, tile[0, j])
        result[1, j] = _median_of_3(w01, tile[31, j])
        result[2, j] = _median_of_3(w23, tile[2, j])
        result[3, j] = _median_of_3(w23, tile[33, j])
        result[4, j] = _median_of_3(w45, tile[4, j])
        result[5, j] = _median_of_3(w45, tile[35, j])
        result[6, j] = _median_of_3(w67, tile[6, j])
        result[7, j] = _median_of_3(w67, tile[37, j])
