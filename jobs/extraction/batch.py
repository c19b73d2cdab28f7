"""Extraction of one batch of files in a worker.

The worker writes the rows of a batch to ``_work/done``, one file per table, ``files`` last. Once
that file exists, the batch is finished, whatever happens to the worker or the job. Only a small
summary is returned to the job.

When a worker dies, Dask restarts its tasks on another worker. To keep one corrupt file from
killing all workers, an attempt writes a mark to ``_work/started`` with the index of the current
file, and never starts twice: the job retries that file alone, and the others without it.

Of a long recording, one worker extracts the track and another one the segments, each under a mark
of its own. The levels are joined by a third task, which also starts over if one of them is missing.
"""

import os
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from featurizer.errors import RecordingError
from featurizer.feature_set import LEVELS, Level
from featurizer.process import prepare_process
from jobs.cluster.fitness import unfit_for_store, worker_address
from jobs.extraction.attempts import (
    FILE_TIMEOUT_S,
    HANG_TIMEOUT_S,
    RUN_JSON,
    Batch,
    Summary,
    attempt_summary,
    make_mark,
    mark_file,
    read_mark,
)
from jobs.extraction.remarks import too_short
from jobs.extraction.rows import Rows
from jobs.inputs.recordings import ObjectStoreLostError, open_recording, read_with_retry
from jobs.inputs.sources import SourceFile, is_visible, refresh
from jobs.store.address import storage_of
from jobs.store.storage import as_json

if TYPE_CHECKING:
    from featurizer.extract import Features
    from featurizer.tags import Tags


@dataclass(frozen=True)
class ExtractedLevel:
    """Features of one level of a recording.

    Parameters
    ----------
    recording : SourceFile
        The recording, with its size and time at the extraction.
    features : Features
    compute_s : float
        Seconds of work.
    """

    recording: SourceFile
    features: "Features"
    compute_s: float


def extract_level(batch: Batch, level: Level) -> ExtractedLevel | None:
    """Extract one level of a batch's only file.

    None if that failed, or if a worker died of it: :func:`extract_batch` then finds the reason.
    """
    storage = storage_of(batch.root)
    mark = mark_file(level_attempt(batch, level))
    if unfit_reason(batch) or not storage.create(mark, as_json(make_mark(0))):
        return None
    prepare_process()
    started = time.perf_counter()
    recording = refresh(batch.files[0])

    def read() -> "Features":
        with open_recording(recording.path) as source:
            return _features(source, batch, (level,))

    features = None
    with _HangTimer(), suppress(Exception):
        features = read_with_retry(recording, read)
    storage.remove(mark)
    if features is None:
        return None
    return ExtractedLevel(recording, features, time.perf_counter() - started)


def level_attempt(batch: Batch, level: Level) -> str:
    """Return the name of the attempt at one level of a batch."""
    return f"{batch.attempt}-{level}"


def extract_batch(batch: Batch, levels: Sequence[ExtractedLevel | None] = ()) -> Summary:
    """Extract the features of a batch's files and write them to the store.

    ``levels`` are the results of :func:`extract_level` for a batch that is extracted by level.

    Raises
    ------
    OSError
        The store cannot be written.
    """
    storage = storage_of(batch.root)
    reason = unfit_reason(batch)
    if reason:  # A worker passes this check before its first batch, but may lose a mount later.
        return Summary("unfit", reason, worker_address())
    attempts = [level_attempt(batch, level) for level in (LEVELS if batch.by_level else ())]
    summaries = (attempt_summary(storage, attempt) for attempt in (batch.attempt, *attempts))
    earlier = next(filter(None, summaries), None)
    mark = make_mark(0)
    if earlier is None and not storage.create(mark_file(batch.attempt), as_json(mark)):
        # The mark may be ours, if the answer to its creation was lost.
        ours = read_mark(storage, batch.attempt) == mark
        earlier = None if ours else attempt_summary(storage, batch.attempt)
    if earlier is not None:
        return earlier
    prepare_process()
    rows = Rows(batch)
    with _HangTimer() as hang_timer:
        for i, (recording, label) in enumerate(zip(batch.files, batch.labels, strict=True)):
            if i:
                storage.overwrite(mark_file(batch.attempt), as_json(make_mark(i)))
            hang_timer.restart()
            _extract_file(recording, label, batch, rows, levels)
    summary = rows.write(storage)
    storage.remove(mark_file(batch.attempt))
    return summary


class _HangTimer:
    """End this process :data:`HANG_TIMEOUT_S` after the last restart, unless the body has ended.

    One thread serves a whole batch: starting one for every file is slow.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="hang timer")

    def __enter__(self) -> "_HangTimer":
        self.restart()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def restart(self) -> None:
        """Start to count again."""
        self._deadline = time.monotonic() + HANG_TIMEOUT_S

    def _watch(self) -> None:
        while (seconds := self._deadline - time.monotonic()) > 0:
            if self._ended.wait(seconds):
                return
        os._exit(1)


def unfit_reason(batch: Batch) -> str:
    """Return why this worker cannot work for the batch's job; an empty string if it can."""
    versions = batch.settings.feature_sets
    reason = unfit_for_store(batch.root, RUN_JSON, batch.run_id, batch.songmill, versions)
    if reason:
        return reason
    for source in sorted({recording.source for recording in batch.files}):
        if not is_visible(source):
            return (
                f"it does not see the source {source}: recordings must be on a file system that "
                "the job and all workers share, under one path"
            )
    return ""


def _extract_file(
    recording: SourceFile,
    label: str | None,
    batch: Batch,
    rows: Rows,
    levels: Sequence[ExtractedLevel | None],
) -> None:
    """Extract one file and add its rows, or its failure, to ``rows``.

    ``levels`` are those of the file that are extracted already.
    """
    from featurizer.tags import read_tags

    started = time.perf_counter()
    recording = refresh(recording)

    def read() -> tuple["Features", "Tags"]:
        with open_recording(recording.path) as source:
            features = _join(recording, levels) or _features(source, batch, LEVELS)
            return features, read_tags(source)

    try:
        features, tags = read_with_retry(recording, read)
    except RecordingError as error:
        rows.add_file(recording, error=error.kind, message=error.message)
    except ObjectStoreLostError:
        raise
    except Exception as error:
        # A bug that one file triggers must not fail the other files of the batch.
        rows.add_file(recording, error="internal", message=_describe(error))
    else:
        remarks = [too_short(name) for name, found in features.rows.items() if found.too_short]
        message = " ".join(filter(None, [features.note, *remarks])) or None
        if len(remarks) < len(features.rows):
            rows.add_features(recording, label, features, tags)
            rows.add_file(recording, message=message, features=features)
        else:
            rows.add_file(recording, error="too-short", message=message, features=features)
    rows.summary.compute_s += time.perf_counter() - started
    rows.summary.compute_s += sum(level.compute_s for level in levels if level)


def _features(source: str | BinaryIO, batch: Batch, levels: Sequence[Level]) -> "Features":
    from featurizer.deadline import Deadline
    from featurizer.extract import extract

    return extract(
        source,
        sets=batch.sets,
        segment_seconds=batch.settings.segment_seconds,
        levels=levels,
        deadline=Deadline(FILE_TIMEOUT_S),
    )


def _join(recording: SourceFile, levels: Sequence[ExtractedLevel | None]) -> "Features | None":
    """Join the levels of a recording; None unless both are there and are those of this file."""
    if not levels or any(level is None or level.recording != recording for level in levels):
        return None
    track, segments = (level.features for level in levels if level)
    rows = {
        name: replace(found, segments=segments.rows[name].segments)
        for name, found in track.rows.items()
    }
    return replace(track, rows=rows)


def _describe(error: Exception) -> str:
    """Return the type, text and location of an error, for a bug report."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    location = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"a bug in songmill, please report it: {type(error).__name__}: {error} ({location})"
