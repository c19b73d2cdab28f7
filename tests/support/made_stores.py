"""Small stores with random features, written part by part."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from featurizer.feature_set import Level, feature_set
from jobs.store.folder import Folder
from jobs.store.manifest import MANIFEST
from jobs.store.schemas import PUBLISHED, features_folder, features_schema
from jobs.store.tables import STORE_JSON, Settings, Store, open_to_write, read_settings

LABELS = ("blues", "jazz", None, "rock")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Row = tuple[str, str | None]
"""The track and the label of a row."""


def make_store(
    root: Path,
    *parts: Iterable[Row],
    level: Level = "segment",
    features: str = PUBLISHED,
    groups: Mapping[str, str | None] | None = None,
    shift: Mapping[str | None, float] | None = None,
) -> Store:
    """Write a store, or replace the parts of a level of an existing store.

    Parameters
    ----------
    root : Path
        Folder of the store.
    *parts : iterable of (str, str or None)
        The rows of each part; their features are random.
    level : {"segment", "track"}
        The level of the rows.
    features : str
        Their feature set, which is added to an existing store.
    groups : mapping of str to (str or None), optional
        The column ``artist`` of the ``labels`` table.
    shift : mapping of (str or None) to float, optional
        Offset of the features, by label.
    """
    storage, names = Folder(str(root)), feature_set(features).names
    before = read_settings(storage)
    sets = before.feature_sets if before else {}
    settings = Settings({**sets, features: feature_set(features).version}, 3.0)
    open_to_write(storage, settings, force=False)
    storage.write(STORE_JSON, settings.to_json())
    store = Store(storage, settings)
    table, schema = features_folder(features, level), features_schema(features, level)
    store.storage.remove(MANIFEST)
    for name in store.parts(table):
        store.storage.remove(name)
    random = np.random.default_rng(0)
    number = 0
    for i, part in enumerate(parts):
        rows = []
        for track, label in part:
            values = random.normal(size=len(names)) + (shift or {}).get(label, 0.0)
            row = dict(zip(names, values.tolist(), strict=True))
            row |= {"track_id": track, "label": label, "length": 66150}
            rows.append(row | {"segment": number, "start_s": 3.0 * number})
            number += 1
        known = [{name: row[name] for name in schema.names} for row in rows]
        write_part(
            store, f"{table}/part-{i:03}.parquet", pa.Table.from_pylist(known, schema=schema)
        )
    if groups is not None:
        columns = {"track_id": list(groups), "label": None, "artist": list(groups.values())}
        named = pa.table(
            {name: pa.array(columns[name] or [None] * len(groups), pa.string()) for name in columns}
        )
        write_part(store, "labels/part-0.parquet", named)
    return store


def write_part(store: Store, name: str, rows: pa.Table) -> None:
    """Write or replace a part; the store then has no manifest, which would not know this part."""
    store.storage.remove(MANIFEST)
    store.storage.write_table(name, rows)


def read_rows(root: Path, level: Level = "segment", features: str = PUBLISHED) -> pd.DataFrame:
    """Read the rows of a level with pandas, in their order in the store."""
    folder = root / features_folder(features, level)
    parts = [pd.read_parquet(path, partitioning=None) for path in sorted(folder.glob("part-*"))]
    return pd.concat(parts, ignore_index=True)


def put(store: Store, table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    known = [{name: row.get(name) for name in schema.names} for row in rows]
    write_part(store, f"{table}/part-0.parquet", pa.Table.from_pylist(known, schema=schema))
