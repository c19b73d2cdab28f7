"""Faults on demand, for workers and for the job: nothing of this is in the product.

A folder is the control panel, so that a test can change its mind while processes run:

``extracted.log``    gets a line ``attempt path`` when an extraction begins: the count
``slow``             holds the seconds that every extraction takes longer
``gate/NAME``        an extraction of a file NAME waits while this exists and does not hold its
                     process id, and says so by
``waiting/NAME ID``  which names the process
``die/KEY``          the next process that is about to do the storage operation KEY dies instead;
                     ``create _work|started`` for one, or ``write_table .segment``

What a worker's machine lacks, SONGMILL_TEST_LACKS names: ``store``, ``source`` or ``version`` (it
has another songmill).

In a worker this is a preload module (``distributed.worker.preload``), in the job a part of
``drive_job.py``.
"""

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

PANEL = "SONGMILL_TEST_FAULTS"
"""Names the folder in the environment."""

LACKS = "SONGMILL_TEST_LACKS"

POISON = "poison"
"""A file so named kills the process that extracts it."""

OPERATIONS = ("create", "write", "write_table", "move", "remove", "sync")
"""Methods of Folder that change a store, beside ``rename``: a file is complete, not yet renamed."""


def die() -> NoReturn:
    """End this process as SIGKILL and the kernel's memory killer do."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def before_operations(
    notice: Callable[[str, str], None], set_attribute: Callable[..., None] = setattr
) -> None:
    """Call ``notice`` with the operation and the name before every change of a store."""
    from jobs.store.folder import Folder

    writer = Folder.writer

    def noticed(operation: str, name: str) -> None:
        # The pulses of the lock come at any time and would make every count random.
        if threading.current_thread().name != "store lock":
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
    """Install the faults: Dask calls this in each worker that has this module as a preload."""
    panel = Path(os.environ[PANEL])
    if LACKS in os.environ:
        _take_away(os.environ[LACKS])
        return
    _watch_extractions(panel)
    before_operations(functools.partial(_die_on_demand, panel))


def name_attempts() -> None:
    """Have this job's attempts begin with its process id: batches of a killed job may go on."""
    import jobs.extraction.dispatch as module

    new_attempt = module.new_attempt
    module.new_attempt = lambda: f"{os.getpid()}-{new_attempt()}"


def _watch_extractions(panel: Path) -> None:
    import featurizer.extract as module
    import jobs.extraction.batch

    extract, of_batch = module.extract, jobs.extraction.batch._extract
    at_work = threading.local()

    def known(recording: Any, label: Any, batch: Any, rows: Any) -> None:
        at_work.attempt = batch.attempt
        of_batch(recording, label, batch, rows)

    def watched(source: Any, **options: Any) -> Any:
        # From a bucket there come bytes, which have no name.
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

    jobs.extraction.batch._extract = known
    module.extract = watched


def _is_shut(gate: Path) -> bool:
    try:
        return str(os.getpid()) not in gate.read_text().split()
    except FileNotFoundError:
        return False


def _take_away(what: str) -> None:
    import jobs.extraction.batch

    if what == "store":
        storage_of = jobs.cluster.fitness.storage_of
        jobs.cluster.fitness.storage_of = lambda root: storage_of(root + "-elsewhere")
    elif what == "source":
        jobs.extraction.batch.visible = lambda source: False
    elif what == "version":
        jobs.cluster.fitness.songmill_version = lambda: "0.0.1"  # type: ignore[assignment]


def _die_on_demand(panel: Path, operation: str, name: str) -> None:
    for key in os.listdir(panel / "die"):
        wanted, part = key.split(" ", 1)
        if wanted == operation and part.replace("|", "/") in name:
            try:
                os.unlink(panel / "die" / key)
            except FileNotFoundError:
                continue  # another process was to die of it
            die()
