"""Plan of an extraction: new, changed, unchanged and gone files, and the division into batches.

A file counts as unchanged if its size and modification time are. Comparing contents would mean
reading every file again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError
from jobs.inputs.sources import Listing, SourceFile
from jobs.interruption import raise_if_interrupted
from jobs.store.schemas import FILES

BATCH_AUDIO_S = 600.0
"""Maximum seconds of audio per batch: a few seconds of work, lost if its worker dies."""

BATCH_FILES = 256
"""Maximum number of files per batch."""

BATCHES_PER_THREAD = 4
"""Batches per thread into which a small collection is divided, so that no worker is idle."""

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
    """Work of one run.

    Parameters
    ----------
    new : list of SourceFile
        Files that the store does not know.
    repeat : list of SourceFile
        Known files to extract again.
    gone : list of str
        Tracks to remove from every table.
    relabelled : dict of str to (str or None)
        New labels of tracks that keep their features.
    moved : pa.Table
        New rows of ``files`` in which only ``uri`` or ``source`` changes.
    changed, retried : int
        Files in ``repeat`` that changed, and that did not.
    unchanged : int
        Files that need no work.
    """

    new: list[SourceFile]
    repeat: list[SourceFile]
    gone: list[str]
    relabelled: dict[str, str | None]
    moved: pa.Table
    changed: int
    retried: int
    unchanged: int


def find_row(files: pa.Table, *, imported: bool) -> dict[str, Any] | None:
    """Return the first row of ``files`` that comes from an imported table, or that does not."""
    rows = files.select(["track_id", "uri", "source"]).to_pylist()
    return next((r for r in rows if r["uri"].startswith(f"{r['source']}#") == imported), None)


def make_plan(
    listing: Listing,
    known: pa.Table,
    labelled: pa.Table,
    labels: dict[str, str | None],
    *,
    run_id: str,
    force: bool = False,
    retry_failed: bool = False,
    replace_all: bool = False,
) -> Plan:
    """Compare the listed files with those of the store.

    Parameters
    ----------
    listing : Listing
        Files of the sources.
    known : pa.Table
        The table ``files`` of the store.
    labelled : pa.Table
        ``track_id`` and ``label`` of the store's tracks.
    labels : dict of str to (str or None)
        New label of every listed track.
    run_id : str
        Name of this run. Files that it extracted before it was killed are not repeated.
    force, retry_failed : bool
        Whether to repeat all files, or those that failed.
    replace_all : bool
        Whether all rows of the store are replaced, those of other sources included.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        A file would replace another one with the same track_id, or the store holds imports.
    """
    known = known.combine_chunks()
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
    row_of = position.fill_null(0).to_numpy()

    def of_known(values: np.ndarray) -> np.ndarray:
        """Return a column of the known files in the order of the listed ones."""
        return values[row_of] if len(values) else np.zeros(len(row_of), values.dtype)

    sizes = np.array([-1 if r.size is None else r.size for r in recordings], np.int64)
    times = np.array([-1 if r.modified is None else r.modified for r in recordings], np.int64)
    same = (
        is_known
        & (sizes == of_known(_numbers(known["bytes"])))
        & (times == of_known(_numbers(known["modified"].cast(pa.int64()))))
    )
    failed = of_known(_flags(pc.equal(known["status"], "failed")))
    by_this_run = of_known(_flags(pc.equal(known["run_id"], run_id)))

    repeat_all = force or replace_all
    if not repeat_all:
        _check_same_files(listing, known, np.flatnonzero(is_known), row_of)
    forbidden = same & of_known(_flags(pc.equal(known["error"], "forbidden")))
    for i in np.flatnonzero(forbidden):
        raise_if_interrupted()
        # Neither size nor time shows a change of permissions.
        same[i] = not os.access(recordings[i].path, os.R_OK)
    changed = is_known & ~same
    retried = same & ~by_this_run & (repeat_all | (failed & retry_failed))
    unchanged = same & ~retried

    staying = [recordings[i] for i in np.flatnonzero(unchanged)]
    return Plan(
        new=[recordings[i] for i in np.flatnonzero(~is_known)],
        repeat=[recordings[i] for i in np.flatnonzero(changed | retried)],
        gone=_gone(listing, listed_ids, known, replace_all=replace_all),
        relabelled=_relabelled(staying, labelled, labels),
        moved=_moved(staying, known),
        changed=int(changed.sum()),
        retried=int(retried.sum()),
        unchanged=len(staying),
    )


def make_batches(recordings: list[SourceFile], threads: int) -> Iterator[list[SourceFile]]:
    """Divide ``recordings`` into batches: first the largest files, each alone.

    Parameters
    ----------
    recordings : list of SourceFile
        Files to extract.
    threads : int
        Threads of the cluster's workers.

    Yields
    ------
    list of SourceFile
        At most :data:`BATCH_FILES` files; if more than one, at most :data:`BATCH_AUDIO_S`.
    """
    threads = max(1, threads)  # a cluster may be waiting for new workers
    durations = [estimate_seconds(recording) for recording in recordings]
    limit = min(BATCH_AUDIO_S, sum(durations) / (threads * BATCHES_PER_THREAD) + 1e-9)
    max_files = min(BATCH_FILES, -(-len(recordings) // (threads * BATCHES_PER_THREAD)))
    large = [i for i, seconds in enumerate(durations) if seconds > limit]
    for i in sorted(large, key=lambda i: -durations[i]):
        yield [recordings[i]]
    batch: list[SourceFile] = []
    total = 0.0
    for recording, seconds in zip(recordings, durations, strict=True):
        if seconds > limit:
            continue
        if batch and (total + seconds > limit or len(batch) >= max_files):
            yield batch
            batch, total = [], 0.0
        batch.append(recording)
        total += seconds
    if batch:
        yield batch


def estimate_seconds(recording: SourceFile) -> float:
    """Estimate a recording's seconds of 22,050 Hz mono from its size and suffix."""
    suffix = "." + recording.track_id.rpartition(".")[2].lower()
    return (recording.size or 0) * _COMPRESSION.get(suffix, 1.0) / _BYTES_PER_S


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column, -1).to_numpy(), np.int64)


def _flags(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column, False).to_numpy(), np.bool_)


def _check_same_files(
    listing: Listing, known: pa.Table, listed: np.ndarray, row_of: np.ndarray
) -> None:
    """Raise UsageError if a listed file differs from the known one and both exist."""
    uris, sources = known["uri"].to_pylist(), known["source"].to_pylist()
    for i in listed:
        raise_if_interrupted()
        recording, uri = listing.recordings[i], uris[row_of[i]]
        if (
            recording.uri == uri
            or sources[row_of[i]] in listing.sources
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


def _relabelled(
    staying: list[SourceFile], labelled: pa.Table, labels: dict[str, str | None]
) -> dict[str, str | None]:
    columns = (labelled["track_id"].to_pylist(), labelled["label"].to_pylist())
    present = dict(zip(*columns, strict=True))
    tracks = [recording.track_id for recording in staying]
    return {t: labels[t] for t in tracks if t in present and present[t] != labels[t]}


def _moved(staying: list[SourceFile], known: pa.Table) -> pa.Table:
    now = {recording.track_id: recording for recording in staying}
    columns = (known[name].to_pylist() for name in ("track_id", "uri", "source"))
    moved = [
        i
        for i, (track_id, uri, source) in enumerate(zip(*columns, strict=True))
        if track_id in now and (now[track_id].uri, now[track_id].source) != (uri, source)
    ]
    rows = known.take(pa.array(moved, pa.int64()))
    for name in ("uri", "source"):
        values = [getattr(now[track_id], name) for track_id in rows["track_id"].to_pylist()]
        column = pa.array(values, pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), FILES.field(name), column)
    return rows
