"""The lock of a store: the exclusive right to change it.

:mod:`jobs.store.folder_lock` and :mod:`jobs.store.bucket_lock` implement it. A run that was
suspended while another run took over cannot change the store any more: :meth:`Lock.check` and the
methods for the journal raise an error.

``_lock.json`` describes the holder, for people and for the row ``killed`` in ``runs``. Where no
kernel keeps the lock, its heartbeats show that the holder is alive.
"""

import math
import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, NoReturn, Self

from jobs.errors import StoreError
from jobs.store.storage import Storage, as_json, parse_json

LOCK = "_lock.json"

JOURNAL = "_journal.json"

ENTRIES = ("remove", "add", "forget")
"""Lists in the journal."""

KILLED = "_work/killed"
"""Folder with the locks of killed runs, until those have a row in ``runs``."""

HEARTBEAT_S = 5.0
"""Seconds between two heartbeats: the holder writes when it was last seen."""

LEASE_S = 20.0
"""Seconds without a heartbeat after which the holder of a lease counts as dead."""

POLL_S = 0.5
"""Seconds between two looks of a contender at a lease."""


def looks() -> range:
    """Return the looks at a lease within :data:`LEASE_S`.

    Looks are counted, because the machine of a contender may be suspended too.
    """
    return range(math.ceil(LEASE_S / POLL_S))


class Lock(ABC):
    """Exclusive right to change a store, as a context manager.

    :func:`jobs.store.address.lock_of` returns one. Entering it raises StoreError if a living run
    holds it.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.token = uuid.uuid4().hex
        self.held: dict[str, Any] = {}
        self.ended = threading.Event()
        self.heartbeats = threading.Thread(
            target=self._send_heartbeats, daemon=True, name="store lock"
        )

    def __enter__(self) -> Self:
        self.held = {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        }
        try:
            self.acquire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        if self.heartbeats.ident is not None:
            self.heartbeats.join()
        self.release()

    @abstractmethod
    def acquire(self) -> None:
        """Take the lock, and start the heartbeats.

        Keep the description of a dead holder in :data:`KILLED`.
        """

    @abstractmethod
    def release(self) -> None:
        """Release the lock, unless another run has taken over."""

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError if another run has taken over."""

    @abstractmethod
    def describe(self) -> None:
        """Write the current description; StoreError if another run has taken over."""

    @abstractmethod
    def beat(self) -> None:
        """Write the current description once, without retries."""

    def _send_heartbeats(self) -> None:
        while not self.ended.wait(HEARTBEAT_S):
            # A full disk or an outage delays the heartbeat, but not the run.
            with suppress(OSError, StoreError):
                self.beat()

    def note(self, **values: Any) -> dict[str, Any]:
        """Add ``run_id``, ``stage`` and ``started`` of the current work to the description.

        Return the previous values, which are None at first. Raise StoreError if another run has
        taken over.
        """
        before = {name: self.held.get(name) for name in values}
        self.check()
        self.held = self.held | values
        self.describe()
        return before

    def description(self) -> bytes:
        """Return the content of :data:`LOCK`: the holder, and when it was last seen."""
        return as_json({**self.held, "seen": time.time()})

    @abstractmethod
    def read_journal(self) -> bytes | None:
        """Return the journal; None without one."""

    @abstractmethod
    def claim_journal(self, data: bytes) -> bool:
        """Replace the journal that was read by ``data``, if another run has not changed it since.

        From now on no other run can write it, except one that takes over.
        """

    @abstractmethod
    def write_journal(self, data: bytes) -> None:
        """Write the journal; StoreError if another run has taken over."""

    @abstractmethod
    def remove_journal(self) -> None:
        """Remove the journal, or its entries; StoreError if another run has taken over."""

    def refuse(self, description: bytes) -> NoReturn:
        """Raise StoreError that names the living holder."""
        who = ""
        with suppress(ValueError, TypeError, KeyError):
            holder = parse_json(description)
            who = f": process {holder['pid']} on {holder['host']}, since {holder['since']}"
        raise StoreError(
            f"another run is at work on the store {self.storage.root}{who}. "
            "Wait until it ends, or stop it"
        )


def has_entries(journal: bytes | None) -> bool:
    """Return whether a journal has entries, or is damaged."""
    if journal is None:
        return False
    with suppress(ValueError):
        found = parse_json(journal)
        return not isinstance(found, dict) or any(found.get(name) != [] for name in ENTRIES)
    return True


def is_committing(storage: Storage) -> bool:
    """Return whether a commit is under way, or was decided and not completed."""
    try:
        return has_entries(storage.read(JOURNAL))
    except FileNotFoundError:
        return False


class TakenOverError(StoreError):
    """Another run has taken over the store."""


def taken_over(root: str) -> TakenOverError:
    """Return the error of a run that has lost its lock."""
    return TakenOverError(
        f"another run has taken over the store {root}, because this one was suspended or cut off: "
        "run the same command again"
    )
