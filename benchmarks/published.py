"""Accuracy: distance of the features from the published tables, and between file formats.

    python -m benchmarks.published [GTZAN]

GTZAN is a folder with `genres_original/`, `features_30_sec.csv` and `features_3_sec.csv`; by
default the copy next to the project. The error of a value is
|ours - published| / (|published| + 0.001 std of that column over the whole table). The error of a
row is the largest of its values.
"""

import sys
from pathlib import Path

import pandas as pd

from featurizer.errors import RecordingError
from featurizer.extract import extract
from featurizer.feature_set import feature_set

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

COLUMNS = list(feature_set("gtzan").names)


def published(gtzan: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the published tables of tracks and segments, indexed by file name."""
    names = ("features_30_sec.csv", "features_3_sec.csv")
    tracks, segments = (pd.read_csv(gtzan / name, index_col="filename") for name in names)
    return tracks, segments


def extracted(gtzan: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Extract tracks and segments, indexed by the published names, without the corrupt file."""
    tracks: dict[str, list[float]] = {}
    segments: dict[str, list[float]] = {}
    for path in sorted((gtzan / "genres_original").glob("*/*")):
        try:
            found = extract(path, sets=["gtzan"])
        except RecordingError as error:
            print(f"{path.name}: {error.kind}", file=sys.stderr)
            continue
        rows = found.rows["gtzan"]
        assert rows.track is not None  # every recording but the corrupt one is long enough
        # The one .au file is published under its former name, which ended in .wav.
        tracks[f"{path.stem}.wav"] = [found.length, *rows.track]
        for i, row in enumerate(rows.segments):
            segments[f"{path.stem}.{i}.wav"] = [found.segment_length, *row]
    columns = ["length", *COLUMNS]
    return (
        pd.DataFrame.from_dict(tracks, orient="index", columns=columns),
        pd.DataFrame.from_dict(segments, orient="index", columns=columns),
    )


def errors(ours: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the error of every value, for the published rows."""
    ours = ours.loc[ours.index.isin(table.index), COLUMNS]
    theirs = table.loc[ours.index, COLUMNS]
    return (ours - theirs).abs() / (theirs.abs() + 0.001 * table[COLUMNS].std())


def format_distances(formats: Path, tracks: pd.DataFrame) -> pd.DataFrame:
    """Return the distance of each format's features from the wav's, in standard deviations."""

    def row(kind: str) -> pd.Series:
        found = extract(formats / f"dubstep.{kind}", sets=["gtzan"])
        return pd.Series(found.rows["gtzan"].track, COLUMNS)

    rows = pd.DataFrame({kind: row(kind) for kind in ("flac", "ogg", "mp3", "aac")}).T
    return (rows - row("wav")).abs() / tracks[COLUMNS].std()


def main() -> None:
    """Print both tables."""
    gtzan = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED_DATA / "gtzan"
    tables = published(gtzan)
    print("| level | rows | median error | 99 % under | largest |")
    print("|---|---|---|---|---|")
    for level, ours, table in zip(("track", "segment"), extracted(gtzan), tables, strict=True):
        worst = errors(ours, table).max(axis=1)
        print(
            f"| {level} | {len(worst)} | {worst.median():.0e} | {worst.quantile(0.99):.0e} | "
            f"{worst.max():.0e} |"
        )
    print()
    print("| format | median over columns | largest except tempo | tempo |")
    print("|---|---|---|---|")
    for kind, row in format_distances(SHARED_DATA / "formats", tables[0]).iterrows():
        print(
            f"| {kind} | {row.median():.3f} | {row.drop('tempo').max():.2f} | {row['tempo']:.2f} |"
        )


if __name__ == "__main__":
    main()
