"""One stage of work on a store: its lock, what an earlier one left undone, its row in ``runs``.

The extraction, whose unfinished batches outlive it, does these steps itself:
:mod:`jobs.extraction.extract`.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from featurizer.columns import FEATURE_SET
from jobs.cluster.connect import connect
from jobs.cluster.failures import ask_workers
from jobs.cluster.fitness import songmill_version, unfit_for_store
from jobs.errors import RunInterruptedError, SongmillError, UsageError
from jobs.interruption import interruption_heard, interruption_prevails
from jobs.progress import Progress
from jobs.store import commit
from jobs.store.folder import Storage
from jobs.store.lock import Lock
from jobs.store.schemas import RUNS
from jobs.store.storage import as_json
from jobs.store.tables import Settings, Store, open_store, open_to_write, storage_to_write

if TYPE_CHECKING:
    from distributed import Client

_run_id: ContextVar[str | None] = ContextVar("run_id", default=None)


def new_run_id() -> str:
    """Return a name that no other run has; names of later runs are greater.

    Inside of :func:`one_run` it is the name of that run.
    """
    now = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return _run_id.get() or f"{now}-{uuid.uuid4().hex[:6]}"


@contextlib.contextmanager
def one_run() -> Iterator[str]:
    """Give all stages of the body one name."""
    run_id = new_run_id()
    token = _run_id.set(run_id)
    try:
        yield run_id
    finally:
        _run_id.reset(token)


def stage_run(store: Store, change: commit.Change, **columns: Any) -> None:
    """Stage a row of ``runs``.

    Parameters
    ----------
    store : Store
        The store.
    change : Change
        Gets the row.
    **columns
        Values of columns of :data:`jobs.store.schemas.RUNS`; ``started`` stands for the time when
        it began, in seconds since 1970, and ``finished_at``, ``seconds`` and versions come of
        themselves.
    """
    started = columns.pop("started")
    row = {
        "started_at": datetime.fromtimestamp(started, UTC),
        "finished_at": datetime.now(UTC),
        "seconds": time.time() - started,
        "songmill": songmill_version(),
        "feature_set": store.settings.feature_set,
        "distributed": metadata.version("distributed"),
        **columns,
    }
    rows = pa.Table.from_pylist([{name: row.get(name) for name in RUNS.names}], schema=RUNS)
    commit.stage_table(store, change, "runs", [rows], tidy=True)


@dataclass
class Stage:
    """A stage under way.

    Parameters
    ----------
    store : Store
        The store, whose lock is held.
    lock : Lock
        The lock.
    name : str
        What the column ``stage`` of ``runs`` says.
    run_id : str
        Names this run.
    started : float
        When it began, in seconds since 1970.
    """

    store: Store
    lock: Lock
    name: str
    run_id: str
    started: float

    @property
    def work(self) -> str:
        """A folder of the store for what the stage needs meanwhile; it is gone afterwards."""
        return f"_work/{self.name}"

    @property
    def mark(self) -> str:
        """A file that holds the ``run_id``, by which workers tell that they see the store."""
        return f"{self.work}/run.json"

    def commit(self, change: commit.Change, **columns: Any) -> None:
        """Carry ``change`` out, with this stage's row in ``runs``.

        Parameters
        ----------
        change : Change
            What the stage has staged.
        **columns
            Further values of the row, such as ``message`` and ``workers``.
        """
        said = {"outcome": "done", **columns}
        stage_run(
            self.store, change, run_id=self.run_id, stage=self.name, started=self.started, **said
        )
        self.lock.check()
        commit.commit(self.store, change)

    def abandon(self, error: BaseException) -> None:
        """Write down that the stage ended early."""
        interrupted = isinstance(error, RunInterruptedError)
        interruption_heard()
        with suppress(OSError, SongmillError):
            self.lock.check()
            # A commit that was decided is completed first, or its journal would be lost.
            commit.recover(self.store.storage)
            self.commit(
                commit.Change(),
                outcome="interrupted" if interrupted else "failed",
                message=str(error) or type(error).__name__,
            )


@contextlib.contextmanager
def stage(address: str, name: str, *, made_with: Settings | None = None) -> Iterator[Stage]:
    """Hold a store while the body works on it.

    Parameters
    ----------
    address : str
        The store.
    name : str
        The stage's, for ``runs``.
    made_with : Settings, optional
        Of a store that may have to be made, and that must have just these. By default the store
        must exist.

    Yields
    ------
    Stage
        The body ends with its :meth:`Stage.commit`; where it raises, the row of ``runs`` says so.

    Raises
    ------
    UsageError
        There is no store, or it has other settings.
    StoreError
        Another run holds it, or it is damaged.
    """
    started = time.time()
    # Arrow's own allocator keeps what a merge took; a job of many merges would grow.
    pa.set_memory_pool(pa.system_memory_pool())
    storage: Storage = storage_to_write(address) if made_with else open_store(address).storage
    with Lock(storage) as lock:
        commit.recover(storage)
        store = open_to_write(storage, made_with, force=False) if made_with else open_store(address)
        under_way = Stage(store, lock, name, new_run_id(), started)
        storage.remove_folder(under_way.work)  # a killed one may have left it
        try:
            storage.write(under_way.mark, as_json({"run_id": under_way.run_id}))
            with interruption_prevails():
                yield under_way
        except UsageError:
            raise  # nothing was begun
        except BaseException as error:
            under_way.abandon(error)
            raise
        finally:
            storage.remove_folder(under_way.work)


@contextlib.contextmanager
def cluster_for(
    run: Stage, scheduler: str | None, workers: int | None, progress: Progress
) -> Iterator["Client"]:
    """Give a client of a cluster whose workers can all work on the stage's store.

    Parameters
    ----------
    run : Stage
        The stage.
    scheduler, workers
        As for :func:`jobs.cluster.connect.connect`.
    progress : Progress
        Is told where the dashboard is.

    Raises
    ------
    ClusterError
        There are no workers, or one is unfit.
    """
    with connect(scheduler, workers) as client:
        root = run.store.storage.root
        versions = (songmill_version(), FEATURE_SET)
        ask_workers(client, unfit_for_store, root, run.mark, run.run_id, *versions)
        progress.say(f"Dask's dashboard: {client.dashboard_link}")
        yield client
