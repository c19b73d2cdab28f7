"""What there is to do: new, changed, gone, and the rest that stays; and in which batches.

A file is the same as long as its size and time of modification are. Whether its contents are, is
not looked at: that would mean to read every file again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError
from jobs.inputs.sources import Listed, Listing
from jobs.interruption import raise_if_interrupted
from jobs.store.schemas import FILES

BATCH_AUDIO_S = 600.0
"""Seconds of audio in a batch: some seconds of work, which is what a dying worker costs."""

BATCH_FILES = 256

BATCHES_PER_THREAD = 4
"""A small collection is cut so fine that no worker stands idle."""

_BYTES_PER_S = 44_100.0
"""Of 16-bit mono at 22,050 Hz. What is compressed holds more; the sum only sizes batches."""

_COMPRESSION = {".flac": 2.0, ".mp3": 5.0, ".ogg": 5.0, ".opus": 8.0, ".aac": 5.0, ".m4a": 5.0}


@dataclass
class Plan:
    """What one run is to do.

    Parameters
    ----------
    new : list of Listed
        Files that the store does not know.
    again : list of Listed
        Files that it knows and that are to be worked on again.
    gone : list of str
        Tracks to take out of every table.
    relabelled : dict of str to (str or None)
        Tracks whose rows stay and whose label changes.
    readdressed : pa.Table
        Rows of the ``files`` table whose ``uri`` or ``source`` changes and nothing else.
    changed, retried, unchanged : int
        How ``again`` is made up, and how many files need no work.
    """

    new: list[Listed] = field(default_factory=list)
    again: list[Listed] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    relabelled: dict[str, str | None] = field(default_factory=dict)
    readdressed: pa.Table = field(default_factory=FILES.empty_table)
    changed: int = 0
    retried: int = 0
    unchanged: int = 0


def is_import(row: dict[str, Any]) -> bool:
    """Tell whether a row of ``files`` stands for a line of an imported table, not a recording."""
    return str(row["uri"]).startswith(f"{row['source']}#")


def _refuse_imports(known: pa.Table) -> None:
    rows = known.filter(pc.is_null(known["bytes"])).select(["track_id", "uri", "source"])
    for row in rows.to_pylist():
        if is_import(row):
            raise UsageError(
                f"the store holds imported features, such as those of {row['track_id']!r} from "
                f"{row['source']}, and recordings cannot stand among them: name another store"
            )


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
    """Compare what is listed with what the store knows.

    Parameters
    ----------
    listing : Listing
        What the sources list.
    known : pa.Table
        The store's ``files``.
    labelled : pa.Table
        ``track_id`` and ``label`` of the store's tracks.
    labels : dict of str to (str or None)
        The label that every listed track shall have.
    run_id : str
        This run. What it has done already, before it was killed, it does not do again.
    force, retry_failed : bool
        Work on every file again, or on the failed ones.
    replace_all : bool
        Every row of the store goes, also of tracks that these sources do not cover.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        Another file than the known one would get its track_id, or what is known was imported.
    """
    known = known.combine_chunks()
    _refuse_imports(known)
    recordings = listing.recordings
    listed_ids = pa.array([recording.track_id for recording in recordings], pa.string())
    position = pc.index_in(listed_ids, value_set=known["track_id"])
    is_known = position.is_valid().to_numpy(zero_copy_only=False)
    at = position.fill_null(0).to_numpy()

    def of_known(values: np.ndarray) -> np.ndarray:
        """Bring a column of the known files into the order of the listed ones."""
        return values[at] if len(values) else np.zeros(len(at), values.dtype)

    sizes = np.array([-1 if r.size is None else r.size for r in recordings], np.int64)
    times = np.array([-1 if r.modified is None else r.modified for r in recordings], np.int64)
    same = (
        is_known
        & (sizes == of_known(_numbers(known["bytes"])))
        & (times == of_known(_numbers(known["modified"].cast(pa.int64()))))
    )
    failed = of_known(_flags(pc.equal(known["status"], "failed")))
    by_this_run = of_known(_flags(pc.equal(known["run_id"], run_id)))

    _refuse_strangers(listing, known, np.flatnonzero(is_known), at, force=force or replace_all)
    forbidden = same & of_known(_flags(pc.equal(known["error"], "forbidden")))
    for i in np.flatnonzero(forbidden):
        raise_if_interrupted()
        # Leave to read is a change of a file that neither its size nor its time shows.
        same[i] = not os.access(recordings[i].path, os.R_OK)
    changed = is_known & ~same
    asked_for = force or replace_all
    retried = same & ~by_this_run & (asked_for | (failed & retry_failed))
    unchanged = same & ~retried

    plan = Plan(
        new=[recordings[i] for i in np.flatnonzero(~is_known)],
        again=[recordings[i] for i in np.flatnonzero(changed | retried)],
        gone=_gone(listing, listed_ids, known, replace_all=replace_all),
        changed=int(changed.sum()),
        retried=int(retried.sum()),
        unchanged=int(unchanged.sum()),
    )
    staying = [recordings[i] for i in np.flatnonzero(unchanged)]
    plan.relabelled = _relabelled(staying, labelled, labels)
    plan.readdressed = _readdressed(staying, known)
    return plan


def batches(recordings: list[Listed], threads: int) -> Iterator[list[Listed]]:
    """Cut ``recordings`` into batches, the largest files first, each alone.

    Parameters
    ----------
    recordings : list of Listed
        What is to be worked on.
    threads : int
        Threads of the cluster's workers.

    Yields
    ------
    list of Listed
        At most :data:`BATCH_FILES` files and, but for a single one, :data:`BATCH_AUDIO_S`.
    """
    threads = max(1, threads)  # a cluster may have lost all its workers and get new ones
    durations = [estimated_seconds(recording) for recording in recordings]
    limit = min(BATCH_AUDIO_S, sum(durations) / (threads * BATCHES_PER_THREAD) + 1e-9)
    most = min(BATCH_FILES, -(-len(recordings) // (threads * BATCHES_PER_THREAD)))
    large = [i for i, seconds in enumerate(durations) if seconds > limit]
    for i in sorted(large, key=lambda i: -durations[i]):
        yield [recordings[i]]
    batch: list[Listed] = []
    total = 0.0
    for recording, seconds in zip(recordings, durations, strict=True):
        if seconds > limit:
            continue
        if batch and (total + seconds > limit or len(batch) >= most):
            yield batch
            batch, total = [], 0.0
        batch.append(recording)
        total += seconds
    if batch:
        yield batch


def estimated_seconds(recording: Listed) -> float:
    """Guess from its size and name how long a recording plays, in seconds of 22,050 Hz mono."""
    suffix = "." + recording.track_id.rpartition(".")[2].lower()
    return (recording.size or 0) * _COMPRESSION.get(suffix, 1.0) / _BYTES_PER_S


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column, -1).to_numpy(), np.int64)


def _flags(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column, False).to_numpy(), np.bool_)


def _refuse_strangers(
    listing: Listing, known: pa.Table, listed: np.ndarray, at: np.ndarray, *, force: bool
) -> None:
    """Refuse another file under the track_id of a known one that is still there.

    A file that has moved is no other file; ``force`` lets one take another's place.
    """
    if force:
        return
    uris, sources = known["uri"].to_pylist(), known["source"].to_pylist()
    for i in listed:
        raise_if_interrupted()
        recording, uri = listing.recordings[i], uris[at[i]]
        if recording.uri == uri or sources[at[i]] in listing.sources or not os.path.exists(uri):
            continue
        if not (os.path.exists(recording.path) and os.path.samefile(recording.path, uri)):
            raise UsageError(
                f"the store knows track {recording.track_id!r} as {uri}, which is still there, and "
                f"{recording.uri} would take its place: give a folder above both as the source, "
                "or another store, or add --force to let it"
            )


def _gone(
    listing: Listing, listed_ids: pa.Array, known: pa.Table, *, replace_all: bool
) -> list[str]:
    """Return the known tracks that the sources of this run listed once and list no more."""
    absent = pc.invert(pc.is_in(known["track_id"], value_set=listed_ids))
    if not replace_all:
        ours = pc.is_in(known["source"], value_set=pa.array(listing.sources, pa.string()))
        absent = pc.and_(absent, ours)
    rows = known.select(["track_id", "uri"]).filter(absent).to_pylist()
    unlisted = tuple(f"{folder}/" for folder in listing.unlisted)
    return [row["track_id"] for row in rows if not row["uri"].startswith(unlisted)]


def _relabelled(
    staying: list[Listed], labelled: pa.Table, labels: dict[str, str | None]
) -> dict[str, str | None]:
    columns = (labelled["track_id"].to_pylist(), labelled["label"].to_pylist())
    present = dict(zip(*columns, strict=True))
    return {
        recording.track_id: labels[recording.track_id]
        for recording in staying
        if recording.track_id in present
        and present[recording.track_id] != labels[recording.track_id]
    }


def _readdressed(staying: list[Listed], known: pa.Table) -> pa.Table:
    now = {recording.track_id: recording for recording in staying}
    columns = ("track_id", "uri", "source")
    moved: list[int] = []
    for i, (track_id, uri, source) in enumerate(
        zip(*(known[name].to_pylist() for name in columns), strict=True)
    ):
        recording = now.get(track_id)
        if recording is not None and (recording.uri, recording.source) != (uri, source):
            moved.append(i)
    rows = known.take(pa.array(moved, pa.int64()))
    for name in ("uri", "source"):
        values = [getattr(now[track_id], name) for track_id in rows["track_id"].to_pylist()]
        column = pa.array(values, pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), FILES.field(name), column)
    return rows
