"""The lock, with one process playing all parts; real processes are killed in test_kills.py."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.cluster_processes import wait_until

from jobs.errors import StoreError
from jobs.store import lock as module
from jobs.store.folder import Folder
from jobs.store.lock import LOCK, Lock
from jobs.store.storage import TEMPORARY, Storage, as_json


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Folder(str(tmp_path / "store"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the intervals of heartbeats and of contenders."""
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(module, "WATCH_S", 0.6)


def holder(storage: Storage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(storage.read(LOCK))
    return found


def lock_of(storage: Storage, **changes: Any) -> dict[str, Any]:
    """Leave the lock that this process would have, with ``changes``."""
    with Lock(storage):
        stated = {**holder(storage), "token": "another", **changes}
    storage.write(LOCK, as_json(stated))
    return stated


def acquire(storage: Storage) -> None:
    """Take the lock, check it, and release it."""
    with Lock(storage) as lock:
        assert holder(storage)["pid"] == os.getpid()
        lock.check()
    assert not storage.exists(LOCK)
    assert list(storage.list(TEMPORARY)) == []


def test_a_lock_names_its_holder_and_goes_with_it_also_after_an_error(storage: Storage) -> None:
    acquire(storage)
    with pytest.raises(ZeroDivisionError), Lock(storage):
        raise ZeroDivisionError
    acquire(storage)


def test_a_second_run_is_refused_with_the_first_ones_process(storage: Storage) -> None:
    error = f"{storage.root}: process {os.getpid()} on .* Wait until it ends, or stop it"
    with Lock(storage) as first:
        with pytest.raises(StoreError, match=error), Lock(storage):
            pytest.fail("two runs hold one lock")
        first.check()
    acquire(storage)


def test_one_of_many_contenders_gets_it(storage: Storage) -> None:
    start, end = threading.Barrier(6), threading.Barrier(6)

    def contend(_: int) -> bool:
        start.wait()
        with contextlib.suppress(StoreError), Lock(storage):
            end.wait()
            return True
        end.wait()
        return False

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(contend, range(6))) == 1


# The holder is dead


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("quick")
def test_the_lock_of_a_dead_holder_is_taken(storage: Storage, dead_pid: int) -> None:
    lock_of(storage, pid=dead_pid)
    acquire(storage)
    lock_of(storage, machine="elsewhere")  # without heartbeats
    acquire(storage)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        zombie = psutil.Process(process.pid)
        wait_until(lambda: zombie.status() == psutil.STATUS_ZOMBIE)
        lock_of(storage, pid=zombie.pid, process_started=zombie.create_time())
        acquire(storage)


def test_a_pid_that_another_process_has_now_does_not_hold_the_lock(storage: Storage) -> None:
    started = psutil.Process().create_time()
    lock_of(storage, process_started=started - 100)
    acquire(storage)
    lock_of(storage, process_started=started + 0.2)
    with pytest.raises(StoreError), Lock(storage):
        pass


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"{}", bytes(300), b"\xff\xfe"])
@pytest.mark.usefixtures("quick")
def test_a_lock_that_cannot_be_understood_is_taken(storage: Storage, text: bytes) -> None:
    storage.write(LOCK, text)
    acquire(storage)


# The holder is alive on another machine


@pytest.mark.usefixtures("quick")
def test_the_lock_of_another_machine_is_respected_while_it_has_a_heartbeat(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = lock_of(storage, machine="elsewhere", host="elsewhere")
    monkeypatch.setattr(module, "WATCH_S", 20.0)
    ended = threading.Event()

    def beat() -> None:
        heartbeats = 0
        while not ended.wait(0.05):
            heartbeats += 1
            storage.write(LOCK, as_json({**stated, "heartbeats": heartbeats}))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(StoreError, match="on elsewhere"), Lock(storage):
            pass
    finally:
        ended.set()
        thread.join()
    assert holder(storage)["token"] == "another"


@pytest.mark.usefixtures("quick")
def test_a_holder_sends_heartbeats(storage: Storage) -> None:
    with Lock(storage) as lock:
        first = holder(storage)["heartbeats"]
        wait_until(lambda: holder(storage)["heartbeats"] >= first + 2)
        lock.check()
    assert not storage.exists(LOCK)


# The lock is lost


def test_a_run_whose_lock_is_taken_over_or_gone_writes_nothing_more(storage: Storage) -> None:
    with Lock(storage) as lock:
        taken = {**holder(storage), "token": "another"}
        storage.write(LOCK, as_json(taken))
        with pytest.raises(StoreError, match=f"taken over the store {storage.root}"):
            lock.check()
    assert holder(storage) == taken, "it removed the lock of another run"
    storage.remove(LOCK)
    with Lock(storage) as lock:
        storage.remove(LOCK)
        with pytest.raises(StoreError):
            lock.check()
    assert not storage.exists(LOCK)


@pytest.mark.usefixtures("quick")
def test_a_heartbeat_never_overwrites_another_runs_lock(storage: Storage) -> None:
    with Lock(storage) as lock:
        taken = {**holder(storage), "token": "another"}
        storage.write(LOCK, as_json(taken))
        # One heartbeat may have been in progress.
        wait_until(lambda: not lock._thread.is_alive() or holder(storage)["token"] != "another")
        storage.write(LOCK, as_json(taken))
        wait_until(lambda: not lock._thread.is_alive())
        # Even if it were given back: it has had no heartbeat since.
        storage.write(LOCK, as_json({**taken, "token": lock._token}))
        with pytest.raises(StoreError):
            lock.check()


@pytest.mark.parametrize("understood", [True, False])
def test_a_lock_that_a_faster_contender_has_taken_is_given_back(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, dead_pid: int, understood: bool
) -> None:
    faster = lock_of(storage, token="faster")
    dead = {**faster, "pid": dead_pid, "token": "dead"}
    storage.write(LOCK, as_json(dead) if understood else b"")
    move = Folder.move
    moves: list[str] = []

    def late(self: Folder, name: str, to: str) -> None:
        # Between the look at the dead run's lock and its removal, another run takes it.
        if not moves:
            self.write(LOCK, as_json(faster))
        moves.append(to)
        move(self, name, to)

    monkeypatch.setattr(Folder, "move", late)
    with pytest.raises(StoreError, match="another run is at work"), Lock(storage):
        pass
    assert holder(storage) == faster


def test_a_lock_created_without_confirmation_is_ours(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = storage.create

    def unheard(name: str, data: bytes) -> bool:
        # The answer is lost, and the retry reports that the file exists.
        create(name, data)
        return create(name, data)

    monkeypatch.setattr(storage, "create", unheard)
    acquire(storage)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [OSError("full"), StoreError("away")])
def test_an_outage_of_the_storage_delays_a_heartbeat_only(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    read, away, asked = storage.read, threading.Event(), []

    def moody(name: str) -> bytes:
        asked.append(name)
        if away.is_set():
            raise error
        return read(name)

    monkeypatch.setattr(storage, "read", moody)
    with Lock(storage) as lock:
        away.set()
        before = len(asked)
        wait_until(lambda: len(asked) > before + 3)
        away.clear()
        before = holder(storage)["heartbeats"]
        wait_until(lambda: holder(storage)["heartbeats"] > before + 1)
        lock.check()
