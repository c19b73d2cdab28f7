"""Accumulators: the computation of a feature set's row, block by block."""

import numpy as np
import numpy.typing as npt

from featurizer.block import Block
from featurizer.median import HALO
from featurizer.stft import MAX_BLOCK_FRAMES


class Accumulator:
    """The computation of a row; the base class ignores all blocks.

    Attributes
    ----------
    history : int
        Frames before the latest block that are read.
    second_pass : bool
        Whether :meth:`add_again` is called.

    Examples
    --------
    >>> class Loudest(Accumulator):
    ...     power = 0.0
    ...
    ...     def add(self, block):
    ...         self.power = max(self.power, block.P.max())
    ...
    ...     def row(self):
    ...         return np.array([self.power])
    >>> from featurizer.analysis import add_blocks
    >>> loudest = Loudest()
    >>> add_blocks(np.ones(4096, dtype=np.float32), [loudest])
    >>> int(loudest.row()[0])  # the square of half of 2048, the sum of the window
    1048576
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
