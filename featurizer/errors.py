"""The exception for a recording that yields no features, and its kinds."""

from typing import Literal, get_args

FailureKind = Literal[
    "unreadable",  # unknown format, decoder error or storage error
    "empty",  # no bytes or no samples
    "too-short",  # fewer samples than the padding of one frame needs
    "not-finite",  # NaN or infinite samples, or samples so large that a feature overflows
    "too-long",  # longer than a worker's memory allows
    "vanished",  # listed, but missing when opened
    "forbidden",  # no permission to read it
    "timeout",  # exceeded the time limit per file
    "worker-killed",  # killed its worker twice
    "internal",  # a bug in songmill
]

FAILURE_KINDS: tuple[str, ...] = get_args(FailureKind)
"""All kinds, in this order."""


class RecordingError(Exception):
    """A recording yields no features.

    Parameters
    ----------
    kind : FailureKind
        Category, for programs.
    message : str
        What is wrong and what to do, for the user; a single line.

    Examples
    --------
    >>> error = RecordingError("empty", "The file is empty. Copy it again.")
    >>> error.kind, str(error)
    ('empty', 'The file is empty. Copy it again.')
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message
