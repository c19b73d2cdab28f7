"""Suspected faults of labels: recordings that occur twice, and labels that models contradict."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError, command_for
from jobs.store.schemas import PROBABILITY, SUSPECT, SUSPECTS
from jobs.store.tables import Store, open_store
from training.suspects import find_suspects


def suspect_rows(predicted: pa.Table, classes: list[str], recordings: np.ndarray) -> pa.Table:
    """Return the rows of :data:`jobs.store.schemas.SUSPECT`.

    Certain faults come first: tracks of one recording that have different labels, then those with
    one label. The labels that predictions contradict follow, without the tracks before.

    Parameters
    ----------
    predicted : pa.Table
        Rows of tracks in ``predictions``. A prediction contradicts no track that its model has
        learnt, and no label that the model does not know.
    classes : list of str
        Classes of the model.
    recordings : np.ndarray [shape=(n_tracks,), int]
        Recording of each row, as from :func:`jobs.learning.groups.recording_groups`.
    """
    repeated = _repeated(predicted, recordings)
    others = predicted.filter(
        pc.invert(pc.is_in(predicted["track_id"], value_set=repeated["track_id"].combine_chunks()))
    )
    found = pa.concat_tables([repeated, _contradicted(others, classes)])
    return found.set_column(0, SUSPECT.field(0), pa.array(range(1, found.num_rows + 1), pa.int32()))


def _repeated(predicted: pa.Table, recordings: np.ndarray) -> pa.Table:
    """Return the labelled tracks whose recording is that of another labelled track."""
    rows = predicted.select(["track_id", "label", "model"]).to_pandas()
    rows = rows.assign(recording=recordings).dropna(subset="label").sort_values("track_id")
    rows = rows[rows.duplicated("recording", keep=False)]
    of_recording = rows.groupby("recording", sort=False)
    first = of_recording[["track_id", "label"]].transform("first")
    differs = rows["label"] != first["label"]
    conflict = differs.groupby(rows["recording"]).transform("any")
    # The duplicate is the first track; for the first and for those with its label another one.
    is_other = differs.where(conflict, of_recording.cumcount() > 0)
    others = rows[is_other].drop_duplicates("recording").set_index("recording")
    other = others.loc[rows["recording"], ["track_id", "label"]].set_axis(rows.index)
    duplicate = first.where(is_other, other)
    rows = rows.assign(
        duplicate_id=duplicate["track_id"],
        suggested=duplicate["label"].where(conflict, None),
        reason="The same recording as "
        + duplicate["track_id"]
        + (", which has the label " + duplicate["label"]).where(conflict, ""),
        agrees=~conflict,
        first=first["track_id"],
    ).sort_values(["agrees", "first", "track_id"])
    return pa.Table.from_pandas(
        rows.reindex(columns=SUSPECT.names), schema=SUSPECT, preserve_index=False
    )


def _contradicted(predicted: pa.Table, classes: list[str]) -> pa.Table:
    """Return the labels that a model contradicts confidently, the largest margin first."""
    codes = pc.index_in(predicted["label"], value_set=pa.array(classes, pa.string()))
    usable = pc.and_(pc.is_valid(codes), pc.invert(predicted["learnt"]))
    rows = predicted.append_column("code", codes).filter(usable).sort_by("track_id")
    probabilities = np.column_stack([rows[PROBABILITY + name].to_numpy() for name in classes])
    labels = rows["code"].to_numpy().astype(np.int64)
    found, suggested = find_suspects(labels, probabilities)
    own, other = probabilities[found, labels[found]], probabilities[found, suggested]
    names = [(classes[labels[i]], classes[j]) for i, j in zip(found, suggested, strict=True)]
    arrays = {
        "rank": pa.nulls(len(found), pa.int32()),
        "track_id": rows["track_id"].take(pa.array(found)),
        "label": [label for label, _ in names],
        "duplicate_id": pa.nulls(len(found), pa.string()),
        "suggested": [better for _, better in names],
        "probability": other,
        "self_confidence": own,
        "margin": other - own,
        "reason": [
            f"A model that has not learnt this track gives {better} {high:.2f}, and {label} "
            f"{low:.2f}"
            for (label, better), high, low in zip(names, other, own, strict=True)
        ],
        "model": rows["model"].take(pa.array(found)),
    }
    return pa.table(arrays, schema=SUSPECT)


def suspects(store: str | Store) -> list[dict[str, Any]]:
    """Return the rows of the table ``suspects``, by rank.

    Raises
    ------
    UsageError
        There is no store, or its tracks have not been predicted.
    StoreError
        The store is damaged.
    """
    store = open_store(store)
    if not store.parts(SUSPECTS):
        root = store.storage.root
        raise UsageError(
            f"the store {root} has no suspects. Run: {command_for(root, 'predict --all')}"
        )
    rows: list[dict[str, Any]] = store.read(SUSPECTS).sort_by("rank").to_pylist()
    return rows
