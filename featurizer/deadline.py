"""How long one recording may take.

Decoding and extraction call :meth:`Deadline.check` once a block, so that a file that would keep a
worker for hours stops between two blocks. It cannot stop a decoder that hangs inside one call.
"""

from time import monotonic

from featurizer.errors import RecordingError


class Deadline:
    """A moment after which work on a recording stops.

    Parameters
    ----------
    seconds : float > 0
        Time that the recording may take, from now on.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"a recording may take more than 0 seconds, not {seconds}")
        self.seconds = float(seconds)
        self._end = monotonic() + self.seconds

    def check(self) -> None:
        """Raise a ``timeout`` once the time is over.

        Raises
        ------
        RecordingError
            Of kind ``timeout``, which says how long the recording was allowed to take.
        """
        if monotonic() > self._end:
            raise RecordingError(
                "timeout", f"not done after the {self.seconds:g} seconds that a file may take"
            )
