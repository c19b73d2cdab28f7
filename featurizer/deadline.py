"""Time limit for one recording.

Decoding and extraction call :meth:`Deadline.check` once per block, so a slow file cannot occupy a
worker for hours. A decoder that hangs within a single call is not interrupted.
"""

from time import monotonic

from featurizer.errors import RecordingError


class Deadline:
    """Time limit that starts when the object is created.

    Parameters
    ----------
    seconds : float > 0
        Time limit.

    Raises
    ------
    ValueError
        The limit is not positive.

    Examples
    --------
    >>> deadline = Deadline(60)
    >>> deadline.check()  # within the limit
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"The time limit must be more than 0 seconds, not {seconds}.")
        self.seconds = float(seconds)
        self._end = monotonic() + self.seconds

    def check(self) -> None:
        """Raise an error if the time limit is exceeded.

        Raises
        ------
        RecordingError
            Of kind ``timeout``; the message gives the limit.
        """
        if monotonic() > self._end:
            raise RecordingError(
                "timeout",
                f"Processing exceeded the limit of {self.seconds:g} seconds. Split the recording,"
                " or retry when the machine is less busy.",
            )
