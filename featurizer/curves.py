"""What the features are statistics of: the curves of a recording, frame by frame, to be drawn.

A long recording's spectrograms are averaged to as many columns as a picture can show, so that their
memory does not grow with it.
"""

import numpy as np
import numpy.typing as npt

from featurizer.columns import N_MFCC, SAMPLE_RATE
from featurizer.filters import N_CHROMA, N_MELS
from featurizer.stft import HOP_LENGTH, N_BINS, N_FFT, n_frames

MOST_COLUMNS = 700
"""So many columns a spectrogram has at most: about the pixels that a picture has for it."""

TRIM_DB = 60.0
"""Frames this far below the loudest are silence."""

FRAME_CURVES = ("rms", "spectral_centroid", "spectral_bandwidth", "rolloff", "zero_crossing_rate")
"""The curves that have one number a frame, in the order of the features."""


class Curves:
    """The curves of a signal. :func:`featurizer.extract.signal_features` fills them in.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz; ``n > 1024``.

    Attributes
    ----------
    y : np.ndarray [shape=(n,), float32]
        The signal.
    times_s : np.ndarray [shape=(n_frames,), float64]
        Where each frame is centred, in seconds.
    frames : np.ndarray [shape=(n_frames, 5), float64]
        :data:`FRAME_CURVES`: the level, 1 being full scale; the centroid, bandwidth and roll-off
        in Hz; the share of samples where the sign changes.
    onset_strength : np.ndarray [shape=(n_frames,), float32, >= 0]
        Median rise over the mel bands, in dB.
    columns_s : np.ndarray [shape=(n_columns,), float64]
        Where the columns of the next four are centred, in seconds.
    power : np.ndarray [shape=(n_columns, 1025), float64, >= 0]
        Power spectrogram.
    mel_db : np.ndarray [shape=(n_columns, 128), float64]
        Mel spectrogram, in dB.
    mfcc : np.ndarray [shape=(n_columns, 20), float64]
        Cepstral coefficients.
    chroma : np.ndarray [shape=(n_columns, 12), float64, 0 … 1]
        Strength of the pitch classes, from C to B.
    percussive : np.ndarray [shape=(n,), float32]
        The percussive part of the signal.
    """

    def __init__(self, y: npt.NDArray[np.float32]) -> None:
        self.y = y
        frames = n_frames(len(y))
        self.times_s = np.arange(frames) * (HOP_LENGTH / SAMPLE_RATE)
        self.frames = np.zeros((frames, len(FRAME_CURVES)))
        self.onset_strength = np.zeros(frames, dtype=np.float32)
        self.percussive = np.zeros(len(y), dtype=np.float32)
        # Which column each frame is averaged into.
        columns = min(frames, MOST_COLUMNS)
        self._column = np.arange(frames) * columns // frames
        self._count = np.bincount(self._column)
        self.columns_s = np.bincount(self._column, self.times_s) / self._count
        self.power = np.zeros((columns, N_BINS))
        self.mel_db = np.zeros((columns, N_MELS))
        self.mfcc = np.zeros((columns, N_MFCC))
        self.chroma = np.zeros((columns, N_CHROMA))

    def average(self, into: npt.NDArray[np.float64], start: int, values: np.ndarray) -> None:
        """Take frames into the columns of a spectrogram.

        Parameters
        ----------
        into : np.ndarray [shape=(n_columns, width), float64]
            One of this object's spectrograms.
        start : int
            The first frame.
        values : np.ndarray [shape=(count, width)]
            This frame and those after it.
        """
        columns = self._column[start : start + len(values)]
        share = values / self._count[columns, np.newaxis]
        if len(into) == len(self._column):
            into[columns] = share
        else:
            np.add.at(into, columns, share)

    def trimmed(self) -> tuple[int, int]:
        """Find where the signal begins and ends without the silence around it.

        Returns
        -------
        start, stop : int
            First sample and end: a frame counts that is less than 60 dB below the loudest. The
            whole signal where it is silent throughout.
        """
        rms = self.frames[:, 0]
        # What is fainter than 1e-5 of full scale has one level, as in librosa.
        level = np.maximum(rms, 1e-5)
        sounding = np.flatnonzero(20 * np.log10(level / level.max()) > -TRIM_DB)
        n = len(self.y)
        if not rms.any():
            return 0, n
        return int(sounding[0]) * HOP_LENGTH, min(n, (int(sounding[-1]) + 1) * HOP_LENGTH)

    def harmonic(self) -> npt.NDArray[np.float32]:
        """Return the harmonic part of the signal [shape=(n,)]: what the percussive one leaves."""
        part: npt.NDArray[np.float32] = self.y - self.percussive
        # Both parts end where the inverse transform does.
        part[HOP_LENGTH * (len(self.times_s) - 1) :] = 0
        return part


def bin_frequencies() -> npt.NDArray[np.float64]:
    """Return the frequency of each bin of a spectrum, in Hz [shape=(1025,)]."""
    return np.arange(float(N_BINS)) * (SAMPLE_RATE / N_FFT)
