"""Spectral centroid, bandwidth and roll-off of each frame."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, inlined, summing
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import N_BINS, N_FFT

ROLL_PERCENT = 0.85
"""Share of a spectrum's total magnitude at or below its roll-off frequency."""

_HZ_PER_BIN = SAMPLE_RATE / N_FFT
_SHARE = np.float32(ROLL_PERCENT)
_TINY = float(np.finfo(np.float32).tiny)

# Frames per call of the roll-off kernel, and bins per stored cumulative sum.
_ROLLOFF_FRAMES = 8
_STRIDE = 32
_Sums = tuple[np.float32, ...]
_ZERO = np.float32(0)


@compiled
def spectral_shape(S: npt.NDArray[np.float32], shape: npt.NDArray[np.float64]) -> None:
    """Compute centroid, bandwidth and roll-off of each spectrum.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 1025), float32, C-contiguous]
        Magnitudes.
    shape : np.ndarray [shape=(n_frames, 3), float64, 0 … 11,025 Hz]
        Output, per frame: the centroid, which is the mean frequency; the bandwidth, which is
        the standard deviation around the centroid; and the roll-off, which is the frequency of the
        lowest bin with at least 85 % of the magnitude at or below it. All are 0 in a silent frame.

    Examples
    --------
    >>> shape = np.empty((1, 3))
    >>> spectral_shape(np.eye(1, 1025, 128, dtype=np.float32), shape)
    >>> print(shape[0])
    [1378.125    0.    1378.125]
    """
    for t in range(len(S)):
        norm, first, second = _sums(S[t])
        if norm < _TINY:
            # Too faint to be normalised: librosa leaves such frames unscaled.
            second += first * first * (norm - 2.0)
            shape[t, 0] = first * _HZ_PER_BIN
            shape[t, 1] = np.sqrt(second) * _HZ_PER_BIN
        else:
            # Products of single precision are exact in double: cancellation costs 1e-10 of the sum.
            centroid = first / norm
            shape[t, 0] = centroid * _HZ_PER_BIN
            shape[t, 1] = np.sqrt(max(0.0, second / norm - centroid * centroid)) * _HZ_PER_BIN
    n = len(S)
    if n < _ROLLOFF_FRAMES:
        padded, rolloff = (
            np.zeros((_ROLLOFF_FRAMES, N_BINS), dtype=np.float32),
            np.empty(_ROLLOFF_FRAMES),
        )
        for t in range(n):
            for k in range(N_BINS):
                padded[t, k] = S[t, k]
        _rolloff(padded, rolloff)
        for t in range(n):
            shape[t, 2] = rolloff[t]
        return
    for t in range(0, n, _ROLLOFF_FRAMES):
        start = min(t, n - _ROLLOFF_FRAMES)
        _rolloff(S[start : start + _ROLLOFF_FRAMES], shape[start : start + _ROLLOFF_FRAMES, 2])


@summing
def _sums(spectrum: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    norm = first = second = 0.0
    for k in range(N_BINS):
        magnitude = np.float64(spectrum[k])
        norm += magnitude
        first += magnitude * k
        second += magnitude * k * k
    return norm, first, second


@compiled
def _rolloff(S: npt.NDArray[np.float32], rolloff: npt.NDArray[np.float64]) -> None:
    # Single precision, summed from the lowest bin up, as in the cumulative sums of the published
    # tables: rounding decides when a bin falls on the threshold. Eight frames are summed side by
    # side, because each addition to a sum waits for the previous one.
    sums: _Sums = (_ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO)
    below = np.empty((N_BINS // _STRIDE + 1, _ROLLOFF_FRAMES), dtype=np.float32)
    for i in range(N_BINS // _STRIDE):
        for j in range(_ROLLOFF_FRAMES):
            below[i, j] = sums[j]
        for k in range(i * _STRIDE, (i + 1) * _STRIDE):
            sums = _add_bin(sums, S, k)
    for j in range(_ROLLOFF_FRAMES):
        below[-1, j] = sums[j]
    sums = _add_bin(sums, S, N_BINS - 1)
    for j in range(_ROLLOFF_FRAMES):
        threshold = _SHARE * sums[j]
        i = 0
        while i < N_BINS // _STRIDE and below[i + 1, j] < threshold:
            i += 1
        k = i * _STRIDE
        running = below[i, j] + S[j, k]
        while running < threshold and k < N_BINS - 1:
            k += 1
            running += S[j, k]
        # Frames with NaN have no roll-off.
        rolloff[j] = k * _HZ_PER_BIN if running >= threshold else 0.0


@inlined
def _add_bin(sums: _Sums, S: npt.NDArray[np.float32], k: int) -> _Sums:
    return (
        sums[0] + S[0, k],
        sums[1] + S[1, k],
        sums[2] + S[2, k],
        sums[3] + S[3, k],
        sums[4] + S[4, k],
        sums[5] + S[5, k],
        sums[6] + S[6, k],
        sums[7] + S[7, k],
    )
