"""The short-time Fourier transform that every feature shares, a block of frames at a time.

A frame is a row here, as the transform wants contiguous frames. Block by block it stays in the
processor's cache, and the memory of an hour-long signal stays bounded.

The transform is one of single precision, of which the rounding is far below the noise of any
recording. Two kinds of frames have no noise of their own that would cover it: lines (a constant, a
pure tone), whose bandwidth it would widen, and perfectly flat ones (a click), whose peaks it would
invent. Those, few in any recording, are transformed again in double precision. So are frames so
faint that the squares of their magnitudes would vanish.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from compiling.compiled import compiled, summing
from featurizer.workspace import workspace

N_FFT = 2048
"""Samples of a frame."""

HOP_LENGTH = 512
"""Samples from one frame to the next."""

N_BINS = N_FFT // 2 + 1
"""Frequencies of a spectrum, from 0 Hz to half the sample rate."""

MIN_SAMPLES = N_FFT // 2 + 1
"""The fewest samples that can be reflected by half a frame at each end."""

BLOCK_FRAMES = 96
"""About this many frames are worked on together."""

MOST_FRAMES = 3 * BLOCK_FRAMES // 2
"""The most frames of a block."""

_EDGE = N_FFT // 2

# Sum of the magnitudes over their Euclidean norm: 1.6 for a pure tone, 5 to 20 for music, and 32
# for a click.
_LINE = 4.0
_FLAT = 0.999 * np.sqrt(N_BINS)
# Power of a frame below which that of its bins is not sure to be a normal number.
_FAINT = 1e-25


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
        Each block's first frame and end, in order and without gaps; 48 to 144 frames each where
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
    y: npt.NDArray[np.float32], start: int, P: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
    """Transform some frames of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    start : int
        First frame.
    P : np.ndarray [shape=(count, 1025), float32, C-contiguous]
        Written: the power of this frame and of those after it, up to ``n_frames(n)``.

    Returns
    -------
    D : np.ndarray [shape=(count, 1025), complex64]
        ``D[t]`` is the spectrum of the 2,048 samples around sample ``512 * (start + t)``, weighted
        by a Hann window.
    S : np.ndarray [shape=(count, 1025), float32]
        Its magnitudes, whose squares are ``P``; in memory that the next call writes to.
    """
    count = len(P)
    first = start * HOP_LENGTH - _EDGE
    x = reflected(y, first, first + (count - 1) * HOP_LENGTH + N_FFT)
    frames = workspace("stft.frames", (count, N_FFT))
    _weigh(x, np.arange(count), window(), frames)
    D: npt.NDArray[np.complex64] = scipy.fft.rfft(frames)
    S = workspace("stft.magnitudes", P.shape)
    odd = np.flatnonzero(_magnitudes(D, P, S))
    if odd.size:
        wide = workspace("stft.wide", (odd.size, N_FFT), np.float64)
        _weigh(x, odd, _hann(), wide)
        spectra = scipy.fft.rfft(wide).astype(np.complex64)
        D[odd] = spectra
        S[odd] = np.abs(spectra)
        P[odd] = S[odd] ** 2
    return D, S


@compiled
def _weigh(
    x: npt.NDArray[np.float32],
    chosen: npt.NDArray[np.int64],
    weights: npt.NDArray[np.floating],
    frames: npt.NDArray[np.floating],
) -> None:
    for t in range(len(chosen)):
        begin = chosen[t] * HOP_LENGTH
        frame = x[begin : begin + N_FFT]
        for i in range(N_FFT):
            frames[t, i] = frame[i] * weights[i]


@compiled
def _magnitudes(
    D: npt.NDArray[np.complex64], P: npt.NDArray[np.float32], S: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    odd = np.empty(len(D), dtype=np.bool_)
    for t in range(len(D)):
        for k in range(N_BINS):
            P[t, k] = D[t, k].real * D[t, k].real + D[t, k].imag * D[t, k].imag
        for k in range(N_BINS):
            S[t, k] = np.sqrt(P[t, k])
        total = _sum(S[t])
        power = _sum(P[t])
        norm = np.sqrt(power)
        faint = power < _FAINT and not _silent(D[t])
        odd[t] = faint or total < _LINE * norm or total > _FLAT * norm
    return odd


@compiled
def _silent(spectrum: npt.NDArray[np.complex64]) -> bool:
    sounding = 0
    for k in range(N_BINS):
        sounding += (spectrum[k].real != 0) | (spectrum[k].imag != 0)
    return sounding == 0


@summing
def _sum(x: npt.NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for k in range(N_BINS):
        total += x[k]
    return total
