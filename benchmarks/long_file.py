"""A recording of hours among short ones: time of one worker and of two, and their memory.

    python -m benchmarks.long_file [HOURS]

The recording takes longer than all others together. Two workers share it, or else one would be idle
at the end. The peak resident memory is that of the larger worker, as counted by the kernel.
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
from distributed import Client

from benchmarks.processes import dask_cluster, extract_command

SR = 44100
SHORT_FILES = 60


def make_file(path: Path, hours: float) -> None:
    """Write chords with noise, 16-bit stereo, half a minute at a time."""
    rng = np.random.default_rng(0)
    t = np.arange(30 * SR) / SR
    with soundfile.SoundFile(path, "w", SR, 2, "PCM_16") as file:
        for _ in range(round(hours * 120)):
            chord = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 1500, 4)) / 8
            noise = 0.1 * rng.standard_normal((len(t), 2))
            file.write(chord[:, np.newaxis] + noise)


def peak_bytes(pid: int) -> int:
    """Return the peak resident memory of a process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")


def largest_peak(ancestor: psutil.Process) -> int:
    """Return the largest peak of the descendants of a process, the workers' among them."""
    peaks = [0]
    for process in ancestor.children(recursive=True):
        with contextlib.suppress(OSError, RuntimeError):
            peaks.append(peak_bytes(process.pid))
    return max(peaks)


def measure(root: Path, workers: int) -> dict[str, float]:
    """Extract the collection; return the outcome, and the largest worker's peak in ``peak``."""
    store = root / f"store-{workers}"
    with dask_cluster(root, workers) as (scheduler_file, _):
        with Client(scheduler_file=scheduler_file) as client:
            client.wait_for_workers(workers)
        job = subprocess.Popen(
            extract_command(root / "audio", store, "--scheduler", scheduler_file),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        peak = 0
        while job.poll() is None:
            peak = max(peak, largest_peak(psutil.Process()))
            time.sleep(0.5)
        outcome: dict[str, float] = json.loads(job.communicate()[0])
    assert outcome["extracted"] == 1 + SHORT_FILES, outcome
    return {**outcome, "peak": peak}


def main() -> None:
    """Print the times and the peaks."""
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "audio").mkdir()
        make_file(root / "audio" / "long.wav", hours)
        for i in range(SHORT_FILES):
            make_file(root / "audio" / f"{i:03}.wav", 0.5 / 60)
        one, two = (measure(root, workers) for workers in (1, 2))
        print(
            f"{hours:g} h of 44.1 kHz stereo and {SHORT_FILES} files of 30 s: one worker takes "
            f"{one['seconds']:.0f} s, two take {two['seconds']:.0f} s, "
            f"{one['seconds'] / two['seconds']:.2f} times as fast. Peak resident memory of the "
            f"larger worker: {one['peak'] / 1e6:.0f} MB with one, {two['peak'] / 1e6:.0f} MB with "
            "two."
        )


if __name__ == "__main__":
    main()
