"""Harmonic-percussive separation, and the moments of what it gives.

What sounds is steady along time, what strikes is steady along frequency: a median along each, and
masks from the two [1]_ [2]_. The masks add up to one, so the harmonic signal is what the percussive
one leaves of the whole, and one inverse transform gives both. It is the percussive one that is
transformed, since rounding errors that are the same in every frame would not average out: a steady
signal gives such errors, and it is all harmonic.

.. [1] Fitzgerald, D. "Harmonic/percussive separation using median filtering." DAFX 2010.
.. [2] Driedger, J., M. Müller, and S. Disch. "Extending harmonic-percussive separation of audio
   signals." ISMIR 2014.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft

from compiling.compiled import compiled
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
from featurizer.spectrogram import LatestFrames
from featurizer.stft import HOP_LENGTH, N_BINS, N_FFT
from featurizer.workspace import workspace

_HALF = np.float32(0.5)
_ZERO = np.float32(0)


class HarmonicPercussive:
    """Moments of the harmonic and of the percussive part of a signal, block by block.

    Both parts end 512 times the last frame's index in, where the inverse transform does, and count
    as zero from there to the end of the signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    powers : LatestFrames
        Its power spectrogram. A block is in it before it is added here, and so are still the block
        before it and 15 frames before that.
    n_frames : int
        Frames of the whole signal.
    percussive : np.ndarray [shape=(n,), float32], optional
        Written, where it is given: the percussive part, of which the last samples may stay as they
        are.
    """

    def __init__(
        self,
        y: npt.NDArray[np.float32],
        powers: LatestFrames,
        n_frames: int,
        percussive: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._powers = powers
        self._n_frames = n_frames
        self._silent = len(y) - HOP_LENGTH * (n_frames - 1)
        self._sums = OverlapAdd(y, n_frames, percussive)
        # A block waits for the one that follows, of which it needs the first frames.
        self._waiting: tuple[int, npt.NDArray[np.complex64]] | None = None

    @property
    def moments(self) -> Moments:
        """Those of the harmonic and of the percussive part, once every block is added."""
        return self._sums.moments

    def add(self, start: int, D: npt.NDArray[np.complex64]) -> None:
        """Take in the next block of frames.

        Parameters
        ----------
        start : int
            First frame; blocks come in order and without gaps.
        D : np.ndarray [shape=(count, 1025), complex64]
            Their spectra.
        """
        if self._waiting is not None:
            self._separate(*self._waiting)
        self._waiting = start, D
        if start + len(D) == self._n_frames:
            self._separate(start, D)
            self.moments.merge(self._silent, np.zeros(2), np.zeros(2))

    def _separate(self, start: int, D: npt.NDArray[np.complex64]) -> None:
        stop = start + len(D)
        first = max(0, start - HALO)
        P = self._powers[first : min(stop + HALO, self._n_frames)]
        pairs = workspace("hpss.pairs", ((len(D) + 1) // 2, N_FFT), np.complex64)
        percussive_pairs(D, P, start - first, pairs)
        frames = scipy.fft.ifft(pairs, overwrite_x=True)
        self._sums.add(frames.view(np.float32), start, stop)


def percussive_pairs(
    D: npt.NDArray[np.complex64],
    P: npt.NDArray[np.float32],
    first: int,
    pairs: npt.NDArray[np.complex64],
) -> None:
    """Take the percussive part of some spectra, two frames in one.

    The inverse transform of ``A + i B`` is ``a + i b``: that of two real frames costs that of one
    complex one, which is less than that of two.

    Parameters
    ----------
    D : np.ndarray [shape=(count, 1025), complex64]
        Spectra.
    P : np.ndarray [shape=(n, 1025), float32, C-contiguous]
        Power of these frames and of up to 15 more on each side. Where there are fewer, the signal
        ends and is reflected there.
    first : int
        Where in ``P`` the first of these frames is.
    pairs : np.ndarray [shape=(ceil(count / 2), 2048), complex64]
        Written: the spectra of frames that have the percussive part of an even frame as real and
        that of the odd frame after it as imaginary part. The percussive part is the spectrum times
        its square-law soft mask: the median along frequency over the sum of both medians of the
        power, since the square of a median is the median of the squares; 0.5 where both are zero.
    """
    count = len(D)
    harmonic = workspace("hpss.harmonic", D.shape)
    rows = reflected_rows(len(P), first - HALO, first + count + HALO)
    medians_along_time(P, rows, harmonic)
    _percussive_pairs(D, P[first : first + count], harmonic, pairs)


@compiled
def _percussive_pairs(
    D: npt.NDArray[np.complex64],
    P: npt.NDArray[np.float32],
    harmonic: npt.NDArray[np.float32],
    pairs: npt.NDArray[np.complex64],
) -> None:
    memory = np.empty(MEMORY, dtype=np.float32)
    percussive = np.empty(PADDED_BINS, dtype=np.float32)
    mask = np.empty((2, N_BINS), dtype=np.float32)
    nothing = np.zeros(N_BINS, dtype=np.float32)
    for pair in range(len(pairs)):
        even = 2 * pair
        odd = min(even + 1, len(D) - 1)
        for t in range(even, odd + 1):
            medians_along_frequency(P[t], memory, percussive)
            _soft_mask(percussive, harmonic[t], mask[t - even])
        # The last of an odd number of frames is paired with nothing.
        _pair(D[even], mask[0], D[odd], mask[1] if odd > even else nothing, pairs[pair])


@compiled
def _soft_mask(
    percussive: npt.NDArray[np.float32],
    harmonic: npt.NDArray[np.float32],
    mask: npt.NDArray[np.float32],
) -> None:
    for k in range(N_BINS):
        both = percussive[k] + harmonic[k]
        mask[k] = percussive[k] / both if both != _ZERO else _HALF


@compiled
def _pair(
    a: npt.NDArray[np.complex64],
    a_mask: npt.NDArray[np.float32],
    b: npt.NDArray[np.complex64],
    b_mask: npt.NDArray[np.float32],
    pair: npt.NDArray[np.complex64],
) -> None:
    for k in range(N_BINS):
        a_re, a_im = a_mask[k] * a[k].real, a_mask[k] * a[k].imag
        b_re, b_im = b_mask[k] * b[k].real, b_mask[k] * b[k].imag
        pair[k] = complex(a_re - b_im, a_im + b_re)
    # The negative frequencies: conj(A) + i conj(B).
    for k in range(1, N_BINS - 1):
        a_re, a_im = a_mask[k] * a[k].real, a_mask[k] * a[k].imag
        b_re, b_im = b_mask[k] * b[k].real, b_mask[k] * b[k].imag
        pair[N_FFT - k] = complex(a_re + b_im, b_re - a_im)
