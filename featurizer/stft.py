"""Short-time Fourier transform, a block of frames at a time.

Frames are rows, because the transform is fastest on contiguous frames. A block fits into the
processor's cache, and memory does not grow with the signal.

The transform uses single precision; its rounding errors are far below the noise of any recording.
Two kinds of frames have no noise that masks these errors: line spectra (a constant or a pure tone),
where they widen the bandwidth, and flat spectra (a click), where they create peaks. These frames,
rare in recordings, are transformed again in double precision. The same holds for frames so faint
that the squares of their magnitudes underflow.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from compiling.compiled import compiled, summing
from featurizer.workspace import workspace

N_FFT = 2048
"""Samples per frame."""

HOP_LENGTH = 512
"""Samples from the start of one frame to the start of the next."""

N_BINS = N_FFT // 2 + 1
"""Frequency bins of a spectrum, from 0 Hz to half the sample rate."""

MIN_SAMPLES = N_FFT // 2 + 1
"""Length of the shortest signal that can be reflected by half a frame at each end."""

BLOCK_FRAMES = 96
"""Approximate number of frames per block."""

MAX_BLOCK_FRAMES = 3 * BLOCK_FRAMES // 2
"""Maximum number of frames per block."""

_EDGE = N_FFT // 2

# Limits of the sum of the magnitudes divided by their Euclidean norm, which is 1.6 for a pure tone,
# 5 to 20 for music, 28.4 for white noise, and 32 for a click, or 31.4 if it was resampled.
_LINE = 4.0
_FLAT = 0.95 * np.sqrt(N_BINS)
# Power of a frame below which its bins at -120 dB may have subnormal numbers as their power. A
# thousand of these bins still widen the bandwidth of a chord.
_FAINT = 1e-29


def n_frames(n: int) -> int:
    """Return the number of frames of a signal of ``n`` samples.

    Parameters
    ----------
    n : int > 0
        Samples.

    Returns
    -------
    n_frames : int > 0
        Frames are centred on every 512th sample, the first on sample 0.

    Examples
    --------
    >>> n_frames(22050)
    44
    """
    return 1 + n // HOP_LENGTH


def blocks(frames: int) -> list[tuple[int, int]]:
    """Divide frames into blocks of nearly equal size.

    Parameters
    ----------
    frames : int > 0
        Total number of frames.

    Returns
    -------
    blocks : list of (start, stop)
        First frame and end of each block, in order and without gaps. Blocks have 48 to 144 frames;
        a signal of fewer frames is one block.

    Examples
    --------
    >>> blocks(200)
    [(0, 100), (100, 200)]
    """
    count = max(1, round(frames / BLOCK_FRAMES))
    edges = [frames * i // count for i in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


@cache
def window() -> npt.NDArray[np.float32]:
    """Return the periodic Hann window of a frame.

    Returns
    -------
    window : np.ndarray [shape=(2048,), float32, 0 … 1]
        Read-only.

    Examples
    --------
    >>> window()[[0, 512, 1024]]
    array([0. , 0.5, 1. ], dtype=float32)
    """
    hann = _hann().astype(np.float32)
    hann.setflags(write=False)
    return hann


@cache
def _hann() -> npt.NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


def reflected(y: npt.NDArray[np.float32], start: int, stop: int) -> npt.NDArray[np.float32]:
    """Return a part of a signal that is reflected at both ends.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    start, stop : int
        First sample and end; at least -1024 and at most n + 1024.

    Returns
    -------
    x : np.ndarray [shape=(stop - start,), float32]
        The outermost samples are not repeated (``c b | a b c``). A view of ``y`` if the part lies
        within it.

    Examples
    --------
    >>> reflected(np.arange(2000, dtype=np.float32), -2, 3)
    array([2., 1., 0., 1., 2.], dtype=float32)
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
    """Transform a block of frames of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal; ``n > 1024``.
    start : int
        First frame.
    P : np.ndarray [shape=(count, 1025), float32, C-contiguous]
        Output: the power of ``count`` frames from ``start`` on.

    Returns
    -------
    D : np.ndarray [shape=(count, 1025), complex64]
        ``D[t]`` is the spectrum of the 2,048 samples around sample ``512 * (start + t)``, with a
        Hann window.
    S : np.ndarray [shape=(count, 1025), float32]
        Magnitudes of ``D``; ``P`` holds their squares. The next call reuses this memory.

    Examples
    --------
    >>> y = np.cos(2 * np.pi / 32 * np.arange(4096)).astype(np.float32)
    >>> P = np.empty((1, N_BINS), dtype=np.float32)
    >>> D, S = stft(y, 4, P)
    >>> print(S[0].argmax(), S[0].max().round(1))  # bin 2048 / 32, half the sum of the window
    64 512.0
    """
    count = len(P)
    first = start * HOP_LENGTH - _EDGE
    x = reflected(y, first, first + (count - 1) * HOP_LENGTH + N_FFT)
    frames = workspace("stft.frames", (count, N_FFT))
    _apply_window(x, np.arange(count), window(), frames)
    D: npt.NDArray[np.complex64] = scipy.fft.rfft(frames)
    S = workspace("stft.magnitudes", P.shape)
    imprecise = np.flatnonzero(_magnitudes(x, D, P, S))
    if imprecise.size:
        wide = workspace("stft.wide", (imprecise.size, N_FFT), np.float64)
        _apply_window(x, imprecise, _hann(), wide)
        spectra = scipy.fft.rfft(wide).astype(np.complex64)
        D[imprecise] = spectra
        S[imprecise] = np.abs(spectra)
        P[imprecise] = S[imprecise] ** 2
    return D, S


@compiled
def _apply_window(
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
    x: npt.NDArray[np.float32],
    D: npt.NDArray[np.complex64],
    P: npt.NDArray[np.float32],
    S: npt.NDArray[np.float32],
) -> npt.NDArray[np.bool_]:
    imprecise = np.empty(len(D), dtype=np.bool_)
    for t in range(len(D)):
        for k in range(N_BINS):
            P[t, k] = D[t, k].real * D[t, k].real + D[t, k].imag * D[t, k].imag
        for k in range(N_BINS):
            S[t, k] = np.sqrt(P[t, k])
        total = sum_of_bins(S[t])
        power = sum_of_bins(P[t])
        norm = np.sqrt(power)
        faint = power < _FAINT and not _silent(x[t * HOP_LENGTH : t * HOP_LENGTH + N_FFT])
        imprecise[t] = faint or total < _LINE * norm or total > _FLAT * norm
    return imprecise


@compiled
def _silent(frame: npt.NDArray[np.float32]) -> bool:
    # Not the spectrum, which may have underflowed.
    sounding = 0
    for i in range(N_FFT):
        sounding += frame[i] != 0
    return sounding == 0


@summing
def sum_of_bins(x: npt.NDArray[np.float32]) -> np.float32:
    """Return the sum of a spectrum's bins [shape=(1025,)]. Only kernels can call it."""
    total = np.float32(0)
    for k in range(N_BINS):
        total += x[k]
    return total
