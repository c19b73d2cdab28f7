"""The shape of each frame's spectrum: centroid, bandwidth and roll-off."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, inlined, summing
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import N_BINS, N_FFT

ROLL_PERCENT = 0.85
"""Share of a spectrum's magnitude that lies below its roll-off frequency."""

_HZ_PER_BIN = SAMPLE_RATE / N_FFT
_SHARE = np.float32(ROLL_PERCENT)
_TINY = float(np.finfo(np.float32).tiny)

# Frames whose roll-offs are looked for together, and bins between two sums that are kept.
_TOGETHER = 8
_STRIDE = 32
_Sums = tuple[np.float32, ...]
_ZERO = np.float32(0)


@compiled
def spectral_shape(S: npt.NDArray[np.float32], shape: npt.NDArray[np.float64]) -> None:
    """Measure where each spectrum lies.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 1025), float32, C-contiguous]
        Magnitudes.
    shape : np.ndarray [shape=(n_frames, 3), float64, 0 … 11,025 Hz]
        Written: each frame's centroid, the mean frequency; its bandwidth, the standard deviation
        around the centroid; and its roll-off, the lowest bin at or below which 85 % of the
        magnitude lies. A silent frame has 0 for each.
    """
    for t in range(len(S)):
        norm, first, second = _sums(S[t])
        if norm < _TINY:
            # Too faint to be divided by: librosa leaves such frames as they are.
            second += first * first * (norm - 2.0)
            shape[t, 0] = first * _HZ_PER_BIN
            shape[t, 1] = np.sqrt(second) * _HZ_PER_BIN
        else:
            # Products of single precision are exact in double, and so 1e-10 of the sum cancels.
            centroid = first / norm
            shape[t, 0] = centroid * _HZ_PER_BIN
            shape[t, 1] = np.sqrt(max(0.0, second / norm - centroid * centroid)) * _HZ_PER_BIN
    n = len(S)
    if n < _TOGETHER:
        padded, rolloff = np.zeros((_TOGETHER, N_BINS), dtype=np.float32), np.empty(_TOGETHER)
        for t in range(n):
            for k in range(N_BINS):
                padded[t, k] = S[t, k]
        _rolloff(padded, rolloff)
        for t in range(n):
            shape[t, 2] = rolloff[t]
        return
    for t in range(0, n, _TOGETHER):
        start = min(t, n - _TOGETHER)
        _rolloff(S[start : start + _TOGETHER], shape[start : start + _TOGETHER, 2])


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
    # Single precision and one sum from the bottom up, as the published tables' cumulative sums
    # were: it decides where a bin falls on the threshold. Eight frames are summed side by side, as
    # each addition to a sum has to wait for the last one.
    sums: _Sums = (_ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO)
    below = np.empty((N_BINS // _STRIDE + 1, _TOGETHER), dtype=np.float32)
    for i in range(N_BINS // _STRIDE):
        for j in range(_TOGETHER):
            below[i, j] = sums[j]
        for k in range(i * _STRIDE, (i + 1) * _STRIDE):
            sums = _plus(sums, S, k)
    for j in range(_TOGETHER):
        below[-1, j] = sums[j]
    sums = _plus(sums, S, N_BINS - 1)
    for j in range(_TOGETHER):
        threshold = _SHARE * sums[j]
        i = 0
        while i < N_BINS // _STRIDE and below[i + 1, j] < threshold:
            i += 1
        k = i * _STRIDE
        running = below[i, j] + S[j, k]
        while running < threshold and k < N_BINS - 1:
            k += 1
            running += S[j, k]
        # What is not a number has no roll-off.
        rolloff[j] = k * _HZ_PER_BIN if running >= threshold else 0.0


@inlined
def _plus(sums: _Sums, S: npt.NDArray[np.float32], k: int) -> _Sums:
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
