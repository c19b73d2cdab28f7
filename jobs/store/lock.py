"""The lock of a store: the exclusive right to change it.

:mod:`jobs.store.folder_lock` and :mod:`jobs.store.bucket_lock` implement it. A run that was
suspended while another run took over cannot change the store any more: :meth:`Lock.check` and the
methods for the journal raise an error.

``_lock.json`` describes the holder. It is for people, and for the row ``killed`` in ``runs``.
"""

import os
import socket
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, NoReturn, Self

from jobs.errors import StoreError
from jobs.store.storage import Storage, as_json, parse_json

LOCK = "_lock.json"

JOURNAL = "_journal.json"

KILLED = "_work/killed"
"""Folder with the locks of killed runs, until those have a row in ``runs``."""

HEARTBEAT_S = 5.0
"""Seconds between two heartbeats of a lease."""

LEASE_S = 20.0
"""Seconds without a heartbeat after which the holder of a lease counts as dead."""


POLL_S = 0.5
"""Seconds between two looks of a contender at a lease."""


class Lock(ABC):
    """Exclusive right to change a store, as a context manager.

    :func:`jobs.store.address.lock_of` returns one. Entering it raises StoreError if a living run
    holds it.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.token = uuid.uuid4().hex
        self.held: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.held = {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        }
        self.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    @abstractmethod
    def acquire(self) -> None:
        """Take the lock. Move the description of a dead holder to :data:`KILLED`."""

    @abstractmethod
    def release(self) -> None:
        """Release the lock, unless another run has taken over."""

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError if another run has taken over."""

    @abstractmethod
    def describe(self) -> None:
        """Write the current description; StoreError if another run has taken over."""

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
        """Return the journal of a commit that was decided and not completed; None without one."""

    @abstractmethod
    def write_journal(self, data: bytes) -> None:
        """Write the journal, which was read before; StoreError if another run has taken over."""

    @abstractmethod
    def remove_journal(self) -> None:
        """Remove the journal; StoreError if another run has taken over."""

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


def taken_over(root: str) -> StoreError:
    """Return the error of a run that has lost its lock."""
    return StoreError(
        f"another run has taken over the store {root}, because this one was suspended or cut off: "
        "run the same command again"
    )
