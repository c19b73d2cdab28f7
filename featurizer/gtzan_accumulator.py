"""The published features of a signal, accumulated block by block."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from featurizer.accumulator import Accumulator
from featurizer.block import Block
from featurizer.chroma import chroma
from featurizer.columns import N_MFCC
from featurizer.curves import Curves
from featurizer.hpss import HarmonicPercussive
from featurizer.mel import decibels
from featurizer.mfcc import mfcc
from featurizer.moments import Moments
from featurizer.onset import ONSET_DELAY, onset_strength
from featurizer.stft import n_frames
from featurizer.tempo import tempo
from featurizer.tuning import TuningEstimate


class GtzanAccumulator(Accumulator):
    """The published features.

    The first pass estimates the tuning and the loudest mel band, which depend on the whole signal;
    the second one computes the features that need them.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz; ``n > 1024``.
    curves : Curves or None
        Output: the per-frame values behind the features.
    """

    second_pass = True

    def __init__(self, y: npt.NDArray[np.float32], curves: Curves | None) -> None:
        self._curves = curves
        self._n_frames = n_frames(len(y))
        self._tuning_estimate = TuningEstimate()
        self._loudest = np.float32(0)
        # Level, centroid, bandwidth, roll-off, zero-crossing rate.
        self._frame_values = Moments(5)
        self._parts = HarmonicPercussive(y, self._n_frames, curves.percussive if curves else None)
        self._chroma = Moments(1)
        self._coefficients = Moments(N_MFCC)
        self._onsets = np.zeros(self._n_frames + ONSET_DELAY, dtype=np.float32)
        self._previous: npt.NDArray[np.float32] | None = None

    def add(self, block: Block) -> None:  # noqa: D102
        self._tuning_estimate.add(block.peaks)
        self._loudest = np.maximum(self._loudest, block.mel.max())
        self._frame_values.add(block.frame_values)
        if self._curves:
            self._curves.frames[block.start : block.stop] = block.frame_values
            self._curves.average(self._curves.power, block.start, block.P)

    def add_delayed(self, block: Block) -> None:  # noqa: D102
        self._parts.add(block.start, block.D, block.percussive_mask)

    @cached_property
    def _tuning(self) -> float:
        return self._tuning_estimate.tuning()

    def add_again(self, block: Block) -> None:  # noqa: D102
        C = chroma(block.P, tuning=self._tuning)
        self._chroma.add(C.reshape(-1, 1))
        db = decibels(block.mel, self._loudest)
        M = mfcc(db)
        self._coefficients.add(M)
        if self._curves:
            self._curves.average(self._curves.chroma, block.start, C)
            self._curves.average(self._curves.mel_db, block.start, db)
            self._curves.average(self._curves.mfcc, block.start, M)
        previous = db[0] if self._previous is None else self._previous
        first, stop = block.start + ONSET_DELAY - 1, block.stop + ONSET_DELAY - 1
        onset_strength(db, previous, self._onsets[first:stop])
        self._previous = db[-1]

    def row(self) -> npt.NDArray[np.float64]:  # noqa: D102
        # The first frame has no predecessor; values shifted beyond the last frame are dropped.
        onset_envelope = self._onsets[: self._n_frames]
        if self._curves:
            self._curves.onset_strength[:] = onset_envelope
        return np.concatenate(
            [
                self._chroma.interleaved(),
                self._frame_values.interleaved(),
                self._parts.moments.interleaved(),
                [tempo(onset_envelope)],
                self._coefficients.interleaved(),
            ]
        )
