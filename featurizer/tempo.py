"""Tempo, in beats a minute."""

from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from compiling.compiled import compiled, summing
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import BLOCK_FRAMES, HOP_LENGTH
from featurizer.workspace import workspace

WINDOW = 344
"""Frames of the tempogram's window: 8 seconds."""

START_BPM = 120.0
"""The tempo that is the most likely beforehand; one octave from it is one standard deviation."""

MAX_BPM = 320.0
"""No tempo is as high."""

_N_CORRELATION = int(scipy.fft.next_fast_len(2 * WINDOW - 1, real=True))
# Above this a correlation is none of rounding errors.
_PERIODIC = 1e-3

# The norm of a frame that librosa leaves as it is, being too faint.
_TINY = float(np.sqrt(np.finfo(np.float64).tiny))


@cache
def _bpm_and_prior() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # Lag 0 has no tempo.
    bpm = np.full(WINDOW, np.inf)
    bpm[1:] = 60.0 * SAMPLE_RATE / (HOP_LENGTH * np.arange(1.0, WINDOW))
    prior = -0.5 * (np.log2(bpm) - np.log2(START_BPM)) ** 2
    prior[bpm >= MAX_BPM] = -np.inf
    return bpm, prior


@cache
def _window() -> npt.NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def tempo(onset_envelope: npt.NDArray[np.float32]) -> float:
    """Estimate the tempo of a signal.

    Parameters
    ----------
    onset_envelope : np.ndarray [shape=(n_frames,), float32, >= 0]
        Onset strength, shifted by :data:`featurizer.onset.ONSET_DELAY`.

    Returns
    -------
    tempo : float, 0 or 7.5 … 320 BPM
        The lag at which the mean of the tempogram [1]_ and the prior are the largest; 0 where there
        is no onset.

    .. [1] Grosche, P., M. Müller, and F. Kurth. "Cyclic tempogram - A mid-level tempo
       representation for music signals." ICASSP 2010.
    """
    if not onset_envelope.any():
        return 0.0
    bpm, prior = _bpm_and_prior()
    # Ramps from and to zero, as the frames at the ends are half outside.
    rise, fall = (
        np.linspace(0, end, WINDOW // 2, endpoint=False, dtype=np.float32)
        for end in onset_envelope[[0, -1]]
    )
    padded = np.concatenate([rise, onset_envelope, fall[::-1]])
    for dtype in (np.float32, np.float64):
        tempogram = _mean_tempogram(padded, dtype)
        best = int(np.argmax(np.log1p(1e6 * tempogram) + prior))
        # Where nothing is periodic the prior decides, but for what single precision adds.
        if tempogram[best] > _PERIODIC:
            break
    return float(bpm[best])


def _mean_tempogram(
    padded: npt.NDArray[np.float32], dtype: npt.DTypeLike
) -> npt.NDArray[np.float64]:
    # Autocorrelations are normalised by their lag 0, the largest. As the inverse transform of a sum
    # is the sum of the inverse transforms, one is enough.
    n = len(padded) - WINDOW
    weights = _window().astype(dtype)
    total = np.zeros(_N_CORRELATION // 2 + 1)
    for start in range(0, n, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, n)
        frames = workspace("tempo.frames", (stop - start, _N_CORRELATION), dtype)
        _normalise(padded[start : stop + WINDOW - 1], weights, frames)
        _add_power(scipy.fft.rfft(frames), total)
    tempogram: npt.NDArray[np.float64] = scipy.fft.irfft(total, _N_CORRELATION)[:WINDOW] / n
    return tempogram


@compiled
def _normalise(
    envelope: npt.NDArray[np.float32],
    weights: npt.NDArray[np.floating],
    frames: npt.NDArray[np.floating],
) -> None:
    for t in range(len(frames)):
        for i in range(WINDOW):
            frames[t, i] = envelope[t + i] * weights[i]
        norm = np.sqrt(_energy(frames[t]))
        for i in range(WINDOW):
            frames[t, i] /= norm if norm > _TINY else 1.0
        for i in range(WINDOW, _N_CORRELATION):
            frames[t, i] = 0


@summing
def _energy(x: npt.NDArray[np.floating]) -> float:
    total = 0.0
    for i in range(WINDOW):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@compiled
def _add_power(spectra: npt.NDArray[np.complexfloating], total: npt.NDArray[np.float64]) -> None:
    for t in range(len(spectra)):
        for k in range(len(total)):
            re, im = np.float64(spectra[t, k].real), np.float64(spectra[t, k].imag)
            total[k] += re * re + im * im
