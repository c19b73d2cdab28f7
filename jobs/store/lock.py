"""One run at a time on a store: a lock that a dead run does not leave behind.

The lock is a file that says who holds it. On the holder's own machine the process table tells
whether it still lives. From another machine its pulse tells: the holder rewrites the file every
few seconds, and a contender watches whether it does. No clocks are compared.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from jobs.errors import StoreError
from jobs.store.storage import Storage, as_json

LOCK = "_lock.json"

PULSE_S = 5.0
WATCH_S = 20.0
"""A holder on another machine is dead if it has not shown a pulse for so long."""

KILLED = "_work/killed"
"""Locks of processes that were killed, until their row is in ``runs``."""


class Lock:
    """Exclusive right to change a store, as a context manager.

    Parameters
    ----------
    storage : Storage
        The store's files.

    Raises
    ------
    StoreError
        On entry: another run that lives holds it.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._token = uuid.uuid4().hex
        self._held: dict[str, Any] = {}
        self._ended = threading.Event()
        self._lost = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="store lock")

    def __enter__(self) -> "Lock":
        self._held = {
            "token": self._token,
            "pulse": 0,
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
                break  # it was made, and the answer was lost on its way
            if holder is not None and _lives(self._storage, holder):
                raise StoreError(
                    f"another run is at work on the store {self._storage.root}: process "
                    f"{holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}. "
                    "Wait until it ends, or stop it"
                )
            self._break(holder)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        holder = _read(self._storage)
        if holder is not None and holder.get("token") == self._token:
            self._storage.remove(LOCK)

    def check(self) -> None:
        """Raise StoreError if another run has taken the lock, as from a suspended process."""
        holder = _read(self._storage)
        if self._lost or holder is None or holder.get("token") != self._token:
            raise StoreError(
                f"another run has taken over the store {self._storage.root}, as this one had "
                "shown no sign of life: nothing more is written here"
            )

    def note(self, **what: Any) -> dict[str, Any]:
        """Write into the lock what this process does: ``run_id``, ``stage`` and ``started``.

        Returns
        -------
        dict
            The previous note, None for what was not noted.

        Raises
        ------
        StoreError
            Another run has taken the lock.
        """
        before = {name: self._held.get(name) for name in what}
        self.check()
        self._write(**what)
        return before

    def _write(self, **what: Any) -> None:
        with self._writing:
            self._held |= what
            self._storage.write(LOCK, as_json(self._held))

    def _beat(self) -> None:
        while not self._ended.wait(PULSE_S):
            # A full disk or an object store that is away holds the pulse up, and not the run.
            with contextlib.suppress(OSError, StoreError):
                holder = _read(self._storage)
                if holder is None or holder.get("token") != self._token:
                    self._lost = True
                    return
                self._write(pulse=self._held["pulse"] + 1, seen=time.time())

    def _break(self, holder: dict[str, Any] | None) -> None:
        """Take a dead run's lock away; of several contenders one does."""
        grave = f"{KILLED}/{uuid.uuid4().hex}.json"
        try:
            self._storage.move(LOCK, grave)
        except FileNotFoundError:
            return
        taken = _read(self._storage, grave)
        if taken is None:
            self._storage.remove(grave)
        elif holder is None or taken["token"] != holder["token"]:
            # A contender was faster, and this is its new lock.
            self._storage.create(LOCK, as_json(taken))
            self._storage.remove(grave)


def _read(storage: Storage, name: str = LOCK) -> dict[str, Any] | None:
    """Return what a lock says; None where there is none, or none that can be understood."""
    for wait in (0.0, 0.5):
        time.sleep(wait)
        try:
            found = json.loads(storage.read(name))
        except FileNotFoundError:
            return None
        except ValueError:
            continue  # it is being written
        return found if isinstance(found, dict) and "token" in found else None
    return None


def _machine() -> str:
    """Name this boot of this machine and its process table: where a pid means the same."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        name += f" {boot} {os.readlink('/proc/self/ns/pid')}"
    return name


def _lives(storage: Storage, holder: dict[str, Any]) -> bool:
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
