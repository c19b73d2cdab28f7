"""A Dask cluster of real processes on loopback, and what they hold in memory."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


@contextlib.contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """Start a scheduler and single-threaded workers; end them afterwards.

    Parameters
    ----------
    folder : Path
        For the scheduler file and the workers' scratch files.
    workers : int
        Number of worker processes, each under a nanny.

    Yields
    ------
    (str, psutil.Process)
        The scheduler file's path and the scheduler.
    """
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--scheduler-file", file, "--host", "127.0.0.1", "--port", "0",
         "--dashboard-address", "127.0.0.1:0"],
        **quiet,
    )  # fmt: skip
    started = [scheduler]
    try:
        while not file.exists():
            time.sleep(0.1)
        started += [
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", file, "--nthreads", "1", "--host",
                 "127.0.0.1", "--local-directory", folder, "--no-dashboard"],
                **quiet,
            )
            for _ in range(workers)
        ]  # fmt: skip
        yield str(file), psutil.Process(scheduler.pid)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait()


class Peak:
    """The largest resident memory of processes and their children, sampled from now on.

    Parameters
    ----------
    every : float
        Seconds between two samples.
    """

    def __init__(self, every: float = 0.1) -> None:
        self._every = every
        self._watched: dict[str, psutil.Process] = {}
        self.bytes: dict[str, int] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def of(self, name: str, process: psutil.Process) -> None:
        """Watch ``process`` under ``name``."""
        self._watched[name] = process

    def _watch(self) -> None:
        while True:
            for name, process in list(self._watched.items()):
                with contextlib.suppress(psutil.Error):
                    self.bytes[name] = max(self.bytes.get(name, 0), process.memory_info().rss)
            time.sleep(self._every)
