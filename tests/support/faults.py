"""Faults on demand, in workers and in the job.

The control panel is a folder, so that a test can change the faults of running processes:

``extracted.log``    gets a line ``attempt path`` at the start of every extraction
``slow``             contains the delay of every extraction, in seconds
``gate/NAME``        blocks extractions of the file NAME, except in the process whose id it contains
``waiting/NAME ID``  is created by the process ID when the gate NAME blocks it
``die/KEY``          kills the next process before the storage operation KEY, for example
                     ``create _work|started`` or ``write_table .segment``

SONGMILL_TEST_LACKS says what a worker lacks: ``store``, ``source`` or ``version``, the last for a
worker with another version of songmill.

Workers load this module as a preload (``distributed.worker.preload``), jobs by ``drive_job.py``.
"""

import contextlib
import errno
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

PANEL = "SONGMILL_TEST_FAULTS"
"""Environment variable with the path of the control panel."""

LACKS = "SONGMILL_TEST_LACKS"

POISON = "poison"
"""A file with this prefix kills the process that extracts it."""

OPERATIONS = ("create", "write", "write_table", "move", "overwrite", "remove", "sync")
"""Methods of Folder that change a store; also ``rename``: a file is complete, not yet renamed."""


def die() -> NoReturn:
    """End this process with SIGKILL, as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def no_locks(descriptor: int, operation: int) -> NoReturn:
    """Fail as ``fcntl.flock`` does on a file system without advisory locks."""
    raise OSError(errno.ENOLCK, "No locks available")


def before_operations(
    notice: Callable[[str, str], None], set_attribute: Callable[..., None] = setattr
) -> None:
    """Call ``notice`` with the operation and the name before every change of a store."""
    from jobs.store.folder import Folder
    from jobs.store.lock import LOCK

    writer = Folder.writer

    def noticed(operation: str, name: str) -> None:
        # The lock's description is written at any time and would make every count random.
        if name != LOCK:
            notice(operation, name)

    def wrapped(operation: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Folder, name: str, *args: Any, **options: Any) -> Any:
            noticed(operation, str(args[0]) if operation == "move" else name)
            return method(self, name, *args, **options)

        return call

    @contextlib.contextmanager
    def before_rename(self: Folder, name: str, **options: Any) -> Iterator[IO[bytes]]:
        with writer(self, name, **options) as file:
            yield file
            file.flush()
            noticed("rename", name)

    for operation in OPERATIONS:
        set_attribute(Folder, operation, wrapped(operation, getattr(Folder, operation)))
    set_attribute(Folder, "writer", before_rename)


def dask_setup(worker: object) -> None:
    """Install the faults; called by Dask in each worker that preloads this module."""
    panel = Path(os.environ[PANEL])
    if LACKS in os.environ:
        _take_away(os.environ[LACKS])
        return
    _watch_extractions(panel)
    before_operations(functools.partial(_die_on_demand, panel))


def name_attempts() -> None:
    """Prefix attempts with the job's process id, to tell apart those of killed jobs."""
    import jobs.extraction.dispatch as module

    new_attempt = module.new_attempt
    module.new_attempt = lambda: f"{os.getpid()}-{new_attempt()}"


def _watch_extractions(panel: Path) -> None:
    import featurizer.extract as module
    import jobs.extraction.batch

    extract, of_batch = module.extract, jobs.extraction.batch._extract_file
    at_work = threading.local()

    def known(recording: Any, label: Any, batch: Any, *args: Any) -> None:
        at_work.attempt = batch.attempt
        of_batch(recording, label, batch, *args)

    def watched(source: Any, **options: Any) -> Any:
        # A recording in a bucket comes as bytes, without a name.
        name = os.path.basename(source) if isinstance(source, str) else "-"
        with open(panel / "extracted.log", "ab", buffering=0) as log:
            log.write(f"{at_work.attempt} {source}\n".encode())
        if name.startswith(POISON):
            die()
        if (panel / "slow").exists():
            time.sleep(float((panel / "slow").read_text() or 0))
        gate = panel / "gate" / name
        if gate.exists():
            (panel / "waiting" / f"{name} {os.getpid()}").touch()
            while _is_shut(gate):
                time.sleep(0.02)
        return extract(source, **options)

    jobs.extraction.batch._extract_file = known
    module.extract = watched


def _is_shut(gate: Path) -> bool:
    try:
        return str(os.getpid()) not in gate.read_text().split()
    except FileNotFoundError:
        return False


def _take_away(lacking: str) -> None:
    import jobs.cluster.fitness
    import jobs.extraction.batch

    if lacking == "store":
        storage_of = jobs.cluster.fitness.storage_of
        jobs.cluster.fitness.storage_of = lambda root: storage_of(root + "-elsewhere")
    elif lacking == "source":
        jobs.extraction.batch.is_visible = lambda source: False
    elif lacking == "version":
        jobs.cluster.fitness.songmill_version = lambda: "0.0.1"  # type: ignore[assignment]


def _die_on_demand(panel: Path, operation: str, name: str) -> None:
    for key in os.listdir(panel / "die"):
        wanted, part = key.split(" ", 1)
        if wanted == operation and part.replace("|", "/") in name:
            try:
                os.unlink(panel / "die" / key)
            except FileNotFoundError:
                continue  # another process has died of it
            die()
