"""Fingerprints of the inputs of each stage of the nightly run, which show whether they changed.

Rows count, not attempts: a corrupt file that is retried and fails again changes nothing. A table
that one stage replaces as a whole changed when ``runs`` has another row of that stage. Names of
parts show nothing, since merges rename parts without changing rows.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from jobs.inputs import labels
from jobs.interruption import raise_if_interrupted
from jobs.learning import registry
from jobs.store.schemas import FILES, PUBLISHED, SEGMENTS, TAG, TAGS, TRACKS, features_folder
from jobs.store.tables import STAGES_JSON, Store

_MAKERS = {
    "features": "import",
    "comparison": "compare",
    "similarity": "similarity",
    "predictions": "predict",
}
"""Stages that replace the rows of each table. Extractions change single rows of features."""

_ATTEMPT = ("extracted_at", "run_id")
"""Columns of ``files`` that every attempt at a file changes."""


def fingerprint(state: dict[str, Any], inputs: Iterable[str], options: dict[str, Any]) -> str:
    """Return a digest of a stage's inputs, which are keys of :func:`read_state`, and options."""
    hashed = {"reads": {name: state[name] for name in inputs}, "options": options}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def read_state(store: Store) -> dict[str, Any]:
    """Return the state of a store's contents.

    Returns
    -------
    dict of str to Any
        A JSON value, different for different contents, for each of ``features``, ``files``,
        ``labels``, ``comparison``, ``similarity`` (and ``duplicates``), ``predictions``,
        ``models`` and ``champion``.
    """
    runs = store.read("runs", ["run_id", "stage", "outcome"])
    done = runs.filter(pc.equal(runs["outcome"], "done"))
    # All runs, not only the last one: rows have no order if a clock was set back between two runs.
    state: dict[str, Any] = {
        table: sorted(done.filter(pc.equal(done["stage"], maker))["run_id"].to_pylist())
        for table, maker in _MAKERS.items()
    }
    state["features"] = [
        state["features"],
        # The features of a file change only when it is extracted.
        _digest(store, "files", ["track_id", "status", "extracted_at"], status="ok"),
        _digest(store, TRACKS, ["track_id", "label"]),
        store.count_rows(SEGMENTS),
        store.settings.to_json().decode(),
        *(
            _digest(store, features_folder(name, "track"), ["track_id", "label"])
            for name in sorted(store.settings.feature_sets)
            if name != PUBLISHED
        ),
    ]
    state["files"] = _digest(store, "files", [x for x in FILES.names if x not in _ATTEMPT])
    state["tags"] = _digest(store, TAGS, TAG.names)
    rows = labels.read(store)
    # Both have groups of tracks.
    state["labels"] = [rows.column_names, _sum_hashes(rows), state["tags"]]
    state["models"] = registry.versions(store)
    state["champion"] = registry.champion(store)
    return state


def _digest(store: Store, table: str, columns: list[str], *, status: str | None = None) -> int:
    """Return a digest of the rows of a table, in any order; by default of every ``status``."""
    total = 0
    for batch in store.read_batches(table, columns):
        raise_if_interrupted()
        rows = pa.table(batch)
        if status:
            rows = rows.filter(pc.equal(rows["status"], status))
        total += _sum_hashes(rows)
    return total % 2**64


def _sum_hashes(rows: pa.Table) -> int:
    """Return the sum of the hashes of the rows, which does not depend on their order."""
    hashes = pd.util.hash_pandas_object(rows.to_pandas(), index=False).to_numpy()
    return int(hashes.sum(dtype=np.uint64))


def read_fingerprints(store: Store) -> dict[str, str]:
    """Return the last fingerprint of each stage; none if the file is missing or damaged."""
    try:
        found = store.storage.read_json(STAGES_JSON)
        return {name: str(value) for name, value in found.items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def write_fingerprint(store: Store, stage: str, value: str) -> None:
    """Record the fingerprint of a finished stage."""
    fingerprints = {**read_fingerprints(store), stage: value}
    store.storage.write_json(STAGES_JSON, fingerprints, durable=True)
