"""The rows of a store as unit vectors of z-scored features."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import feature_set
from jobs.interruption import raise_if_interrupted
from jobs.store.levels import TABLE_OF, Level, choose_level
from jobs.store.tables import Store
from recommend.vectors import unit
from training.scaling import ColumnSums, Scaling

_FEATURES = feature_set("gtzan").names

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Vectors:
    """All rows of a level, sorted by ``track_id`` and ``segment``.

    Parameters
    ----------
    level : {"segment", "track"}
        Level of the rows.
    names : pa.Table
        ``track_id`` and ``label`` of each row; for segments also ``segment``.
    scaling : Scaling
        Scaling of the features, fitted to all rows.
    unit : np.ndarray [shape=(n, 57), float64]
        Scaled rows of length one.
    """

    level: Level
    names: pa.Table
    scaling: Scaling
    unit: np.ndarray


def read_vectors(store: Store, requested: Level) -> Vectors:
    """Read the rows of a level.

    Raises
    ------
    UsageError
        The store has no such rows.
    """
    level = choose_level(store, requested)
    columns = ["track_id", "label", *(["segment"] if level == "segment" else [])]
    parts = store.parts(TABLE_OF[level])
    names = pa.concat_tables([store.read_part(name, columns) for name in parts])
    keys = [(name, "ascending") for name in columns if name != "label"]
    order = pc.sort_indices(names, sort_keys=keys)
    sorted_index = np.empty(names.num_rows, np.int64)
    sorted_index[order.to_numpy()] = np.arange(names.num_rows)
    names = names.take(order).combine_chunks()
    features = np.empty((names.num_rows, len(_FEATURES)))
    start = 0
    for name in parts:
        raise_if_interrupted()
        rows = store.read_part(name, list(_FEATURES))
        indices = sorted_index[start : start + rows.num_rows]
        for column, values in enumerate(rows.itercolumns()):
            features[indices, column] = values.to_numpy()
        start += rows.num_rows
    scaling = ColumnSums.of(features, _FEATURES).scaling()
    for start in range(0, len(features), _BLOCK_ROWS):
        raise_if_interrupted()
        block = slice(start, start + _BLOCK_ROWS)
        features[block] = unit(scaling.z_scores(features[block]))
    return Vectors(level, names, scaling, features)
