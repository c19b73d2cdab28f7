"""Plan of an extraction: new, changed, unchanged and gone files, and the division into batches.

A file counts as unchanged if its size and modification time are. Comparing contents would mean
reading every file again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError
from jobs.extraction.remarks import long_enough, with_remarks
from jobs.inputs.sources import Listing, SourceFile
from jobs.interruption import raise_if_interrupted
from jobs.redaction import public_address
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
    gone: list[str]  # tracks to remove from every table
    relabelled: dict[str, str | None]  # new labels of tracks that keep their features
    moved: pa.Table  # new rows of `files` in which only `uri`, `source` or `message` changes
    changed: int  # files in `repeat` that changed
    retried: int  # files in `repeat` that did not change
    failed_before: set[str]  # those of them that failed before
    unchanged: int  # files that keep their features, incomplete ones included


def find_row(files: pa.Table, *, imported: bool) -> dict[str, Any] | None:
    """Return the first row of ``files`` that comes from an imported table, or that does not."""
    rows = files.select(["track_id", "uri", "source"]).to_pylist()
    return next((r for r in rows if r["uri"].startswith(f"{r['source']}#") == imported), None)


def make_plan(
    listing: Listing,
    known: pa.Table,
    rows: dict[str, pa.Table],
    labels: dict[str, str | None],
    *,
    run_id: str,
    force: bool = False,
    retry_failed: bool = False,
    replace_all: bool = False,
) -> Plan:
    """Compare the listed files with ``known``, the table ``files`` with public sources.

    ``rows`` holds the ``track_id`` and ``label`` of the store's tracks for each feature set to
    extract, ``labels`` the new label of every listed track. ``force`` repeats all files and
    ``retry_failed`` those that failed, except files that the run ``run_id`` extracted before it was
    killed. ``replace_all`` replaces all rows of the store, those of other sources included.

    Raises
    ------
    UsageError
        A file would replace another one with the same track_id, or the store holds imports.
    """
    row = find_row(known.filter(pc.is_null(known["bytes"])), imported=True)
    if row:
        raise UsageError(
            f"the store holds imported features, such as those of {row['track_id']!r} from "
            f"{row['source']}. Extract recordings into another store"
        )
    recordings = listing.recordings
    listed_ids = pa.array([recording.track_id for recording in recordings], pa.string())
    position = pc.index_in(listed_ids, value_set=known["track_id"])
    is_known = position.is_valid().to_numpy(zero_copy_only=False)

    def of_known(column: pa.ChunkedArray, missing: float | bool) -> np.ndarray:
        """Return a column of the known files in the order of the listed ones."""
        values: np.ndarray = pc.fill_null(column.take(position), missing).to_numpy()
        return values

    def listed_column(name: str) -> pa.Array:
        return pa.array([getattr(recording, name) for recording in recordings], pa.string())

    sizes = np.array([-1 if r.size is None else r.size for r in recordings], np.int64)
    times = np.array([-1 if r.modified is None else r.modified for r in recordings], np.int64)
    same = (
        is_known
        & (sizes == of_known(known["bytes"], -1))
        & (times == of_known(known["modified"].cast(pa.int64()), -1))
    )
    failed = of_known(pc.equal(known["status"], "failed"), False)
    by_this_run = of_known(pc.equal(known["run_id"], run_id), False)
    is_elsewhere = is_known & _differs(listed_column("uri"), known["uri"].take(position))
    is_of_another = is_known & _differs(listed_column("source"), known["source"].take(position))

    repeat_all = force or replace_all
    if not repeat_all:
        others = np.flatnonzero(is_elsewhere)
        _check_same_files(listing, others, known.take(position.take(pa.array(others))))
    forbidden = same & of_known(pc.equal(known["error"], "forbidden"), False)
    for i in np.flatnonzero(forbidden):
        raise_if_interrupted()
        # Neither size nor time shows a change of permissions.
        same[i] = not os.access(recordings[i].path, os.R_OK)
    changed = is_known & ~same
    fits = {name: of_known(pa.chunked_array([long_enough(name, known)]), False) for name in rows}
    # A run with fewer feature sets may have found a file too short for all of them.
    fits_now = of_known(pc.equal(known["error"], "too-short"), False) & _any(fits)
    retried = same & ~by_this_run & (repeat_all | (failed & (retry_failed | fits_now)))
    unchanged = same & ~retried

    new_labels = pa.array([labels[r.track_id] for r in recordings], pa.string())
    is_relabelled = unchanged & _relabelled(listed_ids, new_labels, rows)
    relabelled = [recordings[i].track_id for i in np.flatnonzero(is_relabelled)]

    ok = unchanged & ~failed
    lacking: dict[str, np.ndarray] = {}
    for name, is_long in fits.items():
        has_row = pc.is_in(listed_ids, value_set=rows[name]["track_id"])
        lacking[name] = ok & is_long & ~has_row.to_numpy(zero_copy_only=False)
    incomplete: dict[tuple[str, ...], list[SourceFile]] = {}
    for i in np.flatnonzero(_any(lacking)):
        names = tuple(name for name in lacking if lacking[name][i])
        incomplete.setdefault(names, []).append(recordings[i])

    remarked = with_remarks(known, rows)
    messages = (pc.fill_null(table["message"], "") for table in (known, remarked))
    is_remarked = of_known(pc.not_equal(*messages), False)
    moved = np.flatnonzero(unchanged & (is_remarked | is_elsewhere | is_of_another))
    moved_rows = remarked.take(position.take(pa.array(moved, pa.int64())))
    for name in ("uri", "source"):
        column = pa.array([getattr(recordings[i], name) for i in moved], pa.string())
        moved_rows = moved_rows.set_column(FILES.get_field_index(name), FILES.field(name), column)
    return Plan(
        new=[recordings[i] for i in np.flatnonzero(~is_known)],
        repeat=[recordings[i] for i in np.flatnonzero(changed | retried)],
        incomplete=incomplete,
        gone=_gone(listing, listed_ids, known, replace_all=replace_all),
        relabelled={track: labels[track] for track in relabelled},
        moved=moved_rows,
        changed=int(changed.sum()),
        retried=int(retried.sum()),
        failed_before={recordings[i].track_id for i in np.flatnonzero(retried & failed)},
        unchanged=int(unchanged.sum()),
    )


def _any(masks: dict[str, np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.any(list(masks.values()), axis=0)
    return found


def _differs(one: pa.Array, other: pa.Array) -> np.ndarray:
    """Tell where two columns of strings differ; nulls are equal to each other only."""
    one_is_null = pc.not_equal(pc.is_null(one), pc.is_null(other))
    differ = pc.fill_null(pc.or_kleene(pc.not_equal(one, other), one_is_null), False)
    found: np.ndarray = differ.to_numpy(zero_copy_only=False)
    return found


def _relabelled(ids: pa.Array, labels: pa.Array, rows: dict[str, pa.Table]) -> np.ndarray:
    """Tell which tracks have another label in the first feature set that has a row of them."""
    is_found, differs = np.zeros((2, len(ids)), bool)
    for table in rows.values():
        position = pc.index_in(ids, value_set=table["track_id"])
        is_first = position.is_valid().to_numpy(zero_copy_only=False) & ~is_found
        differs |= is_first & _differs(labels, table["label"].take(position))
        is_found |= is_first
    return differs


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


def with_public_sources(known: pa.Table) -> pa.Table:
    """Remove the secrets from the column ``source``, in one chunk; older versions kept them."""
    known = known.combine_chunks()
    encoded = known["source"].combine_chunks().dictionary_encode()
    public = pa.array([public_address(s) for s in encoded.dictionary.to_pylist()], pa.string())
    column = pa.DictionaryArray.from_arrays(encoded.indices, public).dictionary_decode()
    return known.set_column(known.schema.get_field_index("source"), FILES.field("source"), column)


def _check_same_files(listing: Listing, positions: np.ndarray, known: pa.Table) -> None:
    """Raise UsageError if a listed file and the known one of the same track differ and both exist.

    ``positions`` are those of the listed files with another ``uri`` than their row of ``known``.
    """
    columns = (known[name].to_pylist() for name in ("uri", "source"))
    for position, uri, source in zip(positions, *columns, strict=True):
        raise_if_interrupted()
        recording = listing.recordings[position]
        if (
            source in listing.sources
            or not os.path.exists(uri)
            or (os.path.exists(recording.path) and os.path.samefile(recording.path, uri))
        ):
            continue
        raise UsageError(
            f"the store knows track {recording.track_id!r} as {uri}, which is still there; "
            f"{recording.uri} would replace it. Name a folder above both as the source, use "
            "another store, or add --force to replace it"
        )


def _gone(
    listing: Listing, listed_ids: pa.Array, known: pa.Table, *, replace_all: bool
) -> list[str]:
    """Return the known tracks that the sources of this run no longer list."""
    absent = pc.invert(pc.is_in(known["track_id"], value_set=listed_ids))
    if not replace_all:
        ours = pc.is_in(known["source"], value_set=pa.array(listing.sources, pa.string()))
        absent = pc.and_(absent, ours)
    rows = known.select(["track_id", "uri"]).filter(absent).to_pylist()
    unlisted = tuple(f"{folder}/" for folder in listing.unlisted)
    return [row["track_id"] for row in rows if not row["uri"].startswith(unlisted)]
