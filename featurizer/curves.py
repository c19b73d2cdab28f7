"""Curves and spectrograms of a recording for plots: the values per frame behind the features.

Spectrograms of long recordings are averaged to the columns that a picture can show, so their memory
does not grow with the recording.
"""

import numpy as np
import numpy.typing as npt

from featurizer.bands import CONTRAST_EDGES_HZ
from featurizer.columns import N_MFCC, SAMPLE_RATE
from featurizer.filters import N_CHROMA, N_MELS
from featurizer.stft import HOP_LENGTH, N_BINS, N_FFT, n_frames

MAX_COLUMNS = 700
"""Maximum number of columns of a spectrogram, about its width in a picture in pixels."""

TRIM_DB = 60.0
"""Frames this many dB or more below the loudest are silent."""

FRAME_CURVES = ("rms", "spectral_centroid", "spectral_bandwidth", "rolloff", "zero_crossing_rate")
"""Curves with one value per frame, in the order of the features."""


class Curves:
    """Curves and spectrograms of a signal, filled by :func:`featurizer.analysis.signal_rows`.

    Those of a feature set that is not chosen remain 0.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz; ``n > 1024``.

    Attributes
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal.
    times_s : np.ndarray [shape=(n_frames,), float64]
        Centre of each frame, in seconds.
    frames : np.ndarray [shape=(n_frames, 5), float64]
        :data:`FRAME_CURVES`: level relative to full scale; centroid, bandwidth and roll-off in Hz;
        zero crossings per sample.
    onset_strength : np.ndarray [shape=(n_frames,), float32, >= 0]
        Median increase over the mel bands, in dB.
    columns_s : np.ndarray [shape=(n_columns,), float64]
        Centre of each spectrogram column, in seconds.
    power : np.ndarray [shape=(n_columns, 1025), float64, >= 0]
        Power spectrogram.
    mel_db : np.ndarray [shape=(n_columns, 128), float64]
        Mel spectrogram, in dB.
    mfcc : np.ndarray [shape=(n_columns, 20), float64]
        Mel-frequency cepstral coefficients.
    chroma : np.ndarray [shape=(n_columns, 12), float64, 0 … 1]
        Relative energy of the pitch classes, from C to B.
    percussive : np.ndarray [shape=(n,), float32]
        The percussive part of the signal.
    contrast : np.ndarray [shape=(n_columns, 7), float64]
        Rich: spectral contrast of each frequency band, in dB.
    harmonic_chroma : np.ndarray [shape=(n_columns, 12), float64, 0 … 1]
        Rich: distribution of the harmonic part over the pitch classes, from C to B.
    flux : np.ndarray [shape=(n_frames,), float64, 0 … 1]
        Rich: share of the spectrum that is new.
    percussive_share : np.ndarray [shape=(n_frames,), float64, 0 … 1]
        Rich: percussive share of the power.

    Examples
    --------
    >>> from featurizer.analysis import signal_rows
    >>> curves = Curves(np.full(22050, 0.5, dtype=np.float32))
    >>> rows = signal_rows(curves.y, ["gtzan"], curves=curves)
    >>> curves.frames.shape, curves.mel_db.shape
    ((44, 5), (44, 128))
    >>> curves.trimmed()
    (0, 22050)
    """

    def __init__(self, y: npt.NDArray[np.float32]) -> None:
        self.y = y
        frames = n_frames(len(y))
        self.times_s = np.arange(frames) * (HOP_LENGTH / SAMPLE_RATE)
        self.frames = np.zeros((frames, len(FRAME_CURVES)))
        self.onset_strength = np.zeros(frames, dtype=np.float32)
        self.percussive = np.zeros(len(y), dtype=np.float32)
        # The column of each frame.
        columns = min(frames, MAX_COLUMNS)
        self._column = np.arange(frames) * columns // frames
        self._count = np.bincount(self._column)
        self.columns_s = np.bincount(self._column, self.times_s) / self._count
        self.power = np.zeros((columns, N_BINS))
        self.mel_db = np.zeros((columns, N_MELS))
        self.mfcc = np.zeros((columns, N_MFCC))
        self.chroma = np.zeros((columns, N_CHROMA))
        self.contrast = np.zeros((columns, len(CONTRAST_EDGES_HZ) - 1))
        self.harmonic_chroma = np.zeros((columns, N_CHROMA))
        self.flux = np.zeros(frames)
        self.percussive_share = np.zeros(frames)

    def average(self, into: npt.NDArray[np.float64], start: int, values: np.ndarray) -> None:
        """Add frames to the column averages of a spectrogram.

        Parameters
        ----------
        into : np.ndarray [shape=(n_columns, width), float64]
            One of this object's spectrograms; updated in place.
        start : int
            First frame.
        values : np.ndarray [shape=(count, width)]
            Consecutive frames.
        """
        columns = self._column[start : start + len(values)]
        share = values / self._count[columns, np.newaxis]
        if len(into) == len(self._column):
            into[columns] = share
        else:
            np.add.at(into, columns, share)

    def trimmed(self) -> tuple[int, int]:
        """Find the part of the signal without leading and trailing silence.

        Returns
        -------
        start, stop : int
            First sample and end of the part between the first and the last frame that is less than
            60 dB below the loudest. The whole signal if it is all zeros.
        """
        rms = self.frames[:, 0]
        # Levels below 1e-5 of full scale are raised to it, as in librosa.
        level = np.maximum(rms, 1e-5)
        sounding = np.flatnonzero(20 * np.log10(level / level.max()) > -TRIM_DB)
        n = len(self.y)
        if not rms.any():
            return 0, n
        return int(sounding[0]) * HOP_LENGTH, min(n, (int(sounding[-1]) + 1) * HOP_LENGTH)

    def harmonic(self) -> npt.NDArray[np.float32]:
        """Return the harmonic part [shape=(n,)]: the signal minus its percussive part."""
        part: npt.NDArray[np.float32] = self.y - self.percussive
        # Both parts are zero after the end of the inverse transform.
        part[HOP_LENGTH * (len(self.times_s) - 1) :] = 0
        return part


def bin_frequencies() -> npt.NDArray[np.float64]:
    """Return the frequency of each bin of a spectrum, in Hz [shape=(1025,)].

    Examples
    --------
    >>> bin_frequencies()[[0, 1, -1]]
    array([0.00000000e+00, 1.07666016e+01, 1.10250000e+04])
    """
    return np.arange(float(N_BINS)) * (SAMPLE_RATE / N_FFT)
