"""Spectral contrast: peaks, valleys, flatness and crest of frequency bands.

A fifth of a band is its peak or its valley [1]_. Smaller shares make the valley of a low band a
single bin, whose level jumps whenever it nears zero. The extreme fifths need sums, not an order:
the value that separates them is found by bisection of the bits of the numbers, because non-negative
floats have the same order as their bits.

.. [1] Jiang, D.-N., L. Lu, H.-J. Zhang, J.-H. Tao, and L.-H. Cai. "Music type classification by
   spectral contrast feature." ICME 2002.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, summing
from featurizer.bands import CONTRAST_EDGES_HZ
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import N_FFT

N_BANDS = len(CONTRAST_EDGES_HZ) - 1
"""Frequency bands."""

_SHARE = 0.2

# First bin of each band, and the end of the last.
_EDGES = np.ceil(np.array(CONTRAST_EDGES_HZ) * (N_FFT / SAMPLE_RATE)).astype(np.int64)
_EXTREMES = np.array([round(_SHARE * int(size)) for size in np.diff(_EDGES)])

# Bins of a band are padded with zeros to whole vectors.
_PADDING = 32
_MAX_PADDED = int(-(-np.diff(_EDGES).max() // _PADDING) * _PADDING)

_ZERO = np.float32(0)
_LN_2 = float(np.log(2))
_MANTISSA_BITS = 23
_EXPONENT_BIAS = 127
_MANTISSA = np.int32((1 << _MANTISSA_BITS) - 1)
_EXPONENT_OF_1 = np.int32(_EXPONENT_BIAS << _MANTISSA_BITS)


def contrast(
    P: npt.NDArray[np.float32], floor: float
) -> tuple[
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]:
    """Compute peak, valley, flatness and crest of the seven bands of each frame.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32, C-contiguous]
        Power.
    floor : float > 0
        Lowest power; lower values are raised to it.

    Returns
    -------
    peak : np.ndarray [shape=(n_frames, 7), float64]
        10 log10 of the mean of the largest fifth, in dB.
    valley : np.ndarray [shape=(n_frames, 7), float64]
        10 log10 of the mean of the smallest fifth, in dB.
    flatness : np.ndarray [shape=(n_frames, 7), float64, <= 0]
        Mean of ln P minus ln of the mean, in nepers.
    crest : np.ndarray [shape=(n_frames, 7), float64, >= 0]
        10 log10 of the maximum divided by the mean, in dB.

    Examples
    --------
    >>> P = np.ones((1, 1025), dtype=np.float32)
    >>> P[0, :4] = 100.0  # of the 19 bins of the lowest band
    >>> peak, valley, flatness, crest = contrast(P, 1e-10)
    >>> print(peak[0, 0], valley[0, 0], flatness[0, 0].round(2), crest[0, 0].round(2))
    20.0 0.0 -2.11 6.61
    """
    measures = np.empty((5, len(P), N_BANDS))
    _measure(P.view(np.int32), np.full(1, floor, dtype=np.float32).view(np.int32)[0], measures)
    peak, valley, mean, largest, mean_ln = measures
    ln_mean = np.log(mean)
    db = 10 / np.log(10)
    return (
        db * np.log(peak),
        db * np.log(valley),
        mean_ln - ln_mean,
        db * (np.log(largest) - ln_mean),
    )


@compiled
def _measure(
    bits: npt.NDArray[np.int32], floor: np.int32, measures: npt.NDArray[np.float64]
) -> None:
    # Mean of the largest and of the smallest bins, mean, maximum, mean of the logarithms.
    x = np.empty(_MAX_PADDED, dtype=np.int32)
    mantissas = np.empty(_MAX_PADDED, dtype=np.int32)
    for t in range(len(bits)):
        for band in range(N_BANDS):
            first, k = _EDGES[band], _EXTREMES[band]
            n = _EDGES[band + 1] - first
            padded = (n + _PADDING - 1) // _PADDING * _PADDING
            _copy(bits[t, first : first + n], floor, x[:padded])
            _copy_mantissas(x[:padded], mantissas[:padded])
            largest = _largest(x[:padded])
            measures[0, t, band] = _sum_of_largest(x[:padded], (n, k), (floor, largest)) / k
            measures[1, t, band] = _sum_of_smallest(x[:padded], (n, k), (floor, largest)) / k
            measures[2, t, band] = _sum(x[:padded].view(np.float32)) / n
            measures[3, t, band] = _value(largest)
            # ln of a product: the sum of the exponents, and ln of the product of the mantissas.
            exponents = _sum_of_exponents(x[:padded]) - n * _EXPONENT_BIAS
            product = _product(mantissas[:padded].view(np.float32))
            measures[4, t, band] = (exponents * _LN_2 + np.log(product)) / n


@compiled
def _copy(bits: npt.NDArray[np.int32], floor: np.int32, x: npt.NDArray[np.int32]) -> None:
    for i in range(len(bits)):
        x[i] = max(bits[i], floor)
    for i in range(len(bits), len(x)):
        x[i] = 0


@compiled
def _copy_mantissas(x: npt.NDArray[np.int32], mantissas: npt.NDArray[np.int32]) -> None:
    # Numbers from 1 to 2; the padding becomes 1.
    for i in range(len(x)):
        mantissas[i] = (x[i] & _MANTISSA) | _EXPONENT_OF_1


@compiled
def _largest(x: npt.NDArray[np.int32]) -> np.int32:
    largest = np.int32(0)
    for i in range(len(x)):
        largest = max(largest, x[i])
    return largest


@compiled
def _value(bits: np.int32) -> float:
    return np.float64(np.full(1, bits, dtype=np.int32).view(np.float32)[0])


@compiled
def _sum_of_largest(
    x: npt.NDArray[np.int32], sizes: tuple[int, int], bounds: tuple[np.int32, np.int32]
) -> float:
    n, k = sizes
    bound, count = _bound(x, n, k, bounds)
    total = _sum_where(x, x.view(np.float32), bound, True)
    # Ties at the bound.
    return total - (count - k) * _value(bound) if count > k else total


@compiled
def _sum_of_smallest(
    x: npt.NDArray[np.int32], sizes: tuple[int, int], bounds: tuple[np.int32, np.int32]
) -> float:
    n, k = sizes
    bound, count = _bound(x, n, n - k, bounds)
    total = _sum_where(x, x.view(np.float32), bound, False)
    return total + (count - (n - k)) * _value(bound) if count > n - k else total


@compiled
def _bound(
    x: npt.NDArray[np.int32], n: int, k: int, bounds: tuple[np.int32, np.int32]
) -> tuple[np.int32, int]:
    # The largest number with at least k of the n values at or above it, and their count; or any
    # number with exactly k.
    low, high = bounds[0], np.int32(bounds[1] + 1)
    count = n
    while count != k and high - low > 1:
        middle = np.int32(low + ((high - low) >> 1))
        not_below = _count(x, middle)
        if not_below >= k:
            low, count = middle, not_below
        else:
            high = middle
    return low, count


@compiled
def _count(x: npt.NDArray[np.int32], bound: np.int32) -> int:
    count = np.int32(0)
    for i in range(len(x)):
        count += np.int32(x[i] >= bound)
    return int(count)


@summing
def _sum_where(
    x: npt.NDArray[np.int32], values: npt.NDArray[np.float32], bound: np.int32, above: bool
) -> float:
    total = _ZERO
    for i in range(len(x)):
        total += values[i] if (x[i] >= bound) == above else _ZERO
    return np.float64(total)


@summing
def _sum(values: npt.NDArray[np.float32]) -> float:
    total = _ZERO
    for i in range(len(values)):
        total += values[i]
    return np.float64(total)


@compiled
def _sum_of_exponents(x: npt.NDArray[np.int32]) -> int:
    total = np.int32(0)
    for i in range(len(x)):
        total += x[i] >> _MANTISSA_BITS
    return int(total)


@summing
def _product(numbers: npt.NDArray[np.float32]) -> float:
    product = 1.0
    for i in range(len(numbers)):
        product *= np.float64(numbers[i])
    return product


def contrast_statistics(
    peak: npt.NDArray[np.float64],
    valley: npt.NDArray[np.float64],
    flatness: npt.NDArray[np.float64],
    crest: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Compute mean and standard deviation over frames of the seven bands' measures.

    Parameters
    ----------
    peak, valley, flatness, crest : np.ndarray [shape=(n_frames, 7)]
        From :func:`contrast`.

    Returns
    -------
    columns : np.ndarray [shape=(56,), float64]
        Mean and standard deviation of each band's contrast, which is the peak minus the valley;
        then of valley, flatness and crest. The means of the valleys are less their mean over the
        bands: the shape of the noise floor, not its level.

    Examples
    --------
    >>> flat = np.zeros((3, 7))
    >>> contrast_statistics(flat + 1, flat, flat, flat)[:7]
    array([1., 1., 1., 1., 1., 1., 1.])
    """
    measures = np.hstack([peak - valley, valley, flatness, crest])
    mean, std = measures.mean(axis=0), measures.std(axis=0)
    mean[N_BANDS : 2 * N_BANDS] -= mean[N_BANDS : 2 * N_BANDS].mean()
    columns: npt.NDArray[np.float64] = np.stack(
        [mean.reshape(4, N_BANDS), std.reshape(4, N_BANDS)], axis=1
    ).ravel()
    return columns
