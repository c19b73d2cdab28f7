"""What ends a command, as exceptions that carry the exit code.

0 done, 1 failed, 2 wrong usage, 3 too many files failed, 130 and 143 interrupted.
"""

import signal
from typing import NoReturn


class SongmillError(Exception):
    """A command cannot go on; the text says to a person what was given and what would do."""

    exit_code = 1


class UsageError(SongmillError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class ClusterError(SongmillError):
    """The cluster cannot be reached, was lost, or does not fit this songmill."""


class StoreError(SongmillError):
    """The store is not one, belongs to another version, or is in use."""


class ExportError(SongmillError):
    """A database or a file did not take a table; what it had before is still there."""


class RunInterruptedError(BaseException):
    """A signal asked the command to end. It may come at any line, and nothing is to catch it."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(f"ended by {name}: the store is whole, and the same command goes on")
        self.exit_code = 128 + number


_pending: list[int] = []
"""Signals that asked the command to end and of which it is not known that they were heard.

Code of others may catch the exception, such as a library that tries an import.
"""


def interrupt(number: int) -> NoReturn:
    """Ask the command to end, in the middle of whatever it does."""
    _pending.append(number)
    raise RunInterruptedError(number)


def raise_if_interrupted() -> None:
    """Raise RunInterruptedError once more, where somebody has caught the first."""
    if _pending:
        raise RunInterruptedError(_pending[-1])


def interruption_heard() -> None:
    """Note that the command is about to end: what it still says and writes is not in the way."""
    _pending.clear()
