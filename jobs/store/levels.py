"""Levels of rows, track and segment, and their features as a matrix."""

from typing import Literal

import numpy as np
import pyarrow as pa

from featurizer.feature_set import feature_set
from jobs.errors import UsageError
from jobs.store.schemas import SEGMENTS, TRACKS
from jobs.store.tables import Store

_FEATURES = feature_set("gtzan").names

Level = Literal["segment", "track"]

TABLE_OF: dict[Level, str] = {"segment": SEGMENTS, "track": TRACKS}


def choose_level(store: Store, requested: Level | None) -> Level:
    """Return the ``requested`` level; by default segments if there are any, else tracks.

    Raises
    ------
    UsageError
        The store has no rows of that level.
    """
    has_rows = {
        level: any(store.read_part(name, []).num_rows for name in store.parts(table))
        for level, table in TABLE_OF.items()
    }
    if not any(has_rows.values()):
        raise UsageError(
            f"the store {store.storage.root} has no features. Run `songmill extract` or `songmill "
            "import-features`"
        )
    level: Level = requested or ("segment" if has_rows["segment"] else "track")
    if not has_rows[level]:
        other = "track" if level == "segment" else "segment"
        raise UsageError(
            f"the store {store.storage.root} has no rows of level {level}: choose --level {other}"
        )
    return level


def feature_matrix(table: pa.Table, dtype: type = np.float32) -> np.ndarray:
    """Return the feature columns of a table as a matrix [shape=(n, 57)].

    Values beyond the range of ``dtype`` are clipped: trees depend only on the order of values.
    """
    matrix = np.empty((table.num_rows, len(_FEATURES)), dtype)
    limit = np.finfo(dtype).max
    for i, name in enumerate(_FEATURES):
        np.clip(table[name].to_numpy(), -limit, limit, out=matrix[:, i], casting="same_kind")
    return matrix
