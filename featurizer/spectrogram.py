"""The latest frames of a spectrogram, as much of a long signal's as is needed at a time.

A kernel that looks at neighbouring frames, or a second time at all of them, finds them here. The
memory does not grow with the signal.
"""

import numpy as np
import numpy.typing as npt

from featurizer.workspace import workspace

KEPT_FRAMES = 5168
"""Two minutes: signals of up to so many frames are kept whole."""


class LatestFrames:
    """Frames that come one block after another, of which the latest are kept.

    Parameters
    ----------
    name : str
        Of the memory that it uses: a name has one spectrogram at a time.
    n_frames : int > 0
        How many frames will come.
    width : int > 0
        Values of a frame.
    margin : int
        So many frames before a block are kept in any case.
    """

    def __init__(self, name: str, n_frames: int, width: int, *, margin: int) -> None:
        capacity = min(n_frames, KEPT_FRAMES)
        self._frames: npt.NDArray[np.float32] = workspace(name, (capacity, width))
        self._margin = margin
        self._first = 0
        self._stop = 0
        self.whole = capacity == n_frames
        """Whether it keeps every frame."""

    def append(self, count: int) -> npt.NDArray[np.float32]:
        """Make room for the next block.

        Parameters
        ----------
        count : int
            Its frames.

        Returns
        -------
        block : np.ndarray [shape=(count, width), float32]
            To be written to.
        """
        if self._stop + count - self._first > len(self._frames):
            kept = self[self._stop - self._margin : self._stop]
            self._frames[: self._margin] = kept
            self._first = self._stop - self._margin
        self._stop += count
        return self[self._stop - count : self._stop]

    def __getitem__(self, frames: slice) -> npt.NDArray[np.float32]:
        """Give frames by their number in the signal, of those that are kept."""
        return self._frames[frames.start - self._first : frames.stop - self._first]
