"""How an excerpt's rich features compare with those of its recording, described in three ways.

    python -m benchmarks.excerpts

A recording is described by one window of all of it, or by the mean or the median of the rows of its
windows. Distances are Euclidean, of z-scores clipped at 4, relative to the median distance from the
excerpt to other recordings. It needs the recordings and the table next to the project:

- excerpts of 10 seconds of GTZAN's tracks, with windows of 10 seconds; the others are the other
  tracks, described in the same way;
- tracks of 30 seconds, each joined with another track of the same artist; the others are the tracks
  of 30 seconds in the table.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.published import SHARED_DATA
from featurizer import rich_accumulator
from featurizer.analysis import add_blocks
from featurizer.columns import SAMPLE_RATE
from featurizer.decoding import decode
from featurizer.feature_set import feature_set

Signal = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float64]

GTZAN = SHARED_DATA / "gtzan"
TABLE = SHARED_DATA.parent / "rich" / "six_genres.parquet"

DESCRIPTIONS: dict[str, Callable[[Signal, Rows], Rows]] = {
    "one window of all of it": lambda y, windows: row(y),
    "mean of windows": lambda y, windows: windows.mean(axis=0),
    "median of windows": lambda y, windows: np.median(windows, axis=0),
}


def row(y: Signal) -> Rows:
    """Return the rich features of a signal as one window, whatever its length."""
    accumulator = rich_accumulator.RichAccumulator(y, None)
    add_blocks(y, [accumulator])
    return accumulator.row()


def rows_of_parts(y: Signal, seconds: float, start: float) -> Rows:
    """Return the rows of consecutive parts of some seconds, from ``start`` on."""
    n, first = int(seconds * SAMPLE_RATE), int(start * SAMPLE_RATE)
    return np.array([row(y[i : i + n]) for i in range(first, len(y) - n + 1, n)])


def compare(
    recordings: Sequence[Signal],
    excerpts: Sequence[Rows],
    seconds: float,
    scale: Callable[[Rows], Rows],
    others: Sequence[Rows],
) -> None:
    """Print the distances from excerpts to their recordings and to others.

    Parameters
    ----------
    recordings : sequence of np.ndarray [shape=(n,), float32]
    excerpts : sequence of np.ndarray [shape=(n_excerpts, 458)]
        Rows of the excerpts of each recording.
    seconds : float
        Length of the windows.
    scale : callable
        Returns the z-scores of rows.
    others : sequence of np.ndarray [shape=(n_others, 458)]
        Z-scores of further recordings to compare the excerpts of each recording with.
    """
    windows = [rows_of_parts(y, seconds, 0) for y in recordings]
    for name, describe in DESCRIPTIONS.items():
        z = scale(np.array([describe(*pair) for pair in zip(recordings, windows, strict=True)]))
        ratios, nearest = [], []
        for i in range(len(recordings)):
            candidates = np.concatenate([np.delete(z, i, axis=0), others[i]])
            for excerpt in scale(excerpts[i]):
                own = np.linalg.norm(z[i] - excerpt)
                distances = np.linalg.norm(candidates - excerpt, axis=1)
                ratios.append(own / np.median(distances))
                nearest.append(own < distances.min())
        print(
            f"| {seconds:g} s | {name} | {np.median(ratios):.2f} | {np.quantile(ratios, 0.9):.2f} "
            f"| {sum(nearest)} of {len(nearest)} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    table = pd.read_parquet(TABLE).set_index("track")
    columns = list(feature_set("rich").names)
    known = table[columns].to_numpy(dtype=np.float64)
    mean, std = known.mean(axis=0), known.std(axis=0)

    def scale(rows: Rows) -> Rows:
        scaled: Rows = np.clip((rows - mean) / std, -4, 4)
        return scaled

    with open(GTZAN / "splits" / "artists.csv", encoding="utf-8") as file:
        artists = {line["track_id"]: line["artist"] for line in csv.DictReader(file)}
    paths: list[Path] = sorted((GTZAN / "genres_original").glob("*/*.wav"))
    tracks = {path.stem: decode(path).y for path in paths if path.stem != "jazz.00054"}
    # Longer recordings than a minute are one window, too.
    rich_accumulator.MAX_WINDOW_SECONDS = np.inf

    print("| windows | recording described by | distance to it: median | 90 % | nearest |")
    print("|---|---|---|---|---|")
    recordings = list(tracks.values())
    excerpts = [rows_of_parts(y, 10, 5) for y in recordings]
    compare(recordings, excerpts, 10, scale, [np.empty((0, len(columns)))] * len(recordings))

    names = list(tracks)
    pairs = [
        pair
        for pair in zip(names, names[1:], strict=False)
        if artists[pair[0]] and artists[pair[0]] == artists[pair[1]]
    ]
    recordings = [np.concatenate([tracks[name] for name in pair]) for pair in pairs]
    excerpts = [np.array([row(tracks[name]) for name in pair]) for pair in pairs]
    others = [scale(table.drop(list(pair))[columns].to_numpy(dtype=np.float64)) for pair in pairs]
    compare(recordings, excerpts, 30, scale, others)


if __name__ == "__main__":
    main()
