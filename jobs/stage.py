"""Sessions and stages: a locked store with a cluster, and one step of work on it.

A session opens a store once, holds its lock once, and starts a cluster when a stage first needs
one. Each stage leaves a row in ``runs``. A command is a session of one stage; a nightly run shares
one session among its stages.
"""

import contextlib
import functools
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.cluster.connect import connect, scheduler_address
from jobs.cluster.failures import translate_errors
from jobs.cluster.fitness import known_versions, songmill_version, unfit_for_store
from jobs.cluster.pool import WorkerPool
from jobs.errors import RunInterruptedError, SongmillError, StoreError, UsageError
from jobs.progress import Progress
from jobs.redaction import redact
from jobs.store import commit
from jobs.store.address import lock_of
from jobs.store.lock import KILLED, Lock, TakenOverError
from jobs.store.schemas import RUNS
from jobs.store.storage import TEMPORARY, Storage
from jobs.store.tables import Settings, Store, open_store, open_to_write, storage_to_write

if TYPE_CHECKING:
    from distributed import Client


class Session:
    """A store and a cluster for one or more stages.

    Parameters
    ----------
    storage : Storage
        Files of the store. The store need not exist yet.
    scheduler, workers
        As for :func:`jobs.cluster.connect.connect`.
    progress : Progress, optional
        Progress messages; by default on stderr.

    Attributes
    ----------
    run_id : str
        Unique name of the run, which all stages share; names sort by time.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        scheduler: str | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.storage = storage
        self.progress = progress or Progress()
        now = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.progress.run_id = self.run_id = f"{now}-{uuid.uuid4().hex[:6]}"
        self._scheduler = scheduler
        self._workers = workers
        self._store: Store | None = None
        self._lock: Lock | None = None
        self._client: Client | None = None
        self._stack = contextlib.ExitStack()

    @property
    def has_own_cluster(self) -> bool:
        """Whether the session starts a cluster on this machine."""
        return not scheduler_address(self._scheduler, self._workers)

    @property
    def store(self) -> Store:
        """The store; UsageError if it does not exist."""
        if self._store is None:
            self._store = open_store(self.storage)
        return self._store

    @contextlib.contextmanager
    def held(self, stage: str | None = None) -> Iterator[Lock]:
        """Hold the lock in the body. Nested calls share it; the outermost one ends the cluster.

        A commit that an earlier run has begun is completed first. If the process is killed, its row
        in ``runs`` names ``stage``. Raise StoreError if another run holds the store, or the commit
        cannot be completed.
        """
        if self._lock is not None:
            yield self._lock
            return
        # Arrow's own allocator keeps freed memory: a job with many merges would grow.
        pa.set_memory_pool(pa.system_memory_pool())
        with contextlib.ExitStack() as self._stack:
            self._lock = self._stack.enter_context(lock_of(self.storage))
            try:
                if stage:
                    self._lock.note(run_id=self.run_id, stage=stage, started=time.time())
                if commit.recover(self._lock):
                    self.progress.step("completed a commit that an earlier run had begun")
                yield self._lock
            finally:
                self._client = self._lock = None

    @contextlib.contextmanager
    def stage(
        self, name: str, *, settings: Settings | None = None, force: bool = False
    ) -> Iterator["Stage"]:
        """Yield a stage; the body ends with :meth:`Stage.commit`.

        If the body raises, the row in ``runs`` has the error; a UsageError leaves no row.

        Parameters
        ----------
        name : str
            Column ``stage`` of ``runs``.
        settings : Settings, optional
            Settings of the store, which is created if necessary. By default it must exist.
        force : bool
            Whether to accept other settings; the stage must then replace all rows.

        Raises
        ------
        UsageError
            There is no store, or it has other settings.
        StoreError
            Another run holds the store, or it is damaged.
        """
        started = time.time()
        self.progress.stage = self.progress.stage or name  # a nightly run sets it itself
        with self.held() as lock:
            if settings:
                self._store = open_to_write(self.storage, settings, force=force)
            _record_killed(self.store, lock)
            self.store.read("runs")  # a damaged part would end the stage at its commit
            stage = Stage(self, self.store, lock, name, self.run_id, started)
            stage.clear()  # a killed process leaves files
            before = lock.note(run_id=self.run_id, stage=name, started=started)
            try:
                self.storage.write_json(stage.mark, {"run_id": stage.run_id})
                yield stage
            except UsageError:
                raise  # nothing has begun
            except BaseException as error:
                stage.abandon(error)
                raise
            finally:
                for pool in stage.pools:
                    pool.close()
                with suppress(OSError, StoreError):
                    lock.note(**before)  # fails if another run has taken over
                    stage.clear()

    def client(self) -> "Client":
        """Return a client of the cluster; start the cluster if necessary."""
        if self._client is None or self._client.status != "running":
            connecting = connect(self._scheduler, self._workers, self.progress.warn)
            self._client = self._stack.enter_context(connecting)
            if not self.has_own_cluster:  # which has no dashboard
                with suppress(LookupError, ValueError):  # of a template in Dask's configuration
                    self.progress.write("info", f"Dask's dashboard: {self._client.dashboard_link}")
        return self._client


def open_session(
    store: str | os.PathLike[str] | Session,
    *,
    create: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Session:
    """Return a session on a store; an open session is returned as it is.

    Parameters
    ----------
    store : str, path or Session
        Address of the store, or an open session, to which the other parameters do not apply.
    create : bool
        Whether the store may be missing.
    scheduler, workers, progress
        As for :class:`Session`.

    Raises
    ------
    UsageError
        There is no store, or the options do not fit together. Nothing has been written.
    StoreError
        The store is damaged or of another format.
    """
    if isinstance(store, Session):
        return store
    scheduler_address(scheduler, workers)
    storage = storage_to_write(os.fspath(store)) if create else open_store(store).storage
    return Session(storage, scheduler=scheduler, workers=workers, progress=progress)


@dataclass
class Stage:
    """A running stage.

    ``columns`` returns the further values of the row in ``runs`` that are known so far.
    """

    session: Session
    store: Store
    lock: Lock
    name: str  # column `stage` of `runs`
    run_id: str
    started: float  # Unix time
    columns: Callable[[], dict[str, Any]] = dict
    pools: list[WorkerPool] = field(default_factory=list)

    @property
    def work(self) -> str:
        """Folder for temporary files in the store; it is removed when the stage ends."""
        return f"_work/{self.name}"

    @property
    def mark(self) -> str:
        """File that holds the ``run_id``, which workers must be able to read."""
        return f"{self.work}/run.json"

    def clear(self) -> None:
        """Remove the temporary files of this stage, and incomplete files of any process."""
        for folder in (self.work, TEMPORARY):
            self.store.storage.remove_folder(folder)

    def pool(self, check: Callable[[], str] | None = None) -> WorkerPool:
        """Return the workers of the session's cluster that pass a check.

        ``check`` is as for :class:`WorkerPool`; by default it checks the version and the access to
        the store.
        """
        client = self.session.client()
        if check is None:
            arguments = (self.store.storage.root, self.mark, self.run_id)
            versions = (songmill_version(), known_versions(self.store.settings.feature_sets))
            check = functools.partial(unfit_for_store, *arguments, *versions)
        name = f"{self.name} {os.path.basename(self.store.storage.root)}"
        pool = WorkerPool(client, check, self.session.progress.write, name)
        self.pools.append(pool)
        with translate_errors(client):
            pool.settle()
        return pool

    def commit(self, change: commit.Change, **columns: Any) -> None:
        """Commit ``change`` together with this stage's row in ``runs``.

        ``columns`` are further values of the row, such as ``message`` and ``workers``.
        """
        row = {"run_id": self.run_id, "stage": self.name, "outcome": "done"}
        row |= self.columns() | columns
        stage_row(self.store, change, started=self.started, ended=time.time(), **row)
        commit.commit(self.lock, change)

    def abandon(self, error: BaseException) -> None:
        """Write a row in ``runs`` with the error that ended the stage.

        Raise TakenOverError if another run has taken over, which explains the error.
        """
        interrupted = isinstance(error, RunInterruptedError | KeyboardInterrupt)
        try:
            self.lock.describe()
            # A decided commit is completed first, because the next one replaces its journal.
            commit.recover(self.lock)
            self.commit(
                commit.Change(),
                outcome="interrupted" if interrupted else "failed",
                message=str(error) or type(error).__name__,
            )
        except TakenOverError as lost:
            if isinstance(error, Exception):
                raise lost from error
        except (OSError, SongmillError):
            pass  # of a damaged store, or a full disk; the error of the stage matters


def stage_row(
    store: Store, change: commit.Change, *, started: float, ended: float, **columns: Any
) -> None:
    """Stage a row of ``runs``; ``started`` and ``ended`` are Unix times."""
    row = {
        "started_at": datetime.fromtimestamp(started, UTC),
        "finished_at": datetime.fromtimestamp(ended, UTC),
        "seconds": ended - started,
        "songmill": songmill_version(),
        "feature_set": store.settings.versions,
        "distributed": metadata.version("distributed"),
        **columns,
        "message": redact(columns.get("message") or "") or None,
    }
    rows = pa.Table.from_pylist([{name: row.get(name) for name in RUNS.names}], schema=RUNS)
    commit.stage_table(store, change, "runs", [rows], tidy=True)


def has_run(runs: pa.Table, values: Mapping[str, Any]) -> bool:
    """Tell whether a row of ``runs`` has these values."""
    for name, value in values.items():
        runs = runs.filter(pc.equal(runs[name], pa.scalar(value, RUNS.field(name).type)))
    return bool(runs.num_rows)


def _record_killed(store: Store, lock: Lock) -> None:
    """Write a row ``killed`` for each lock of a killed run without a row."""
    for entry in store.storage.list(KILLED):
        change = commit.Change(forget=[entry.name])
        try:
            killed = store.storage.read_json(entry.name)
            row = {"run_id": str(killed["run_id"]), "stage": str(killed["stage"])}
            started, ended = float(killed["started"]), float(killed["seen"])
            key = {**row, "started_at": datetime.fromtimestamp(started, UTC)}
            datetime.fromtimestamp(ended, UTC)
            message = f"process {killed['pid']} on {killed['host']} ended unexpectedly"
        except (KeyError, TypeError, ValueError, OverflowError):
            pass  # of a process before its first stage, of an older songmill, or damaged
        else:
            if not has_run(store.read("runs", list(key)), key):
                row |= {"outcome": "killed", "message": message}
                stage_row(store, change, started=started, ended=ended, **row)
        commit.commit(lock, change)
