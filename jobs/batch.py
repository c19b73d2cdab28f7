"""One batch of files: what a worker does, and what it leaves in the store.

A worker writes the rows of a batch under ``_work/done``, in a file for each table, that of
``files`` last: when it is there, the batch is finished, whatever becomes of the worker or the job.
Only a small summary goes back to the job.

Dask starts a task again, elsewhere, when its worker dies. That would let one rotten file kill
worker after worker, so an attempt leaves a mark in ``_work/started``, which names the file under
way, and refuses to start twice: the job then sends that file again, alone, and the others.
"""

import contextlib
import ctypes
import functools
import json
import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET, SAMPLE_RATE
from featurizer.errors import FailureKind, RecordingError
from jobs.s3 import is_lost, reach, state_of
from jobs.schemas import FILES, SEGMENT, SEGMENTS, TABLES, TRACK, TRACKS
from jobs.sources import Listed, examine, visible
from jobs.storage import Storage, as_json, storage_of
from jobs.store import Settings

if TYPE_CHECKING:
    from featurizer.extract import Features

FILE_TIMEOUT_S = 900.0
"""So long may one file take."""

HANG_TIMEOUT_S = FILE_TIMEOUT_S + 60.0
"""After so long a file hangs where no deadline is looked at, and its worker ends itself."""

# Of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_KEPT_BYTES = 32 * 2**20
"""So much freed memory may a process keep for its next file; the most that glibc allows."""

RUN_JSON = "_work/run.json"
STARTED = "_work/started"
DONE = "_work/done"

_PROCESS = uuid.uuid4().hex
"""Names this process: in containers many have one host name and one number."""

_SUFFIX = {TRACKS: "track", SEGMENTS: "segment", "files": "files"}


@dataclass(frozen=True)
class Batch:
    """What a worker needs to know.

    Parameters
    ----------
    attempt : str
        Names this attempt at these files; no other has the name.
    run_id : str
        The run that it belongs to.
    root : str
        The store's folder.
    songmill : str
        The version of songmill that the worker must have.
    settings : Settings
        What the rows are to have in common.
    files : list of Listed
        What to work on.
    labels : list of (str or None)
        The label of each file.
    deaths : int
        Workers that have died while they worked on the one file of this batch.
    """

    attempt: str
    run_id: str
    root: str
    songmill: str
    settings: Settings
    files: list[Listed]
    labels: list[str | None]
    deaths: int = 0


@dataclass
class Summary:
    """What the job hears of an attempt.

    Parameters
    ----------
    outcome : {"done", "died", "unfit"}
        ``died``: the attempt was started before and not finished, so its worker is gone.
        ``unfit``: this worker cannot work for this job; ``message`` says why.
    failures : dict of str to int
        Files that failed, by kind.
    process : str
        The process that the attempt which died was started in; no other has the name.
    file : int
        Which file of the batch it was working on.
    hung : bool
        Whether that file had taken so long that the process ended itself.
    """

    outcome: Literal["done", "died", "unfit"]
    message: str = ""
    extracted: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    segments: int = 0
    audio_s: float = 0.0
    compute_s: float = 0.0
    process: str = ""
    file: int = 0
    hung: bool = False

    @property
    def failed(self) -> int:
        """Number of files that failed."""
        return sum(self.failures.values())


class Rows:
    """The rows of a batch, as they come to be."""

    def __init__(self) -> None:
        self._rows: dict[str, list[pa.RecordBatch]] = {name: [] for name in _SUFFIX}
        self._files: list[dict[str, Any]] = []
        self.summary = Summary("done")

    def add_features(self, recording: Listed, label: str | None, features: "Features") -> None:
        """Add the track row and the segment rows of a recording."""
        count = len(features.segments)
        self._rows[TRACKS].append(
            _record(
                TRACK,
                {
                    "track_id": [recording.track_id],
                    "label": [label],
                    "length": [features.length],
                    **_by_column(features.track[np.newaxis]),
                },
            )
        )
        step = features.segment_step
        self._rows[SEGMENTS].append(
            _record(
                SEGMENT,
                {
                    "track_id": [recording.track_id] * count,
                    "label": [label] * count,
                    "segment": list(range(count)),
                    "start_s": [i * step / SAMPLE_RATE for i in range(count)],
                    "length": [features.segment_length] * count,
                    **_by_column(features.segments),
                },
            )
        )
        self.summary.extracted += 1
        self.summary.segments += count
        self.summary.audio_s += features.duration_s

    def add_file(
        self,
        recording: Listed,
        run_id: str,
        *,
        error: FailureKind | None = None,
        message: str | None = None,
        features: "Features | None" = None,
    ) -> None:
        """Add the ``files`` row of a recording: failed where there is an ``error``."""
        if error is not None:
            self.summary.failures[error] = self.summary.failures.get(error, 0) + 1
        self._files.append(
            {
                "track_id": recording.track_id,
                "uri": recording.uri,
                "source": recording.source,
                "bytes": recording.size,
                "modified": recording.modified,
                "status": "ok" if error is None else "failed",
                "error": error,
                "message": message,
                "duration_s": features and features.duration_s,
                "sample_rate": features and features.sample_rate,
                "channels": features and features.channels,
                "extracted_at": datetime.now(UTC),
                "run_id": run_id,
            }
        )

    def write(self, storage: Storage, batch: Batch) -> Summary:
        """Write what a finished batch leaves; from then on it counts as finished."""
        attempt = batch.attempt
        for table, records in self._rows.items():
            if table != "files":
                storage.write_table(
                    piece(attempt, table), pa.Table.from_batches(records, TABLES[table])
                )
        files = pa.Table.from_pylist(self._files, schema=FILES)
        stated = {"summary": asdict(self.summary), "settings": asdict(batch.settings)}
        files = files.replace_schema_metadata({"songmill": json.dumps(stated)})
        storage.write_table(piece(attempt, "files"), files)
        return self.summary


def piece(attempt: str, table: str) -> str:
    """Return the name of the file in which an attempt leaves its rows of ``table``."""
    return f"{DONE}/{attempt}.{_SUFFIX[table]}.parquet"


def pieces(attempt: str) -> list[str]:
    """Return the names of all files that an attempt leaves, the mark of its end last."""
    return [piece(attempt, table) for table in _SUFFIX]


def finished_attempts(storage: Storage) -> Iterator[str]:
    """Yield the attempts that are finished and whose rows are not in the tables yet."""
    end = piece("", "files")[len(DONE) + 1 :]
    for entry in storage.list(DONE):
        name = entry.name[len(DONE) + 1 :]
        if name.endswith(end):
            yield name.removesuffix(end)


def read_finished(storage: Storage, attempt: str) -> tuple[Summary, Settings, pa.Table] | None:
    """Return what a finished attempt left: its summary, its settings and its ``files`` rows.

    None where it is not finished, or where a machine that lost its power left half a file.
    """
    try:
        files = storage.read_table(piece(attempt, "files"))
        for table in _SUFFIX:
            storage.count_rows(piece(attempt, table))
        stated = json.loads(files.schema.metadata[b"songmill"])
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return None
    return Summary(**stated["summary"]), Settings(**stated["settings"]), files


@functools.cache
def songmill_version() -> str:
    """Return the version of this songmill."""
    return metadata.version("songmill")


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


@functools.cache
def prepare_process() -> None:
    """Set what a process that works has for itself alone."""
    from threadpoolctl import threadpool_limits

    import featurizer.extract  # noqa: F401  # loads the libraries that are limited

    # With more threads, the sums of matrix products come in another order, and differ.
    threadpool_limits(limits=1)
    # Dask has the memory allocator give everything back at once: a page fault for every 4 kB of
    # every block of every file. Where there is no glibc there is nothing to set.
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def fate(storage: Storage, attempt: str) -> Summary | None:
    """Say what became of an attempt that is under way no more; None where it was never started."""
    mark = None
    # The mark first: it goes when the attempt is finished.
    with contextlib.suppress(FileNotFoundError):
        mark = json.loads(storage.read(_mark(attempt)))
    finished = read_finished(storage, attempt)
    if finished is not None:
        return finished[0]
    if mark is None:
        return None
    return Summary(
        "died",
        process=mark["process"],
        file=mark["file"],
        hung=time.time() - mark["time"] >= HANG_TIMEOUT_S,
    )


def process_of(storage: Storage, attempt: str) -> str | None:
    """Return the process that works on an attempt, or died of it; None where none does."""
    with contextlib.suppress(FileNotFoundError):
        return str(json.loads(storage.read(_mark(attempt)))["process"])
    return None


def _mark(attempt: str) -> str:
    return f"{STARTED}/{attempt}"


def _is_ours(storage: Storage, attempt: str, mark: bytes) -> bool:
    try:
        return storage.read(_mark(attempt)) == mark
    except FileNotFoundError:
        return False


def _at_work(file: int) -> bytes:
    """Return what the mark says of this process."""
    mark = {"process": _PROCESS, "file": file, "time": time.time()}
    return as_json({**mark, "host": socket.gethostname(), "pid": os.getpid()})


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


def unfit_for_store(root: str, mark: str, run_id: str, songmill: str, feature_set: str) -> str:
    """Say why this worker cannot work on a store for a job; nothing where it can.

    Parameters
    ----------
    root : str
        The store's folder.
    mark : str
        A file of the store that holds the ``run_id``, which the job has just written.
    run_id : str
        The job's.
    songmill, feature_set : str
        The job's versions.
    """
    storage = storage_of(root)
    here = f"the worker on {socket.gethostname()}"
    if (songmill_version(), FEATURE_SET) != (songmill, feature_set):
        return (
            f"{here} has songmill {songmill_version()} (features {FEATURE_SET}), and the job has "
            f"{songmill} ({feature_set}): install the same on both"
        )
    try:
        found = json.loads(storage.read(mark))["run_id"]
    except FileNotFoundError:
        found = None
    if found != run_id:
        return (
            f"{here} does not see the store {storage.root} as the job does: the store must be on "
            "a file system that the job and all workers share, under one path"
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


@contextlib.contextmanager
def opened(path: str) -> Iterator[str | BinaryIO]:
    """Give what the decoder takes: the path of a local file, or what fsspec opens."""
    if "://" not in path:
        yield path
        return
    try:
        system, name = reach(path)
        file = system.open(name, "rb")
    except FileNotFoundError:
        raise RecordingError("vanished", "it was listed and is not there any more") from None
    except PermissionError as error:
        raise RecordingError("forbidden", "these credentials may not read it") from error
    with file:
        yield file


class ObjectStoreLostError(OSError):
    """An object store gives out nothing: of its files nothing is known, and none has failed."""


def _read_surely(recording: Listed, attempt: Callable[[], "Features"]) -> "Features":
    """Read a recording; where its object store is to blame, say that and not that it has failed.

    Raises
    ------
    RecordingError
        The recording cannot be read, while its object store answers.
    ObjectStoreLostError
        The object store answers nobody, or takes the credentials no more.
    """
    path = recording.path
    for again in (True, False):
        try:
            return attempt()
        except Exception as error:
            lost = error.__cause__ if isinstance(error, RecordingError) else error
            if not path.startswith("s3://") or not is_lost(lost):
                raise
            state = state_of(path)
            # What a listing was made of can be listed, or the credentials have run out.
            if state == "silent":
                raise ObjectStoreLostError(
                    f"the object store with {path} is silent: {lost}"
                ) from None
            if state == "denies" and recording.source.startswith("s3://"):
                raise ObjectStoreLostError(
                    f"the object store with {path} takes these credentials no more: {lost}"
                ) from None
            if isinstance(lost, PermissionError):
                raise RecordingError("forbidden", "these credentials may not read it") from None
            if not again:
                raise RecordingError(
                    "unreadable",
                    f"the object store answers, and does not give it out ({lost}): a new copy "
                    "would do",
                ) from None
            # It may have been away until a moment ago.
    raise AssertionError("unreachable")


def _describe(error: Exception) -> str:
    """Say what kind of fault it was and where, for a bug report."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"a fault of songmill, please report it: {type(error).__name__}: {error} ({place})"


def _by_column(values: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[:, i] for i, name in enumerate(FEATURE_COLUMNS)}


def _record(schema: pa.Schema, columns: dict[str, Any]) -> pa.RecordBatch:
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
