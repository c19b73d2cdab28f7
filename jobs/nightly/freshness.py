"""Fingerprints of the inputs of each stage of the nightly run, which show whether they changed.

The rows of ``runs`` show when a table changed: every change to a store adds one. The names of parts
do not, since merges rename parts without changing rows.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from jobs.inputs import labels
from jobs.learning import registry
from jobs.store.schemas import SEGMENTS, TRACKS
from jobs.store.tables import STAGES_JSON, Store

_CHANGES = ("extracted", "failed", "gone", "relabelled", "kept")
"""Counts in a row of ``runs``; any above 0 means that features or files changed."""

_MAKERS = {
    "features": ("extract", "import"),
    "comparison": ("compare",),
    "similarity": ("similarity",),
    "predictions": ("predict",),
}
"""Stages that write each table."""


def fingerprint(state: dict[str, Any], inputs: Iterable[str], options: dict[str, Any]) -> str:
    """Return a digest of a stage's inputs, which are keys of :func:`read_state`, and options."""
    hashed = {"reads": {name: state[name] for name in inputs}, "options": options}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def read_state(store: Store) -> dict[str, Any]:
    """Return the state of a store's contents.

    Returns
    -------
    dict of str to Any
        A JSON value, different for different contents, for each of ``features`` (and ``files``),
        ``labels``, ``comparison``, ``similarity`` (and ``duplicates``), ``predictions``,
        ``models`` and ``champion``.
    """
    columns = ["run_id", "stage", "outcome", "started_at", *_CHANGES]
    runs = store.read("runs", columns).sort_by("started_at").to_pylist()
    state: dict[str, Any] = dict.fromkeys(_MAKERS)
    for run in runs:
        for table, makers in _MAKERS.items():
            if run["stage"] in makers and _changed_rows(run):
                state[table] = f"{run['stage']} {run['run_id']}"
    # A killed run may have committed rows without adding a row to `runs`.
    counts = [store.count_rows(table) for table in (TRACKS, SEGMENTS, "files")]
    state["features"] = [state["features"], counts, store.settings.to_json().decode()]
    rows = labels.read(store).to_pylist()
    state["labels"] = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    state["models"] = registry.versions(store)
    state["champion"] = registry.champion(store)
    return state


def _changed_rows(run: dict[str, Any]) -> bool:
    # An interrupted extraction keeps its finished rows; other stages commit once, at their end.
    if run["stage"] == "extract":
        return any(run[name] for name in _CHANGES)
    return bool(run["outcome"] == "done")


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
