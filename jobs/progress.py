"""Progress of a job on stderr: a live line on a terminal, else a log with a line at intervals."""

import contextlib
import functools
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console
from rich.markup import escape

from jobs.interruption import announcing, raise_if_interrupted
from jobs.redaction import redact

LOG_EVERY_S = 15.0
"""Seconds between two lines of a log."""

VERBOSE_EVERY_S = 1.0
"""Seconds between two counts in a verbose log."""

Verbosity = Literal["normal", "quiet", "verbose"]


def printable(text: str) -> str:
    """Return ``text`` with its control characters escaped; file names may contain some."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, thing: str, things: str = "") -> str:
    """Return a count with its noun; ``things`` is an irregular plural.

    Examples
    --------
    >>> counted(1, "track"), counted(1000, "track"), counted(2, "batch", "batches")
    ('1 track', '1,000 tracks', '2 batches')
    """
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def clock(seconds: float) -> str:
    """Format a time span for people.

    Examples
    --------
    >>> clock(42), clock(200), clock(18720)
    ('42 s', '3 min 20 s', '5 h 12 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """Progress messages of a running job, by default on stderr, without secrets.

    Parameters
    ----------
    console : Console, optional
        Where messages go.
    verbosity : {"normal", "quiet", "verbose"}
        ``quiet``: only warnings and errors. ``verbose``: a log with every step, also on a terminal.

    Attributes
    ----------
    run_id, stage : str
        Run and stage of the messages; empty until they are known.
    """

    def __init__(self, console: Console | None = None, verbosity: Verbosity = "normal") -> None:
        self.run_id = self.stage = ""
        self.console = console or Console(
            file=sys.stderr, highlight=False, soft_wrap=True, emoji=False
        )
        self._verbosity = verbosity
        is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._status = self.console.status("") if is_live and verbosity == "normal" else None
        self._waiting = False
        self._logged = time.monotonic()

    @contextlib.contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Show the live line while the body runs."""
        announced = announcing(functools.partial(self.write, "info"))
        with announced, self._status or contextlib.nullcontext():
            yield self

    def step(self, text: str) -> None:
        """Show a new step in the live line, or write it to the log."""
        raise_if_interrupted()
        if self._status:
            self.update_live(text)
        else:
            self.write("info", text)

    def write(self, level: str, text: str) -> None:
        """Write a permanent line; ``level`` is info, warning or error."""
        self._logged = time.monotonic()
        if level != "info" or self._verbosity != "quiet":
            self._write_line(level, redact(text))

    def update_live(self, text: str) -> None:
        """Show progress in the live line, but in a log only if it is verbose."""
        raise_if_interrupted()
        if self._status:
            self._status.update(escape(printable(redact(text))))
        elif self._verbosity == "verbose":
            self._write_at_intervals(text)

    def update(self, text: str) -> None:
        """Show progress in the live line, or write it to the log every :data:`LOG_EVERY_S`."""
        self.update_live(text)
        if not self._status and self._verbosity == "normal":
            self._write_at_intervals(text)

    def workers(self, threads: int) -> None:
        """Warn once when the cluster has no workers."""
        if not threads and not self._waiting:
            self.warn("the cluster has no worker; waiting for one")
        self._waiting = not threads

    def warn(self, text: str) -> None:
        """Write a warning."""
        self.write("warning", text)

    def _write_at_intervals(self, text: str) -> None:
        interval = VERBOSE_EVERY_S if self._verbosity == "verbose" else LOG_EVERY_S
        if time.monotonic() - self._logged >= interval:
            self.write("info", text)

    def _write_line(self, level: str, text: str) -> None:
        style = {"warning": "[yellow]warning:[/] ", "error": "[red]error:[/] "}.get(level, "")
        # A terminal shows one run; a log file may have many.
        is_log = self.run_id and not self.console.is_terminal
        prefix = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {self.run_id} " if is_log else ""
        self.console.print(f"{prefix}{style}{escape(printable(text))}")


class JsonLog(Progress):
    """A log for machines: one JSON object per line."""

    def __init__(self, verbosity: Verbosity = "normal") -> None:
        super().__init__(Console(file=sys.stderr, force_terminal=False), verbosity)

    def _write_line(self, level: str, text: str) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "run_id": self.run_id,
            "stage": self.stage,
            "message": text,
        }
        sys.stderr.write(f"{json.dumps(line)}\n")
        sys.stderr.flush()
