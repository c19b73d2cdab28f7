"""One batch of files: what a worker does, and what it leaves in the store.

A worker writes the rows of a batch under ``_work/done``, in a file for each table, that of
``files`` last: when it is there, the batch is finished, whatever becomes of the worker or the job.
Only a small summary goes back to the job.

Dask starts a task again, elsewhere, when its worker dies. That would let one rotten file kill
worker after worker, so an attempt leaves a mark in ``_work/started``, which names the file under
way, and refuses to start twice: the job then sends that file again, alone, and the others.
"""

import os
import socket
import threading
import time
import traceback
from typing import TYPE_CHECKING

from featurizer.errors import RecordingError
from featurizer.process import prepare_process
from jobs.cluster.fitness import unfit_for_store
from jobs.extraction.attempts import (
    FILE_TIMEOUT_S,
    HANG_TIMEOUT_S,
    RUN_JSON,
    Batch,
    Summary,
    _at_work,
    _is_ours,
    _mark,
    fate,
)
from jobs.extraction.rows import Rows
from jobs.inputs.recordings import ObjectStoreLostError, _read_surely, opened
from jobs.inputs.sources import Listed, examine, visible
from jobs.store.address import storage_of

if TYPE_CHECKING:
    from featurizer.extract import Features


def work(batch: Batch) -> Summary:
    """Extract the features of a batch's files and leave them in the store.

    Parameters
    ----------
    batch : Batch
        What to do.

    Returns
    -------
    Summary
        A file that gives no features is counted there and is no error here.

    Raises
    ------
    OSError
        The store cannot be written.
    """
    storage = storage_of(batch.root)
    reason = unfit(batch)
    if reason:
        return Summary("unfit", reason)
    before = fate(storage, batch.attempt)
    mark = _at_work(0)
    if before is None and not storage.create(_mark(batch.attempt), mark):
        # It may be ours, and the answer was lost on its way.
        before = None if _is_ours(storage, batch.attempt, mark) else fate(storage, batch.attempt)
    if before is not None:
        return before
    prepare_process()
    rows = Rows()
    for i, (recording, label) in enumerate(zip(batch.files, batch.labels, strict=True)):
        if i:
            storage.write(_mark(batch.attempt), _at_work(i))
        _extract(recording, label, batch, rows)
    summary = rows.write(storage, batch)
    storage.remove(_mark(batch.attempt))
    return summary


def unfit(batch: Batch) -> str:
    """Say why this worker cannot work for the batch's job; nothing where it can."""
    reason = unfit_for_store(
        batch.root, RUN_JSON, batch.run_id, batch.songmill, batch.settings.feature_set
    )
    if reason:
        return reason
    for source in sorted({recording.source for recording in batch.files}):
        if not visible(source):
            return (
                f"the worker on {socket.gethostname()} does not see the source {source}: "
                "recordings must be on a file system that all workers share, under one path"
            )
    return ""


def _extract(recording: Listed, label: str | None, batch: Batch, rows: Rows) -> None:
    """Work on one file, and write down how it went."""
    from featurizer.deadline import Deadline
    from featurizer.extract import extract

    started = time.perf_counter()
    recording = examine(recording)
    hang = threading.Timer(HANG_TIMEOUT_S, os._exit, (1,))
    hang.daemon = True
    hang.start()

    def attempt() -> "Features":
        with opened(recording.path) as source:
            return extract(
                source,
                segment_seconds=batch.settings.segment_seconds,
                deadline=Deadline(FILE_TIMEOUT_S),
            )

    try:
        features = _read_surely(recording, attempt)
    except RecordingError as error:
        rows.add_file(recording, batch.run_id, error=error.kind, message=error.message)
    except ObjectStoreLostError:
        raise
    except Exception as error:
        # Whatever one file brings about, the other files of the batch are not to suffer for it.
        rows.add_file(recording, batch.run_id, error="internal", message=_describe(error))
    else:
        rows.add_features(recording, label, features)
        rows.add_file(recording, batch.run_id, message=features.note, features=features)
    finally:
        hang.cancel()
    rows.summary.compute_s += time.perf_counter() - started


def _describe(error: Exception) -> str:
    """Say what kind of fault it was and where, for a bug report."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"a fault of songmill, please report it: {type(error).__name__}: {error} ({place})"
