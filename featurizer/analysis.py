"""The passes over a signal: one for all chosen feature sets, and a second one on request.

The second pass serves values that depend on the whole signal, such as its tuning.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from featurizer.accumulator import Accumulator
from featurizer.block import Block, Signal
from featurizer.curves import Curves
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.feature_set import feature_set
from featurizer.stft import blocks


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
    >>> y = np.full(22050, 0.5, dtype=np.float32)
    >>> accumulator = feature_set("gtzan").accumulator(y, None)
    >>> add_blocks(y, [accumulator])
    >>> print(accumulator.row()[2])
    0.5
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
