"""Attempts at batches: their files under ``_work``, their marks, and what became of them."""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from jobs.inputs.sources import Listed
from jobs.store.schemas import SEGMENTS, TRACKS
from jobs.store.storage import Storage, as_json
from jobs.store.tables import Settings

FILE_TIMEOUT_S = 900.0
"""So long may one file take."""

HANG_TIMEOUT_S = FILE_TIMEOUT_S + 60.0
"""After so long a file hangs where no deadline is looked at, and its worker ends itself."""

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
