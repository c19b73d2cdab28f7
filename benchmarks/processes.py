"""Processes of the benchmarks: a Dask cluster on loopback, commands, and peak memory."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from distributed import Client


@contextlib.contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """Run a scheduler and single-threaded workers, and terminate them afterwards.

    Parameters
    ----------
    folder : Path
        Folder for the scheduler file and the workers' scratch files.
    workers : int
        Number of worker processes, each under a nanny.

    Yields
    ------
    (str, psutil.Process)
        Path of the scheduler file, and the scheduler.
    """
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--scheduler-file", file, "--host", "127.0.0.1", "--port", "0",
         "--dashboard-address", "127.0.0.1:0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    started = [scheduler]
    try:
        while not file.exists():
            time.sleep(0.1)
        started += [
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", file, "--nthreads", "1", "--host",
                 "127.0.0.1", "--local-directory", folder, "--no-dashboard"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(workers)
        ]  # fmt: skip
        yield str(file), psutil.Process(scheduler.pid)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait()


def extract_command(source: str | Path, store: str | Path, *options: str) -> list[str]:
    """Return the command that extracts a source into a store and prints the outcome as JSON."""
    command = [sys.executable, "-m", "songmill", "extract", str(source), "--store", str(store)]
    return [*command, *options, "--json"]


def run_module(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run ``python -m`` with some arguments, and return the JSON object that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class PeakMemory:
    """Peak resident memory of processes in bytes, sampled from now on.

    Parameters
    ----------
    interval : float
        Seconds between two samples.
    """

    def __init__(self, interval: float = 0.1) -> None:
        self._interval = interval
        self._watched: dict[str, psutil.Process] = {}
        self.bytes: dict[str, int] = {}
        threading.Thread(target=self._sample, daemon=True).start()

    def watch(self, name: str, process: psutil.Process) -> None:
        """Sample a process under a name."""
        self._watched[name] = process

    def watch_cluster(self, client: "Client") -> None:
        """Sample the workers as ``worker 0``, ``worker 1``, …, and this process as ``job``."""
        for i, pid in enumerate(client.run(os.getpid).values()):
            self.watch(f"worker {i}", psutil.Process(pid))
        self.watch("job", psutil.Process())

    def megabytes(self) -> dict[str, float]:
        """Return the peak of each process so far, in MB."""
        return {name: size / 1e6 for name, size in self.bytes.items()}

    def _sample(self) -> None:
        while True:
            for name, process in list(self._watched.items()):
                with contextlib.suppress(psutil.Error):
                    self.bytes[name] = max(self.bytes.get(name, 0), process.memory_info().rss)
            time.sleep(self._interval)
