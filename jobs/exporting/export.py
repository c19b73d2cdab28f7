"""Exports: a table of the store, in somebody else's database or file, complete or not at all.

The store is held meanwhile, so that no other run changes what is being read.
"""

import time
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from jobs.errors import UsageError
from jobs.exporting.rows import Rows
from jobs.exporting.target import Target, parse_target
from jobs.progress import Progress
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.levels import Level
from jobs.store.schemas import (
    DUPLICATES,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SEGMENTS,
    SIMILARITY,
    TABLES,
    TRACKS,
)
from jobs.store.tables import Store

Name = Literal["similarity", "duplicates", "predictions", "features", "files"]

MADE_BY: dict[Name, str] = {
    "similarity": "songmill similarity",
    "duplicates": "songmill similarity",
    "predictions": "songmill predict --all",
    "features": "songmill extract",
    "files": "songmill extract",
}
"""The tables that are exported, and the command that makes each."""

KEYS: dict[Name, tuple[str, ...]] = {
    "similarity": ("track_id", "rank", "neighbour_id", "cosine"),
    "duplicates": ("track_id", "duplicate_id", "cosine"),
    "predictions": ("track_id", "label", "predicted", "model"),
    "features": ("track_id", "label", "length", "tempo"),
    "files": ("track_id", "uri", "status", "error"),
}
"""Columns by which a table in a database is known as an earlier export of the same."""


@dataclass(frozen=True)
class Outcome:
    """What was exported.

    Parameters
    ----------
    table : str
        What it is called there; the file's name of a file.
    to : str
        Where it is, without a password.
    """

    name: str
    rows: int
    to: str
    table: str
    seconds: float


def export(
    name: Name,
    *,
    store: str | Session,
    to: str,
    level: Level = "track",
    schema: str | None = None,
    table: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Write a table to a database or a file, complete or not at all.

    Parameters
    ----------
    name : {"similarity", "duplicates", "predictions", "features", "files"}
        Table of the store.
    store : str or Session
        Address of the store; or the session of a run.
    to : str
        ``postgresql://…``, ``sqlite:///FILE``, ``duckdb:///FILE``, or a file that ends in
        ``.csv``, ``.csv.gz``, ``.jsonl``, ``.jsonl.gz``, ``.parquet`` or ``.arrow``.
    level : {"track", "segment"}
        Rows to export, where there are both.
    schema : str, optional
        Schema of the database.
    table : str, optional
        Name of the table in the database; by default ``name``.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        The store has no such table, or the target does not fit.
    ExportError
        The target cannot be reached or refuses; what it had before is still there.
    """
    from jobs.exporting.databases import LOADERS
    from jobs.exporting.files import write_file

    target = parse_target(to)
    _check_names(name, target, level=level, schema=schema, table=table)
    session = open_session(store, progress=progress)
    with session.stage("export") as run:
        parts, columns = _find(run.store, name, level)
        rows = Rows(run.store, parts, columns, session.progress)
        session.progress.say(f"exporting {rows.count:,} rows to {target.shown}")
        if target.kind == "file":
            write_file(rows, target.address)
            table = target.shown
        else:
            table = table or name + ("_segments" * (level == "segment"))
            LOADERS[target.kind](rows, target, schema, table, KEYS[name])
        run.commit(commit.Change(), message=f"{rows.count} rows of {name} to {target.shown}")
        return Outcome(name, rows.count, target.shown, table, time.time() - run.started)


def _check_names(
    name: Name, target: Target, *, level: Level, schema: str | None, table: str | None
) -> None:
    if target.kind == "file" and (schema or table):
        raise UsageError("--schema and --table are for databases: a file has its own name")
    if target.kind == "sqlite" and schema:
        raise UsageError("SQLite has no schemas: leave out --schema")
    if level == "segment" and name == "files":
        raise UsageError("files are neither tracks nor segments: leave out --level")


def _find(store: Store, name: Name, level: Level) -> tuple[list[str], pa.Schema]:
    """Return the parts and the columns of the table that is asked for."""
    segments = level == "segment"
    folder: str = {
        "features": SEGMENTS if segments else TRACKS,
        "predictions": PREDICTED_SEGMENTS if segments else PREDICTED_TRACKS,
    }.get(name, name)
    parts = store.parts(folder)
    schemas = [store.storage.read_schema(part).remove_metadata() for part in parts]
    if schemas:
        schema = schemas[0]
    elif name == "files":
        schema = TABLES["files"]
    else:
        raise UsageError(
            f"the store {store.storage.root} has no {name}"
            f"{' of segments' if segments else ''}: `{MADE_BY[name]}"
            f"{' --segments' if segments and name == 'predictions' else ''}` makes them"
        )
    if name in (SIMILARITY, DUPLICATES) and ("segment" in schema.names) != segments:
        found_level = "segment" if "segment" in schema.names else "track"
        raise UsageError(
            f"the {name} of the store {store.storage.root} is of {found_level}s: say "
            f"--level {found_level}, or run `songmill similarity --level {level}`"
        )
    return parts, schema
