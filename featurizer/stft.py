"""The short-time Fourier transform that every feature shares, a block of frames at a time.

A frame is a row here, as the transform wants contiguous frames. Block by block it stays in the
processor's cache, and the memory of an hour-long signal stays bounded.

The transform is one of single precision, of which the rounding is far below the noise of any
recording. Two kinds of frames have no noise of their own that would cover it: lines (a constant, a
pure tone), whose bandwidth it would widen, and perfectly flat ones (a click), whose peaks it would
invent. Those, few in any recording, are transformed again in double precision.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

N_FFT = 2048
"""Samples of a frame."""

HOP_LENGTH = 512
"""Samples from one frame to the next."""

N_BINS = N_FFT // 2 + 1
"""Frequencies of a spectrum, from 0 Hz to half the sample rate."""

MIN_SAMPLES = N_FFT // 2 + 1
"""The fewest samples that can be reflected by half a frame at each end."""

BLOCK_FRAMES = 128
"""About this many frames are worked on together."""

KEPT_FRAMES = 5168
"""Spectra of signals of up to so many frames (two minutes, 64 MB) are kept for a second pass."""

_EDGE = N_FFT // 2

# Sum of the magnitudes over their Euclidean norm: 1.6 for a pure tone, 5 to 20 for music, and 32
# for a click.
_LINE = 4.0
_FLAT = 0.999 * np.sqrt(N_BINS)


def n_frames(n: int) -> int:
    """Count the frames of a signal of ``n`` samples.

    Parameters
    ----------
    n : int > 0
        Samples.

    Returns
    -------
    n_frames : int > 0
        One frame is centred on every 512th sample, the first on sample 0.
    """
    return 1 + n // HOP_LENGTH


def blocks(frames: int) -> list[tuple[int, int]]:
    """Divide frames into blocks of nearly equal size.

    Parameters
    ----------
    frames : int > 0
        How many there are.

    Returns
    -------
    blocks : list of (start, stop)
        Each block's first frame and end, in order and without gaps; 64 to 192 frames each where
        there are so many.
    """
    count = max(1, round(frames / BLOCK_FRAMES))
    edges = [frames * i // count for i in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


@cache
def window() -> npt.NDArray[np.float32]:
    """Give the periodic Hann window of a frame.

    Returns
    -------
    window : np.ndarray [shape=(2048,), float32, 0 … 1]
        Read-only.
    """
    hann = _hann().astype(np.float32)
    hann.setflags(write=False)
    return hann


@cache
def _hann() -> npt.NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


def reflected(y: npt.NDArray[np.float32], start: int, stop: int) -> npt.NDArray[np.float32]:
    """Take a stretch of a signal that goes on beyond both its ends as in a mirror.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    start, stop : int
        First sample and end; at least -1024 and at most n + 1024.

    Returns
    -------
    x : np.ndarray [shape=(stop - start,), float32]
        Reflected on the outermost samples (``c b | a b c``), which are not repeated. A view of
        ``y`` where no end is crossed.
    """
    n = len(y)
    inner = y[max(start, 0) : min(stop, n)]
    if start >= 0 and stop <= n:
        return inner
    head = y[1 : 1 - start][::-1] if start < 0 else y[:0]
    tail = y[2 * n - 1 - stop : n - 1][::-1] if stop > n else y[:0]
    return np.concatenate([head, inner, tail])


def stft(
    y: npt.NDArray[np.float32], start: int, stop: int
) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
    """Transform some frames of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    start, stop : int
        First frame and end, within ``0 … n_frames(n)``.

    Returns
    -------
    D : np.ndarray [shape=(stop - start, 1025), complex64]
        ``D[t - start]`` is the spectrum of the 2,048 samples around sample ``512 * t``, weighted
        by a Hann window.
    S : np.ndarray [shape=(stop - start, 1025), float32]
        Its magnitudes.
    """
    x = reflected(y, start * HOP_LENGTH - _EDGE, (stop - 1) * HOP_LENGTH + _EDGE)
    frames = np.lib.stride_tricks.sliding_window_view(x, N_FFT)[::HOP_LENGTH]
    D: npt.NDArray[np.complex64] = scipy.fft.rfft(frames * window(), overwrite_x=True)
    S = np.abs(D)
    total = S.sum(axis=1)
    norm = np.sqrt(np.einsum("tf,tf->t", S, S))
    noiseless = np.flatnonzero((total < _LINE * norm) | (total > _FLAT * norm))
    if noiseless.size:
        D[noiseless] = scipy.fft.rfft(frames[noiseless] * _hann())
        S[noiseless] = np.abs(D[noiseless])
    return D, S


class Spectra:
    """The spectra of one signal, to be gone through more than once.

    Those of a signal of up to two minutes are computed once and kept; those of a longer one are
    computed again at each request, so that memory does not grow with the signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.

    Attributes
    ----------
    n_frames : int
        Frames of the whole signal.
    """

    def __init__(self, y: npt.NDArray[np.float32]) -> None:
        self._y = y
        self.n_frames = n_frames(len(y))
        self._kept: tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]] | None = None
        if self.n_frames <= KEPT_FRAMES:
            shape = (self.n_frames, N_BINS)
            self._kept = np.empty(shape, np.complex64), np.empty(shape, np.float32)
            for start, stop in blocks(self.n_frames):
                self._kept[0][start:stop], self._kept[1][start:stop] = stft(y, start, stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(blocks(self.n_frames))

    def get(
        self, start: int, stop: int
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
        """Give the spectra of some frames.

        Parameters
        ----------
        start, stop : int
            First frame and end, within ``0 … n_frames``.

        Returns
        -------
        D : np.ndarray [shape=(stop - start, 1025), complex64]
            The spectra; not to be written to.
        S : np.ndarray [shape=(stop - start, 1025), float32]
            Their magnitudes; not to be written to.
        """
        if self._kept is not None:
            return self._kept[0][start:stop], self._kept[1][start:stop]
        return stft(self._y, start, stop)
