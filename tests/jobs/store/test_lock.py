"""The lock. Processes are killed while they hold it in test_kills.py and test_stage.py."""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from support.cluster_processes import wait_until
from support.faults import no_locks

from jobs.errors import StoreError
from jobs.store import lock as module
from jobs.store.address import lock_of, storage_of
from jobs.store.bucket import Bucket
from jobs.store.bucket_lock import BucketLock
from jobs.store.commit import STAGE, Change, commit, recover, stage_file
from jobs.store.folder import Folder
from jobs.store.folder_lock import FILE, TURN, FolderLock
from jobs.store.lock import JOURNAL, KILLED, LOCK, Lock
from jobs.store.storage import Storage
from jobs.store.tables import STORE_JSON, Settings, Store

KINDS = ["kernel", "lease", pytest.param("bucket", marks=pytest.mark.slow)]
"""Locks: of the kernel, of a file system without such locks, of an object store."""

LONG_BUCKET = pytest.param("bucket", marks=[pytest.mark.slow, pytest.mark.storm])


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "lease":
        monkeypatch.setattr(fcntl, "flock", no_locks)
    return str(request.param)


@pytest.fixture
def storage(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if kind == "bucket":
        request.getfixturevalue("server")
        return storage_of(f"s3://music/{tmp_path.name}/store")
    return Folder(str(tmp_path / "store"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the intervals of heartbeats and of looks at them."""
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(module, "POLL_S", 0.02)


def another(storage: Storage) -> Storage:
    """Return the same files as another process sees them."""
    return storage_of(storage.root)


def description(storage: Storage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(storage.read(LOCK))
    return found


def acquire(storage: Storage) -> None:
    """Take the lock, check it, and release it."""
    with lock_of(storage) as lock:
        assert description(storage)["pid"] == os.getpid()
        lock.check()
    assert not storage.exists(LOCK)
    assert not os.path.exists(storage.path(TURN))


def die(lock: Lock) -> None:
    """Leave a lock as a killed process does."""
    lock.ended.set()
    lock.heartbeats.join()
    if isinstance(lock, FolderLock) and lock._descriptor is not None:
        os.close(lock._descriptor)


def test_a_lock_names_its_holder_and_goes_with_it_also_after_an_error(storage: Storage) -> None:
    acquire(storage)
    with pytest.raises(ZeroDivisionError), lock_of(storage):
        raise ZeroDivisionError
    acquire(storage)
    assert list(storage.list(KILLED)) == []


@pytest.mark.usefixtures("quick")
def test_a_second_run_is_refused_with_the_first_ones_process(storage: Storage) -> None:
    error = f"{storage.root}: process {os.getpid()} on .* Wait until it ends, or stop it"
    with lock_of(storage) as first:
        with pytest.raises(StoreError, match=error), lock_of(another(storage)):
            pytest.fail("two runs hold one lock")
        first.check()
    acquire(another(storage))


@pytest.mark.usefixtures("no_waits")
def test_the_lock_of_a_dead_holder_is_taken_and_its_description_kept(storage: Storage) -> None:
    dead = lock_of(storage).__enter__()
    dead.note(run_id="r", stage="train", started=1.0)
    stated = description(storage)
    die(dead)
    acquire(another(storage))
    [entry] = storage.list(KILLED)
    assert storage.read_json(entry.name) == stated
    assert stated["run_id"] == "r"


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"{}", bytes(300), b"\xff\xfe"])
@pytest.mark.usefixtures("no_waits")
def test_a_description_that_cannot_be_understood_does_no_harm(
    storage: Storage, kind: str, text: bytes
) -> None:
    if kind == "kernel":
        with lock_of(storage):
            storage.write(LOCK, text)
            with pytest.raises(StoreError, match="at work on the store [^ ]*store. Wait"):
                lock_of(another(storage)).__enter__()
    storage.write(LOCK, text)
    acquire(storage)


@pytest.mark.usefixtures("no_waits")
def test_a_lock_of_an_older_songmill_is_taken(storage: Storage) -> None:
    storage.write(LOCK, b'{"token": "a", "pid": 1, "machine": "m", "heartbeats": 3}')
    acquire(storage)


# Contenders


@pytest.mark.parametrize("kind", [*KINDS[:2], LONG_BUCKET], indirect=True)
def test_one_of_eight_contenders_for_a_dead_lock_gets_it(
    storage: Storage, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the lease of the dead holder looks expired, and at once."""
    contenders, rounds = 8, 40 if kind == "bucket" else 300
    dead = {"token": ""}

    def watch_folder(self: FolderLock, path: str) -> None:
        if dead["token"] not in path:
            self._refuse()

    def watch_bucket(self: BucketLock, holder: bytes, version: str) -> None:
        if json.loads(holder)["token"] != dead["token"]:
            self.refuse(holder)

    monkeypatch.setattr(FolderLock, "_watch", watch_folder)
    monkeypatch.setattr(BucketLock, "_watch", watch_bucket)
    inside: list[str] = []
    wins = [0] * contenders

    def contend(number: int) -> None:
        lock = lock_of(another(storage))
        start.wait()
        with contextlib.suppress(StoreError):
            with lock:
                inside.append(lock.token)
                assert inside == [lock.token], "two runs are inside"
                try:
                    lock.note(run_id="r", stage="train", started=1.0)
                    lock.check()
                except StoreError as error:
                    raise AssertionError("a living run was ended") from error
                assert inside == [lock.token], "two runs are inside"
                inside.remove(lock.token)
            wins[number] += 1

    with ThreadPoolExecutor(contenders) as threads:
        for _ in range(rounds):
            killed = lock_of(storage).__enter__()
            dead["token"] = killed.token
            die(killed)
            before = sum(wins)
            start = threading.Barrier(contenders)
            list(threads.map(contend, range(contenders)))
            assert sum(wins) > before
    acquire(storage)


# Clocks and suspensions

HOLD = """
import sys, time
from jobs.store.address import lock_of, storage_of

with lock_of(storage_of(sys.argv[1])) as lock:
    print("held", flush=True)
    sys.stdin.readline()
    lock.check()
print("released", flush=True)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of the store until it reads a line."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "store")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def let_go(holder: subprocess.Popen[str]) -> None:
    out, _ = holder.communicate("\n")
    assert (out, holder.returncode) == ("released\n", 0)


@pytest.mark.parametrize("step_s", [-86_400.0, -2.0, 2.0, 86_400.0])
def test_a_step_of_the_clock_ends_no_lock(
    holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + step_s)
    monkeypatch.setattr("psutil.boot_time", lambda: clock() + step_s)
    with pytest.raises(StoreError, match=f"process {holder.pid} on"):
        lock_of(Folder(str(tmp_path / "store"))).__enter__()
    let_go(holder)
    acquire(Folder(str(tmp_path / "store")))


def test_a_suspended_process_keeps_its_lock_and_a_killed_one_does_not(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(StoreError, match=f"process {holder.pid} on"):
        lock_of(Folder(str(tmp_path / "store"))).__enter__()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    acquire(Folder(str(tmp_path / "store")))


# Leases


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folder:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    return Folder(str(tmp_path / "store"))


@pytest.mark.usefixtures("quick")
def test_a_holder_of_a_lease_sends_heartbeats(lease: Folder) -> None:
    with lock_of(lease):
        first = description(lease)
        wait_until(lambda: description(lease)["seen"] > first["seen"])
    assert not os.path.exists(lease.path(TURN))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [OSError("full"), StoreError("away")])
def test_an_outage_delays_a_heartbeat_only(
    storage: Storage, kind: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    away, tried = threading.Event(), []
    write = type(storage).replace if kind == "bucket" else type(storage).write  # type: ignore[attr-defined]

    def moody(self: Storage, name: str, *arguments: Any, **options: Any) -> Any:
        tried.append(name)
        if away.is_set():
            raise error
        return write(self, name, *arguments, **options)

    monkeypatch.setattr(type(storage), "replace" if kind == "bucket" else "write", moody)
    with lock_of(storage) as lock:
        away.set()
        before = len(tried)
        wait_until(lambda: len(tried) > before + 3)
        away.clear()
        first = description(storage)
        wait_until(lambda: description(storage)["seen"] > first["seen"])
        lock.check()


@pytest.mark.parametrize("first", ["kernel", "lease"])
def test_a_lock_of_the_kernel_and_a_lease_respect_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    storage = Folder(str(tmp_path / "store"))
    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock if first == "kernel" else no_locks)
    with lock_of(storage) as lock:
        for other in (no_locks, flock):
            monkeypatch.setattr(fcntl, "flock", other)
            with pytest.raises(StoreError, match="another run is at work"):
                lock_of(another(storage)).__enter__()
        lock.check()
    acquire(another(storage))


def test_a_living_job_of_an_older_songmill_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    storage = Folder(str(tmp_path / "store"))
    ended = threading.Event()

    def beat() -> None:
        for count in itertools.count():
            storage.write(LOCK, b'{"token": "a", "heartbeats": %d}' % count)
            if ended.wait(0.01):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        wait_until(lambda: storage.exists(LOCK))
        with pytest.raises(StoreError, match="another run is at work"):
            lock_of(another(storage)).__enter__()
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.usefixtures("server", "no_waits")
def test_a_lost_answer_to_a_renewal_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(f"s3://music/{tmp_path.name}/store")
    replace = Bucket.replace
    lose = [False]

    def unheard(self: Bucket, *arguments: Any, **options: Any) -> str | None:
        written = replace(self, *arguments, **options)
        if lose.pop():
            lose.append(False)
            raise StoreError("the object store does not answer")
        lose.append(False)
        return written

    monkeypatch.setattr(Bucket, "replace", unheard)
    with lock_of(storage) as lock:
        recover(lock)
        for _ in range(2):
            lose[:] = [True]
            with pytest.raises(StoreError, match="does not answer"):
                lock.write_journal(b'{"token": "%s"}' % lock.token.encode())
            assert lock.read_journal() is not None
            lose[:] = [True]
            with contextlib.suppress(StoreError):
                lock.beat()
            lock.describe()
            lock.check()
        lock.remove_journal()
    assert not storage.exists(LOCK)
    assert not storage.exists(JOURNAL)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_an_object_store_that_ignores_conditions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(f"s3://music/{tmp_path.name}/store")
    replace = Bucket.replace

    def unconditional(self: Bucket, name: str, data: bytes, version: Any, **options: Any) -> Any:
        self.remove(name)
        return replace(self, name, data, None, **options)

    monkeypatch.setattr(Bucket, "replace", unconditional)
    with pytest.raises(StoreError, match=f"{storage.root} ignores conditional requests"):
        lock_of(storage).__enter__()


def test_a_stray_file_among_the_turns_does_no_harm(tmp_path: Path) -> None:
    storage = Folder(str(tmp_path / "store"))
    for name in ("turn/.DS_Store", "turn/dead/left/x"):
        storage.write(f"_work/{name}", b"")
    acquire(storage)


def test_an_error_in_the_middle_releases_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Folder(str(tmp_path / "store"))
    for broken in ("_read", "describe"):
        with monkeypatch.context() as patch:
            patch.setattr(FolderLock, broken, Mock(side_effect=OSError("broken")))
            with pytest.raises(OSError, match="broken"):
                lock_of(storage).__enter__()
        acquire(storage)


def test_another_error_of_the_file_system_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"):
        lock_of(Folder(str(tmp_path))).__enter__()


def test_a_lock_file_that_is_removed_in_between_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Folder(str(tmp_path / "store"))
    flock = fcntl.flock
    removals = [1, 2]

    def remove(descriptor: int, operation: int) -> None:
        if removals:
            removals.pop()
            shutil.rmtree(storage.path("_work"))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove)
    with lock_of(storage):
        monkeypatch.undo()
        assert os.path.exists(storage.path(FILE))
        with pytest.raises(StoreError):
            lock_of(another(storage)).__enter__()


@pytest.mark.slow
def test_a_heartbeat_during_a_change_of_the_description_is_no_takeover(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("server")
    monkeypatch.setattr(module, "HEARTBEAT_S", 3600.0)
    storage = storage_of(f"s3://music/{tmp_path.name}/store")
    lock = BucketLock(storage)  # type: ignore[arg-type]
    renewing, waiting = threading.Event(), threading.Event()
    replace, mutex = lock.storage.replace, lock._writing

    class Mutex:
        def __enter__(self) -> None:
            if renewing.is_set():
                waiting.set()  # the description comes second, and has to wait
            mutex.acquire()

        def __exit__(self, *exception: object) -> None:
            mutex.release()

    def slow(*arguments: Any, **options: Any) -> str | None:
        if not renewing.is_set():
            renewing.set()
            assert waiting.wait(60)
        return replace(*arguments, **options)

    with lock, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(lock.storage, "replace", slow)
        monkeypatch.setattr(lock, "_writing", Mutex())
        heartbeat = pool.submit(lock.beat)
        assert renewing.wait(60)
        lock.note(stage="similarity")
        heartbeat.result()
        lock.check()


# The lock is lost


@pytest.mark.usefixtures("no_waits")
def test_a_run_whose_lock_is_taken_over_changes_nothing_more(storage: Storage, kind: str) -> None:
    lost = lock_of(storage).__enter__()
    recover(lost)
    store = Store(storage, Settings({"gtzan": "set"}, 3.0))
    change = Change()
    stage_file(store, change, STORE_JSON, b"late")
    if kind == "kernel":
        # Only by removing the files of the lock can another run get in.
        shutil.rmtree(storage.path("_work"))
    with lock_of(another(storage)) as lock:
        recover(lock)
        if isinstance(storage, Folder):
            for change_something in (
                lambda: storage.write("x", b""),
                lambda: storage.create("x", b""),
                lambda: storage.remove(LOCK),
                lambda: storage.remove_folder("_work/turn"),
                lost.check,
            ):
                with pytest.raises(StoreError, match="taken over the store"):
                    change_something()
        for late in (lambda: commit(lost, change), lambda: lost.note(stage="late")):
            with pytest.raises(StoreError, match=f"taken over the store {storage.root}, because"):
                late()
        lock.check()
        lost.release()
        lock.check()
        assert description(storage)["token"] == lock.token
    assert not storage.exists("x")
    assert not storage.exists(STORE_JSON)
    with lock_of(another(storage)) as lock:
        recover(lock)
    assert list(storage.list(STAGE)) == []
