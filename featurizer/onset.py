"""Onset strength: the increase in level from one frame to the next."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled
from featurizer.filters import N_MELS
from featurizer.stft import HOP_LENGTH, N_FFT

ONSET_DELAY = 1 + N_FFT // (2 * HOP_LENGTH)
"""Frames by which onsets are shifted: one for the difference, two for the centring of frames."""

_HALF = N_MELS // 2
_ZERO = np.float32(0)


@compiled
def onset_strength(
    db: npt.NDArray[np.float32],
    previous: npt.NDArray[np.float32],
    onsets: npt.NDArray[np.float32],
) -> None:
    """Compute the onset strength of a block of frames.

    Parameters
    ----------
    db : np.ndarray [shape=(n_frames, 128), float32]
        Mel spectrogram in dB.
    previous : np.ndarray [shape=(128,), float32]
        The frame before the first, in dB.
    onsets : np.ndarray [shape=(n_frames,), float32, >= 0]
        Output: the median over the bands of the increase in dB; decreases count as 0.

    Examples
    --------
    >>> db = np.zeros((2, 128), dtype=np.float32)
    >>> db[1] = 6.0
    >>> onsets = np.empty(2, dtype=np.float32)
    >>> onset_strength(db, db[0], onsets)
    >>> onsets
    array([0., 6.], dtype=float32)
    """
    rise = np.empty(N_MELS, dtype=np.float32)
    for t in range(len(db)):
        rising = 0
        for m in range(N_MELS):
            difference = db[t, m] - (db[t - 1, m] if t else previous[m])
            rise[m] = difference if difference > _ZERO else _ZERO
            rising += difference > _ZERO
        # If fewer than half of the bands rise, the median is 0.
        onsets[t] = _median(rise.view(np.int32)) if rising >= _HALF else _ZERO


@compiled
def _median(bits: npt.NDArray[np.int32]) -> np.float32:
    # Non-negative floats have the same order as their bits. The 64th smallest is the largest number
    # with fewer than 64 values below it. It is found bit by bit, counting all values each time,
    # without unpredictable branches.
    middle = np.zeros(2, dtype=np.int32)
    low = np.int32(0)
    for bit in range(30, -1, -1):
        candidate = np.int32(low | (1 << bit))
        below = np.int32(0)
        for m in range(N_MELS):
            below += np.int32(bits[m] < candidate)
        low = candidate if below < _HALF else low
    # The 65th smallest is the same value again or the next larger one.
    not_above = np.int32(0)
    next_larger = np.int32(0x7FFFFFFF)
    for m in range(N_MELS):
        not_above += np.int32(bits[m] <= low)
        next_larger = min(next_larger, bits[m] if bits[m] > low else next_larger)
    middle[0] = low
    middle[1] = low if not_above > _HALF else next_larger
    values = middle.view(np.float32)
    return np.float32((values[0] + values[1]) / np.float32(2))
