"""Filter banks for mel bands and pitch classes.

They match librosa's. They are computed here because the first use of librosa compiles or loads all
of its compiled functions, which would dominate the start-up time of a worker.
"""

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from featurizer.columns import SAMPLE_RATE
from featurizer.stft import N_BINS, N_FFT

N_MELS = 128
"""Mel bands."""

N_CHROMA = 12
"""Pitch classes: the semitones of an octave."""

N_TUNINGS = 100
"""Distinct tunings: steps of 0.01 semitones."""

CONCERT_PITCH = 440.0
"""The A above middle C, in Hz."""

# Slaney's mel scale: linear up to 1 kHz (15 mel), then logarithmic, 27 mel per factor of 6.4.
_HZ_PER_MEL = 200.0 / 3
_LOG_HZ = 1000.0
_LOG_MEL = _LOG_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27

# Octaves are weighted by a Gaussian centred on octave 5, with a standard deviation of 2 octaves.
_CENTRE_OCTAVE = 5.0
_OCTAVE_WIDTH = 2.0


def _read_only(bank: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    bank = np.ascontiguousarray(bank.T)
    bank.setflags(write=False)
    return bank


@cache
def mel_filters(n_mels: int = N_MELS) -> npt.NDArray[np.float32]:
    """Return the weight of each frequency bin in each mel band.

    The filters are triangles of equal area. Their corners are frequencies from 0 Hz to half the
    sample rate, evenly spaced on the mel scale of Slaney's Auditory Toolbox [1]_.

    Parameters
    ----------
    n_mels : int > 0
        Bands.

    Returns
    -------
    bank : np.ndarray [shape=(1025, n_mels), float32, >= 0]
        Equal to ``librosa.filters.mel(sr=22050, n_fft=2048, n_mels=n_mels).T``. Read-only.

    Examples
    --------
    >>> bank = mel_filters()
    >>> bank.shape, bool(bank.min() >= 0)
    ((1025, 128), True)

    .. [1] Slaney, M. "Auditory Toolbox." Technical Report 1998-010, Interval Research, 1998.
    """
    highest = _LOG_MEL + np.log(SAMPLE_RATE / 2 / _LOG_HZ) / _LOG_STEP
    mel = np.linspace(0.0, highest, n_mels + 2)
    corners = np.where(
        mel >= _LOG_MEL, _LOG_HZ * np.exp(_LOG_STEP * (mel - _LOG_MEL)), _HZ_PER_MEL * mel
    )
    widths = np.diff(corners)[:, np.newaxis]
    ramps = corners[:, np.newaxis] - np.arange(N_BINS) * (SAMPLE_RATE / N_FFT)
    rising = -ramps[:-2] / widths[:-1]
    falling = ramps[2:] / widths[1:]
    # Rounded before and after scaling, as in librosa.
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    areas = 2.0 / (corners[2:] - corners[:-2])
    return _read_only((triangles * areas[:, np.newaxis]).astype(np.float32))


@lru_cache(maxsize=N_TUNINGS)
def chroma_filters(tuning: float) -> npt.NDArray[np.float32]:
    """Return the weight of each frequency bin in each pitch class.

    The filters are Gaussians around each octave of the pitch class [1]_. Their standard deviation
    is half a semitone or, where bins are wider than that, half a bin.

    Parameters
    ----------
    tuning : float, -0.5 … 0.5
        Deviation from concert pitch in semitones.

    Returns
    -------
    bank : np.ndarray [shape=(1025, 12), float32, >= 0]
        ``librosa.filters.chroma(sr=22050, n_fft=2048, tuning=tuning).T`` to single precision; the
        first pitch class is C. Read-only.

    Examples
    --------
    >>> bank = chroma_filters(0.0)
    >>> bank.shape, int(bank[41].argmax())  # bin 41 is 441 Hz; A is pitch class 9
    ((1025, 12), 9)

    .. [1] Ellis, D. P. W. "Chroma feature analysis and synthesis." Columbia University, LabROSA,
       2007.
    """
    pitch = CONCERT_PITCH * 2.0 ** (tuning / N_CHROMA)
    hz = np.arange(1, N_BINS + 1) * (SAMPLE_RATE / N_FFT)
    semitones = N_CHROMA * np.log2(hz / (pitch / 16))
    # 0 Hz has no pitch; 1.5 octaves below the first bin its weight is negligible.
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
    # Semitones are counted from A, pitch classes from C.
    return _read_only(np.roll(bells, -3, axis=0).astype(np.float32))
