"""Attempts at batches: their files under ``_work``, and how they ended."""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pyarrow as pa

from jobs.errors import DamageError
from jobs.inputs.sources import SourceFile
from jobs.store.schemas import FILES, TAG, TAGS, feature_tables
from jobs.store.storage import Storage
from jobs.store.tables import Settings

FILE_TIMEOUT_S = 900.0
"""Seconds after which the extraction of a file fails with ``timeout``."""

HANG_TIMEOUT_S = FILE_TIMEOUT_S + 60.0
"""Seconds after which a worker ends its own process, if the extraction did not stop in time."""

RUN_JSON = "_work/run.json"

STARTED = "_work/started"

DONE = "_work/done"

_PROCESS = uuid.uuid4().hex
"""Unique name of this process. Host name and process id may be the same in several containers."""


@dataclass(frozen=True)
class Batch:
    """Files for one task, with everything that the worker needs to extract them."""

    attempt: str  # unique name of this attempt at these files
    run_id: str
    root: str  # root of the store
    songmill: str  # version that the worker must have
    settings: Settings
    sets: tuple[str, ...]  # feature sets to compute: all of the settings, or those that are missing
    files: list[SourceFile]
    labels: list[str | None]  # label of each file
    deaths: int = 0  # workers that died while they extracted the only file of this batch
    by_level: bool = False  # whether two workers extract its only file, one level each


@dataclass
class Summary:
    """Result of an attempt, as the worker returns it to the job.

    ``died``: the attempt was started before and its worker died. ``unfit``: this worker cannot work
    for this job.
    """

    outcome: Literal["done", "died", "unfit"]
    message: str = ""  # why the worker is unfit
    worker: str = ""  # Dask's address of the unfit worker
    extracted: int = 0
    failures: dict[str, int] = field(default_factory=dict)  # failed files by kind
    failed_files: list[list[str]] = field(default_factory=list)  # track, kind and message of each
    segments: int = 0
    audio_s: float = 0.0
    compute_s: float = 0.0
    process: str = ""  # unique name of the process that died
    file: int = 0  # index of the file that the process was extracting
    hung: bool = False  # whether the process ended itself after HANG_TIMEOUT_S


@dataclass(frozen=True)
class Finished:
    """A finished attempt.

    Parameters
    ----------
    summary : Summary
        What the worker returned.
    settings : Settings
        Settings of its rows.
    sets : tuple of str
        Feature sets that it computed.
    files : pa.Table
        Its rows of ``files``.
    """

    summary: Summary
    settings: Settings
    sets: tuple[str, ...]
    files: pa.Table


def extracted_tables(sets: Iterable[str]) -> dict[str, pa.Schema]:
    """Return the schemas of the tables that an extraction of feature sets fills, by folder.

    Examples
    --------
    >>> list(extracted_tables(["gtzan", "rich"]))
    ['features/level=track', 'features/level=segment', 'features-rich/level=track', 'tags', 'files']
    """
    return {**feature_tables(sets), TAGS: TAG, "files": FILES}


def result_file(attempt: str, table: str) -> str:
    """Return the name of the file with an attempt's rows of ``table``.

    Examples
    --------
    >>> result_file("a1", "features-rich/level=track")
    '_work/done/a1.features-rich.track.parquet'
    """
    return f"{DONE}/{attempt}.{table.replace('/level=', '.')}.parquet"


def result_files(attempt: str, sets: Iterable[str]) -> list[str]:
    """Return the names of all files of a finished attempt at ``sets``, in the order of writing."""
    return [result_file(attempt, table) for table in extracted_tables(sets)]


def finished_attempts(storage: Storage) -> Iterator[str]:
    """Yield the finished attempts whose rows are not committed yet."""
    prefix, suffix = result_file("*", "files").split("*")
    for entry in storage.list(DONE):
        if entry.name.endswith(suffix):
            yield entry.name.removeprefix(prefix).removesuffix(suffix)


def finished_metadata(summary: Summary, batch: Batch) -> dict[str, str]:
    """Return the metadata of an attempt's file with the rows of ``files``."""
    described = {
        "summary": asdict(summary),
        "settings": asdict(batch.settings),
        "sets": batch.sets,
    }
    return {"songmill": json.dumps(described)}


def read_finished(storage: Storage, attempt: str) -> Finished | None:
    """Return a finished attempt.

    None if it is not finished, if a file is incomplete after a power failure, or if another version
    of songmill wrote other fields.
    """
    try:
        files = storage.read_table(result_file(attempt, "files"))
        metadata = json.loads(files.schema.metadata[b"songmill"])
        settings, sets = Settings(**metadata["settings"]), tuple(metadata["sets"])
        for table in (*feature_tables(sets), TAGS):
            storage.read_table(result_file(attempt, table))
        return Finished(Summary(**metadata["summary"]), settings, sets, files)
    except (OSError, DamageError, ValueError, KeyError, TypeError):
        return None


def attempt_summary(storage: Storage, attempt: str) -> Summary | None:
    """Return the summary of an attempt that is not running; None if it was never started."""
    mark = read_mark(storage, attempt)  # before the result: a finished attempt removes its mark
    finished = read_finished(storage, attempt)
    if finished is not None:
        return finished.summary
    if mark is None:
        return None
    hung = time.time() - mark["time"] >= HANG_TIMEOUT_S
    return Summary("died", process=mark["process"], file=mark["file"], hung=hung)


def mark_file(attempt: str) -> str:
    """Return the name of the file that marks an attempt as started."""
    return f"{STARTED}/{attempt}"


def make_mark(file: int) -> dict[str, Any]:
    """Return the content of a mark: this process, and the index of the file that it extracts."""
    process = f"{_PROCESS}-{os.getpid()}"  # a forked process has its parent's _PROCESS
    mark = {"process": process, "file": file, "time": int(time.time())}
    return {**mark, "host": socket.gethostname(), "pid": os.getpid()}


def read_mark(storage: Storage, attempt: str) -> dict[str, Any] | None:
    """Return the mark of a started attempt; None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return dict(storage.read_json(mark_file(attempt)))
    return None
