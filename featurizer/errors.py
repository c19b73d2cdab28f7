"""What can be wrong with a recording, as one exception with a kind."""

from typing import Literal, get_args

FailureKind = Literal[
    "unreadable",  # no decoder knows it, or its decoder gave up
    "empty",  # no bytes, or no samples
    "too-short",  # fewer samples than one frame's padding needs
    "not-finite",  # NaN or infinite samples, or samples so large that a feature is
    "too-long",  # more hours than a worker's memory is made for
    "vanished",  # not there any more when it was opened
    "forbidden",  # not readable for this user
    "timeout",  # took longer than a file may
    "worker-killed",  # its worker died of it, twice
    "internal",  # a fault of songmill's own
]

FAILURE_KINDS: tuple[str, ...] = get_args(FailureKind)


class RecordingError(Exception):
    """A recording that gives no features.

    Parameters
    ----------
    kind : FailureKind
        The machine's word for it.
    message : str
        One sentence for a person: what was found, and what would do.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message
