"""Suspended jobs: one is suspended before each of its operations, and another takes over.

The second job completes or discards the first one's commit and commits rows of its own. The first
one goes on after the second has ended, or in the middle of its commit. No row may be lost or
doubled.
"""

import asyncio
import fcntl
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from support.faults import no_locks
from support.storm import PART, PARTS

from featurizer.feature_set import feature_set
from jobs.errors import StoreError
from jobs.store.address import lock_of, storage_of
from jobs.store.bucket import Bucket
from jobs.store.commit import Change, commit, recover, stage_file, stage_table, without_tracks
from jobs.store.lock import JOURNAL, TakenOverError
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store

GTZAN = feature_set("gtzan")

TABLE = "features/level=track"
SCHEMA = pa.schema([("track_id", pa.string()), ("by", pa.string())])
CHAMPION = "models/champion.json"
DONE = "_work/done/x"

LONG = [pytest.mark.slow, pytest.mark.storm, pytest.mark.timeout(900)]

OPERATIONS = (
    *("open", "makedirs", "replace", "rename", "unlink", "rmdir", "fsync", "link", "stat"),
    *("listdir", "scandir"),
)


class Job:
    """A job in a thread that is suspended before its k-th operation, until it may go on."""

    def __init__(self, root: str, k: int, work: Callable[[Storage], None]) -> None:
        self.left = k
        self.suspended, self.resumed = threading.Event(), threading.Event()
        self._future: Future[None] = Future()
        self._root = root
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.suspended.wait()

    def arrive(self) -> None:
        """Count an operation; called before each one."""
        self.left -= 1
        if self.left == 0:
            self.suspended.set()
            self.resumed.wait()

    def end(self) -> StoreError | None:
        """Let the job go on; return the error that ends it, or None."""
        self.resumed.set()
        self._thread.join()
        error = self._future.exception()
        if error is not None and not isinstance(error, StoreError):
            raise error
        return error

    def _run(self) -> None:
        storage = storage_of(self._root)
        if isinstance(storage, Bucket):
            storage._system = (
                CLIENTS.pop()
                if CLIENTS
                else fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
            )
        try:
            if isinstance(storage, Bucket):
                self._watch_requests(storage._system)
            else:
                JOBS[threading.get_ident()] = self
            self._work(storage)
            self._future.set_result(None)
        except BaseException as error:
            self._future.set_exception(error)
        finally:
            JOBS.pop(threading.get_ident(), None)
            if isinstance(storage, Bucket):
                del storage._system._call_s3
                CLIENTS.append(storage._system)
            self.suspended.set()

    def _watch_requests(self, system: Any) -> None:
        call = system._call_s3

        async def watched(*arguments: Any, **options: Any) -> Any:
            await asyncio.get_running_loop().run_in_executor(None, self.arrive)
            return await call(*arguments, **options)

        system._call_s3 = watched


CLIENTS: list[Any] = []
"""Clients that no job uses now: to make one takes seconds."""

JOBS: dict[int, Job] = {}
"""Jobs on folders, by their thread."""


def watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that a job may be suspended before."""

    def call(*arguments: Any, **options: Any) -> Any:
        job = JOBS.get(threading.get_ident())
        if job is not None:
            job.arrive()
        return function(*arguments, **options)

    return call


def rows(by: str, *tracks: str) -> pa.Table:
    return pa.table({"track_id": list(tracks), "by": [by] * len(tracks)}, SCHEMA)


def change_of(storage: Storage, by: str, drop: str, add: str) -> Change:
    """Stage new rows, a part that changes, a file that is replaced, and a file to forget."""
    store = Store(storage, Settings({"gtzan": GTZAN.version}, 3.0))
    change = Change(forget=[DONE])
    edit = without_tracks(pa.array([drop]))
    stage_table(store, change, TABLE, [rows(by, add)], edit=edit)
    stage_file(store, change, CHAMPION, by.encode())
    return change


def content(storage: Storage) -> tuple[list[str], bytes]:
    """Return the sorted tracks, each with who wrote it, and the champion."""
    parts = [storage.read_table(entry.name) for entry in storage.list(TABLE)]
    found = pa.concat_tables([SCHEMA.empty_table(), *parts]).to_pylist()
    return sorted(f"{row['track_id']} {row['by']}" for row in found), storage.read(CHAMPION)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=LONG)])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], str]:
    """The address of the store for a round, which has four tracks."""
    # A suspended process sends no heartbeats, and a contender need not wait for them here.
    request.getfixturevalue("no_waits")
    folder = str(tmp_path)
    if request.param == "bucket":
        request.getfixturevalue("server")
        CLIENTS.clear()
        folder = f"s3://music/{tmp_path.name}"
    else:
        # A lock of the kernel would refuse the second job as long as the first one lives.
        monkeypatch.setattr(fcntl, "flock", no_locks)
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, watched(getattr(os, name)))

    def make(number: int) -> str:
        storage = storage_of(f"{folder}/{number}")
        storage.write(DONE, b"")
        storage.write(CHAMPION, b"0")
        for pair in ("ab", "cd"):
            storage.write_table(f"{TABLE}/part-{pair}.parquet", rows("0", *pair))
        return storage.root

    return make


def work(storage: Storage, by: str, drop: str, add: str) -> None:
    """Commit as a stage does."""
    with lock_of(storage) as lock:
        try:
            recover(lock)
            commit(lock, change_of(storage, by, drop, add))
        except OSError:
            lock.describe()  # fails if another run has taken over
            raise


def first(storage: Storage) -> None:
    work(storage, "1", "a", "e")


def second(storage: Storage) -> None:
    work(storage, "2", "c", "f")


UNCHANGED = ["a 0", "b 0", "c 0", "d 0"]
WITHOUT_FIRST = ["a 0", "b 0", "d 0", "f 2"]
WITHOUT_SECOND = ["b 0", "c 0", "d 0", "e 1"]
WITH_BOTH = ["b 0", "d 0", "e 1", "f 2"]


def check_end(root: str) -> None:
    """Check that a third job finds nothing to complete, and changes nothing."""
    storage = storage_of(root)
    before = content(storage)
    with lock_of(storage) as lock:
        assert not recover(lock)
    assert content(storage) == before
    assert not storage.exists(JOURNAL)


def test_a_job_suspended_at_any_operation_changes_nothing_later(
    root: Callable[[int], str],
) -> None:
    outcomes = []
    step = PARTS if root(0).startswith("s3:") else 1
    # In any part before the first operation, when the job does not hold the lock yet.
    for k in itertools.chain([1], itertools.count(2 + PART % step, step)):
        store = root(k)
        job = Job(store, k, first)
        if job.left > 0:
            assert job.end() is None
            break
        second(storage_of(store))
        before = content(storage_of(store))
        error = job.end()
        after = content(storage_of(store))
        if error is None and before[0] == WITHOUT_FIRST:
            # It did not hold the lock yet, so its turn came after the second one.
            assert after == (WITH_BOTH, b"1"), k
        else:
            assert after == before, k
            assert before in ((WITHOUT_FIRST, b"2"), (WITH_BOTH, b"2")), k
        check_end(store)
        outcomes.append((before[0] == WITH_BOTH, error is not None))
    # Not begun, overtaken before the decision, and overtaken after it.
    assert {(False, False), (False, True), (True, True)} <= set(outcomes)
    decided = [decided for decided, _ in outcomes]
    assert decided == sorted(decided)


@pytest.mark.parametrize(
    ("root", "share"),
    [
        ("folder", 0.6),
        pytest.param("folder", 0.4, marks=LONG),
        pytest.param("folder", 0.75, marks=LONG),
        pytest.param("bucket", 0.6, marks=LONG),
    ],
    indirect=["root"],
)
def test_a_job_that_goes_on_in_the_middle_of_another_one_does_it_no_harm(
    root: Callable[[int], str], share: float
) -> None:
    alone = Job(root(0), 100_000, second)
    assert alone.end() is None
    middle = int((100_000 - alone.left) * share)
    step = 5 * PARTS if root(0).startswith("s3:") else 1
    for k in itertools.count(1 + PART % step, step):
        store = root(k)
        job = Job(store, k, first)
        if job.left > 0:
            assert job.end() is None
            break
        other = Job(store, middle, second)
        error = job.end()
        other_error = other.end()
        found = content(storage_of(store))[0]
        if other_error is None:
            assert found in (WITHOUT_FIRST, WITH_BOTH), k
            assert error is not None or found == WITH_BOTH, k
        elif error is None:
            # The first did not hold the lock yet, and took over from the second.
            assert found in (WITHOUT_SECOND, WITH_BOTH), k
        else:
            # The first claimed the journal before it noticed that it had been overtaken.
            assert isinstance(error, TakenOverError), k
            assert isinstance(other_error, TakenOverError), k
            assert found == UNCHANGED, k
        check_end(store)
