"""Labelled rows that have changed since a model learnt them."""

import functools
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import Level, feature_set
from jobs.interruption import raise_if_interrupted
from jobs.learning import registry
from jobs.learning.dataset import choose_rows
from jobs.store.levels import feature_matrix, hash_rows
from jobs.store.schemas import features_folder
from jobs.store.tables import Store


@dataclass(frozen=True)
class Changes:
    """Labelled rows that differ from those that a model has learnt.

    Parameters
    ----------
    version : str
        Version of the model.
    changed : int
        Rows of tracks that are new, gone, extracted again with another result, or relabelled.
    learnt : int
        Rows that the model has learnt.
    """

    version: str
    changed: int
    learnt: int


def read_changes(
    store: Store,
    *,
    split: str,
    features: str | None = None,
    level: Level | None = None,
    model: Literal["auto", "lda", "xgboost"] = "auto",
) -> Changes | None:
    """Compare the labelled rows of a store with those that its newest model has learnt.

    A changed track counts with all its rows: the present or the learnt ones, whichever are more.
    Groups of tracks, such as artists, do not count.

    Parameters
    ----------
    store : Store
        The store.
    split, features, level, model
        As for :func:`jobs.learning.train.train`. Models with other options are left out.

    Returns
    -------
    Changes or None
        None if there is no such model, or an older songmill trained it and recorded no rows.

    Raises
    ------
    UsageError
        The store has no rows of the features and the level.
    StoreError
        A file of the store or of a model is damaged.

    Examples
    --------
    >>> from jobs.store.tables import open_store
    >>> found = read_changes(open_store("trained"), split="by-track")
    >>> found.changed, found.learnt > 0
    (0, True)
    """
    name, level = choose_rows(store, features, level)
    version = _newest_model(store, split, store.settings.feature_sets.get(name), level, model)
    learnt = registry.read_learnt_rows(store, version) if version else None
    if version is None or learnt is None:
        return None
    joined = learnt.join(
        _read_present(store, name, level),
        "track_id",
        join_type="full outer",
        right_suffix="_now",
        use_threads=False,
    )
    columns = ("label", "rows", "digest")
    equal = [pc.equal(joined[column], joined[f"{column}_now"]) for column in columns]
    # A track that is new or gone has nulls.
    is_same = pc.fill_null(functools.reduce(pc.and_, equal), False)
    rows = pc.max_element_wise(joined["rows"], joined["rows_now"])
    changed = pc.sum(rows.filter(pc.invert(is_same))).as_py() or 0
    return Changes(version, changed, pc.sum(learnt["rows"]).as_py() or 0)


def _newest_model(
    store: Store, split: str, feature_set: str | None, level: Level, model: str
) -> str | None:
    """Return the newest version that was trained with some options; None if there is none."""
    for version in reversed(registry.versions(store)):
        described = registry.describe(store, version)
        found = described.split["name"], described.feature_set, described.level
        if found == (split, feature_set, level) and model in ("auto", described.kind):
            return version
    return None


def _read_present(store: Store, features: str, level: Level) -> pa.Table:
    """Return the label, the number of rows and their digest for each labelled track."""
    names = ["track_id", "label"]
    found = [pa.table({name: pa.array([], pa.string()) for name in names})]
    found[0] = found[0].append_column("digest", pa.array([], pa.uint64()))
    columns = [*names, *feature_set(features).names]
    for batch in store.read_batches(features_folder(features, level), columns):
        raise_if_interrupted()
        rows = pa.table(batch)
        rows = rows.filter(pc.is_valid(rows["label"]))
        hashes = hash_rows(feature_matrix(rows, features))
        found.append(rows.select(names).append_column("digest", pa.array(hashes)))
    grouped = pa.concat_tables(found).group_by(names, use_threads=False)
    # The sum wraps around at 2^64.
    sums = grouped.aggregate([("digest", "sum"), ([], "count_all")])
    return sums.rename_columns([*names, "digest", "rows"])
