"""The latest frames of a spectrogram, in memory that does not grow with the signal.

They serve kernels that need neighbouring frames, and the second pass over a short signal.
"""

import numpy as np
import numpy.typing as npt

from featurizer.workspace import workspace

KEPT_FRAMES = 5168
"""Maximum number of frames kept: two minutes."""


class LatestFrames:
    """A buffer of the latest frames, filled block by block.

    Parameters
    ----------
    name : str
        Key of its memory in :func:`featurizer.workspace.workspace`; only one buffer per name is
        valid at a time.
    n_frames : int > 0
        Total number of frames to be appended.
    width : int > 0
        Values per frame.
    margin : int
        Minimum number of frames kept before the latest block.

    Attributes
    ----------
    complete : bool
        Whether the buffer keeps all frames.
    stop : int
        Frames appended so far.

    Examples
    --------
    >>> frames = LatestFrames("example", 100, 2, margin=10)
    >>> frames.append(60)[:] = 1
    >>> frames.append(40)[:] = 2
    >>> frames[59:61]
    array([[1., 1.],
           [2., 2.]], dtype=float32)
    """

    def __init__(self, name: str, n_frames: int, width: int, *, margin: int) -> None:
        capacity = min(n_frames, KEPT_FRAMES)
        self._frames: npt.NDArray[np.float32] = workspace(name, (capacity, width))
        self._margin = margin
        self._first = 0
        self.stop = 0
        self.complete = capacity == n_frames

    def append(self, count: int) -> npt.NDArray[np.float32]:
        """Add a block.

        Parameters
        ----------
        count : int
            Frames of the block.

        Returns
        -------
        block : np.ndarray [shape=(count, width), float32]
            View for the caller to fill; uninitialised.
        """
        if self.stop + count - self._first > len(self._frames):
            kept = self[self.stop - self._margin : self.stop]
            self._frames[: self._margin] = kept
            self._first = self.stop - self._margin
        self.stop += count
        return self[self.stop - count : self.stop]

    def __getitem__(self, frames: slice) -> npt.NDArray[np.float32]:
        """Return kept frames by their index in the signal, as a view."""
        return self._frames[frames.start - self._first : frames.stop - self._first]
