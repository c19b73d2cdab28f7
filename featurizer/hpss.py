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

from featurizer.compiled import compiled
from featurizer.median import HALO, reflected_rows, running_median
from featurizer.moments import Moments, sample_moments
from featurizer.stft import HOP_LENGTH, N_BINS, N_FFT, Spectra, window

_TINY = np.float32(np.finfo(np.float32).tiny)
_HALF = np.float32(0.5)
_EDGE = N_FFT // 2
_OVERLAP = N_FFT - HOP_LENGTH


def percussive_mask(S: npt.NDArray[np.float32], start: int, stop: int) -> npt.NDArray[np.float32]:
    """Tell the percussive share of some frames.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 1025), float32]
        Magnitudes of these frames and of up to 15 more on each side. Where there are fewer, the
        signal ends and is reflected there.
    start, stop : int
        First frame and end.

    Returns
    -------
    mask : np.ndarray [shape=(stop - start, 1025), float32, 0 … 1]
        Its square-law soft mask; 0.5 where both medians are zero.
    """
    harmonic = running_median(S, reflected_rows(len(S), start - HALO, stop + HALO))
    turned = np.ascontiguousarray(S[start:stop].T)
    percussive = running_median(turned, reflected_rows(N_BINS, -HALO, N_BINS + HALO))
    return _soft_mask(np.ascontiguousarray(percussive.T), harmonic)


@compiled
def _soft_mask(
    X: npt.NDArray[np.float32], X_ref: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    mask = np.empty_like(X)
    for t in range(X.shape[0]):
        for k in range(X.shape[1]):
            largest = X[t, k] if X[t, k] > X_ref[t, k] else X_ref[t, k]
            # Divided by the larger one first, as the squares of faint ones would vanish.
            share = X[t, k] / largest
            reference = X_ref[t, k] / largest
            share *= share
            reference *= reference
            mask[t, k] = share / (share + reference) if largest >= _TINY else _HALF
    return mask


class HarmonicPercussive:
    """Moments of the harmonic and of the percussive part of a signal, block by block.

    Both parts end 512 times the last frame's index in, where the inverse transform does, and count
    as zero from there to the end of the signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    spectra : Spectra
        Its spectra.

    Attributes
    ----------
    harmonic, percussive : Moments
        Moments so far.
    """

    def __init__(self, y: npt.NDArray[np.float32], spectra: Spectra) -> None:
        self._y = y
        self._spectra = spectra
        self._end = HOP_LENGTH * (spectra.n_frames - 1)
        self._carry = np.zeros(_OVERLAP, dtype=np.float32)
        self.harmonic = Moments(1)
        self.percussive = Moments(1)

    def add(self, start: int, stop: int) -> None:
        """Take in the next block of frames.

        Parameters
        ----------
        start, stop : int
            First frame and end; blocks come in order and without gaps.
        """
        first = max(0, start - HALO)
        D, S = self._spectra.get(first, min(stop + HALO, self._spectra.n_frames))
        inner = slice(start - first, stop - first)
        D = D[inner] * percussive_mask(S, inner.start, inner.stop)
        frames = scipy.fft.irfft(D, N_FFT, overwrite_x=True)
        sums = np.zeros((stop - start - 1) * HOP_LENGTH + N_FFT, dtype=np.float32)
        sums[:_OVERLAP] = self._carry
        _overlap_add(frames, window(), sums)
        self._carry = sums[-_OVERLAP:]
        # The first sum belongs to this sample; what no later frame adds to is finished.
        origin = start * HOP_LENGTH - _EDGE
        begin = max(origin, 0)
        last = stop == self._spectra.n_frames
        end = self._end if last else stop * HOP_LENGTH - _EDGE
        if end > begin:
            percussive = sums[begin - origin : end - origin]
            percussive /= _weights(self._spectra.n_frames, begin, end)
            self._merge(self._y[begin:end] - percussive, percussive)
        if last:
            silence = np.zeros(len(self._y) - self._end, dtype=np.float32)
            self._merge(silence, silence)

    def _merge(
        self, harmonic: npt.NDArray[np.float32], percussive: npt.NDArray[np.float32]
    ) -> None:
        if not len(harmonic):
            return
        for moments, x in ((self.harmonic, harmonic), (self.percussive, percussive)):
            mean, deviations = sample_moments(x)
            moments.merge(len(x), np.array([mean]), np.array([deviations]))


def _weights(frames: int, begin: int, end: int) -> npt.NDArray[np.float32]:
    # Sum of the squared windows over each sample: constant, but near the ends of the signal.
    first = max(0, (begin - _EDGE) // HOP_LENGTH)
    stop = min(frames, (end + _EDGE) // HOP_LENGTH + 1)
    sums = np.zeros((stop - first - 1) * HOP_LENGTH + N_FFT, dtype=np.float32)
    _overlap_add(np.broadcast_to(window(), (stop - first, N_FFT)), window(), sums)
    origin = first * HOP_LENGTH - _EDGE
    return sums[begin - origin : end - origin]


@compiled
def _overlap_add(
    frames: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float32],
) -> None:
    for t in range(frames.shape[0]):
        begin = t * HOP_LENGTH
        for i in range(N_FFT):
            sums[begin + i] += frames[t, i] * weights[i]
