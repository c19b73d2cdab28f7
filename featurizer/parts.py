"""Power of the harmonic and of the percussive part."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled
from featurizer.stft import N_BINS, sum_of_bins

_ONE = np.float32(1)
_HALF = np.float32(0.5)


@compiled
def part_powers(
    P: npt.NDArray[np.float32],
    mask: npt.NDArray[np.float32],
    harmonic: npt.NDArray[np.float32],
    percussive: npt.NDArray[np.float32],
    share: npt.NDArray[np.float32],
) -> None:
    """Split the power of a block of frames by the percussive mask.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32]
        Power.
    mask : np.ndarray [shape=(n_frames, 1025), float32, 0 … 1]
        Percussive mask m, from :func:`featurizer.hpss.percussive_masks`.
    harmonic, percussive : np.ndarray [shape=(n_frames, 1025), float32]
        Outputs: P (1 - m)^2 and P m^2.
    share : np.ndarray [shape=(n_frames,), float32, 0 … 1]
        Output: sum(P m^2) / (sum(P m^2) + sum(P (1 - m)^2)), the percussive share of the power;
        0.5 where that is 0 / 0.

    Examples
    --------
    >>> P, mask = np.ones((2, 1, N_BINS), dtype=np.float32)
    >>> mask[:] = 0.25
    >>> harmonic, percussive, share = np.empty_like(P), np.empty_like(P), np.empty(1, np.float32)
    >>> part_powers(P, mask, harmonic, percussive, share)
    >>> print(harmonic[0, 0], percussive[0, 0], share)
    0.5625 0.0625 [0.1]
    """
    for t in range(len(P)):
        for k in range(N_BINS):
            rest = _ONE - mask[t, k]
            percussive[t, k] = P[t, k] * mask[t, k] * mask[t, k]
            harmonic[t, k] = P[t, k] * rest * rest
        part = sum_of_bins(percussive[t])
        both = part + sum_of_bins(harmonic[t])
        share[t] = part / both if both > 0 else _HALF
