"""Speed of the features, compared with plain librosa calls and with the Fourier transforms alone.

    python -m benchmarks.extract [--against DIR] [--tracks 20]

DIR is any folder of recordings. The default is the copy of GTZAN next to the project or, if there
is none, a synthetic collection. The plain recipe, this project's code and the transforms take turns
in one process, on one core and one thread; the figures are medians of CPU times, so that other work
on the machine matters little. The tables are printed. Without DIR, they are also written to
benchmarks/extract.md, which the README quotes.
"""

import argparse
import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from threadpoolctl import threadpool_limits

from benchmarks.plain_recipe import plain_features, plain_segments
from benchmarks.published import SHARED_DATA
from featurizer import (
    analysis,
    block,
    extract,
    gtzan_accumulator,
    hpss,
    overlap_add,
    rich_accumulator,
    stft,
)
from featurizer.columns import SEGMENT_SECONDS
from featurizer.decoding import decode
from featurizer.errors import RecordingError
from featurizer.tuning import TuningEstimate
from jobs.demo.collection import synthesise

REPEATS = 5
"""Timings of this project's code per timing of the plain recipe, which is much slower."""

STATISTICS = "rich: statistics"
"""Label of the statistics of the rich features in the profile."""

RESULTS = Path(__file__).with_suffix(".md")

Signal = npt.NDArray[np.float32]


@contextlib.contextmanager
def folder_of_recordings(chosen: Path | None) -> Iterator[Path]:
    """Yield a folder of recordings; synthesise one if there is none."""
    gtzan = SHARED_DATA / "gtzan" / "genres_original"
    if chosen or gtzan.is_dir():
        yield chosen or gtzan
        return
    with tempfile.TemporaryDirectory() as name:
        synthesise(Path(name))
        yield Path(name)


def decode_some(folder: Path, count: int) -> dict[Path, Signal]:
    """Decode evenly spaced recordings of a folder that are at least one segment long."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with contextlib.suppress(RecordingError):
            y = decode(path).y
            if len(y) >= extract.segment_length(SEGMENT_SECONDS):
                found[path] = y
    chosen = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return {list(found)[i]: list(found.values())[i] for i in chosen}


def time_ms(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the CPU time of a call in milliseconds."""
    start = time.process_time()
    function(*arguments)
    return (time.process_time() - start) * 1e3


def segments(y: Signal) -> list[Signal]:
    """Split a signal into segments as the feature extraction does."""
    step = extract.segment_step(SEGMENT_SECONDS)
    return [y[i : i + step - 1] for i in range(0, len(y) - step + 2, step)]


def transforms(y: Signal) -> None:
    """Transform every frame of a signal and back: the minimum work of any implementation."""
    for start, stop in stft.blocks(stft.n_frames(len(y))):
        frames = np.empty((stop - start, stft.N_FFT), dtype=np.float32)
        scipy.fft.irfft(scipy.fft.rfft(frames), stft.N_FFT)


def published_features(y: Signal) -> None:
    """Compute the published features of a signal, without segments."""
    analysis.signal_rows(y, ["gtzan"])


def call_each(function: Callable[[Signal], object], signals: list[Signal]) -> None:
    """Call a function for every signal."""
    for y in signals:
        function(y)


def speed(signals: dict[Path, Signal]) -> Iterator[str]:
    """Time the contenders in turns, track by track."""
    rows: dict[str, list[tuple[float, float, float]]] = {"track": [], "segments": [], "both": []}
    for done, y in enumerate(signals.values()):
        parts = segments(y)
        ours: dict[str, list[float]] = {"track": [], "segments": []}
        floor: dict[str, list[float]] = {"track": [], "segments": []}
        for _ in range(REPEATS):
            ours["track"].append(time_ms(published_features, y))
            floor["track"].append(time_ms(transforms, y))
            ours["segments"].append(time_ms(call_each, published_features, parts))
            floor["segments"].append(time_ms(call_each, transforms, parts))
        plain = {"track": time_ms(plain_features, y), "segments": time_ms(plain_segments, y)}
        for level in ("track", "segments"):
            medians = statistics.median(ours[level]), statistics.median(floor[level])
            rows[level].append((plain[level], *medians))
        a, b = rows["track"][-1], rows["segments"][-1]
        rows["both"].append((a[0] + b[0], a[1] + b[1], a[2] + b[2]))
        print(f"\r{done + 1} of {len(signals)} tracks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    yield (
        "| level | plain recipe, ms | ours, ms | times as fast | at least | transforms alone, ms "
        "| ours over the transforms | at most |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for level, found in rows.items():
        plain, ours, floor = map(statistics.median, zip(*found, strict=True))
        gains = [a / b for a, b, _ in found]
        distances = [b / c for _, b, c in found]
        yield (
            f"| {level} | {plain:,.0f} | {ours:.1f} | {statistics.median(gains):.1f} | "
            f"{min(gains):.1f} | {floor:.1f} | {statistics.median(distances):.2f} | "
            f"{max(distances):.2f} |"
        )


def cost_of_rich(signals: dict[Path, Signal]) -> Iterator[str]:
    """Time tracks and their segments with and without the rich features, in turns."""
    choices = (("gtzan",), ("gtzan", "rich"))
    ms: list[tuple[float, ...]] = []
    for y in signals.values():
        times: dict[tuple[str, ...], list[float]] = {sets: [] for sets in choices}
        for _ in range(REPEATS):
            for sets, found in times.items():
                found.append(time_ms(functools.partial(extract.features, y, sets=sets)))
        ms.append(tuple(map(statistics.median, times.values())))
    published, both = map(statistics.median, zip(*ms, strict=True))
    added = [b - a for a, b in ms]
    yield (
        f"The published features of a track and its segments take {published:.1f} ms, with the "
        f"rich features of the track {both:.1f} ms: {statistics.median(added):.1f} ms more, "
        f"{max(added):.1f} ms at most."
    )


class Stopwatch:
    """Profiler: the CPU time of each function, without the functions that it calls."""

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self._stack: list[tuple[str, float]] = []
        self._patches: list[tuple[Any, str, Any]] = []

    def watch(self, owner: Any, name: str, label: str) -> None:
        """Time a function that is called as an attribute of ``owner``."""
        function = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            # Transforms of the tempogram and of modulations do not count as those of the signal.
            caller = self._stack[-1][0] if self._stack else ""
            part = caller if caller in ("tempo", STATISTICS) else label
            self._stack.append((part, 0.0))
            start = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                elapsed = (time.process_time() - start) * 1e3
                _, nested = self._stack.pop()
                self.ms[part] += elapsed - nested
                if self._stack:
                    outer, nested = self._stack[-1]
                    self._stack[-1] = outer, nested + elapsed

        setattr(owner, name, watched)
        self._patches.append((owner, name, function))

    def stop(self) -> None:
        """Restore the functions."""
        for owner, name, function in self._patches:
            setattr(owner, name, function)


def profile(signals: dict[Path, Signal]) -> Iterator[str]:
    """Time each part of the extraction."""
    stopwatch = Stopwatch()
    rest = "other: blocks, moments"
    published = "mel bands, decibels, cepstrum"
    for owner, name, label in (
        (extract, "features", rest),
        (scipy.fft, "rfft", "forward transform"),
        (hpss, "medians_along_time", "medians along time"),
        (hpss, "_divide_by_both", "medians along frequency, soft mask"),
        (hpss, "inverse_real_fft", "mask, inverse transform"),
        (overlap_add, "_overlap_add", "overlap-add, both parts' moments"),
        (block, "stft", "window, magnitudes, power"),
        (block, "spectral_peaks", "tuning"),
        (TuningEstimate, "tuning", "tuning"),
        (block, "mel_power", published),
        (block, "rms_and_zero_crossings", "level, zero crossings"),
        (block, "spectral_shape", "centroid, bandwidth, roll-off"),
        (gtzan_accumulator, "chroma", "chroma"),
        (gtzan_accumulator, "decibels", published),
        (gtzan_accumulator, "mfcc", published),
        (gtzan_accumulator, "onset_strength", "onsets"),
        (gtzan_accumulator, "tempo", "tempo"),
        (rich_accumulator, "rolloffs", "rich: roll-offs, flux"),
        (rich_accumulator, "spectral_flux", "rich: roll-offs, flux"),
        (rich_accumulator, "part_powers", "rich: power of the parts"),
        (rich_accumulator, "mel_power", "rich: mel bands, decibels, cepstrum"),
        (rich_accumulator, "decibels", "rich: mel bands, decibels, cepstrum"),
        (rich_accumulator, "mfcc", "rich: mel bands, decibels, cepstrum"),
        (rich_accumulator, "contrast", "rich: contrast"),
        (rich_accumulator, "harmonic_chroma", "rich: chroma"),
        (rich_accumulator, "texture_statistics", STATISTICS),
        (rich_accumulator, "modulation_statistics", STATISTICS),
        (rich_accumulator, "tonnetz_statistics", STATISTICS),
        (rich_accumulator, "chroma_statistics", STATISTICS),
        (rich_accumulator, "contrast_statistics", STATISTICS),
    ):
        stopwatch.watch(owner, name, label)
    try:
        for _ in range(REPEATS):
            for y in signals.values():
                extract.features(y)
    finally:
        stopwatch.stop()
    calls = REPEATS * len(signals)
    total = sum(stopwatch.ms.values())
    yield "| part | ms per track and its segments | share |"
    yield "|---|---|---|"
    for label, ms in sorted(stopwatch.ms.items(), key=lambda part: -part[1]):
        yield f"| {label} | {ms / calls:.1f} | {ms / total:.0%} |"


FIRST_ROW = """
import sys
import distributed.worker, jobs.extraction.batch
from featurizer.extract import extract
extract(sys.argv[1])
"""


def startup(path: Path) -> Iterator[str]:
    """Time a worker process up to its first row, without and with cached code."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", FIRST_ROW, str(path)]
        seconds = [_children_cpu_seconds()]
        for _ in range(1 + REPEATS):
            subprocess.run(command, env=environment, check=True)
            seconds.append(_children_cpu_seconds())
        cold, *warm = np.diff(seconds)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    yield (
        f"From the start of a worker process to its first row: {cold:.1f} CPU seconds without "
        f"compiled code, {statistics.median(warm):.1f} with it ({size / 1e6:.1f} MB on disk)."
    )


def _children_cpu_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--against", type=Path, metavar="DIR")
    parser.add_argument("--tracks", type=int, default=20)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    lines: list[str] = []

    def report(section: Iterator[str]) -> None:
        for line in section:
            print(line, flush=True)
            lines.append(line)
        print(flush=True)
        lines.append("")

    with folder_of_recordings(arguments.against) as folder:
        signals = decode_some(folder, arguments.tracks)
        if not signals:
            parser.error(f"no recording of {SEGMENT_SECONDS:g} seconds or more in {folder}")
        # Compile before timing.
        extract.features(next(iter(signals.values())))
        os.sched_setaffinity(0, cores[-1:])
        first = next(iter(signals))
        with threadpool_limits(1):
            plain_features(signals[first])
            report(speed(signals))
            report(cost_of_rich(signals))
            report(profile(signals))
        report(startup(first))
    if arguments.against is None:
        RESULTS.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
