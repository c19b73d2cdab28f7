"""Overlap-add: mean and variance of the signal that frames add up to.

A sample is the sum of the four frames around it, each weighted by the window, divided by the sum of
the squared windows [1]_. The moments of each hop of 512 samples are computed while it is in the
cache; the signal itself is written only on request, for plots.

.. [1] Griffin, D. W., and J. S. Lim. "Signal estimation from modified short-time Fourier
   transform." IEEE Transactions on Acoustics, Speech, and Signal Processing 32(2), 1984.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, summing
from featurizer.moments import Moments, merge
from featurizer.stft import HOP_LENGTH, N_FFT, window

_HOPS = N_FFT // HOP_LENGTH

# The first sample of the signal is at the centre of the first frame.
_FIRST_HOP = _HOPS // 2

_CARRIED = (_HOPS - 1) * HOP_LENGTH
_WINDOW = window()


class OverlapAdd:
    """Moments of the harmonic part and of the percussive part, which the frames add up to.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The whole signal. The harmonic part is the signal minus the percussive part.
    n_frames : int
        Total number of frames to be added; ``n >= 512 * (n_frames - 1)``.
    output : np.ndarray [shape=(n,), float32], optional
        Output: the percussive part.

    Attributes
    ----------
    moments : Moments
        Moments of the harmonic and the percussive part, in this order, over the samples that no
        later frame adds to.

    Examples
    --------
    >>> y = np.ones(2048, dtype=np.float32)
    >>> sums = OverlapAdd(y, 4)
    >>> sums.add(np.zeros((4, 2048), dtype=np.float32), 0, 4)  # nothing is percussive
    >>> sums.moments.count, sums.moments.mean
    (1536, array([1., 0.]))
    """

    def __init__(
        self,
        y: npt.NDArray[np.float32],
        n_frames: int,
        output: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._y = y
        self._output = np.empty(0, dtype=np.float32) if output is None else output
        self._n_frames = n_frames
        # Sums of the last hops, to which the next block adds.
        self._carry = np.zeros(_CARRIED, dtype=np.float32)
        self.moments = Moments(2)

    def add(self, frames: npt.NDArray[np.float32], start: int, stop: int) -> None:
        """Add the next block of frames.

        Parameters
        ----------
        frames : np.ndarray [shape=(stop - start, 2048), float32]
            Inverse transforms.
        start, stop : int
            First frame and end. Blocks come in order, without gaps, and have three frames or more,
            except for a signal's only block.
        """
        mean, deviations = np.zeros(2), np.zeros(2)
        bounds = (start, stop, self._n_frames)
        signals = (self._y, self._output)
        count = _overlap_add(frames, bounds, signals, self._carry, (mean, deviations))
        self.moments.merge(count, mean, deviations)


@compiled
def _overlap_add(
    frames: npt.NDArray[np.float32],
    bounds: tuple[int, int, int],
    signals: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    carry: npt.NDArray[np.float32],
    moments: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> int:
    start, stop, n_frames = bounds
    mean, deviations = moments
    y, output = signals
    hop_mean, hop_deviations = np.empty(2), np.empty(2)
    count = 0
    sums = np.empty(HOP_LENGTH, dtype=np.float32)
    squares = np.empty(HOP_LENGTH, dtype=np.float32)
    full_squares = np.empty(HOP_LENGTH, dtype=np.float32)
    _squared_windows(0, _HOPS, full_squares)
    for hop in range(start, stop + _HOPS - 1):
        carried = (hop - start) * HOP_LENGTH
        for i in range(HOP_LENGTH):
            sums[i] = carry[carried + i] if carried < _CARRIED else np.float32(0)
        for t in range(max(start, hop - _HOPS + 1), min(stop, hop + 1)):
            i = (hop - t) * HOP_LENGTH
            _add_weighted(frames[t - start, i:], _WINDOW[i : i + HOP_LENGTH], sums)
        if hop >= stop and stop < n_frames:
            carried = (hop - stop) * HOP_LENGTH
            for i in range(HOP_LENGTH):
                carry[carried + i] = sums[i]
        elif _FIRST_HOP <= hop <= n_frames:
            squared = full_squares
            if hop < _HOPS - 1 or hop >= n_frames:
                # Near the ends of the signal, some of the four frames are missing.
                _squared_windows(max(0, hop - n_frames + 1), min(_HOPS, hop + 1), squares)
                squared = squares
            for i in range(HOP_LENGTH):
                sums[i] /= squared[i]
            begin = (hop - _FIRST_HOP) * HOP_LENGTH
            if len(output):
                # Numba takes seconds to compile the assignment of a slice.
                for i in range(HOP_LENGTH):
                    output[begin + i] = sums[i]
            _hop_moments(y[begin : begin + HOP_LENGTH], sums, hop_mean, hop_deviations)
            merge(mean, deviations, hop_mean, hop_deviations, (count, HOP_LENGTH))
            count += HOP_LENGTH
    return count


@compiled
def _add_weighted(
    frame: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float32],
) -> None:
    for i in range(HOP_LENGTH):
        sums[i] += frame[i] * weights[i]


@compiled
def _squared_windows(first: int, stop: int, squares: npt.NDArray[np.float32]) -> None:
    for i in range(HOP_LENGTH):
        squares[i] = 0
    for hop in range(first, stop):
        for i in range(HOP_LENGTH):
            squares[i] += _WINDOW[hop * HOP_LENGTH + i] ** 2


@summing
def _hop_moments(
    y: npt.NDArray[np.float32],
    percussive: npt.NDArray[np.float32],
    mean: npt.NDArray[np.float64],
    deviations: npt.NDArray[np.float64],
) -> None:
    total_h = total_p = 0.0
    for i in range(HOP_LENGTH):
        total_h += np.float64(y[i] - percussive[i])
        total_p += np.float64(percussive[i])
    mean_h, mean_p = total_h / HOP_LENGTH, total_p / HOP_LENGTH
    squares_h = squares_p = 0.0
    for i in range(HOP_LENGTH):
        squares_h += (np.float64(y[i] - percussive[i]) - mean_h) ** 2
        squares_p += (np.float64(percussive[i]) - mean_p) ** 2
    mean[0], mean[1] = mean_h, mean_p
    deviations[0], deviations[1] = squares_h, squares_p
