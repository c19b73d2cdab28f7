"""Running median of 31 samples, by a selection network.

Eight consecutive windows share 24 of their 31 samples. Only the middle 8 of the 24, once sorted,
can be a median of any of the windows. The other 7 samples of each window are merged in three steps:
4 samples shared by four windows, 2 shared by two, and 1 of the window's own. Each step keeps only
the middle samples. That takes about 45 minima and maxima per output, without branches, and LLVM
vectorises the network over neighbouring lanes. The results equal those of
``scipy.ndimage.median_filter`` bit for bit.

The merges are Batcher's odd-even merges [1]_: the even and the odd elements of two sorted runs are
merged separately, then neighbours in the two results are put in order. The compiler drops
comparisons with unused results.

Spectrograms are filtered along both axes without a transposition. Along time, a lane is a
frequency, and the rows of a tile hold the samples of its windows. Along frequency, a lane is a
group of eight neighbouring frequencies of one frame. A row then holds every eighth frequency, one
sample per lane; the row eight further down is the same row, shifted by one lane.

.. [1] Batcher, K. E. "Sorting networks and their applications." AFIPS Spring Joint Computer
   Conference 32, 1968, pp. 307-314.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, inlined
from featurizer.stft import N_BINS

WIDTH = 31
"""Samples per window."""

HALO = WIDTH // 2
"""Samples on each side of the centre of a window."""

# Consecutive windows per network, and the samples that they span.
_OUTPUTS = 8
_SAMPLES = _OUTPUTS + WIDTH - 1

# Along time: frequencies per tile, and outputs per filled tile. A tile takes 40 kB, the most that
# stays in the first-level cache.
_LANES = 64
_TILE_OUTPUTS = 128

# Along frequency: lanes (129, rounded up to whole vectors); samples per row, including those beyond
# the last lane that its windows reach; and lanes at the start with reflected samples.
_FREQUENCY_LANES = 136
_ROW = _FREQUENCY_LANES + _SAMPLES // _OUTPUTS
_REFLECTED_LANES = -(-HALO // _OUTPUTS)

MEMORY = _OUTPUTS * (_ROW + _FREQUENCY_LANES)
"""Length of the scratch array of :func:`medians_along_frequency`."""

PADDED_BINS = N_BINS + _OUTPUTS - N_BINS % _OUTPUTS
"""Length of the output of :func:`medians_along_frequency`."""

# A sorted run: samples in ascending order.
_Run = tuple[float, ...]


def reflected_rows(n: int, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Return the row indices for positions in and around an array that is reflected at its ends.

    Parameters
    ----------
    n : int > 0
        Rows of the array.
    start, stop : int
        First position and end; below 0 or above ``n`` for positions beyond the ends.

    Returns
    -------
    rows : np.ndarray [shape=(stop - start,), int64, each in 0 … n - 1]
        The reflection repeats the outermost rows (``c b a | a b c``): ``reflect`` in SciPy,
        ``symmetric`` in NumPy.

    Examples
    --------
    >>> reflected_rows(3, -2, 5)
    array([1, 0, 0, 1, 2, 2, 1])
    """
    rows = np.arange(start, stop) % (2 * n)
    return np.minimum(rows, 2 * n - 1 - rows)


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
def _sort_2(a: float, b: float) -> _Run:
    return _low(a, b), _high(a, b)


@inlined
def _sort_4(a: float, b: float, c: float, d: float) -> _Run:
    return _merge_2_2(_sort_2(a, b), _sort_2(c, d))


@inlined
def _sort_8(x: npt.NDArray[np.float32], first: int, i: int, step: int) -> _Run:
    # The sample at `first`, and seven from `i` on, `step` apart.
    return _merge_4_4(
        _sort_4(x[first], x[i], x[i + step], x[i + 2 * step]),
        _sort_4(x[i + 3 * step], x[i + 4 * step], x[i + 5 * step], x[i + 6 * step]),
    )


@inlined
def _median_of_3(pair: _Run, c: float) -> float:
    return _low(_high(pair[0], c), pair[1])


@inlined
def _medians_of_8(x: npt.NDArray[np.float32], i: int, step: int, turn: int) -> _Run:
    # Eight windows span 38 samples. Sample n is at i + n % 8 * step + n // 8 * turn. The network is
    # vectorised only if step and turn are constants.
    i7, i32 = i + 7 * step, i + 4 * turn
    x31 = x[i7 + 3 * turn]
    shared = _middle_8_of_16_8(
        _merge_8_8(_sort_8(x, i7, i + turn, step), _sort_8(x, i7 + turn, i + 2 * turn, step)),
        _sort_8(x, i7 + 2 * turn, i + 3 * turn, step),
    )
    # Windows 0-3 and 4-7: merge four more samples each, keep the middle four.
    first = _merge_8_4(
        shared, _sort_4(x[i + 3 * step], x[i + 4 * step], x[i + 5 * step], x[i + 6 * step])
    )[4:8]
    last = _merge_8_4(shared, _sort_4(x31, x[i32], x[i32 + step], x[i32 + 2 * step]))[4:8]
    # Windows 0-1, 2-3, 4-5 and 6-7: merge two more samples each, keep the middle two.
    w01 = _merge_4_2(first, _sort_2(x[i + step], x[i + 2 * step]))[2:4]
    w23 = _merge_4_2(first, _sort_2(x31, x[i32]))[2:4]
    w45 = _merge_4_2(last, _sort_2(x[i + 5 * step], x[i + 6 * step]))[2:4]
    w67 = _merge_4_2(last, _sort_2(x[i32 + 3 * step], x[i32 + 4 * step]))[2:4]
    return (
        _median_of_3(w01, x[i]),
        _median_of_3(w01, x31),
        _median_of_3(w23, x[i + 2 * step]),
        _median_of_3(w23, x[i32 + step]),
        _median_of_3(w45, x[i + 4 * step]),
        _median_of_3(w45, x[i32 + 3 * step]),
        _median_of_3(w67, x[i + 6 * step]),
        _median_of_3(w67, x[i32 + 5 * step]),
    )


@compiled
def medians_along_time(
    x: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], medians: npt.NDArray[np.float32]
) -> None:
    """Compute the running median over 31 rows, column by column.

    Parameters
    ----------
    x : np.ndarray [shape=(n, m), float32, C-contiguous]
        Without NaN.
    rows : np.ndarray [shape=(k + 30,), int64, each in 0 … n - 1]
        Rows of ``x`` in the order in which the window moves over them.
    medians : np.ndarray [shape=(k, m), float32, C-contiguous]
        Output: ``medians[i]`` is the median of ``x[rows[i]] … x[rows[i + 30]]``.

    Examples
    --------
    >>> x = np.arange(40, dtype=np.float32).reshape(40, 1)
    >>> medians = np.empty((10, 1), dtype=np.float32)
    >>> medians_along_time(x, np.arange(40), medians)
    >>> medians[:3, 0]
    array([15., 16., 17.], dtype=float32)
    """
    n_outputs, n_columns = medians.shape
    tile = np.zeros((_TILE_OUTPUTS + WIDTH - 1, _LANES), dtype=np.float32)
    found = np.empty((_OUTPUTS, _LANES), dtype=np.float32)
    for column in range(0, n_columns, _LANES):
        columns = slice(column, min(column + _LANES, n_columns))
        for first in range(0, n_outputs, _TILE_OUTPUTS):
            outputs = min(_TILE_OUTPUTS, n_outputs - first)
            for i in range(outputs + WIDTH - 1):
                _copy(x[rows[first + i], columns], tile[i])
            for output in range(0, outputs, _OUTPUTS):
                _medians_of_tile(tile[output:].reshape(-1), found.reshape(-1))
                for i in range(min(_OUTPUTS, outputs - output)):
                    medians_of_row = medians[first + output + i, columns]
                    _copy(found[i, : len(medians_of_row)], medians_of_row)


@compiled
def _medians_of_tile(tile: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> None:
    for j in range(_LANES):
        m = _medians_of_8(tile, j, _LANES, _OUTPUTS * _LANES)
        for i in range(_OUTPUTS):
            found[i * _LANES + j] = m[i]


@inlined
def _copy(source: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> None:
    # The index starts at 0. Numba would check any other for negative values, and LLVM would
    # gather the samples one by one.
    for k in range(len(source)):
        target[k] = source[k]


@inlined
def medians_along_frequency(
    spectrum: npt.NDArray[np.float32],
    every_eighth: npt.NDArray[np.float32],
    medians: npt.NDArray[np.float32],
) -> None:
    """Compute the running median over 31 bins of one frame, reflected at both ends.

    Only kernels can call it.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(1025,), float32]
        Without NaN.
    every_eighth : np.ndarray [shape=(:data:`MEMORY`,), float32]
        Scratch array.
    medians : np.ndarray [shape=(:data:`PADDED_BINS`,), float32]
        Output: ``medians[k]`` is the median of the bins ``k - 15`` to ``k + 15``; values
        beyond the last bin are undefined.
    """
    # Lane j of row r holds bin 8 j + r - 15.
    for r in range(_OUTPUTS):
        for j in range(_REFLECTED_LANES):
            every_eighth[r * _ROW + j] = spectrum[_reflected(_OUTPUTS * j + r - HALO)]
        for j in range(_REFLECTED_LANES, N_BINS // _OUTPUTS):
            every_eighth[r * _ROW + j] = spectrum[_OUTPUTS * j + r - HALO]
        for j in range(N_BINS // _OUTPUTS, _ROW):
            every_eighth[r * _ROW + j] = spectrum[_reflected(_OUTPUTS * j + r - HALO)]
    found = every_eighth[_OUTPUTS * _ROW :]
    _medians_of_lanes(every_eighth, found)
    for j in range(N_BINS // _OUTPUTS + 1):
        for r in range(_OUTPUTS):
            medians[_OUTPUTS * j + r] = found[r * _FREQUENCY_LANES + j]


@inlined
def _reflected(k: int) -> int:
    if k < 0:
        return -1 - k
    return k if k < N_BINS else max(0, 2 * N_BINS - 1 - k)


@compiled
def _medians_of_lanes(
    every_eighth: npt.NDArray[np.float32], found: npt.NDArray[np.float32]
) -> None:
    for j in range(_FREQUENCY_LANES):
        m = _medians_of_8(every_eighth, j, _ROW, 1)
        for i in range(_OUTPUTS):
            found[i * _FREQUENCY_LANES + j] = m[i]
