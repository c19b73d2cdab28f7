"""Harmonic-percussive separation, and mean and variance of both parts.

Harmonic sounds are steady along time and percussive sounds along frequency. Medians along both axes
of the spectrogram yield the masks of the two parts [1]_ [2]_. The masks add up to one, so a single
inverse transform is enough: the harmonic part is the signal minus the percussive part. The
percussive part is the one transformed, because a steady signal is all harmonic and its rounding
errors, equal in every frame, would not average out.

.. [1] Fitzgerald, D. "Harmonic/percussive separation using median filtering." DAFX 2010.
.. [2] Driedger, J., M. Müller, and S. Disch. "Extending harmonic-percussive separation of audio
   signals." ISMIR 2014.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled
from featurizer.inverse_fft import inverse_real_fft
from featurizer.median import (
    HALO,
    MEMORY,
    PADDED_BINS,
    medians_along_frequency,
    medians_along_time,
    reflected_rows,
)
from featurizer.moments import Moments
from featurizer.overlap_add import OverlapAdd
from featurizer.stft import HOP_LENGTH, N_BINS, N_FFT
from featurizer.workspace import workspace

_HALF = np.float32(0.5)
_ZERO = np.float32(0)


class HarmonicPercussive:
    """Mean and variance of the harmonic and percussive parts of a signal, block by block.

    Both parts end with the inverse transform, at sample 512 * (n_frames - 1). They count as zero
    from there to the end of the signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    n_frames : int
        Frames of the whole signal.
    percussive : np.ndarray [shape=(n,), float32], optional
        Output: the percussive part. Samples after the end of the inverse transform are left
        unchanged.

    Examples
    --------
    >>> from featurizer.stft import n_frames, stft
    >>> y = np.sin(0.1 * np.arange(22050)).astype(np.float32)
    >>> P = np.empty((n_frames(len(y)), N_BINS), dtype=np.float32)
    >>> D, S = stft(y, 0, P)
    >>> mask = np.empty_like(P)
    >>> percussive_masks(P, 0, mask)
    >>> parts = HarmonicPercussive(y, len(P))
    >>> parts.add(0, D, mask)
    >>> harmonic, percussive = parts.moments.variance
    >>> bool(harmonic > 100 * percussive)
    True
    """

    def __init__(
        self,
        y: npt.NDArray[np.float32],
        n_frames: int,
        percussive: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._n_frames = n_frames
        self._n_padding = len(y) - HOP_LENGTH * (n_frames - 1)
        self._sums = OverlapAdd(y, n_frames, percussive)

    @property
    def moments(self) -> Moments:
        """Mean and variance of the harmonic and the percussive part, once every block is added."""
        return self._sums.moments

    def add(self, start: int, D: npt.NDArray[np.complex64], mask: npt.NDArray[np.float32]) -> None:
        """Add the next block of frames.

        Parameters
        ----------
        start : int
            First frame; blocks come in order and without gaps.
        D : np.ndarray [shape=(count, 1025), complex64]
            Spectra of the block.
        mask : np.ndarray [shape=(count, 1025), float32, 0 … 1]
            Percussive mask of the block.
        """
        stop = start + len(D)
        frames = workspace("hpss.frames", (len(D), N_FFT))
        inverse_real_fft(D, mask, frames)
        self._sums.add(frames, start, stop)
        if stop == self._n_frames:
            self.moments.merge(self._n_padding, np.zeros(2), np.zeros(2))


def percussive_masks(P: npt.NDArray[np.float32], first: int, mask: npt.NDArray[np.float32]) -> None:
    """Compute the percussive soft mask of a block of frames; the harmonic one is 1 - mask.

    Parameters
    ----------
    P : np.ndarray [shape=(n, 1025), float32, C-contiguous]
        Power of the block and of 15 more frames on each side. Fewer mean that the signal ends
        there; it is reflected at that end.
    first : int
        Index in ``P`` of the first frame of the block.
    mask : np.ndarray [shape=(count, 1025), float32, 0 … 1]
        Output: the median of the power along frequency, divided by the sum of the medians along
        both axes; 0.5 where both are zero. Medians of the power are the squares of medians of the
        magnitudes.

    Examples
    --------
    >>> mask = np.empty((1, N_BINS), dtype=np.float32)
    >>> percussive_masks(np.ones((1, N_BINS), dtype=np.float32), 0, mask)
    >>> print(mask[0, 0])
    0.5
    """
    count = len(mask)
    rows = reflected_rows(len(P), first - HALO, first + count + HALO)
    medians_along_time(P, rows, mask)
    _divide_by_both(P[first : first + count], mask)


@compiled
def _divide_by_both(P: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> None:
    # The mask replaces the medians along time.
    memory = np.empty(MEMORY, dtype=np.float32)
    percussive = np.empty(PADDED_BINS, dtype=np.float32)
    for t in range(len(P)):
        medians_along_frequency(P[t], memory, percussive)
        _soft_mask(percussive, mask[t])


@compiled
def _soft_mask(percussive: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> None:
    for k in range(N_BINS):
        both = percussive[k] + mask[k]
        mask[k] = percussive[k] / both if both != _ZERO else _HALF
