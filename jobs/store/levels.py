"""Levels of rows, track and segment, and their features as a matrix."""

import numpy as np
import pyarrow as pa

from featurizer.feature_set import Level, feature_set
from jobs.errors import UsageError, command_for
from jobs.store.schemas import PUBLISHED, features_folder
from jobs.store.tables import Store


def levels_with_rows(store: Store, features: str) -> list[Level]:
    """Return the levels at which a store has rows of a feature set, segments first."""
    levels: tuple[Level, ...] = ("segment", "track")
    return [
        level
        for level in levels
        if level in feature_set(features).levels
        and any(
            store.read_part(name, []).num_rows
            for name in store.parts(features_folder(features, level))
        )
    ]


def choose_level(store: Store, requested: Level | None, features: str = PUBLISHED) -> Level:
    """Return the ``requested`` level; by default segments if there are any, else tracks.

    Raises
    ------
    UsageError
        The store has no rows of that level in the feature set.
    """
    found = levels_with_rows(store, features)
    if not found:
        kind = "" if features == PUBLISHED else f"{features} "
        raise UsageError(
            f"the store {store.storage.root} has no {kind}features. "
            f"Run: {command_for(store.storage.root, 'extract SOURCE')}, "
            f"or: {command_for(store.storage.root, 'import-features TABLE')}"
        )
    if requested and requested not in found:
        raise UsageError(
            f"the store {store.storage.root} has no rows of level {requested}: choose --level "
            f"{found[0]}"
        )
    return requested or found[0]


def feature_matrix(table: pa.Table, features: str, dtype: type = np.float32) -> np.ndarray:
    """Return the columns of a feature set in a table as a matrix [shape=(n, n_columns)].

    Values beyond the range of ``dtype`` are clipped: trees depend only on the order of values.
    """
    names = feature_set(features).names
    matrix = np.empty((table.num_rows, len(names)), dtype)
    limit = np.finfo(dtype).max
    for i, name in enumerate(names):
        np.clip(table[name].to_numpy(), -limit, limit, out=matrix[:, i], casting="same_kind")
    return matrix


def hash_rows(rows: np.ndarray) -> np.ndarray:
    """Return a hash of each row of a matrix.

    Parameters
    ----------
    rows : np.ndarray [shape=(n, n_columns), float]
        The rows.

    Returns
    -------
    np.ndarray [shape=(n,), uint64]
        Equal for equal rows.

    Examples
    --------
    >>> one, two, again = hash_rows(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
    >>> bool(one == again), bool(one == two)
    (True, False)
    """
    import pandas as pd

    return pd.util.hash_pandas_object(pd.DataFrame(rows), index=False).to_numpy()
