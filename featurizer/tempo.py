"""Onsets and tempo, in beats a minute."""

from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from featurizer.columns import SAMPLE_RATE
from featurizer.stft import BLOCK_FRAMES, HOP_LENGTH, N_FFT

WINDOW = 344
"""Frames of the tempogram's window: 8 seconds."""

START_BPM = 120.0
"""The tempo that is the most likely beforehand; one octave from it is one standard deviation."""

MAX_BPM = 320.0
"""No tempo is as high."""

ONSET_DELAY = 1 + N_FFT // (2 * HOP_LENGTH)
"""Frames by which an onset is shifted: one for the difference, two for the centring of frames."""

_N_CORRELATION = int(scipy.fft.next_fast_len(2 * WINDOW - 1, real=True))
_TINY = float(np.finfo(np.float64).tiny)


def onset_strength(
    db: npt.NDArray[np.float32], before: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Measure by how much each frame is louder than the frame before it.

    Parameters
    ----------
    db : np.ndarray [shape=(n_frames, 128), float32]
        Mel spectrogram in dB.
    before : np.ndarray [shape=(128,), float32]
        The frame before the first.

    Returns
    -------
    onsets : np.ndarray [shape=(n_frames,), float32, >= 0]
        Median over the bands of the rise in dB, a fall counting as 0.
    """
    rise = np.diff(db, axis=0, prepend=before[np.newaxis])
    onsets: npt.NDArray[np.float32] = np.median(np.maximum(rise, 0), axis=1)
    return onsets


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
        Onset strength, shifted by :data:`ONSET_DELAY`.

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
    n = len(onset_envelope)
    padded = np.pad(onset_envelope, WINDOW // 2, mode="linear_ramp")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:n]
    total = np.zeros(WINDOW)
    for start in range(0, n, BLOCK_FRAMES):
        spectrum = scipy.fft.rfft(frames[start : start + BLOCK_FRAMES] * _window(), _N_CORRELATION)
        power = spectrum.real**2 + spectrum.imag**2
        correlation = scipy.fft.irfft(power, _N_CORRELATION)[:, :WINDOW]
        peak = np.abs(correlation).max(axis=1)
        peak[peak < _TINY] = 1.0
        total += (correlation / peak[:, np.newaxis]).sum(axis=0)
    bpm, prior = _bpm_and_prior()
    return float(bpm[np.argmax(np.log1p(1e6 * (total / n)) + prior)])
