"""The verification of a store, and its repair: what is damaged is forgotten, to be made anew."""

import time
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from featurizer.feature_set import feature_sets
from jobs.learning import registry
from jobs.progress import Progress
from jobs.reporting.integrity import Check, Finding
from jobs.stage import Session, stage_row
from jobs.store import commit, schemas
from jobs.store.damage import damage_error
from jobs.store.manifest import MANIFEST
from jobs.store.schemas import (
    COMPARED,
    DERIVED,
    DUPLICATES,
    MATRIX,
    NEIGHBOUR_METRICS,
    PREDICTED_LONG,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SIMILARITY,
    SUSPECTS,
    TAGS,
    comparison_table,
    feature_tables,
    table_folders,
    table_schemas,
)
from jobs.store.tables import STAGES_JSON, STORE_JSON, Store, is_part, open_store

_TRACK_COLUMNS: dict[str, tuple[str, ...]] = {
    "files": ("track_id",),
    TAGS: ("track_id",),
    PREDICTED_TRACKS: ("track_id",),
    PREDICTED_SEGMENTS: ("track_id",),
    PREDICTED_LONG: ("track_id",),
    SUSPECTS: ("track_id",),
    SIMILARITY: ("track_id", "neighbour_id"),
    DUPLICATES: ("track_id", "duplicate_id"),
}
"""Columns of each table with the tracks that its rows depend on, except the features."""

_SCHEMAS = {
    "labels": pa.schema([("track_id", pa.string()), ("label", pa.string())]),
    PREDICTED_TRACKS: schemas.predictions([], segments=False),
    PREDICTED_SEGMENTS: schemas.predictions([], segments=True),
    SIMILARITY: schemas.similarity("track"),
    DUPLICATES: schemas.duplicates("track"),
    MATRIX: pa.schema([("track_id", pa.string())]),
}
"""Columns of a table without sound parts, if it has no fixed columns."""


@dataclass
class Outcome:
    """The result of a verification.

    Parameters
    ----------
    store : str
        Root of the store.
    outcome : {"sound", "damaged", "repaired"}
        ``repaired``: what is damaged was forgotten.
    findings : list of Finding
        Everything that is wrong, or was before the repair.
    unchecked : str
        Why the tables were not compared with the manifest and one another; "" if they were.
    parts, rows, bytes : int
        Sound parts.
    models : int
        Models that can predict.
    manifest : bool
        Whether the store has a manifest. Without one, a missing part may go unnoticed.
    forgotten : int
        Tracks that the repair removed from all tables.
    """

    store: str
    outcome: Literal["sound", "damaged", "repaired"]
    findings: list[Finding]
    unchecked: str
    parts: int
    rows: int
    bytes: int
    models: int
    manifest: bool
    forgotten: int
    seconds: float


def verify(
    *, store: str | Store, repair: bool = False, progress: Progress | None = None
) -> Outcome:
    """Check everything in a store, and on request forget what is damaged.

    Parameters
    ----------
    store : str or Store
        The store, or its address.
    repair : bool
        Whether to forget what is damaged, so that the next runs make it anew. By default nothing
        is written, and other runs may be at work.
    progress : Progress, optional
        By default lines on stderr.

    Raises
    ------
    UsageError
        There is no store.
    StoreError
        ``store.json`` is damaged. With ``repair`` also: the journal is damaged, or another run
        holds the store.

    Examples
    --------
    >>> verify(store="tables").outcome
    'sound'
    """
    started = time.time()
    store = open_store(store)
    storage = store.storage
    check = Check(store, progress or Progress())
    if repair:
        session = Session(storage, progress=check.progress)
        with session.held("repair") as lock:
            check.run()
            for found in check.findings:
                if found.file == STORE_JSON:  # the tables cannot be judged without it
                    raise damage_error(storage.root, found.file, found.problem)
            if check.findings:
                change = _stage_repair(check, session.run_id, started)
                commit.commit(lock, change)
                _repair_models(check)
    else:
        check.run()
    return Outcome(
        store=storage.root,
        outcome=("repaired" if repair else "damaged") if check.findings else "sound",
        findings=check.findings,
        unchecked=check.unchecked,
        parts=check.parts,
        rows=check.rows,
        bytes=check.bytes,
        models=len(check.classes),
        manifest=storage.exists(MANIFEST),
        forgotten=len(check.forget) if repair else 0,
        seconds=time.time() - started,
    )


class _SoundParts(Store):
    """A store without its unsound parts."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.store.storage, check.store.settings)
        self._unsound = check.unsound

    def parts(self, table: str) -> list[str]:
        """Return the sorted names of the sound parts of ``table``."""
        names = [entry.name for entry in self.storage.list(table) if is_part(entry.name)]
        return [name for name in names if name not in self._unsound.get(table, ())]


def _stage_repair(check: Check, run_id: str, started: float) -> commit.Change:
    """Stage the change that forgets what is damaged."""
    store = _SoundParts(check)
    storage = store.storage
    # Without fingerprints, every stage of the next nightly run is done.
    storage.remove(STAGES_JSON)
    if any(found.file == MANIFEST for found in check.findings):
        storage.remove(MANIFEST)  # the commit writes it again
    change = commit.Change()
    tracks = pa.array(sorted(check.forget, key=str), pa.string())
    track_columns = _TRACK_COLUMNS | dict.fromkeys(feature_tables(feature_sets()), ("track_id",))
    comparisons = [comparison_table(name) for name in feature_sets()]
    of_neighbours = (SIMILARITY, DUPLICATES, NEIGHBOUR_METRICS)
    for table in table_folders():
        edit: commit.Edit | None = None
        is_stale = table in check.stale and table in (*DERIVED, *comparisons)
        if table == COMPARED:  # without it, the next neighbours are computed from scratch
            is_stale |= bool(len(tracks)) or not check.stale.isdisjoint(of_neighbours)
            is_stale |= any(map(check.unsound.get, of_neighbours))
        if is_stale or (table == MATRIX and len(tracks)):
            edit = commit.without_any
        elif table in track_columns and len(tracks):
            edit = commit.without_tracks(tracks, *track_columns[table])
        commit.stage_table(store, change, table, [], edit=edit)
        unsound = check.unsound.get(table, ())
        known = store.parts(table) if unsound else ()
        schema = storage.read_schema(known[0]) if known else (_SCHEMAS | table_schemas())[table]
        change.add += [(commit.write_empty(storage, schema), name) for name in unsound]
    message = f"{len(check.findings)} findings, {len(tracks)} tracks forgotten"
    row = {"run_id": run_id, "stage": "repair", "outcome": "done", "message": message}
    stage_row(store, change, started=started, ended=time.time(), **row)
    return change


def _repair_models(check: Check) -> None:
    """Empty damaged tables; remove damaged models, and a champion that is none."""
    storage = check.store.storage
    for name, schema in check.model_tables.items():
        storage.write_table(name, schema.empty_table(), durable=True)
    if not check.champion:
        storage.remove(registry.CHAMPION)
    for version in check.models:
        registry.remove(storage, version)
