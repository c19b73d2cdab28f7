"""Level and zero-crossing rate of each frame, from the samples.

Frames overlap by three quarters, so both are summed over each hop of 512 samples once; a frame is
the sum of four hops.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, summing
from featurizer.stft import HOP_LENGTH, N_FFT, reflected

_EDGE = N_FFT // 2
_HOPS = N_FFT // HOP_LENGTH

# Samples below this are negative; zero and values near it count as positive.
_NEGATIVE = np.float32(-1e-10)


def rms_and_zero_crossings(
    y: npt.NDArray[np.float32], start: int, stop: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute level and zero-crossing rate of a block of frames.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    start, stop : int
        First frame and end, within ``0 … n_frames(n)``.

    Returns
    -------
    rms : np.ndarray [shape=(stop - start,), float64, >= 0]
        Root mean square of each frame of the reflected signal.
    zero_crossing_rate : np.ndarray [shape=(stop - start,), float64, 0 … 1]
        Sign changes between consecutive samples of each frame, divided by 2,048. The reflected
        samples beyond the ends of the signal do not count.

    Examples
    --------
    >>> y = np.where(np.arange(4096) % 8 < 4, 0.5, -0.5).astype(np.float32)
    >>> rms, zero_crossing_rate = rms_and_zero_crossings(y, 4, 5)
    >>> print(rms, zero_crossing_rate * 2048)
    [0.5] [511.]
    """
    first = start * HOP_LENGTH - _EDGE
    x = reflected(y, first, (stop - 1) * HOP_LENGTH + _EDGE)
    energy, crossings, leading = _hop_sums(x, max(0, -first), min(len(x), len(y) - first))
    frames = stop - start
    power = sum(energy[i : i + frames] for i in range(_HOPS))
    counts = sum(crossings[i : i + frames] for i in range(_HOPS)) - leading[:frames]
    return np.sqrt(power / N_FFT), counts / N_FFT


def zero_crossings(y: npt.NDArray[np.float32]) -> int:
    """Count sign changes between consecutive samples of a signal [shape=(n,), float32].

    Examples
    --------
    >>> zero_crossings(np.array([1.0, -1.0, -1.0, 0.0], dtype=np.float32))
    2
    """
    return int(_crossings(y))


@compiled
def _hop_sums(
    x: npt.NDArray[np.float32], first: int, stop: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    # Only crossings within the signal's own samples, from `first` to `stop`, count. `leading` is 1
    # for a crossing at the first sample of a hop.
    n_hops = len(x) // HOP_LENGTH
    energy = np.zeros(n_hops)
    crossings = np.zeros(n_hops, dtype=np.int64)
    leading = np.zeros(n_hops, dtype=np.int64)
    for hop in range(n_hops):
        begin = hop * HOP_LENGTH
        energy[hop] = _energy(x[begin : begin + HOP_LENGTH])
        low = max(begin, first + 1)
        high = min(begin + HOP_LENGTH, stop)
        if low < high:
            crossings[hop] = _crossings(x[low - 1 : high])
        if low == begin and begin < stop:
            leading[hop] = _crossings(x[begin - 1 : begin + 1])
    return energy, crossings, leading


@summing
def _energy(x: npt.NDArray[np.float32]) -> float:
    total = 0.0
    for i in range(len(x)):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@compiled
def _crossings(x: npt.NDArray[np.float32]) -> int:
    # 32 bits, as wide as a sample: one vector counts the crossings of one vector of samples.
    count = np.int32(0)
    for i in range(1, len(x)):
        count += np.int32((x[i] < _NEGATIVE) != (x[i - 1] < _NEGATIVE))
    return int(count)
