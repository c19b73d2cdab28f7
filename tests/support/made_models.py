"""Models trained and read by plain XGBoost, and linear discriminant analyses."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import xgboost

from featurizer.feature_set import feature_set
from jobs.learning import registry
from jobs.store import commit
from jobs.store.address import lock_of
from jobs.store.schemas import CONFUSION, FOLDS_ALONE, IMPORTANCE, METRICS, SPLIT
from jobs.store.tables import Store
from training.lda import ClassSums, Lda
from training.model import Description, digest
from training.predictor import SUFFIXES
from training.scaling import ColumnSums

GTZAN = feature_set("gtzan")

ROUNDS = 4

TRICKY_CLASSES = ['a,b "c"\n', "null", "\N{GUITAR}"]
"""Labels with special characters."""

MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"feature_set": "other-9"}, "feature set other-9"),
    ({"columns": [*GTZAN.names[1::-1], *GTZAN.names[2:]]}, "another order"),
]
"""Changes to a model that make it unfit for a store, and a part of the error."""

MODEL_FILES = {
    *("model.ubj", "judged.ubj", "model.json", "split.parquet", "folds.parquet"),
    *(f"fold-{fold}.ubj" for fold in range(5)),
    *("metrics.parquet", "confusion.parquet", "importance.parquet"),
}
"""Files of a version."""


@functools.cache
def make_trees(n_classes: int, *, seed: int = 0, columns: int = 57) -> bytes:
    """Train on features drawn from a normal distribution around the index of the class."""
    rng = np.random.default_rng(seed)
    classes = np.arange(12 * n_classes) % n_classes
    features = rng.normal(size=(len(classes), columns)) + classes[:, np.newaxis]
    booster = xgboost.train(
        {"objective": "multi:softprob", "num_class": n_classes, "max_depth": 3, "nthread": 1},
        xgboost.DMatrix(features.astype(np.float32), classes),
        ROUNDS,
    )
    return bytes(booster.save_raw("ubj"))


def make_lda(classes: list[str], features: str = "gtzan") -> Lda:
    """Fit a linear discriminant analysis to random rows."""
    columns = feature_set(features).names
    codes = np.arange(40) % len(classes)
    rows = np.random.default_rng(0).normal(size=(40, len(columns))) + codes[:, np.newaxis]
    scaling = ColumnSums.of(rows, columns).scaling()
    sums = ClassSums.of(scaling.clipped(rows), codes, len(classes))
    return Lda.fit(tuple(classes), scaling, sums)


def put_model(
    store: Store,
    version: str,
    classes: list[str],
    *,
    champion: bool = False,
    split: dict[str, str] | None = None,
    trees: bytes | None = None,
    judged: bytes | None = None,
    folds: Mapping[str, int | None] | None = None,
    **changes: Any,
) -> Description:
    """Commit a model to a store; ``changes`` replace entries of model.json.

    It is as an older songmill made it, which recorded no learnt rows and, without ``folds``, no
    learnt tracks.
    """
    suffix = SUFFIXES[changes.get("kind", "xgboost")]
    final = trees or make_trees(len(classes))
    files = {f"model{suffix}": final, f"judged{suffix}": judged or final}
    used = {fold for fold in (folds or {}).values() if fold is not None}
    files |= {f"fold-{fold}{suffix}": make_trees(len(classes), seed=1 + fold) for fold in used}
    score = {"accuracy": 0.9, "macro_f1": 0.9, "log_loss": 0.3, "chance": 0.5, "count": 10}
    described: dict[str, Any] = {
        "version": version,
        "created_at": "2026-03-01T12:00:00+00:00",
        "classes": classes,
        "columns": list(GTZAN.names),
        "feature_set": GTZAN.version,
        "level": "segment",
        "segment_seconds": store.settings.segment_seconds,
        "parameters": {},
        "rounds": ROUNDS,
        "stopped_early": True,
        "split": {"name": "by-track", "tracks": {"train": 6, "valid": 2, "test": 2}},
        "data": {"tracks": 10},
        "scores": {"track": score, "segment": score},
        "digests": {name: digest(data) for name, data in files.items()},
        "libraries": {},
        "workers": 1,
        "folds": None if folds is None else len(used),
    }
    description = Description(**{**described, **changes})
    parts = {"track_id": list(split or {}), "set": list((split or {}).values())}
    tables = {"split.parquet": pa.table(parts, schema=SPLIT)}
    if folds is not None:
        learnt = {"track_id": list(folds), "fold": list(folds.values())}
        tables["folds.parquet"] = pa.table(learnt, schema=FOLDS_ALONE)
    change = commit.Change()
    registry.stage_model(
        store,
        change,
        version,
        {**files, "model.json": description.to_json()},
        tables,
    )
    if champion:
        registry.stage_champion(store, change, version, registry.Best(version, "by-track"))
    with lock_of(store.storage) as lock:
        commit.commit(lock, change)
    return description


def champion_of(root: Path) -> str:
    """Read the version of the champion from its file."""
    return str(json.loads((root / "models/champion.json").read_text())["version"])


def plainly(
    root: Path, version: str, rows: Any, trees: str = "model.ubj"
) -> tuple[list[str], np.ndarray]:
    """Return the classes of a model and its predictions for rows, by plain XGBoost."""
    folder = root / "models" / version
    description = json.loads((folder / "model.json").read_text())
    booster = xgboost.Booster()
    booster.load_model(folder / trees)
    features = rows[description["columns"]].to_numpy(np.float64)
    return description["classes"], booster.predict(xgboost.DMatrix(features))


def read_parts(folder: Path) -> list[pa.Table]:
    """Read each part of a table, with its own columns."""
    return [pq.ParquetFile(path).read() for path in sorted(folder.glob("part-*.parquet"))]


def read_predictions(root: Path, level: str) -> pd.DataFrame:
    """Read predictions of a level, sorted by their keys."""
    found = pyarrow.dataset.dataset(root / "predictions" / f"level={level}").to_table().to_pandas()
    keys = [key for key in ("track_id", "segment") if key in found]
    return found.sort_values(keys, ignore_index=True)


def model_tables(store: Store, version: str, classes: list[str]) -> None:
    rows = [
        {"level": "track", "label": one, "predicted": other, "count": i * 7 + j}
        for i, one in enumerate(classes)
        for j, other in enumerate(classes)
    ]
    rows += [{**row, "level": "segment", "count": 10_000} for row in rows]
    metrics = [
        {"level": "track", "label": name, "metric": metric, "value": 0.25, "count": 8}
        for name in classes
        for metric in ("precision", "recall", "f1")
    ]
    matters = [
        {"feature": name, "mean": i / 1000, "std": 0.001, "repeats": 5}
        for i, name in enumerate(GTZAN.names)
    ]
    for name, found, schema in (
        ("confusion", rows, CONFUSION),
        ("metrics", metrics, METRICS),
        ("importance", matters, IMPORTANCE),
    ):
        store.storage.write_table(
            f"models/{version}/{name}.parquet", pa.Table.from_pylist(found, schema=schema)
        )
