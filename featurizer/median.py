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

# Samples in ascending order.
_Run = tuple[float, ...]


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
    # One flat array holds the rows of a tile and, after them, its medians. LLVM vectorises the
    # network only where it knows every offset when it compiles, and that nothing overlaps.
    tile = np.zeros((_ROWS + _OUTPUTS) * _LANES, dtype=np.float32)
    for column in range(0, n_columns, _LANES):
        lanes = min(_LANES, n_columns - column)
        for output in range(0, n_outputs, _OUTPUTS):
            outputs = min(_OUTPUTS, n_outputs - output)
            for i in range(outputs + WIDTH - 1):
                row = rows[output + i]
                for j in range(lanes):
                    tile[i * _LANES + j] = x[row, column + j]
            _medians_of_tile(tile)
            for i in range(outputs):
                for j in range(lanes):
                    medians[output + i, column + j] = tile[(_ROWS + i) * _LANES + j]


@inlined
def _low(a: float, b: float) -> float:
    return a if a < b else b


@inlined
def _high(a: float, b: float) -> float:
    return b if a < b else a


@inlined
def _merge_2_1(a: _Run, b: _Run) -> _Run:
    low, high = _low(a[0], b[0]), _high(a[0], b[0])
    return low, _low(a[1], high), _high(a[1], high)


@inlined
def _merge_2_2(a: _Run, b: _Run) -> _Run:
    e0, e1 = _low(a[0], b[0]), _high(a[0], b[0])
    o0, o1 = _low(a[1], b[1]), _high(a[1], b[1])
    return e0, _low(o0, e1), _high(o0, e1), o1


@inlined
def _merge_4_2(a: _Run, b: _Run) -> _Run:
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
def _merge_4_4(a: _Run, b: _Run) -> _Run:
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
def _merge_8_4(a: _Run, b: _Run) -> _Run:
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
def _merge_8_8(a: _Run, b: _Run) -> _Run:
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
def _middle_8_of_16_8(a: _Run, b: _Run) -> _Run:
    e = _merge_8_4((a[0], a[2], a[4], a[6], a[8], a[10], a[12], a[14]), (b[0], b[2], b[4], b[6]))
    o = _merge_8_4((a[1], a[3], a[5], a[7], a[9], a[11], a[13], a[15]), (b[1], b[3], b[5], b[7]))
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
def _at(tile: npt.NDArray[np.float32], row: int, j: int) -> float:
    value: float = tile[row * _LANES + j]
    return value


@inlined
def _sort_2(a: float, b: float) -> _Run:
    return _low(a, b), _high(a, b)


@inlined
def _sort_4(a: float, b: float, c: float, d: float) -> _Run:
    return _merge_2_2(_sort_2(a, b), _sort_2(c, d))


@inlined
def _sort_8_rows(tile: npt.NDArray[np.float32], row: int, j: int) -> _Run:
    return _merge_4_4(
        _sort_4(
            _at(tile, row, j), _at(tile, row + 1, j), _at(tile, row + 2, j), _at(tile, row + 3, j)
        ),
        _sort_4(
            _at(tile, row + 4, j),
            _at(tile, row + 5, j),
            _at(tile, row + 6, j),
            _at(tile, row + 7, j),
        ),
    )


@inlined
def _median_of_3(pair: _Run, c: float) -> float:
    return _low(_high(pair[0], c), pair[1])


@compiled
def _medians_of_tile(tile: npt.NDArray[np.float32]) -> None:
    for j in range(_LANES):
        shared = _middle_8_of_16_8(
            _merge_8_8(_sort_8_rows(tile, 7, j), _sort_8_rows(tile, 15, j)),
            _sort_8_rows(tile, 23, j),
        )
        # Windows 0-3 and 4-7: four more rows each, of which the middle four stay.
        first = _merge_8_4(
            shared, _sort_4(_at(tile, 3, j), _at(tile, 4, j), _at(tile, 5, j), _at(tile, 6, j))
        )[4:8]
        last = _merge_8_4(
            shared, _sort_4(_at(tile, 31, j), _at(tile, 32, j), _at(tile, 33, j), _at(tile, 34, j))
        )[4:8]
        # Windows 0-1, 2-3, 4-5 and 6-7: two more rows, of which the middle two stay.
        w01 = _merge_4_2(first, _sort_2(_at(tile, 1, j), _at(tile, 2, j)))[2:4]
        w23 = _merge_4_2(first, _sort_2(_at(tile, 31, j), _at(tile, 32, j)))[2:4]
        w45 = _merge_4_2(last, _sort_2(_at(tile, 5, j), _at(tile, 6, j)))[2:4]
        w67 = _merge_4_2(last, _sort_2(_at(tile, 35, j), _at(tile, 36, j)))[2:4]
        tile[(_ROWS + 0) * _LANES + j] = _median_of_3(w01, _at(tile, 0, j))
        tile[(_ROWS + 1) * _LANES + j] = _median_of_3(w01, _at(tile, 31, j))
        tile[(_ROWS + 2) * _LANES + j] = _median_of_3(w23, _at(tile, 2, j))
        tile[(_ROWS + 3) * _LANES + j] = _median_of_3(w23, _at(tile, 33, j))
        tile[(_ROWS + 4) * _LANES + j] = _median_of_3(w45, _at(tile, 4, j))
        tile[(_ROWS + 5) * _LANES + j] = _median_of_3(w45, _at(tile, 35, j))
        tile[(_ROWS + 6) * _LANES + j] = _median_of_3(w67, _at(tile, 6, j))
        tile[(_ROWS + 7) * _LANES + j] = _median_of_3(w67, _at(tile, 37, j))
