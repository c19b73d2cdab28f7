"""Progress of an extraction: finished and failed files, speed, and remaining time."""

import time
from typing import TYPE_CHECKING

from jobs.progress import Progress, clock

if TYPE_CHECKING:
    from jobs.extraction.attempts import Summary


class ExtractionProgress:
    """Counts of a running extraction.

    Parameters
    ----------
    progress : Progress
        Shows the counts.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = 0
        self._done = 0
        self._failed = 0
        self._audio_s = 0.0
        self._began = time.monotonic()

    def plan(self, text: str, count: int) -> None:
        """Write the plan; ``count`` is the number of files to extract."""
        self._total = count
        self._progress.write("info", text)

    def begin(self, dashboard: str) -> None:
        """Start the clock and write the address of Dask's dashboard."""
        self._began = time.monotonic()
        self._progress.write("info", f"Dask's dashboard: {dashboard}")

    def tick(self, threads: int) -> None:
        """Show the counts; ``threads`` is the number of the workers' threads."""
        self._progress.now(self._line(threads))

    def advance(self, summary: "Summary") -> None:
        """Add the counts of a finished batch."""
        self._done += summary.extracted + summary.failed
        self._failed += summary.failed
        self._audio_s += summary.audio_s

    def _line(self, threads: int) -> str:
        text = f"{self._done} of {self._total} files, {self._failed} failed"
        if not threads:
            return f"{text}; the cluster has no worker, waiting for one"
        if self._done:
            elapsed = max(time.monotonic() - self._began, 1e-9)
            left = elapsed / self._done * (self._total - self._done)
            text += f", {self._audio_s / elapsed:.0f} x realtime, {clock(left)} left"
        return text
