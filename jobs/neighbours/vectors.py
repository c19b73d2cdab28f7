"""The rows of a store that are compared with one another, as vectors of length one."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS
from jobs.interruption import raise_if_interrupted
from jobs.store.levels import TABLE_OF, Level, choose_level
from jobs.store.tables import Store
from recommend.vectors import Scaling

_BLOCK = 65_536


@dataclass(frozen=True)
class Vectors:
    """All rows of a level, in the order of ``track_id`` and ``segment``.

    Parameters
    ----------
    level : {"segment", "track"}
        Of the rows.
    names : pa.Table
        ``track_id`` and ``label`` of each row, and ``segment`` of segments.
    scaling : Scaling
        Of the features of all rows.
    unit : np.ndarray [shape=(n, 57), float64]
        The rows by that scaling, of length one.
    """

    level: Level
    names: pa.Table
    scaling: Scaling
    unit: np.ndarray


def read_vectors(store: Store, asked: Level) -> Vectors:
    """Read the rows of a level.

    Raises
    ------
    UsageError
        The store has no such rows.
    """
    level = choose_level(store, asked)
    columns = ["track_id", "label", *(["segment"] if level == "segment" else [])]
    parts = store.parts(TABLE_OF[level])
    names = pa.concat_tables([store.read_part(name, columns) for name in parts])
    names = names.append_column("place", pa.array(np.arange(names.num_rows)))
    keys = [(name, "ascending") for name in columns if name != "label"]
    names = names.sort_by(keys).combine_chunks()
    sorted_place = np.empty(names.num_rows, np.int64)
    sorted_place[names["place"].to_numpy()] = np.arange(names.num_rows)
    features = np.empty((names.num_rows, len(FEATURE_COLUMNS)))
    start = 0
    for name in parts:
        raise_if_interrupted()
        rows = store.read_part(name, list(FEATURE_COLUMNS))
        place = sorted_place[start : start + rows.num_rows]
        for column, values in enumerate(rows.itercolumns()):
            features[place, column] = values.to_numpy()
        start += rows.num_rows
    scaling = Scaling.fit(features)
    for start in range(0, len(features), _BLOCK):
        raise_if_interrupted()
        features[start : start + _BLOCK] = scaling.unit(features[start : start + _BLOCK])
    return Vectors(level, names.drop_columns("place"), scaling, features)
