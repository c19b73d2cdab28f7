"""Many short files: do the job and the scheduler grow with them, and what does a file cost.

    python -m benchmarks.many_files [COUNT ...]

For each COUNT (2,000 and 20,000 by default) that many files of one second are extracted by two
single-threaded workers. The table gives the peak memory of the job and of the scheduler, and the
files a second beside those of the workers' pure compute time.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.processes import Peak, dask_cluster

WORKERS = 2
DISTINCT = 500
SR = 22050


def make_files(folder: Path, count: int) -> None:
    """Make ``count`` files of one second; many are links to one recording, which costs no less."""
    rng = np.random.default_rng(0)
    t = np.arange(SR) / SR
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:06d}.wav"
        if i < DISTINCT:
            tone = np.sin(2 * np.pi * rng.uniform(80, 4000) * t) * rng.uniform(0.1, 0.8)
            soundfile.write(path, tone + 0.05 * rng.standard_normal(SR), SR)
        else:
            path.hardlink_to(folder / f"{i % DISTINCT:06d}.wav")


def measure(count: int) -> dict[str, float]:
    """Extract ``count`` files and return what it took."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_files(root / "audio", count)
        with dask_cluster(root, WORKERS) as (scheduler_file, scheduler):
            job = subprocess.Popen(
                [sys.executable, "-m", "songmill", "extract", root / "audio", "--store",
                 root / "store", "--scheduler", scheduler_file, "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            peak = Peak()
            peak.of("job", psutil.Process(job.pid))
            peak.of("scheduler", scheduler)
            answer, _ = job.communicate()
        outcome = json.loads(answer)
        assert outcome["extracted"] == count, outcome
        return {
            "files": count,
            "job_mb": peak.bytes["job"] / 1e6,
            "scheduler_mb": peak.bytes["scheduler"] / 1e6,
            "seconds": outcome["seconds"],
            "files_per_s": count / outcome["seconds"],
            "compute_files_per_s": count / (outcome["compute_s"] / outcome["workers"]),
        }


def main() -> None:
    """Print the table."""
    counts = [int(word) for word in sys.argv[1:]] or [2_000, 20_000]
    print("| files | job, MB | scheduler, MB | seconds | files/s | files/s of pure compute |")
    print("|---|---|---|---|---|---|")
    for count in counts:
        row = measure(count)
        print(
            f"| {count:,} | {row['job_mb']:.0f} | {row['scheduler_mb']:.0f} | "
            f"{row['seconds']:.0f} | {row['files_per_s']:.0f} | {row['compute_files_per_s']:.0f} |"
        )


if __name__ == "__main__":
    main()
