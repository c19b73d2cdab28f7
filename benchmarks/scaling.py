"""Speed of one worker and of two, compared with as many independent processes.

    python -m benchmarks.scaling [FILES] [--against DIR]

FILES files (1,000 by default) are hard links to 20 recordings of DIR, by default of GTZAN. Plain
Python processes extract an equal share each and keep the rows in memory: they are the ideal.
`songmill extract` does the same work on a cluster that is running, and on one that it starts. The
contenders take turns, the figures are medians, and all times include the start of Python. The CPU
time is that of all processes: the job, the scheduler, the nannies and the workers.
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
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
    """Return the CPU seconds of this process's descendants, those that have ended included."""
    ended, running = os.times(), psutil.Process().children(recursive=True)
    return (
        ended.children_user
        + ended.children_system
        + sum(sum(process.cpu_times()[:4]) for process in running)
    )


def timed(function: Callable[..., None], *arguments: str) -> tuple[float, float]:
    """Call a function; return the seconds and the CPU seconds of its processes."""
    before, began = cpu_seconds(), time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began, cpu_seconds() - before


def measure(files: Sequence[Path], root: Path) -> dict[str, tuple[float, float]]:
    """Return the seconds and the CPU seconds of each contender."""
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
            command = extract_command(
                files[0].parent, f"{folder}/store", "--scheduler", scheduler_file
            )
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
    with (
        tempfile.TemporaryDirectory() as name,
        folder_of_recordings(arguments.against) as recordings,
    ):
        chosen = list(decode_some(recordings, RECORDINGS))
        files = make_files(Path(name, "audio"), chosen, arguments.files)
        runs = [measure(files, Path(name)) for _ in range(REPEATS)]
    median = {
        contender: [statistics.median(run[contender][i] for run in runs) for i in range(2)]
        for contender in runs[0]
    }
    one, two = (median[f"{count} independent"] for count in (1, 2))
    print(f"{arguments.files:,} files:\n")
    print(
        "| processes | s | files/s | times one process | share of two independent | CPU, ms/file |"
    )
    print("|---|---|---|---|---|---|")
    for contender, (seconds, cpu) in median.items():
        print(
            f"| {contender} | {seconds:.1f} | {arguments.files / seconds:.1f} | "
            f"{one[0] / seconds:.2f} | {two[0] / seconds:.2f} | {cpu / arguments.files * 1e3:.1f} |"
        )


if __name__ == "__main__":
    main()
