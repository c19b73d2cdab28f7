"""How an excerpt's rich features compare with those of its recording, described in three ways.

    python -m benchmarks.excerpts [GTZAN]

The recordings are tracks of 30 seconds, the excerpts 10 seconds of them. A recording is described
by one window of all of it, or by the mean or the median of the rows of its windows of 10 seconds.
Distances are Euclidean, of z-scores clipped at 4, relative to the median distance of different
recordings. The same follows for the four tracks of each genre joined to two minutes, with excerpts
and windows of 30 seconds.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.published import SHARED_DATA
from featurizer import analysis, rich_accumulator
from featurizer.columns import SAMPLE_RATE
from featurizer.decoding import decode
from featurizer.errors import RecordingError
from featurizer.rich_accumulator import RichAccumulator

Signal = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float64]


def row(y: Signal) -> Rows:
    """Return the rich features of a signal as one window, whatever its length."""
    accumulator = RichAccumulator(y, None)
    analysis.add_blocks(y, [accumulator])
    return accumulator.row()


def parts(y: Signal, seconds: float, step: float) -> list[Signal]:
    """Cut a signal into parts of some seconds, with a step between their starts."""
    n, hop = int(seconds * SAMPLE_RATE), int(step * SAMPLE_RATE)
    return [y[start : start + n] for start in range(0, len(y) - n + 1, hop)]


def compare(recordings: list[Signal], seconds: float) -> None:
    """Print the distances of all excerpts."""
    windows = [np.array([row(part) for part in parts(y, seconds, seconds)]) for y in recordings]
    # Excerpts begin in the middle of windows.
    excerpts = [
        np.array(
            [row(part) for part in parts(y[int(seconds * SAMPLE_RATE / 2) :], seconds, seconds)]
        )
        for y in recordings
    ]
    everything = np.concatenate(windows)
    mean, std = everything.mean(axis=0), everything.std(axis=0)
    descriptions: dict[str, Callable[[int], Rows]] = {
        "one window of all of it": lambda i: row(recordings[i]),
        "mean of windows": lambda i: windows[i].mean(axis=0),
        "median of windows": lambda i: np.median(windows[i], axis=0),
    }
    for name, describe in descriptions.items():
        rows = np.array([describe(i) for i in range(len(recordings))])
        z = np.clip((rows - mean) / std, -4, 4)
        between = np.linalg.norm(z[:, np.newaxis] - z, axis=2)
        usual = np.median(between[~np.eye(len(z), dtype=bool)])
        own, nearest = [], []
        for i, found in enumerate(excerpts):
            for excerpt in np.clip((found - mean) / std, -4, 4):
                distances = np.linalg.norm(z - excerpt, axis=1)
                own.append(distances[i] / usual)
                nearest.append(distances.argmin() == i)
        print(f"| {seconds:g} s | {name} | {np.median(own):.2f} | {np.mean(nearest):.1%} |")


def main() -> None:
    """Print the table."""
    gtzan = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED_DATA / "gtzan"
    genres: dict[str, list[Signal]] = {}
    for path in sorted((gtzan / "genres_original").glob("*/*.wav")):
        with contextlib.suppress(RecordingError):
            genres.setdefault(path.parent.name, []).append(decode(path).y)
    rich_accumulator.MAX_WINDOW_SECONDS = np.inf
    print("| excerpt | recording described by | distance to its own | own is nearest |")
    print("|---|---|---|---|")
    compare([y for tracks in genres.values() for y in tracks], 10.0)
    compare([np.concatenate(tracks) for tracks in genres.values()], 30.0)


if __name__ == "__main__":
    main()
