"""Roll-off frequencies of several shares, from one cumulative sum."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, summing
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import N_BINS, N_FFT

SHARES = (0.25, 0.50, 0.85, 0.95)
"""Shares of a spectrum's total magnitude."""

_HZ_PER_BIN = SAMPLE_RATE / N_FFT

# Bins per stored sum; the last of 33 groups is a single bin.
_STRIDE = 32
_GROUPS = N_BINS // _STRIDE + 1


@compiled
def rolloffs(S: npt.NDArray[np.float32], rolloff: npt.NDArray[np.float32]) -> None:
    """Find the lowest bins up to which given shares of the magnitude lie.

    Sums are in double precision, unlike those of :func:`featurizer.spectral.spectral_shape`, which
    follow the published tables.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 1025), float32]
        Magnitudes.
    rolloff : np.ndarray [shape=(n_frames, 4), float32, 0 … 11,025 Hz]
        Output: the frequency of the lowest bin with at least 25, 50, 85 and 95 % of the magnitude
        at or below it.

    Examples
    --------
    >>> rolloff = np.empty((1, 4), dtype=np.float32)
    >>> rolloffs(np.ones((1, 1025), dtype=np.float32), rolloff)
    >>> print((rolloff[0] / 11025).round(2))
    [0.25 0.5  0.85 0.95]
    """
    below = np.zeros(_GROUPS + 1)
    for t in range(len(S)):
        for i in range(_GROUPS):
            below[i + 1] = below[i] + _sum(S[t, i * _STRIDE : min((i + 1) * _STRIDE, N_BINS)])
        i = 0
        for j in range(len(SHARES)):
            threshold = SHARES[j] * below[_GROUPS]
            while i < _GROUPS - 1 and below[i + 1] < threshold:
                i += 1
            k = i * _STRIDE
            total = below[i] + S[t, k]
            while total < threshold and k < N_BINS - 1:
                k += 1
                total += S[t, k]
            rolloff[t, j] = k * _HZ_PER_BIN


@summing
def _sum(x: npt.NDArray[np.float32]) -> float:
    total = 0.0
    for k in range(len(x)):
        total += np.float64(x[k])
    return total
