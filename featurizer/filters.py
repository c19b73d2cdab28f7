"""The filter banks that turn a spectrum into mel bands and into pitch classes.

They are librosa's, number for number. They stand here because the first use of librosa's own
compiles or loads all of its compiled functions: most of the time that a worker would need to start.
"""

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from featurizer.columns import SAMPLE_RATE
from featurizer.stft import N_BINS, N_FFT

N_MELS = 128
"""Bands of the mel spectrogram."""

N_CHROMA = 12
"""Pitch classes: the semitones of an octave."""

N_TUNINGS = 100
"""Tunings that are told apart, a hundredth of a semitone from each other."""

CONCERT_PITCH = 440.0
"""The A above middle C, in Hz."""

# Slaney's mel scale: linear below 1 kHz, where 15 mel are reached, and 27 mel for a factor of 6.4
# above.
_HZ_PER_MEL = 200.0 / 3
_LOG_HZ = 1000.0
_LOG_MEL = _LOG_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27

# The pitch classes weigh the octaves by a bell around the fifth, two octaves wide.
_CENTRE_OCTAVE = 5.0
_OCTAVE_WIDTH = 2.0


def _read_only(bank: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    bank = np.ascontiguousarray(bank.T)
    bank.setflags(write=False)
    return bank


@cache
def mel_filters() -> npt.NDArray[np.float32]:
    """Give the weight of each frequency in each mel band.

    Triangles between neighbours of 130 frequencies that lie evenly on the mel scale of Slaney's
    Auditory Toolbox [1]_, from 0 Hz to half the sample rate, each of the same area.

    Returns
    -------
    bank : np.ndarray [shape=(1025, 128), float32, >= 0]
        What ``librosa.filters.mel(sr=22050, n_fft=2048).T`` is. Read-only.

    .. [1] Slaney, M. "Auditory Toolbox." Technical Report 1998-010, Interval Research, 1998.
    """
    highest = _LOG_MEL + np.log(SAMPLE_RATE / 2 / _LOG_HZ) / _LOG_STEP
    mel = np.linspace(0.0, highest, N_MELS + 2)
    corners = np.where(
        mel >= _LOG_MEL, _LOG_HZ * np.exp(_LOG_STEP * (mel - _LOG_MEL)), _HZ_PER_MEL * mel
    )
    widths = np.diff(corners)[:, np.newaxis]
    ramps = corners[:, np.newaxis] - np.arange(N_BINS) * (SAMPLE_RATE / N_FFT)
    rising = -ramps[:-2] / widths[:-1]
    falling = ramps[2:] / widths[1:]
    # Rounded before and after they are scaled, as librosa's are.
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    areas = 2.0 / (corners[2:] - corners[:-2])
    return _read_only((triangles * areas[:, np.newaxis]).astype(np.float32))


@lru_cache(maxsize=N_TUNINGS)
def chroma_filters(tuning: float) -> npt.NDArray[np.float32]:
    """Give the weight of each frequency in each pitch class.

    A bell around every octave of the pitch class [1]_, a semitone wide or, below, as wide as a bin.

    Parameters
    ----------
    tuning : float, -0.5 … 0.5
        Deviation from concert pitch in semitones.

    Returns
    -------
    bank : np.ndarray [shape=(1025, 12), float32, >= 0]
        What ``librosa.filters.chroma(sr=22050, n_fft=2048, tuning=tuning).T`` is; the first pitch
        class is C. Read-only.

    .. [1] Ellis, D. P. W. "Chroma feature analysis and synthesis." Columbia University, LabROSA,
       2007.
    """
    pitch = CONCERT_PITCH * 2.0 ** (tuning / N_CHROMA)
    hz = np.arange(1, N_BINS + 1) * (SAMPLE_RATE / N_FFT)
    semitones = N_CHROMA * np.log2(hz / (pitch / 16))
    # 0 Hz has no pitch: 1.5 octaves below the first bin it counts for next to nothing.
    semitones = np.concatenate([[semitones[0] - 1.5 * N_CHROMA], semitones])
    widths = np.maximum(np.diff(semitones), 1.0)
    semitones = semitones[:-1]
    distances = np.subtract.outer(np.arange(N_CHROMA), semitones)
    half = N_CHROMA / 2
    distances = (half - distances) % N_CHROMA - half
    bells = np.exp(-0.5 * (2 * distances / widths) ** 2)
    bells /= np.sqrt((bells**2).sum(axis=0))
    octaves = semitones / N_CHROMA
    bells *= np.exp(-0.5 * ((octaves - _CENTRE_OCTAVE) / _OCTAVE_WIDTH) ** 2)
    # Semitones are counted from A.
    return _read_only(np.roll(bells, -3, axis=0).astype(np.float32))
