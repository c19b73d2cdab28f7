"""The lock of a store, which a contender breaks if its holder is dead.

The lock is a file that describes its holder. On the holder's machine, the process table shows
whether the holder is alive. On another machine, its heartbeat does: the holder rewrites the file
every few seconds, and a contender watches the file. No clocks are compared.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from jobs.errors import StoreError
from jobs.store.storage import Storage, as_json

LOCK = "_lock.json"

HEARTBEAT_S = 5.0
"""Seconds between two heartbeats."""

WATCH_S = 20.0
"""Seconds without a heartbeat after which a holder on another machine counts as dead."""

KILLED = "_work/killed"
"""Folder of broken locks, until the killed runs have a row in ``runs``."""


class Lock:
    """Exclusive right to change a store, as a context manager.

    Entering it raises StoreError if a living run holds the lock.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._token = uuid.uuid4().hex
        self._held: dict[str, Any] = {}
        self._ended = threading.Event()
        self._lost = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(
            target=self._send_heartbeats, daemon=True, name="store lock"
        )

    def __enter__(self) -> "Lock":
        self._held = {
            "token": self._token,
            "heartbeats": 0,
            "seen": time.time(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "process_started": psutil.Process().create_time(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        }
        while not self._storage.create(LOCK, as_json(self._held)):
            holder = _read(self._storage)
            if holder is not None and holder["token"] == self._token:
                break  # it was created, but the answer was lost
            if holder is not None and _is_alive(self._storage, holder):
                raise StoreError(
                    f"another run is at work on the store {self._storage.root}: process "
                    f"{holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}. "
                    "Wait until it ends, or stop it"
                )
            self._break(holder)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._is_ours():
            self._storage.remove(LOCK)

    def _is_ours(self) -> bool:
        holder = _read(self._storage)
        return holder is not None and holder["token"] == self._token

    def check(self) -> None:
        """Raise StoreError if another run has broken the lock, as after a suspension."""
        if self._lost or not self._is_ours():
            raise StoreError(
                f"another run has taken over the store {self._storage.root}, because this one had "
                "no heartbeat: run the same command again"
            )

    def note(self, **values: Any) -> dict[str, Any]:
        """Add ``run_id``, ``stage`` and ``started`` of the current work to the lock.

        Return the previous values, which are None at first. Raise StoreError if another run has
        broken the lock.
        """
        before = {name: self._held.get(name) for name in values}
        self.check()
        self._write(**values)
        return before

    def _write(self, **values: Any) -> None:
        with self._writing:
            self._held |= values
            self._storage.write_json(LOCK, self._held)

    def _send_heartbeats(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            # A full disk or an outage of the object store delays the heartbeat, but not the run.
            with contextlib.suppress(OSError, StoreError):
                if not self._is_ours():
                    self._lost = True
                    return
                self._write(heartbeats=self._held["heartbeats"] + 1, seen=time.time())

    def _break(self, holder: dict[str, Any] | None) -> None:
        """Move the lock of a dead run away; only one of several contenders succeeds."""
        broken = f"{KILLED}/{uuid.uuid4().hex}.json"
        try:
            self._storage.move(LOCK, broken)
        except FileNotFoundError:
            return
        taken = _read(self._storage, broken)
        if taken is None:
            self._storage.remove(broken)
        elif holder is None or taken["token"] != holder["token"]:
            # Another contender was faster, and this is its new lock.
            self._storage.create(LOCK, as_json(taken))
            self._storage.remove(broken)


def _read(storage: Storage, name: str = LOCK) -> dict[str, Any] | None:
    """Return the content of a lock; None if there is none, or if it is not valid."""
    for wait in (0.0, 0.5):
        time.sleep(wait)
        try:
            found = storage.read_json(name)
        except FileNotFoundError:
            return None
        except ValueError:
            continue  # it is being written
        return found if isinstance(found, dict) and "token" in found else None
    return None


def _machine() -> str:
    """Return the name of this machine, its boot and its process namespace."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        name += f" {boot} {os.readlink('/proc/self/ns/pid')}"
    return name


def _is_alive(storage: Storage, holder: dict[str, Any]) -> bool:
    if holder.get("machine") == _machine():
        try:
            process = psutil.Process(int(holder["pid"]))
            same = abs(process.create_time() - float(holder["process_started"])) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, KeyError, ValueError):
            return False
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        time.sleep(0.5)
        if _read(storage) != holder:
            return True
    return False
