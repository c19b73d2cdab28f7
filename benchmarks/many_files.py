"""Many short files: memory of the job and the scheduler, and overhead per file.

    python -m benchmarks.many_files [COUNT ...]

For each COUNT (2,000 and 20,000 by default), two single-threaded workers extract that many files of
one second. The table gives the peak memory of the job and of the scheduler, the files per second,
and the files per second of pure compute time.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.processes import PeakMemory, dask_cluster, extract_command

WORKERS = 2
DISTINCT = 500
SR = 22050


def make_files(folder: Path, count: int) -> None:
    """Create files of one second. Most are hard links: the work to extract them is the same."""
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
    """Extract ``count`` files and return a row of the table."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_files(root / "audio", count)
        with dask_cluster(root, WORKERS) as (scheduler_file, scheduler):
            job = subprocess.Popen(
                extract_command(root / "audio", root / "store", "--scheduler", scheduler_file),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            peak = PeakMemory()
            peak.watch("job", psutil.Process(job.pid))
            peak.watch("scheduler", scheduler)
            output, _ = job.communicate()
        outcome = json.loads(output)
        assert outcome["extracted"] == count, outcome
        return {
            "files": count,
            "job_mb": peak.megabytes()["job"],
            "scheduler_mb": peak.megabytes()["scheduler"],
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
