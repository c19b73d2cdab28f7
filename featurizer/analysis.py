"""One pass over the blocks of a signal for all chosen feature sets, and a second one on request.

Every set accumulates its row block by block. A block offers spectra, power, mel bands and more;
each is computed when the first set uses it, and shared with the others. The second pass serves
values that depend on the whole signal, such as its tuning.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from featurizer.curves import Curves
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.feature_set import feature_set
from featurizer.filters import N_MELS
from featurizer.hpss import percussive_masks
from featurizer.median import HALO
from featurizer.mel import mel_power
from featurizer.spectral import spectral_shape
from featurizer.spectrogram import LatestFrames
from featurizer.stft import MAX_BLOCK_FRAMES, N_BINS, blocks, n_frames, stft
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
        mask: npt.NDArray[np.float32] = workspace("analysis.mask", self.P.shape)
        percussive_masks(P, self.start - first, mask)
        return mask


class Accumulator:
    """What a feature set computes from the blocks of a signal; the base class does nothing.

    Attributes
    ----------
    history : int
        Frames before the latest block that are read.
    second_pass : bool
        Whether :meth:`add_again` is called.
    """

    history = HALO + MAX_BLOCK_FRAMES
    second_pass = False

    def add(self, block: Block) -> None:
        """Add the next block."""

    def add_delayed(self, block: Block) -> None:
        """Add the next block once its successor is transformed: masks are available."""

    def add_again(self, block: Block) -> None:
        """Add the next block in the second pass: power and mel bands are available."""

    def row(self) -> npt.NDArray[np.floating]:
        """Return the row of the signal [shape=(n_columns,)], once every block is added."""
        raise NotImplementedError


def signal_rows(
    y: npt.NDArray[np.float32],
    sets: Sequence[str],
    *,
    deadline: Deadline | None = None,
    curves: Curves | None = None,
) -> dict[str, npt.NDArray[np.floating]]:
    """Compute the rows of one signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32, C-contiguous]
        Mono signal at 22,050 Hz; ``n > 1024``.
    sets : sequence of str
        Names of feature sets, of which each has a minimum length of at most n samples.
    deadline : Deadline, optional
        Checked once per block.
    curves : Curves, optional
        Output: the per-frame values behind the features; created for this signal.

    Returns
    -------
    rows : dict of str to np.ndarray [shape=(n_columns,)]
        The row of each set, in the order and of the type of its columns.

    Raises
    ------
    RecordingError
        Of kind ``not-finite`` if a feature is infinite or NaN, or ``timeout`` after the deadline.
    ValueError
        If a set does not exist.

    Examples
    --------
    >>> y = np.full(22050, 0.5, dtype=np.float32)
    >>> row = signal_rows(y, ["gtzan"])["gtzan"]
    >>> print(row[feature_set("gtzan").names.index("rms_mean")])
    0.5
    """
    chosen = {name: feature_set(name) for name in sets}
    accumulators = {name: one.accumulator(y, curves) for name, one in chosen.items()}
    # Very large samples overflow single precision; the check below reports them.
    with np.errstate(over="ignore", invalid="ignore"):
        add_blocks(y, list(accumulators.values()), deadline)
        rows = {
            name: accumulators[name].row().astype(one.dtype, copy=False)
            for name, one in chosen.items()
        }
    for name, row in rows.items():
        if not np.isfinite(row).all():
            column = chosen[name].names[int(np.isfinite(row).argmin())]
            raise RecordingError(
                "not-finite",
                f"The feature {column} is not a finite number. Check the samples: some are not"
                " finite or far beyond full scale.",
            )
    return rows


def add_blocks(
    y: npt.NDArray[np.float32],
    accumulators: Sequence[Accumulator],
    deadline: Deadline | None = None,
) -> None:
    """Add all blocks of a signal to accumulators, in one or two passes.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32, C-contiguous]
        Mono signal at 22,050 Hz; ``n > 1024``.
    accumulators : sequence of Accumulator
        One or more.
    deadline : Deadline, optional
        Checked once per block.

    Raises
    ------
    RecordingError
        Of kind ``timeout`` after the deadline.

    Examples
    --------
    >>> class Loudest(Accumulator):
    ...     power = 0.0
    ...     def add(self, block):
    ...         self.power = max(self.power, block.P.max())
    >>> loudest = Loudest()
    >>> add_blocks(np.ones(4096, dtype=np.float32), [loudest])
    >>> print(loudest.power)  # (2048 / 2)^2, the squared sum of the window
    1048576.0
    """
    history = max(one.history for one in accumulators)
    signal = Signal(y, history)
    previous: Block | None = None
    for start, stop in blocks(signal.n_frames):
        if deadline:
            deadline.check()
        block = Block(signal, start, stop)
        for one in accumulators:
            one.add(block)
        if previous:
            _add_delayed(accumulators, previous)
        previous = block
    if previous:
        _add_delayed(accumulators, previous)

    revisiting = [one for one in accumulators if one.second_pass]
    if not revisiting:
        return
    if not signal.powers.complete:
        signal = Signal(y, 0)
    for start, stop in blocks(signal.n_frames):
        if deadline:
            deadline.check()
        block = Block(signal, start, stop)
        for one in revisiting:
            one.add_again(block)


def _add_delayed(accumulators: Sequence[Accumulator], block: Block) -> None:
    for one in accumulators:
        one.add_delayed(block)
