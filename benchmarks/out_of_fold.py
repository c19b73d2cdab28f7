"""Out-of-fold predictions and suspected mislabels of GTZAN's published tables.

    python -m benchmarks.out_of_fold [GTZAN]

GTZAN is a folder with `features_30_sec.csv`, `features_3_sec.csv` and `splits/fault_filtered.csv`;
by default the copy next to the project.

- Accuracy of the rows of `predict --all`, with a 95 % interval by a bootstrap over tracks, and of
  the same kind of model by `compare` on the same folds, whose trees have a fixed number of rounds.
- Seconds of a training on segments with its folds and without them, and of plain XGBoost that fits
  the folds by two processes.
- Precision at 50 of `suspects`: the share of faults among the first 50. Published faults are the
  70 tracks that the fault-filtered split leaves out. Of a recording that occurs twice it keeps one
  track, so that a suspect counts too if its duplicate is left out. Planted faults are 50 other
  tracks with a random label, among the first 50 labels that a model contradicts.
"""

import io
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.console import Console

from featurizer.feature_set import Level
from jobs.defaults import FOLDS
from jobs.extraction.import_features import import_features
from jobs.learning.compare import compare
from jobs.learning.predict_store import predict_all
from jobs.learning.suspects import suspects
from jobs.learning.train import Outcome, train
from jobs.progress import Progress
from training import splits

GTZAN = Path(__file__).resolve().parents[2] / "shared" / "data" / "gtzan"
COMPARED: dict[Literal["lda", "xgboost"], str] = {"lda": "LDA", "xgboost": "tuned XGB"}
PLANTED = 50
FIRST = 50
RESAMPLES = 2000


def make_store(root: Path, gtzan: Path, labels: Path | None = None) -> str:
    """Import the published tables; return the address of the store."""
    tables = [str(gtzan / name) for name in ("features_30_sec.csv", "features_3_sec.csv")]
    given = str(labels) if labels else None
    import_features(tables, store=str(root), labels=given, progress=quiet())
    return str(root)


def quiet() -> Progress:
    """Return a progress that shows nothing."""
    return Progress(Console(file=io.StringIO()))


def predict(store: str, level: Level, kind: Literal["lda", "xgboost"]) -> pd.DataFrame:
    """Train, and return the predictions of the rows of a level."""
    train(store=store, level=level, model=kind, promote=True, progress=quiet())
    predict_all(store=store, segments=level == "segment", progress=quiet())
    parts = sorted(Path(store, f"predictions/level={level}").glob("part-*"))
    rows = pd.concat([pd.read_parquet(part, partitioning=None) for part in parts])
    assert not rows["learnt"].any()
    return rows.sort_values("track_id", kind="stable")


def interval(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy, by a bootstrap over tracks."""
    right = (rows["label"] == rows["predicted"]).groupby(rows["track_id"]).agg(["sum", "size"])
    hits, sizes = right["sum"].to_numpy(), right["size"].to_numpy()
    drawn = np.random.default_rng(0).integers(len(hits), size=(RESAMPLES, len(hits)))
    low, high = np.quantile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def precision(rows: list[dict[str, Any]], faults: set[str]) -> float:
    """Return the share of the first suspects that are faults or duplicates of one."""

    def is_fault(track: str | None) -> bool:
        return track is not None and track.removesuffix(".wav") in faults

    first = rows[:FIRST]
    hits = sum(is_fault(row["track_id"]) or is_fault(row["duplicate_id"]) for row in first)
    return hits / FIRST


def plain_fold(store: str, version: str, fold: int) -> None:
    """Fit the model of a fold with plain XGBoost, on one thread."""
    import xgboost

    folder = Path(store, "models", version)
    described = json.loads((folder / "model.json").read_text())
    folds = pd.read_parquet(folder / "folds.parquet").set_index("track_id")["fold"]
    parts = sorted(Path(store, "features/level=segment").glob("part-*"))
    rows = pd.concat([pd.read_parquet(part, partitioning=None) for part in parts])
    rows = rows[rows["track_id"].map(folds) != fold]
    codes = np.searchsorted(described["classes"], rows["label"])
    features = rows[described["columns"]].to_numpy(np.float32)
    matrix = xgboost.QuantileDMatrix(features, codes, nthread=1)
    xgboost.train({**described["parameters"], "nthread": 1}, matrix, described["rounds"])


def seconds(store: str) -> tuple[float, float, float]:
    """Return the seconds of a training without folds, of one with them, and of plain folds."""

    def run() -> Outcome:
        return train(
            store=store, level="segment", model="xgboost", promote=True, workers=2, progress=quiet()
        )

    choose = splits.cross_validation_folds
    splits.cross_validation_folds = lambda tracks, k: np.full(len(tracks.ids), splits.NO_FOLD)
    without = run()
    splits.cross_validation_folds = choose
    with_folds = run()
    version = with_folds.description.version
    began = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(plain_fold, [store] * FOLDS, [version] * FOLDS, range(FOLDS)))
    return without.seconds, with_folds.seconds, time.perf_counter() - began


def plant(gtzan: Path, sound: list[str], file: Path) -> set[str]:
    """Write random labels of some sound tracks to a CSV of all labels; return these tracks."""
    labels = pd.read_csv(gtzan / "features_30_sec.csv").set_index("filename")["label"]
    labels.index = labels.index.str.removesuffix(".wav")
    rng = np.random.default_rng(0)
    planted = rng.choice(sorted(sound), PLANTED, replace=False).tolist()
    for track in planted:
        labels[track] = rng.choice(sorted(set(labels) - {labels[track]}))
    labels.rename_axis("track_id").to_csv(file)
    return set(planted)


def main() -> None:
    """Print the tables."""
    gtzan = Path(sys.argv[1]) if sys.argv[1:] else GTZAN
    sound = pd.read_csv(gtzan / "splits" / "fault_filtered.csv")["track_id"].tolist()
    print("| rows | model | out of fold | 95 % interval | compare | precision at 50: published |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        store = make_store(Path(name, "store"), gtzan)
        levels: tuple[Level, ...] = ("track", "segment")
        for level in levels:
            for kind, compared in COMPARED.items():
                rows = predict(store, level, kind)
                accuracy, (low, high) = (rows["label"] == rows["predicted"]).mean(), interval(rows)
                [scores] = compare(
                    store=store, level=level, models=[compared], progress=quiet()
                ).rows
                tracks = rows["track_id"].str.removesuffix(".wav")
                published = precision(suspects(store), set(tracks) - set(sound))
                print(
                    f"| {level}s | {kind} | {accuracy:.3f} | {low:.3f} to {high:.3f} "
                    f"| {scores['accuracy']:.3f} | {published:.2f} |",
                    flush=True,
                )
        without, with_folds, plain = seconds(store)
        print(
            f"\nA training without folds takes {without:.0f} s, with {FOLDS} folds "
            f"{with_folds:.0f} s; plain XGBoost fits the folds in {plain:.0f} s.",
            flush=True,
        )
        print("\n| rows | model | precision at 50: planted |\n|---|---|---|")
        labels = Path(name, "labels.csv")
        planted = plant(gtzan, sound, labels)
        store = make_store(Path(name, "planted"), gtzan, labels)
        for level in levels:
            for kind in COMPARED:
                predict(store, level, kind)
                contradicted = [row for row in suspects(store) if not row["duplicate_id"]]
                print(f"| {level}s | {kind} | {precision(contradicted, planted):.2f} |", flush=True)


if __name__ == "__main__":
    main()
