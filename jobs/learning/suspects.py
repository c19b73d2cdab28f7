"""Suspected mislabels: tracks that the models of their folds contradict."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError
from jobs.store.schemas import PROBABILITY, SUSPECT, SUSPECTS
from jobs.store.tables import Store, open_store
from training.suspects import find_suspects


def suspect_rows(predicted: pa.Table, classes: list[str]) -> pa.Table:
    """Return the rows of :data:`jobs.store.schemas.SUSPECT`.

    Parameters
    ----------
    predicted : pa.Table
        Rows of tracks in ``predictions``. Those that the model has learnt are never suspected, and
        neither are those of labels that it does not know.
    classes : list of str
        Classes of the model.
    """
    codes = pc.index_in(predicted["label"], value_set=pa.array(classes, pa.string()))
    usable = pc.and_(pc.is_valid(codes), pc.invert(predicted["learnt"]))
    rows = predicted.append_column("code", codes).filter(usable).sort_by("track_id")
    probabilities = np.column_stack([rows[PROBABILITY + name].to_numpy() for name in classes])
    labels = rows["code"].to_numpy().astype(np.int64)
    found, suggested = find_suspects(labels, probabilities)
    own, other = probabilities[found, labels[found]], probabilities[found, suggested]
    names = [(classes[labels[i]], classes[j]) for i, j in zip(found, suggested, strict=True)]
    arrays = {
        "rank": np.arange(1, len(found) + 1, dtype=np.int32),
        "track_id": rows["track_id"].take(pa.array(found)),
        "label": [label for label, _ in names],
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
        raise UsageError(f"the store {root} has no suspects. Run: songmill predict --all")
    rows: list[dict[str, Any]] = store.read(SUSPECTS).sort_by("rank").to_pylist()
    return rows
