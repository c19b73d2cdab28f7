"""Attempts at batches: their files under ``_work``, and how they ended."""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from jobs.inputs.sources import SourceFile
from jobs.store.schemas import SEGMENTS, TRACKS
from jobs.store.storage import Storage
from jobs.store.tables import Settings

FILE_TIMEOUT_S = 900.0
"""Seconds after which the extraction of a file fails with ``timeout``."""

HANG_TIMEOUT_S = FILE_TIMEOUT_S + 60.0
"""Seconds after which a worker ends its own process, if the extraction did not stop in time."""

RUN_JSON = "_work/run.json"

STARTED = "_work/started"

DONE = "_work/done"

EXTRACTED = {TRACKS: "track", SEGMENTS: "segment", "files": "files"}
"""Tables that extraction fills, each with the suffix of an attempt's file."""

_PROCESS = uuid.uuid4().hex
"""Unique name of this process. Host name and process id may be the same in several containers."""


@dataclass(frozen=True)
class Batch:
    """Files for one task, with everything that the worker needs to extract them.

    Parameters
    ----------
    attempt : str
        Unique name of this attempt at these files.
    run_id : str
        Name of the run.
    root : str
        Root of the store.
    songmill : str
        Version of songmill that the worker must have.
    settings : Settings
        Settings of the store.
    files : list of SourceFile
        Files to extract.
    labels : list of (str or None)
        Label of each file.
    deaths : int
        Workers that died while they extracted the only file of this batch.
    """

    attempt: str
    run_id: str
    root: str
    songmill: str
    settings: Settings
    files: list[SourceFile]
    labels: list[str | None]
    deaths: int = 0


@dataclass
class Summary:
    """Result of an attempt, as the worker returns it to the job.

    Parameters
    ----------
    outcome : {"done", "died", "unfit"}
        ``died``: the attempt was started before and its worker died.
        ``unfit``: this worker cannot work for this job; ``message`` says why.
    failures : dict of str to int
        Failed files by kind.
    process : str
        Unique name of the process that died.
    file : int
        Index of the file that it was extracting.
    hung : bool
        Whether the process ended itself after :data:`HANG_TIMEOUT_S`.
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
        """Number of failed files."""
        return sum(self.failures.values())


def result_file(attempt: str, table: str) -> str:
    """Return the name of the file with an attempt's rows of ``table``."""
    return f"{DONE}/{attempt}.{EXTRACTED[table]}.parquet"


def result_files(attempt: str) -> list[str]:
    """Return the names of all files of a finished attempt, in the order of writing."""
    return [result_file(attempt, table) for table in EXTRACTED]


def finished_attempts(storage: Storage) -> Iterator[str]:
    """Yield the finished attempts whose rows are not committed yet."""
    prefix, suffix = result_file("*", "files").split("*")
    for entry in storage.list(DONE):
        if entry.name.endswith(suffix):
            yield entry.name.removeprefix(prefix).removesuffix(suffix)


def read_finished(storage: Storage, attempt: str) -> tuple[Summary, Settings, pa.Table] | None:
    """Return the summary, the settings and the ``files`` rows of a finished attempt.

    None if it is not finished, if a file is incomplete after a power failure, or if another version
    of songmill wrote other fields.
    """
    try:
        files = storage.read_table(result_file(attempt, "files"))
        for name in result_files(attempt):
            storage.count_rows(name)
        metadata = json.loads(files.schema.metadata[b"songmill"])
        return Summary(**metadata["summary"]), Settings(**metadata["settings"]), files
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None


def attempt_summary(storage: Storage, attempt: str) -> Summary | None:
    """Return the summary of an attempt that is not running; None if it was never started."""
    mark = read_mark(storage, attempt)  # before the result: a finished attempt removes its mark
    finished = read_finished(storage, attempt)
    if finished is not None:
        return finished[0]
    if mark is None:
        return None
    hung = time.time() - mark["time"] >= HANG_TIMEOUT_S
    return Summary("died", process=mark["process"], file=mark["file"], hung=hung)


def mark_file(attempt: str) -> str:
    """Return the name of the file that marks an attempt as started."""
    return f"{STARTED}/{attempt}"


def make_mark(file: int) -> dict[str, Any]:
    """Return the content of a mark: this process, and the index of the file that it extracts."""
    mark = {"process": _PROCESS, "file": file, "time": time.time()}
    return {**mark, "host": socket.gethostname(), "pid": os.getpid()}


def read_mark(storage: Storage, attempt: str) -> dict[str, Any] | None:
    """Return the mark of a started attempt; None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return dict(storage.read_json(mark_file(attempt)))
    return None
