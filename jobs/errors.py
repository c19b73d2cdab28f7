"""What ends a command, as exceptions that carry the exit code.

0 done, 1 failed, 2 wrong usage, 3 too many files failed, 129, 130 and 143 interrupted.
"""

import signal


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
    """A signal asked the command to end.

    Raised where the command looks for signals (:mod:`jobs.interruption`). No Exception, so that
    only what ends the command catches it.
    """

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(f"ended by {name}: the store is whole, and the same command goes on")
        self.number = number
        self.exit_code = 128 + number
