"""The shape of each frame's spectrum: centroid, bandwidth and roll-off."""

import numpy as np
import numpy.typing as npt

from featurizer.columns import SAMPLE_RATE
from featurizer.compiled import compiled
from featurizer.stft import N_BINS, N_FFT

ROLL_PERCENT = 0.85
"""Share of a spectrum's magnitude that lies below its roll-off frequency."""

_HZ_PER_BIN = SAMPLE_RATE / N_FFT
_SHARE = np.float32(ROLL_PERCENT)
_TINY = float(np.finfo(np.float32).tiny)
_LANES = 16
_WHOLE = N_BINS - N_BINS % _LANES


@compiled
def spectral_shape(S: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Measure where each spectrum lies.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 1025), float32]
        Magnitudes.

    Returns
    -------
    shape : np.ndarray [shape=(n_frames, 3), float64, 0 … 11,025 Hz]
        Each frame's centroid, the mean frequency; its bandwidth, the standard deviation around the
        centroid; and its roll-off, the lowest bin at or below which 85 % of the magnitude lies. A
        silent frame has 0 for each.
    """
    n_frames = S.shape[0]
    shape = np.zeros((n_frames, 3))
    sums = np.zeros((3, _LANES))
    for t in range(n_frames):
        # Moments about 0 Hz first and about the centroid after, as one pass would cancel.
        sums[:] = 0
        for k in range(0, _WHOLE, _LANES):
            for j in range(_LANES):
                sums[0, j] += S[t, k + j]
                sums[1, j] += np.float64(S[t, k + j]) * (k + j)
        norm = sums[0].sum()
        first = sums[1].sum()
        for k in range(_WHOLE, N_BINS):
            norm += S[t, k]
            first += np.float64(S[t, k]) * k
        if norm < _TINY:
            # Too faint to be divided by: librosa leaves such frames as they are.
            norm = 1.0
        centroid = first / norm
        for k in range(0, _WHOLE, _LANES):
            for j in range(_LANES):
                sums[2, j] += np.float64(S[t, k + j]) * (k + j - centroid) ** 2
        second = sums[2].sum()
        for k in range(_WHOLE, N_BINS):
            second += np.float64(S[t, k]) * (k - centroid) ** 2
        shape[t, 0] = centroid * _HZ_PER_BIN
        shape[t, 1] = np.sqrt(second / norm) * _HZ_PER_BIN
        shape[t, 2] = _rolloff(S[t]) * _HZ_PER_BIN
    return shape


@compiled
def _rolloff(spectrum: npt.NDArray[np.float32]) -> int:
    # Single precision and one sum from the bottom up, as the published tables' cumulative sums
    # were: it decides where a bin falls on the threshold.
    total = np.float32(0)
    for k in range(N_BINS):
        total += spectrum[k]
    threshold = _SHARE * total
    running = np.float32(0)
    for k in range(N_BINS):
        running += spectrum[k]
        if running >= threshold:
            return k
    return 0
