"""A block of frames: spectra, power, mel bands and more, each computed on first use.

Feature sets that are extracted together share the blocks, so nothing is computed twice.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from featurizer.filters import N_MELS
from featurizer.hpss import percussive_masks
from featurizer.median import HALO
from featurizer.mel import mel_power
from featurizer.spectral import spectral_shape
from featurizer.spectrogram import LatestFrames
from featurizer.stft import N_BINS, n_frames, stft
from featurizer.tuning import Peaks, spectral_peaks
from featurizer.waveform import rms_and_zero_crossings
from featurizer.workspace import workspace


class Signal:
    """A signal and its latest frames.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32, C-contiguous]
        Mono signal at 22,050 Hz; ``n > 1024``.
    history : int >= 0
        Frames that are kept before the latest block.

    Attributes
    ----------
    n_frames : int
        Frames of the whole signal.
    powers : LatestFrames
        Power spectrogram [shape=(n_frames, 1025)].
    mels : LatestFrames
        Power in mel bands [shape=(n_frames, 128)].
    """

    def __init__(self, y: npt.NDArray[np.float32], history: int) -> None:
        self.y = y
        self.n_frames = n_frames(len(y))
        self.powers = LatestFrames("power spectrogram", self.n_frames, N_BINS, margin=history)
        self.mels = LatestFrames("mel spectrogram", self.n_frames, N_MELS, margin=history)


class Block:
    """A block of consecutive frames of a signal, transformed unless its power is kept.

    Parameters
    ----------
    signal : Signal
        The signal. Blocks are created in order and without gaps.
    start, stop : int
        First frame and end.

    Attributes
    ----------
    D : np.ndarray [shape=(count, 1025), complex64]
        Spectra. Only in the first pass.
    S : np.ndarray [shape=(count, 1025), float32]
        Magnitudes. Only in the first pass, until the next block is created.
    """

    def __init__(self, signal: Signal, start: int, stop: int) -> None:
        self.signal = signal
        self.start = start
        self.stop = stop
        if signal.powers.stop < stop:
            self.D, self.S = stft(signal.y, start, signal.powers.append(stop - start))

    @property
    def P(self) -> npt.NDArray[np.float32]:  # noqa: N802
        """Power [shape=(count, 1025), float32]."""
        return self.signal.powers[self.start : self.stop]

    @property
    def mel(self) -> npt.NDArray[np.float32]:
        """Power in mel bands [shape=(count, 128), float32]."""
        mels = self.signal.mels
        if mels.stop < self.stop:
            mel_power(self.P, mels.append(self.stop - self.start))
        return mels[self.start : self.stop]

    @cached_property
    def frame_values(self) -> npt.NDArray[np.float64]:
        """Values of each frame, in the order of :data:`featurizer.curves.FRAME_CURVES`.

        An array [shape=(count, 5), float64]: level relative to full scale; centroid, bandwidth and
        roll-off in Hz; zero-crossing rate.
        """
        values = np.empty((self.stop - self.start, 5))
        values[:, 0], values[:, 4] = rms_and_zero_crossings(self.signal.y, self.start, self.stop)
        spectral_shape(self.S, values[:, 1:4])
        return values

    @cached_property
    def peaks(self) -> Peaks:
        """Spectral peaks, for estimates of the tuning."""
        return spectral_peaks(self.P)

    @cached_property
    def percussive_mask(self) -> npt.NDArray[np.float32]:
        """Percussive soft mask [shape=(count, 1025), float32, 0 … 1]; the harmonic one is 1 - mask.

        Needs the next block; valid until that of the next block is computed.
        """
        first = max(0, self.start - HALO)
        P = self.signal.powers[first : min(self.stop + HALO, self.signal.n_frames)]
        mask: npt.NDArray[np.float32] = workspace("block.mask", self.P.shape)
        percussive_masks(P, self.start - first, mask)
        return mask
