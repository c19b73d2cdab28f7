"""Atomic exports of a table of the store to a database or a file.

The store is locked meanwhile, so that no other run changes the table.
"""

import time
from dataclasses import dataclass

import pyarrow as pa

from featurizer.feature_set import Level, feature_sets
from jobs.errors import UsageError, command_for
from jobs.exporting.limits import check_columns
from jobs.exporting.rows import Rows
from jobs.exporting.table_names import TableName
from jobs.exporting.target import Target, parse_target
from jobs.progress import Progress, counted
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.schemas import (
    DUPLICATES,
    FILES,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SEGMENTS,
    SIMILARITY,
    TRACKS,
    features_folder,
    features_schema,
)
from jobs.store.tables import Store

MADE_BY: dict[TableName, str] = {
    "similarity": "similarity",
    "duplicates": "similarity",
    "predictions": "predict --all",
    "predictions-long": "predict --all --long",
    "suspects": "predict --all",
    "features": "extract SOURCE",
    "files": "extract SOURCE",
    "tags": "extract SOURCE",
    "features-rich": "extract SOURCE --features gtzan,rich",
    "labels": "extract SOURCE --labels FILE.csv",
    "comparison": "compare --features gtzan",
    "comparison-rich": "compare --features rich",
    "runs": "extract SOURCE",
    "similarity-matrix": "similarity --full",
    "metrics": "similarity",
    "compared": "similarity",
}
"""Command that makes each table."""

KEYS: dict[TableName, tuple[str, ...]] = {
    "similarity": ("track_id", "rank", "neighbour_id", "cosine"),
    "duplicates": ("track_id", "duplicate_id", "cosine"),
    "predictions": ("track_id", "label", "predicted", "model"),
    "predictions-long": ("track_id", "class", "probability"),
    "suspects": ("track_id", "suggested", "self_confidence", "margin"),
    "features": ("track_id", "label", "length", "tempo"),
    "files": ("track_id", "uri", "status", "error"),
    "tags": ("track_id", "artist", "album_artist", "track_number"),
    "features-rich": ("track_id", "label", "length", "texture_mfcc00_logstd_of_means"),
    "labels": ("track_id",),
    "comparison": ("run_id", "split", "model", "macro_f1"),
    "comparison-rich": ("run_id", "split", "model", "macro_f1"),
    "runs": ("run_id", "stage", "outcome", "started_at"),
    "similarity-matrix": ("track_id",),
    "metrics": ("metric", "feature_set", "fingerprint"),
    "compared": ("track_id", "metric", "digest"),
}
"""Columns that identify an earlier export of the same table in a database."""

_WITH_SEGMENTS: tuple[TableName, ...] = ("features", "predictions", "similarity", "duplicates")


@dataclass(frozen=True)
class Outcome:
    """Summary of an export.

    Parameters
    ----------
    name : str
        Table of the store.
    to : str
        The target, without a password.
    table : str
        Name of the table in the database, or the path of the file.
    """

    name: str
    rows: int
    to: str
    table: str
    seconds: float


def export(
    name: TableName,
    *,
    store: str | Session,
    to: str,
    level: Level = "track",
    schema: str | None = None,
    table: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Write a table to a database or a file; readers see the old table or the new one.

    Parameters
    ----------
    name : str
        Table of the store: a key of :data:`MADE_BY`.
    store : str or Session
        Address of the store; or the session of a run.
    to : str
        ``postgresql://…``, ``sqlite:///FILE``, ``duckdb:///FILE``, a file name with one of the
        suffixes :data:`jobs.exporting.target.SUFFIXES`, or ``-`` for CSV on stdout.
    level : {"track", "segment"}
        Rows to export, for tables of both levels.
    schema : str, optional
        Schema of the database.
    table : str, optional
        Name of the table in the database; by default ``name``, with ``_`` for a hyphen.
    progress : Progress, optional
        By default lines on stderr.

    Raises
    ------
    UsageError
        The store has no such table, or the target does not fit.
    ExportError
        The target is unreachable, reports an error, or cannot name or hold a column. The old table
        is still there.

    Examples
    --------
    >>> export("files", store="tables", to="files.csv").rows
    6
    """
    from jobs.exporting.databases import LOADERS
    from jobs.exporting.files import write_file

    target, in_database = resolve_target(name, to, level=level, schema=schema, table=table)
    session = open_session(store, progress=progress)
    with session.stage("export") as run:
        check_target(name, target, schema, in_database)
        parts, columns = _find_table(run.store, name, level)
        plain = target.kind in ("postgresql", "sqlite")
        rows = Rows(run.store, parts, columns, session.progress, plain=plain)
        check_columns(name, rows.schema.names, target, run.store.storage.root)
        session.progress.step(f"exporting {counted(rows.count, 'row')} to {target.shown}")
        if target.kind == "file":
            write_file(rows, target.address)
        else:
            LOADERS[target.kind](rows, target, schema, in_database, KEYS[name])
        run.commit(
            commit.Change(), message=f"{counted(rows.count, 'row')} of {name} to {target.shown}"
        )
        where = target.shown if target.kind == "file" else in_database
        return Outcome(name, rows.count, target.shown, where, time.time() - run.started)


def resolve_target(
    name: TableName,
    to: str,
    *,
    level: Level = "track",
    schema: str | None = None,
    table: str | None = None,
) -> tuple[Target, str]:
    """Return the target of an export, and the table's name in a database.

    The parameters are those of :func:`export`. UsageError if they do not fit together.
    """
    target = parse_target(to)
    if target.kind == "file" and (schema or table):
        raise UsageError("--schema and --table are for databases: leave them out")
    if target.kind == "sqlite" and schema:
        raise UsageError("SQLite has no schemas: leave out --schema")
    if level == "segment" and name not in _WITH_SEGMENTS:
        raise UsageError(f"{name} has no rows of segments: leave out --level")
    if "\0" in f"{schema}{table}":
        raise UsageError("a name of a table or schema cannot have a null character")
    return target, table or name.replace("-", "_") + ("_segments" * (level == "segment"))


def check_target(name: TableName, target: Target, schema: str | None, table: str) -> None:
    """Check that a database takes an export: connection, schema, rights and the table's name.

    Raises
    ------
    UsageError
        The schema does not exist, or another table has this name.
    ExportError
        The database is unreachable, or a right is missing.
    """
    from jobs.exporting.databases import CHECKS

    if target.kind != "file":
        CHECKS[target.kind](target, schema, table, KEYS[name])


def _find_table(store: Store, name: TableName, level: Level) -> tuple[list[str], pa.Schema]:
    """Return the parts and the columns of a table."""
    segments = level == "segment"
    folder: str = {
        "features": SEGMENTS if segments else TRACKS,
        "predictions": PREDICTED_SEGMENTS if segments else PREDICTED_TRACKS,
        "features-rich": features_folder("rich", "track"),
    }.get(name, name)
    parts = store.parts(folder)
    if parts:
        schema = _described(store.storage.read_schema(parts[0]))
    elif name == "files":
        schema = FILES
    else:
        command = MADE_BY[name] + " --segments" * (segments and name == "predictions")
        raise UsageError(
            f"the store {store.storage.root} has no {name}{' of segments' if segments else ''}. "
            f"Run: {command_for(store.storage.root, command)}"
        )
    if name in (SIMILARITY, DUPLICATES) and ("segment" in schema.names) != segments:
        found_level = "track" if segments else "segment"
        raise UsageError(
            f"the {name} of the store {store.storage.root} has rows of level {found_level}: use "
            f"--level {found_level}, or run "
            f"`{command_for(store.storage.root, f'similarity --level {level}')}`"
        )
    return parts, schema


def _described(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the unit and the description of each feature as its only metadata."""
    described = {
        field.name: field.metadata
        for name in feature_sets()
        for field in features_schema(name, "track")
    }
    return pa.schema([field.with_metadata(described.get(field.name)) for field in schema])
