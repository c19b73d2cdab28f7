"""Memory that a worker needs for a two-hour 44.1 kHz stereo file.

    python -m benchmarks.long_file [HOURS]

Prints the time, and the peak resident memory of the one worker process as counted by the kernel.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.processes import dask_cluster, extract_command

SR = 44100


def make_file(path: Path, hours: float) -> None:
    """Write slowly changing chords with noise, 16-bit stereo, a minute at a time."""
    rng = np.random.default_rng(0)
    t = np.arange(60 * SR) / SR
    with soundfile.SoundFile(path, "w", SR, 2, "PCM_16") as file:
        for _ in range(round(hours * 60)):
            chord = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 1500, 4)) / 8
            noise = 0.1 * rng.standard_normal((len(t), 2))
            file.write(chord[:, np.newaxis] + noise)


def peak_bytes(pid: int) -> int:
    """Return the peak resident memory of a process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")


def worker_pid(ancestor: psutil.Process) -> int:
    """Return the worker's process id: the descendant with the most memory."""
    descendants = ancestor.children(recursive=True)
    return int(max(descendants, key=lambda process: process.memory_info().rss).pid)


def main() -> None:
    """Print the time and the peak."""
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "audio").mkdir()
        make_file(root / "audio" / "long.wav", hours)
        with dask_cluster(root, 1) as (scheduler_file, _):
            job = subprocess.Popen(
                extract_command(root / "audio", root / "store", "--scheduler", scheduler_file),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            peak = 0
            while job.poll() is None:
                with contextlib.suppress(OSError, ValueError, psutil.Error):
                    peak = max(peak, peak_bytes(worker_pid(psutil.Process())))
                time.sleep(0.5)
            outcome = json.loads(job.communicate()[0])
        assert outcome["extracted"] == 1, outcome
        print(
            f"{hours:g} h of 44.1 kHz stereo: {outcome['segments']} segments in "
            f"{outcome['compute_s']:.0f} s; the worker's peak resident memory "
            f"{peak / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
