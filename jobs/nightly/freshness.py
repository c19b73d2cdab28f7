"""What a stage of the nightly run has read, so that the next night can tell whether it changed.

Of tables, the rows of ``runs`` tell: every change to a store leaves one. Parts are no help, since
they are merged and moved without a change to any row.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobs.inputs import labels
from jobs.learning import registry
from jobs.store.schemas import SEGMENTS, TRACKS
from jobs.store.storage import as_json
from jobs.store.tables import Store

STAGES_JSON = "_stages.json"

_CHANGES = ("extracted", "failed", "gone", "relabelled", "kept")
"""Counts of a row of ``runs`` of which one is above 0 where rows of features or files changed."""

_MAKERS = {
    "features": ("extract", "import"),
    "comparison": ("compare",),
    "similarity": ("similarity",),
    "predictions": ("predict",),
}
"""The stages that write a table."""


@dataclass(frozen=True)
class State:
    """What a store holds, so that two states that differ have other words for it.

    Parameters
    ----------
    of : dict of str to Any
        ``features`` (and ``files``), ``labels``, ``comparison``, ``similarity`` (and
        ``duplicates``), ``predictions``, ``models`` and ``champion``.
    """

    of: dict[str, Any]

    def fingerprint(self, reads: Iterable[str], options: dict[str, Any]) -> str:
        """Return a digest of what a stage reads, and of what it was asked for."""
        said = {"reads": {name: self.of[name] for name in reads}, "options": options}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def state(store: Store) -> State:
    """Return what a store holds."""
    columns = ["run_id", "stage", "outcome", "started_at", *_CHANGES]
    runs = store.read("runs", columns).sort_by("started_at").to_pylist()
    found: dict[str, Any] = dict.fromkeys(_MAKERS)
    for run in runs:
        for table, makers in _MAKERS.items():
            if run["stage"] in makers and _changed_something(run):
                found[table] = f"{run['stage']} {run['run_id']}"
    # A run that was killed may have committed rows and left no row of its own.
    counts = [store.count_rows(table) for table in (TRACKS, SEGMENTS, "files")]
    found["features"] = [found["features"], counts, store.settings.to_json().decode()]
    known = labels.read(store)
    found["labels"] = hashlib.sha256(json.dumps(known.to_pylist()).encode()).hexdigest()
    found["models"] = registry.versions(store)
    found["champion"] = registry.champion(store)
    return State(found)


def _changed_something(run: dict[str, Any]) -> bool:
    # An extraction that ends early keeps what is finished; other stages commit once, at their end.
    if run["stage"] == "extract":
        return any(run[name] for name in _CHANGES)
    return bool(run["outcome"] == "done")


def read_stages(store: Store) -> dict[str, str]:
    """Return the fingerprint of what each stage has read; of none that cannot be understood."""
    try:
        found = json.loads(store.storage.read(STAGES_JSON))
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()}


def write_stage(store: Store, stage: str, fingerprint: str) -> None:
    """Remember what a stage has read, once it is done."""
    known = {**read_stages(store), stage: fingerprint}
    store.storage.write(STAGES_JSON, as_json(known), durable=True)
