"""The scores of the rich features again, by songmill's commands on an imported table.

    python -m benchmarks.rich_commands [TABLE]

TABLE and the protocols are those of benchmarks.rich. `compare` takes each protocol as a file of its
folds, and shows the mean over folds. `train` takes the fault-filtered split in two ways: as
published, and with the validation part moved to the training part. For `similarity`, the tracks of
one artist fold after the other are imported without their labels: the metric learns from the
labels of other artists, and the fold's tracks are the queries.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.processes import run_module
from benchmarks.rich import FOLDS, GENRES, TABLE, Table, print_row

MODELS = ("LDA", "tuned SVM", "tuned XGB")


def write_splits(table: Table, tracks: np.ndarray, folder: Path) -> list[str]:
    """Write a split file for each protocol; return their paths."""
    by_track = np.zeros(len(tracks), int)
    for i, (_, test) in enumerate(table.splits("track")):
        by_track[test] = i
    artist = np.where(table.fold > 0, table.fold.astype(str), "")
    paths = []
    for name, column, values in (
        ("fault", "set", table.fault),
        ("artist", "test_fold", artist),
        ("track", "test_fold", by_track),
        ("fault-without-valid", "set", np.where(table.fault == "valid", "train", table.fault)),
    ):
        paths.append(str(folder / f"{name}.csv"))
        frame = pd.DataFrame({"track_id": tracks, column: values})
        frame[frame[column] != ""].to_csv(paths[-1], index=False)
    return paths


def compare(store: str, splits: list[str]) -> None:
    """Print the accuracy of each model for each protocol, as `compare` shows it."""
    arguments = ["--features", "rich", "--models", ",".join(MODELS)]
    arguments += [text for split in splits for text in ("--split", split)]
    found = run_module("songmill", "compare", "--store", store, *arguments, "--json")["rows"]
    print("| model | fault | artist | track |\n|---|---|---|---|")
    for model in MODELS:
        scores = [row["accuracy"] for row in found if row["model"] == model]
        print_row("XGBoost" if model == "tuned XGB" else model, tuple(scores))


def train(store: str, model: str, split: str) -> None:
    """Print the scores of a trained model."""
    arguments = ["--features", "rich", "--model", model, "--split", split, "--no-promote"]
    found = run_module("songmill", "train", "--store", store, *arguments, "--json")
    score, parts = found["scores"]["track"], found["split"]["tracks"]
    cells = [model, f"{parts['train']} and {parts['valid']}", str(found["rounds"] or "")]
    cells += [f"{score[name]:.3f}" for name in ("accuracy", "macro_f1", "log_loss")]
    print(f"| {' | '.join(cells)} |", flush=True)


def precision(frame: pd.DataFrame, folder: Path, metric: str) -> tuple[float, float]:
    """Return the share of the five nearest of the query's genre: of all, of other artists'."""
    known = frame[frame.artist_fold > 0]
    genre, artist = (known.set_index("track")[name] for name in ("genre", "artist"))
    found: list[pd.Series] = []
    of_others: list[pd.Series] = []
    for k in FOLDS:
        queries = known.track[known.artist_fold == k]
        path, store = folder / "unlabelled.parquet", str(folder / f"{metric}-{k}")
        known.assign(genre=known.genre.where(known.artist_fold != k)).to_parquet(path, index=False)
        run_module("songmill", "import-features", str(path), "--store", store, "--json")
        # All others, because any number of the nearest may be by the same artist.
        arguments = ["--metric", metric, "-k", str(len(known)), "--json"]
        run_module("songmill", "similarity", "--store", store, *arguments)
        rows = pd.read_parquet(Path(store, "similarity")).sort_values(["track_id", "rank"])
        rows = rows[rows.track_id.isin(queries)]
        names, theirs = (artist[rows[x]].to_numpy() for x in ("track_id", "neighbour_id"))
        hits = genre[rows.track_id].to_numpy() == genre[rows.neighbour_id].to_numpy()
        for lists, mask in ((found, slice(None)), (of_others, (names != theirs) | (names == ""))):
            one = rows.assign(hit=hits)[mask].groupby("track_id").head(5)
            lists.append(one.hit)
    return float(pd.concat(found).mean()), float(pd.concat(of_others).mean())


def main() -> None:
    """Print the tables."""
    path = Path(sys.argv[1]) if sys.argv[1:] else TABLE
    frame = pd.read_parquet(path)
    frame = frame[frame.genre.isin(GENRES)].sort_values("track", ignore_index=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = str(folder / "store")
        run_module("songmill", "import-features", str(path), "--store", store, "--json")
        *protocols, without_valid = write_splits(Table(path), frame.track.to_numpy(), folder)
        print("Accuracy by `compare`:\n")
        compare(store, protocols)
        print("\nBy `train`, on the test part of the fault-filtered split:\n")
        print("| model | train and valid tracks | rounds | accuracy | macro F1 | log loss |")
        print("|---|---|---|---|---|---|")
        for split in (protocols[0], without_valid):
            for model in ("lda", "xgboost"):
                train(store, model, split)
        print("\nNeighbours of the same genre among the nearest five, by `similarity`:\n")
        print("| metric | all tracks | other artists' |\n|---|---|---|")
        for metric in ("rich", "learned"):
            print_row(metric, precision(frame, folder, metric))


if __name__ == "__main__":
    main()
