"""Neighbours after some tracks have changed, against a search from scratch by the same metric."""

import io
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console
from support.made_stores import make_store, write_part

from featurizer.feature_set import feature_set
from jobs.neighbours import metrics, similarity, updating
from jobs.progress import Progress
from jobs.store.schemas import COMPARED, COMPARED_ROW, features_folder, features_schema
from jobs.store.tables import Store, open_store

COUNT = 80
TABLES = ("similarity", "duplicates", "compared")


def fill(root: Path, features: list[str]) -> Store:
    names = [(f"take{i:03}.wav", "ab"[i % 2]) for i in range(COUNT)]
    for name in features:
        store = make_store(
            root, names[: COUNT // 2], names[COUNT // 2 :], level="track", features=name
        )
    return store


def edit(store: Store, features: str, seed: int) -> None:
    """Remove, change and add some tracks; a new one is a copy of another."""
    random = np.random.default_rng(seed)
    table, columns = features_folder(features, "track"), list(feature_set(features).names)
    for number, name in enumerate(store.parts(table)):
        rows = store.read_part(name).to_pandas().sample(frac=0.9, random_state=seed)
        values = random.normal(size=(2, len(columns))).astype(feature_set(features).dtype)
        rows.iloc[:2, rows.columns.get_indexer(columns)] = values
        copies = rows.iloc[[5, 6]].assign(track_id=[f"take{i}{number}.wav" for i in (1, 2)])
        rows = pd.concat([rows, copies])
        schema = features_schema(features, "track")
        write_part(store, name, pa.Table.from_pandas(rows, schema=schema, preserve_index=False))


def update(root: Path) -> str:
    """Update the neighbours; return the lines of progress."""
    lines = io.StringIO()
    similarity.similarity(
        store=str(root), k=4, update=True, progress=Progress(Console(file=lines, width=200))
    )
    return lines.getvalue()


def read(root: Path) -> list[pd.DataFrame]:
    return [pd.read_parquet(root / table) for table in TABLES]


def forget_compared(root: Path) -> None:
    """Let the next update compare all tracks, by the kept metric."""
    store = open_store(str(root))
    for name in store.parts(COMPARED):
        write_part(store, name, COMPARED_ROW.empty_table())


@pytest.mark.parametrize("features", [["gtzan"], ["rich"], ["gtzan", "rich"]], ids="+".join)
def test_updated_tables_equal_those_of_a_search_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: list[str]
) -> None:
    monkeypatch.setattr(metrics, "MAX_DRIFT", 1.0)
    monkeypatch.setattr(updating, "MAX_STALE", 0.9)
    root = tmp_path / "store"
    store = fill(root, features)
    update(root)
    for night in range(2):
        for name in features:
            edit(store, name, night)
        with monkeypatch.context() as patch:
            patch.setattr(similarity, "find_neighbours", Mock(side_effect=AssertionError))
            assert "is kept: 8 of" in update(root)
        found = read(root)
        assert len(found[1]) >= 4
        forget_compared(root)
        assert "is kept" not in update(root)
        for one, other in zip(found, read(root), strict=True):
            pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_metric_is_fitted_anew_when_the_features_have_drifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    store = fill(root, ["gtzan"])
    update(root)
    edit(store, "gtzan", 0)
    assert "have drifted by" in update(root)
    monkeypatch.setattr(metrics, "MAX_DRIFT", 1.0)
    edit(store, "gtzan", 1)
    assert "is kept" not in update(root)  # more lists than MAX_STALE have changed
    updated = metrics.read(store)["cosine"].fingerprint
    similarity.similarity(store=str(root), k=4)
    assert metrics.read(store)["cosine"].fingerprint != updated


def test_drift_is_the_greatest_change_of_a_mean_or_deviation() -> None:
    names = feature_set("gtzan").names
    rows = np.random.default_rng(0).normal(size=(500, len(names)))
    rows[:, 3] = 7.0
    scaling = metrics.ColumnSums.of(rows, names).scaling()
    fitted = metrics.FittedMetric(metrics.Metric("cosine", scaling), "gtzan", 500, 0, "")
    assert metrics.drift(fitted, rows) == 0
    moved, wider, varied = rows.copy(), rows.copy(), rows.copy()
    moved[:, 1] += 0.5 * scaling.deviation[1]
    wider[:, 2] = rows[:, 2].mean() + 1.25 * (rows[:, 2] - rows[:, 2].mean())
    varied[0, 3] = 8.0
    assert metrics.drift(fitted, moved) == pytest.approx(0.5)
    assert metrics.drift(fitted, wider) == pytest.approx(0.25)
    assert metrics.drift(fitted, varied) == np.inf
