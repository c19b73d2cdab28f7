"""Tempo, in beats per minute (BPM)."""

from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from compiling.compiled import compiled, summing
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import BLOCK_FRAMES, HOP_LENGTH
from featurizer.workspace import workspace

WINDOW = 344
"""Frames of the tempogram window: 8 seconds."""

START_BPM = 120.0
"""Centre of the log-normal prior, in BPM; its standard deviation is one octave."""

MAX_BPM = 320.0
"""Upper limit of the tempo, exclusive."""

_N_CORRELATION = int(scipy.fft.next_fast_len(2 * WINDOW - 1, real=True))
# Autocorrelations above this are not rounding errors.
_PERIODIC = 1e-3

# Frames with a lower norm are not normalised, as in librosa.
_TINY = float(np.sqrt(np.finfo(np.float64).tiny))


@cache
def _bpm_and_prior() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # Lag 0 corresponds to no tempo.
    bpm = np.full(WINDOW, np.inf)
    bpm[1:] = 60.0 * SAMPLE_RATE / (HOP_LENGTH * np.arange(1.0, WINDOW))
    prior = -0.5 * (np.log2(bpm) - np.log2(START_BPM)) ** 2
    prior[bpm >= MAX_BPM] = -np.inf
    return bpm, prior


@cache
def _window() -> npt.NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def tempo(onset_envelope: npt.NDArray[np.float32]) -> float:
    """Estimate the tempo of a signal, as ``librosa.feature.tempo`` does.

    Parameters
    ----------
    onset_envelope : np.ndarray [shape=(n_frames,), float32, >= 0]
        Onset strength, shifted by :data:`featurizer.onset.ONSET_DELAY`.

    Returns
    -------
    tempo : float, 0 or 7.5 … 320 BPM
        Tempo of the lag that maximises the log of the mean tempogram [1]_ plus the log prior; 0 if
        there are no onsets.

    Examples
    --------
    >>> onsets = np.zeros(1293, dtype=np.float32)
    >>> onsets[::20] = 1.0
    >>> round(tempo(onsets), 1)  # 60 * 22050 / 512 / 20
    129.2

    .. [1] Grosche, P., M. Müller, and F. Kurth. "Cyclic tempogram - A mid-level tempo
       representation for music signals." ICASSP 2010.
    """
    if not onset_envelope.any():
        return 0.0
    bpm, prior = _bpm_and_prior()
    # Linear ramps at both ends, where windows extend beyond the signal.
    rise, fall = (
        np.linspace(0, end, WINDOW // 2, endpoint=False, dtype=np.float32)
        for end in onset_envelope[[0, -1]]
    )
    padded = np.concatenate([rise, onset_envelope, fall[::-1]])
    for dtype in (np.float32, np.float64):
        tempogram = _mean_tempogram(padded, dtype)
        best = int(np.argmax(np.log1p(1e6 * tempogram) + prior))
        # Without periodicity the prior decides; rounding errors of single precision must not.
        if tempogram[best] > _PERIODIC:
            break
    return float(bpm[best])


def _mean_tempogram(
    padded: npt.NDArray[np.float32], dtype: npt.DTypeLike
) -> npt.NDArray[np.float64]:
    # Autocorrelations are normalised by lag 0, their maximum. The transform is linear: a single
    # inverse transform of the summed spectra is enough.
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
