"""Late hands: a job is suspended before each operation of a commit, and another takes over.

The second job completes or discards the first one's commit, commits rows of its own and ends; then
the first one goes on. No row may be lost or doubled, and the first job has to end with an error.
"""

import asyncio
import errno
import fcntl
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from featurizer.columns import FEATURE_SET
from jobs.errors import StoreError
from jobs.store import lock as lock_module
from jobs.store.address import lock_of, storage_of
from jobs.store.bucket import Bucket
from jobs.store.commit import Change, commit, recover, stage_file, stage_table, without_tracks
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store

TABLE = "features/level=track"
SCHEMA = pa.schema([("track_id", pa.string()), ("by", pa.string())])
CHAMPION = "models/champion.json"
DONE = "_work/done/x"

OPERATIONS = ("makedirs", "replace", "rename", "unlink", "fsync", "link", "listdir", "scandir")


class Gate:
    """Suspends a thread before its k-th operation, until it is let through."""

    def __init__(self, k: int) -> None:
        self.left = k
        self.thread: int | None = None  # none before and after the commit
        self.reached, self.opened = threading.Event(), threading.Event()

    def arrive(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.reached.set()
            self.opened.wait()


def watch_folder(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() == gate.thread:
                gate.arrive()
            return function(*arguments, **options)

        return call

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, watched(getattr(os, name)))


def watch_bucket(gate: Gate, storage: Bucket) -> None:
    system = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    call = system._call_s3

    async def watched(*arguments: Any, **options: Any) -> Any:
        if gate.thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, gate.arrive)
        return await call(*arguments, **options)

    system._call_s3 = watched
    storage._system = system


def rows(by: str, *tracks: str) -> pa.Table:
    return pa.table({"track_id": list(tracks), "by": [by] * len(tracks)}, SCHEMA)


def change_of(storage: Storage, by: str, drop: str, *add: str) -> Change:
    """Stage new rows, a part that changes, a file that is replaced, and a file to forget."""
    store = Store(storage, Settings(FEATURE_SET, 3.0))
    change = Change(forget=[DONE])
    edit = without_tracks(pa.array([drop]))
    stage_table(store, change, TABLE, [rows(by, *add)], edit=edit)
    stage_file(store, change, CHAMPION, by.encode())
    return change


def content(storage: Storage) -> tuple[list[str], bytes]:
    """Return the sorted tracks, each with who wrote it, and the champion."""
    parts = [storage.read_table(e.name) for e in storage.list(TABLE)]
    found = pa.concat_tables([SCHEMA.empty_table(), *parts]).to_pylist()
    return sorted(f"{row['track_id']} {row['by']}" for row in found), storage.read(CHAMPION)


def no_locks(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture(
    params=["folder", pytest.param("bucket", marks=[pytest.mark.slow, pytest.mark.storm])]
)
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], str]]:
    # A suspended process sends no heartbeats, and a contender need not wait for them here.
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", 3600.0)
    monkeypatch.setattr(lock_module, "LEASE_S", 0.0)
    if request.param == "bucket":
        request.getfixturevalue("server")
        yield lambda k: f"s3://music/{tmp_path.name}/{k}"
    else:
        # A lock of the kernel would refuse the second job as long as the first one lives.
        monkeypatch.setattr(fcntl, "flock", no_locks)
        yield lambda k: str(tmp_path / str(k))


def run_suspended(root: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> "Future[None]":
    """Commit in a thread; return when it is suspended, or has ended."""
    future: Future[None] = Future()

    def work() -> None:
        storage = storage_of(root)
        try:
            if isinstance(storage, Bucket):
                watch_bucket(gate, storage)
            with lock_of(storage) as lock:
                recover(lock)
                gate.thread = threading.get_ident()
                commit(lock, change_of(storage, "1", "a", "e"))
                gate.thread = None
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)
        gate.reached.set()

    if not root.startswith("s3:"):
        watch_folder(gate, monkeypatch)
    threading.Thread(target=work, daemon=True).start()
    gate.reached.wait()
    return future


def test_a_commit_suspended_at_any_operation_changes_nothing_later(
    root: Callable[[int], str],
) -> None:
    outcomes = []
    for k in itertools.count(1):
        storage = storage_of(root(k))
        storage.write(DONE, b"")
        storage.write(CHAMPION, b"0")
        for pair in ("ab", "cd"):
            storage.write_table(f"{TABLE}/part-{pair}.parquet", rows("0", *pair))
        with pytest.MonkeyPatch.context() as patch:
            gate = Gate(k)
            first = run_suspended(root(k), gate, patch)
            if first.done():
                first.result()
                break
            second = storage_of(root(k))
            with lock_of(second) as lock:
                recover(lock)
                decided = second.read(CHAMPION) == b"1"
                commit(lock, change_of(second, "2", "c", "f"))
            before = content(second)
            gate.opened.set()
            with pytest.raises(StoreError, match="another run has taken over"):
                first.result()
        early = ["b 0", "d 0", "e 1", "f 2"] if decided else ["a 0", "b 0", "d 0", "f 2"]
        assert before == (early, b"2"), k
        assert content(second) == before, k
        with lock_of(second) as lock:
            assert not recover(lock)
        assert content(second) == before, k
        outcomes.append(decided)
    # At first the commit is not decided, then it is, and the second job completes it.
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}
    assert len(outcomes) > 15
