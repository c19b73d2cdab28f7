"""Exceptions that end a command, with its exit code.

0 done, 1 failed, 2 wrong usage, 3 too many files failed or gone, 129, 130 and 143 interrupted.
"""

import shlex
import signal

from jobs.redaction import redact


def command_for(store: str, command: str) -> str:
    """Return a command line for a store, which can be pasted into a shell.

    Examples
    --------
    >>> command_for("/my tables", "train")
    "songmill train --store '/my tables'"
    """
    return f"songmill {command} --store {shlex.quote(store)}"


class SongmillError(Exception):
    """A command cannot continue; the message says what is wrong and what to do, without secrets."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class UsageError(SongmillError):
    """The arguments name something that does not exist, or do not fit together."""

    exit_code = 2


class ClusterError(SongmillError):
    """The cluster cannot be reached, was lost, or has unfit workers."""


class StoreError(SongmillError):
    """The store is damaged, has another format, is in use, or cannot be reached."""


class DamageError(StoreError):
    """A file of the store is missing or damaged; ``problem`` is the part that says how."""

    def __init__(self, message: str, problem: str = "") -> None:
        super().__init__(message)
        self.problem = problem


class ExportError(SongmillError):
    """A table could not be exported; the previous export is unchanged."""


class RunInterruptedError(BaseException):
    """A signal asked the command to end (see :mod:`jobs.interruption`).

    It is a BaseException, so that handlers of errors do not catch it.
    """

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(f"ended by {name}: the store is intact, and the same command resumes")
        self.number = number
        self.exit_code = 128 + number
