"""How far a job is: a live line on a terminal, a line now and then in a log. On stderr only."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from jobs.signals import raise_if_interrupted

if TYPE_CHECKING:
    from jobs.batch import Summary
    from jobs.extract import Outcome

LOG_EVERY_S = 15.0


def printable(text: str) -> str:
    """Return ``text`` with control characters written out: a file's name may hold any."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clock(seconds: float) -> str:
    """Return a time span for people: ``42 s``, ``3 min 20 s``, ``5 h 12 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """What a job tells about itself while it runs.

    Parameters
    ----------
    console : Console, optional
        Where to; by default stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(
            file=sys.stderr, highlight=False, soft_wrap=True, emoji=False
        )
        self._status = self.console.status("") if self.console.is_terminal else None
        self._total = 0
        self._done = 0
        self._failed = 0
        self._audio_s = 0.0
        self._threads = 0
        self._waits = False
        self._began = time.monotonic()
        self._logged = self._began

    @contextlib.contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Show the live line while the body runs."""
        with self._status or contextlib.nullcontext():
            yield self

    def say(self, text: str) -> None:
        """Say what happens now: in the live line, or as a line of the log."""
        raise_if_interrupted()
        if self._status:
            self.show(text)
        else:
            self.write("info", text)

    def write(self, level: str, text: str) -> None:
        """Write a line that stays; ``level`` is info, warning or error."""
        style = {"warning": "[yellow]warning:[/] ", "error": "[red]error:[/] "}.get(level, "")
        self.console.print(f"{style}{escape(printable(text))}")

    def show(self, text: str) -> None:
        """Change the live line; a log is not told."""
        if self._status:
            self._status.update(escape(printable(text)))

    def now(self, text: str) -> None:
        """Say how far it is: in the live line, or as a line of the log now and then."""
        raise_if_interrupted()
        now = time.monotonic()
        if self._status:
            self.show(text)
        elif now - self._logged >= LOG_EVERY_S:
            self._logged = now
            self.write("info", text)

    def workers(self, threads: int) -> None:
        """Say, once, that the cluster has no worker just now."""
        if not threads and not self._waits:
            self.warn("the cluster has no worker; waiting for one")
        self._waits = not threads

    def warn(self, text: str) -> None:
        """Say what a person should look at."""
        self.write("warning", text)

    def plan(self, outcome: "Outcome", count: int) -> None:
        """Say what there is to do: ``count`` files to work on."""
        self._total = count
        kept = f", {outcome.kept} finished by an earlier run" if outcome.kept else ""
        kept += f"; {outcome.relabelled} get another label" if outcome.relabelled else ""
        self.write(
            "info",
            f"{outcome.listed} files: {outcome.new} new, {outcome.changed} changed, "
            f"{outcome.retried} to try again, {outcome.unchanged} unchanged, "
            f"{outcome.gone} gone{kept}",
        )

    def begin(self, dashboard: str, threads: int) -> None:
        """Say that the cluster works."""
        self._began = self._logged = time.monotonic()
        self._threads = threads
        self.write("info", f"Dask's dashboard: {dashboard}")

    def tick(self, threads: int) -> None:
        """Note the number of workers' threads, about every second."""
        self._threads = threads
        self.now(self._line(time.monotonic()))

    def advance(self, summary: "Summary") -> None:
        """Count a finished batch."""
        self._done += summary.extracted + summary.failed
        self._failed += summary.failed
        self._audio_s += summary.audio_s

    def _line(self, now: float) -> str:
        elapsed = max(now - self._began, 1e-9)
        text = f"{self._done} of {self._total} files, {self._failed} failed"
        if self._threads == 0:
            return f"{text}; the cluster has no worker, waiting for one"
        if self._done:
            left = elapsed / self._done * (self._total - self._done)
            text += f", {self._audio_s / elapsed:.0f} x realtime, {clock(left)} left"
        return text


class JsonLog(Progress):
    """A log for machines: an object a line.

    Attributes
    ----------
    run_id, stage : str
        What every line says beside its time, its level and its text; empty until it is known.
    """

    def __init__(self) -> None:
        super().__init__(Console(file=sys.stderr, force_terminal=False))
        self.run_id = ""
        self.stage = ""

    def write(self, level: str, text: str) -> None:
        """Write a line that stays; ``level`` is info, warning or error."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "run_id": self.run_id,
            "stage": self.stage,
            "message": text,
        }
        sys.stderr.write(f"{json.dumps(line)}\n")
        sys.stderr.flush()
