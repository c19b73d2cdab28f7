"""Plan of an extraction: new, changed, unchanged and gone files, and the division into batches.

A file counts as unchanged if its size and modification time are. Comparing contents would mean
reading every file again.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError
from jobs.extraction.known_files import IS_UNLISTED, load_known
from jobs.extraction.remarks import long_enough, with_remarks
from jobs.inputs.database import insert
from jobs.inputs.listing import IS_MISSING, Listing, full_path
from jobs.inputs.sources import SourceFile
from jobs.interruption import raise_if_interrupted
from jobs.store.schemas import FILES

BATCH_AUDIO_S = 600.0
"""Maximum seconds of audio per batch: a few seconds of work, lost if its worker dies."""

LONG_S = 600.0
"""Seconds above which two threads may share a recording; both decode it."""

BATCH_FILES = 256
"""Maximum number of files per batch."""

SHARES_PER_THREAD = 2
"""Shares per thread into which the remaining files are divided; the next batch is one share."""

_BYTES_PER_S = 44_100.0
"""Bytes per second of 16-bit mono at 22,050 Hz; only the size of batches depends on it."""

_COMPRESSION = {
    ".flac": 2.0,
    ".mp3": 5.0,
    ".ogg": 5.0,
    ".opus": 8.0,
    ".aac": 5.0,
    ".m4a": 5.0,
}


@dataclass
class Plan:
    """Work of one run."""

    new: list[SourceFile]  # files that the store does not know
    repeat: list[SourceFile]  # known files to extract again
    incomplete: dict[tuple[str, ...], list[SourceFile]]  # others, by the feature sets they lack
    labels: dict[str, str | None]  # of the tracks of all these files
    gone: list[str]  # tracks to remove from every table
    relabelled: dict[str, str | None]  # new labels of tracks that keep their features
    moved: pa.Table  # new `uri`, `source` and `message` of unchanged files, by `track_id`
    changed: list[str]  # tracks of files in `repeat` that changed
    retried: list[str]  # tracks of files in `repeat` that did not change
    failed_before: set[str]  # those of them that failed before
    missing: set[str]  # tracks of files in `repeat` that a list names, and that are not there
    unchanged: int  # files that keep their features, incomplete ones included


def find_row(files: pa.Table, *, imported: bool) -> dict[str, Any] | None:
    """Return the first row of ``files`` that comes from an imported table, or that does not."""
    is_imported = pa.nulls(files.num_rows, pa.bool_()).fill_null(False)
    for source in pc.unique(files["source"]).to_pylist():
        is_row = pc.starts_with(files["uri"], f"{source}#")
        is_imported = pc.or_(is_imported, pc.and_(pc.equal(files["source"], source), is_row))
    found = files.select(["track_id", "uri", "source"]).filter(pc.equal(is_imported, imported))
    return next(iter(found.slice(0, 1).to_pylist()), None)


def load_files(
    listing: Listing, rows: Iterable[pa.Table | pa.RecordBatch], sets: Iterable[str]
) -> None:
    """Load the store's table ``files`` beside a listing; ``sets`` are the feature sets to extract.

    UsageError if the store holds imports.
    """
    # The table has columns even if there are no rows.
    tables = chain([FILES.empty_table()], map(pa.table, rows))
    names = list(sets)
    load_known(listing, (_compared_columns(table, names) for table in tables))


def _compared_columns(files: pa.Table, sets: Sequence[str]) -> pa.Table:
    """Return the columns that a plan compares, and ``message`` with new remarks."""
    row = find_row(files.filter(pc.is_null(files["bytes"])), imported=True)
    if row:
        raise UsageError(
            f"the store holds imported features, such as those of {row['track_id']!r} from "
            f"{row['source']}. Extract recordings into another store"
        )
    remarked = with_remarks(files, sets)
    old, new = (pc.fill_null(table["message"], "") for table in (files, remarked))
    names = ("track_id", "uri", "source", "bytes", "status", "error", "run_id")
    columns = {name: files[name] for name in names}
    columns |= {
        "modified": files["modified"].cast(pa.int64()),
        "message": remarked["message"],
        "is_remarked": pc.not_equal(old, new),
    }
    # A column for each feature set: whether the recording is long enough.
    return pa.table(
        columns | {f"fits_{i}": long_enough(name, files) for i, name in enumerate(sets)}
    )


def make_plan(
    listing: Listing,
    rows: Mapping[str, Iterable[pa.Table | pa.RecordBatch]],
    *,
    run_id: str,
    force: bool = False,
    retry_failed: bool = False,
    replace_all: bool = False,
) -> Plan:
    """Compare the listed files, with their new labels, with those that :func:`load_files` loaded.

    ``rows`` holds the ``track_id`` and ``label`` of the store's tracks for each feature set to
    extract. ``force`` repeats all files and ``retry_failed`` those that failed, except files that
    the run ``run_id`` extracted before it was killed. ``replace_all`` replaces all rows of the
    store, those of other sources included.

    Raises
    ------
    UsageError
        A file would replace another one with the same track_id.
    """
    repeat_all = force or replace_all
    if not repeat_all:
        _check_same_files(listing)
    database = listing.database
    _find_readable(listing)
    for i, batches in enumerate(rows.values()):
        database.execute(f"CREATE OR REPLACE TABLE rows_{i} (track_id VARCHAR, label VARCHAR)")
        insert(database, f"rows_{i}", batches)
    database.execute(
        _planned_query(list(rows)),
        {"run_id": run_id, "repeat_all": repeat_all, "retry_failed": retry_failed},
    )

    def tracks(condition: str) -> list[str]:
        query = f"SELECT track_id FROM planned WHERE {condition} ORDER BY track_id"
        return [track for (track,) in database.execute(query).fetchall()]

    def files(condition: str) -> list[SourceFile]:
        return list(listing.select(f"FROM planned WHERE {condition} ORDER BY track_id"))

    def labels(condition: str) -> dict[str, str | None]:
        query = f"SELECT track_id, label FROM planned WHERE {condition} ORDER BY track_id"
        return dict(database.execute(query).fetchall())

    is_repeated, is_incomplete = "is_changed OR is_retried", "len(lacking) > 0"
    lacking = database.execute(
        f"SELECT lacking FROM planned WHERE {is_incomplete} GROUP BY lacking ORDER BY min(track_id)"
    ).fetchall()
    moved = database.sql(
        "SELECT track_id, uri, source, message FROM planned WHERE is_moved ORDER BY track_id"
    )
    plan = Plan(
        new=files("NOT is_known"),
        repeat=files(is_repeated),
        incomplete={tuple(sets): files(f"lacking = {sets}") for (sets,) in lacking},
        labels=labels(f"NOT is_known OR {is_repeated} OR {is_incomplete}"),
        gone=_gone(listing, replace_all=replace_all),
        relabelled=labels("is_relabelled"),
        moved=moved.to_arrow_table(),
        changed=tracks("is_changed"),
        retried=tracks("is_retried"),
        failed_before=set(tracks("is_retried AND has_failed")),
        missing=set(tracks(f"({is_repeated}) AND {IS_MISSING}")),
        unchanged=len(listing),
    )
    plan.unchanged -= len(plan.new) + len(plan.repeat)
    return plan


def _planned_query(sets: list[str]) -> str:
    """Return the query that makes the table ``planned``: files that are new or need a change."""
    joins = "".join(
        f" LEFT JOIN rows_{i} ON rows_{i}.track_id = now.track_id" for i in range(len(sets))
    )
    fits = " OR ".join(f"known.fits_{i}" for i in range(len(sets)))
    # The label of the first feature set that has a row counts.
    relabelled = " ".join(
        f"WHEN rows_{i}.track_id IS NOT NULL THEN rows_{i}.label IS DISTINCT FROM now.label"
        for i in range(len(sets))
    )
    lacking = ", ".join(
        f"CASE WHEN known.fits_{i} AND rows_{i}.track_id IS NULL THEN '{name}' END"
        for i, name in enumerate(sets)
    )
    return f"""
        CREATE OR REPLACE TABLE planned AS
        WITH compared AS (
            SELECT
                now.*, known.message, known.track_id IS NOT NULL AS is_known,
                is_known AND size IS NOT DISTINCT FROM known.bytes
                    AND now.modified IS NOT DISTINCT FROM known.modified
                    AND readable.track_id IS NULL AS is_same,
                coalesce(known.status = 'failed', false) AS has_failed,
                coalesce(known.run_id = $run_id, false) AS by_this_run,
                -- A run with fewer feature sets may have found a file too short for all of them.
                coalesce(known.error = 'too-short' AND ({fits}), false) AS fits_now,
                is_same AND NOT by_this_run AND (
                    $repeat_all OR (has_failed AND ($retry_failed OR fits_now))
                ) AS is_retried,
                is_known AND NOT is_same AS is_changed,
                is_same AND NOT is_retried AS is_unchanged,
                is_unchanged AND (CASE {relabelled} ELSE false END) AS is_relabelled,
                is_unchanged AND (
                    now.uri <> known.uri OR now.source IS DISTINCT FROM known.source OR is_remarked
                ) AS is_moved,
                CASE WHEN is_unchanged AND NOT has_failed
                    THEN list_filter([{lacking}], lambda name: name IS NOT NULL) ELSE []
                END AS lacking
            FROM labelled AS now
            LEFT JOIN known ON known.track_id = now.track_id
            LEFT JOIN readable ON readable.track_id = now.track_id {joins}
        )
        SELECT * FROM compared
        WHERE NOT is_unchanged OR is_relabelled OR is_moved OR len(lacking) > 0
    """


def _find_readable(listing: Listing) -> None:
    """Make the table ``readable``: files that were forbidden, and are not now.

    Neither size nor time shows a change of permissions.
    """
    forbidden = "(SELECT track_id FROM known WHERE error = 'forbidden')"
    found = [
        one.track_id
        for one in listing.select(f"FROM listed WHERE track_id IN {forbidden}")
        if os.access(one.path, os.R_OK)
    ]
    insert(listing.database, "readable", [pa.table({"track_id": pa.array(found, pa.string())})])


class Group(NamedTuple):
    """Recordings for one batch."""

    files: list[SourceFile]
    seconds: float  # estimated
    is_long: bool  # whether two threads should share its only file


def make_groups(recordings: list[SourceFile], threads: int) -> Iterator[Group]:
    """Divide ``recordings`` into batches for a number of ``threads``, long recordings first.

    A batch has at most :data:`BATCH_FILES` files; if more than one, at most :data:`BATCH_AUDIO_S`.
    Batches become smaller towards the end, so that all threads finish at about the same time:
    guided self-scheduling (Polychronopoulos and Kuck, 1987). A recording of more than
    :data:`LONG_S` is long if one thread would end after the others because of it.
    """
    threads = max(1, threads)  # a cluster may be waiting for new workers
    ordered = sorted(recordings, key=estimate_seconds, reverse=True)
    durations = [estimate_seconds(recording) for recording in ordered]
    seconds_left = sum(durations)
    start = 0
    while start < len(ordered):
        share = seconds_left / (threads * SHARES_PER_THREAD)
        max_files = min(BATCH_FILES, -(-(len(ordered) - start) // (threads * SHARES_PER_THREAD)))
        stop, seconds = start + 1, durations[start]
        while stop < min(start + max_files, len(ordered)):
            longer = seconds + durations[stop]
            if longer > min(BATCH_AUDIO_S, share):
                break
            stop, seconds = stop + 1, longer
        is_long = stop == start + 1 and threads > 1 and seconds > max(LONG_S, share)
        yield Group(ordered[start:stop], seconds, is_long)
        start, seconds_left = stop, seconds_left - seconds


def estimate_seconds(recording: SourceFile) -> float:
    """Estimate a recording's seconds of 22,050 Hz mono from its size and suffix."""
    suffix = "." + recording.track_id.rpartition(".")[2].lower()
    return (recording.size or 0) * _COMPRESSION.get(suffix, 1.0) / _BYTES_PER_S


def _check_same_files(listing: Listing) -> None:
    """Raise UsageError if a listed file and the known one of the same track differ and both exist.

    A known file of a source of this run is gone or moved if another one has its name.
    """
    with listing.database.cursor() as cursor:
        found = cursor.execute(
            """
            SELECT listed.track_id, listed.uri, path, known.uri
            FROM listed JOIN known USING (track_id)
            WHERE listed.uri <> known.uri AND NOT list_contains($sources, known.source)
            ORDER BY track_id
            """,
            {"sources": listing.sources},
        )
        while row := found.fetchone():
            raise_if_interrupted()
            track, uri, path, known = row
            path = full_path(uri, path)
            if not os.path.exists(known) or (
                os.path.exists(path) and os.path.samefile(path, known)
            ):
                continue
            raise UsageError(
                f"the store knows track {track!r} as {known}, which is still there; {uri} would "
                "replace it. Name a folder above both as the source, use another store, or add "
                "--force to replace it"
            )


def _gone(listing: Listing, *, replace_all: bool) -> list[str]:
    """Return the known tracks that the sources of this run no longer list."""
    found = listing.database.execute(
        f"""
        SELECT track_id FROM known ANTI JOIN listed USING (track_id)
        WHERE ($replace_all OR list_contains($sources, source))
        AND NOT {IS_UNLISTED.format("uri")}
        ORDER BY rowid
        """,
        {"replace_all": replace_all, "sources": listing.sources, "unlisted": listing.unlisted},
    )
    return [track for (track,) in found.fetchall()]
