"""Speed of one worker and of two, compared with as many independent processes.

    python -m benchmarks.scaling [FILES] [--against DIR]

FILES files (1,000 by default) are hard links to 20 recordings of DIR, by default of GTZAN. Plain
Python processes extract an equal share each and keep the rows in memory: they are the ideal.
`songmill extract` does the same work on a cluster that is running, and on one that it starts. The
contenders take turns, the figures are medians, and all times include the start of Python.

The last column is the CPU time of each further file, in all processes: the job, the scheduler, the
nannies and the workers. A run over a tenth of the files is subtracted for it.
"""

import argparse
import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from distributed import Client

from benchmarks.extract import decode_some, folder_of_recordings
from benchmarks.processes import dask_cluster, extract_command

REPEATS = 3
RECORDINGS = 20

PLAIN = """
import sys
from featurizer.extract import extract
from featurizer.tags import read_tags
rows = [(extract(path), read_tags(path)) for path in sys.stdin.read().splitlines()]
"""
"""Program of an independent process: extract the files named on its standard input."""

Times = dict[str, tuple[float, float]]
"""Seconds and CPU seconds of each contender."""


class WorkerMemory:
    """Resident memory of the largest worker process in MB, sampled in the body."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "WorkerMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopped.wait(0.2):
            with contextlib.suppress(psutil.Error):
                descendants = psutil.Process().children(recursive=True)
                found = [
                    process.memory_info().rss
                    for process in descendants
                    if "spawn_main" in " ".join(process.cmdline())
                ]
                self.megabytes.append(max(found, default=0) / 1e6)


def make_files(folder: Path, recordings: Sequence[Path], count: int) -> list[Path]:
    """Create ``count`` hard links to copies of ``recordings``.

    Symbolic links would be one file under many names, which is extracted once.
    """
    folder.mkdir()
    files: list[Path] = []
    for i, path in zip(range(count), itertools.cycle(recordings), strict=False):
        files.append(folder / f"{i:06d}{path.suffix}")
        if i < len(recordings):
            shutil.copy(path, files[i])
        else:
            files[i].hardlink_to(files[i - len(recordings)])
    return files


def run(command: Sequence[str], *inputs: str) -> None:
    """Run one process for each input, side by side."""
    processes = []
    for text in inputs:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None
        process.stdin.write(text.encode())
        process.stdin.close()
        processes.append(process)
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"{command} failed")


def cpu_seconds() -> float:
    """Return the CPU seconds of all descendants of this process so far."""
    ended, running = os.times(), psutil.Process().children(recursive=True)
    return (
        ended.children_user
        + ended.children_system
        + sum(sum(process.cpu_times()[:4]) for process in running)
    )


def timed(function: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Call a function; return the seconds, and the CPU seconds of its processes."""
    before, began = cpu_seconds(), time.perf_counter()
    function(*arguments)
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - before
    print(f"{seconds:.1f} s, {cpu:.1f} CPU seconds", file=sys.stderr)
    return seconds, cpu


def measure(files: Sequence[Path], root: Path, memory: WorkerMemory | None = None) -> Times:
    """Time each contender; sample the ``memory`` of the single worker."""
    found = {}
    plain = [sys.executable, "-c", PLAIN]
    for count in (1, 2):
        shares = ["\n".join(map(str, files[i::count])) for i in range(count)]
        found[f"{count} independent"] = timed(run, plain, *shares)
    for workers in (1, 2):
        with (
            tempfile.TemporaryDirectory(dir=root) as folder,
            dask_cluster(Path(folder), workers) as (scheduler_file, _),
        ):
            with Client(scheduler_file=scheduler_file) as client:
                client.wait_for_workers(workers)
            options = ("--scheduler", scheduler_file)
            command = extract_command(files[0].parent, f"{folder}/store", *options)
            with memory if memory and workers == 1 else contextlib.nullcontext():
                found[f"{workers} on a running cluster"] = timed(run, command, "")
    with tempfile.TemporaryDirectory(dir=root) as folder:
        command = extract_command(files[0].parent, f"{folder}/store", "--workers", "2")
        found["2, start of the cluster included"] = timed(run, command, "")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", type=int, nargs="?", default=1000, metavar="FILES")
    parser.add_argument("--against", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    count, few = arguments.files, arguments.files // 10
    memories = [WorkerMemory() for _ in range(REPEATS)]
    with (
        tempfile.TemporaryDirectory() as name,
        folder_of_recordings(arguments.against) as recordings,
    ):
        root, chosen = Path(name), list(decode_some(recordings, RECORDINGS))
        files = make_files(root / "audio", chosen, count)
        first = make_files(root / "few", chosen, few)
        measured = [(measure(first, root), measure(files, root, memory)) for memory in memories]

    def median(contender: str, of: int, unit: int) -> float:
        return statistics.median(times[of][contender][unit] for times in measured)

    one, two = (median(f"{processes} independent", 1, 0) for processes in (1, 2))
    print(f"{count:,} files:\n")
    print("| processes | s | times as fast as one | share of two independent | CPU ms per file |")
    print("|---|---|---|---|---|")
    for contender in measured[0][0]:
        seconds = median(contender, 1, 0)
        cpu = (median(contender, 1, 1) - median(contender, 0, 1)) / (count - few)
        print(
            f"| {contender} | {seconds:.1f} | {one / seconds:.2f} | {two / seconds:.2f} | "
            f"{cpu * 1e3:.1f} |"
        )
    megabytes = memories[0].megabytes
    print(
        f"\nResident memory of the one worker: {megabytes[len(megabytes) // 10]:.0f} MB after a "
        f"tenth of the time, {megabytes[-1]:.0f} MB at the end, {max(megabytes):.0f} MB at most."
    )


if __name__ == "__main__":
    main()
