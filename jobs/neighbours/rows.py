"""The feature rows of a store as one matrix, sorted by track."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import Level, feature_set
from jobs.interruption import raise_if_interrupted
from jobs.progress import Progress
from jobs.store.schemas import PUBLISHED, SEGMENTS, features_folder
from jobs.store.tables import Store


@dataclass(frozen=True)
class Rows:
    """All rows of a feature set and level, sorted by ``track_id`` and ``segment``.

    Parameters
    ----------
    level : {"segment", "track"}
        Level of the rows.
    names : pa.Table
        ``track_id`` and ``label`` of each row; for segments also ``segment``.
    features : np.ndarray [shape=(n, d), float64 or float32]
        The features, in the type of the set.
    """

    level: Level
    names: pa.Table
    features: np.ndarray


def read_rows(store: Store, features: str, level: Level, progress: Progress) -> Rows:
    """Read the rows of a feature set; none if the store has none."""
    progress.step(f"reading the {features} features")
    columns = ["track_id", "label", *(["segment"] if level == "segment" else [])]
    folder, described = features_folder(features, level), feature_set(features)
    names = store.read(folder, columns)
    keys = [(name, "ascending") for name in columns if name != "label"]
    order = pc.sort_indices(names, sort_keys=keys)
    sorted_index = np.empty(names.num_rows, np.int64)
    sorted_index[order.to_numpy()] = np.arange(names.num_rows)
    matrix = np.empty((names.num_rows, len(described.names)), described.dtype)
    start = 0
    for batch in store.read_batches(folder, list(described.names)):
        indices = sorted_index[start : start + batch.num_rows]
        matrix[indices] = np.stack([values.to_numpy() for values in batch.columns], axis=1)
        start += batch.num_rows
        progress.update(f"{start:,} of {len(matrix):,} rows read")
    names = names.take(order).combine_chunks()
    # Arrow's many small buffers leave free pages between those in use.
    pa.default_memory_pool().release_unused()
    return Rows(level, names, matrix)


def read_segment_means(store: Store) -> Rows:
    """Read the mean published features of each track's segments, as rows of tracks."""
    names, keys = feature_set(PUBLISHED).names, ["track_id", "label"]
    sums: list[pa.Table] = []
    for part in store.parts(SEGMENTS):
        raise_if_interrupted()
        rows = store.read_part(part, [*keys, *names])
        rows = rows.append_column("rows", pa.repeat(1, rows.num_rows))
        sums.append(_sum_by(keys, rows))
    found = _sum_by(keys, pa.concat_tables(sums)).sort_by("track_id")
    matrix = np.stack([found[name].to_numpy() for name in names], axis=1)
    matrix /= found["rows"].to_numpy()[:, np.newaxis]
    return Rows("track", found.select(keys).combine_chunks(), matrix)


def _sum_by(keys: list[str], rows: pa.Table) -> pa.Table:
    """Return the sums of the other columns, by keys. Threads would add in another order."""
    columns = [name for name in rows.column_names if name not in keys]
    found = rows.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in columns])
    return found.rename_columns([*keys, *columns])
