"""The lock of a store in a bucket.

``_lock.json`` is a lease: the holder renews it every few seconds, and a contender that sees no
renewal for :data:`jobs.store.lock.LEASE_S` takes over. No clocks are compared. Every write is
conditional on the version that the writer has seen last (``If-Match``, ``If-None-Match``), so a
late one fails, and only one of several contenders succeeds.

``_journal.json`` ensures that a former holder cannot commit. Each holder first rewrites it with its
own token, with or without entries, and every later write is conditional on the version before. So
the write of a former holder fails. The journal is removed with the lock.
"""

import threading
import time
from contextlib import suppress

from jobs.errors import StoreError
from jobs.store import lock
from jobs.store.bucket import Bucket
from jobs.store.lock import ENTRIES, JOURNAL, KILLED, LOCK, Lock, has_entries, taken_over
from jobs.store.storage import as_json

_OUTAGE_S = 75.0
"""Seconds for which a renewal is repeated while the object store is away."""


class BucketLock(Lock):
    """Exclusive right to change the store in a bucket."""

    storage: Bucket

    def __init__(self, storage: Bucket) -> None:
        super().__init__(storage)
        self._version: str | None = None  # of the lock; None before it is held
        self._renewed = 0.0  # monotonic time at which the last renewal began
        self._writing = threading.Lock()
        self._journal: tuple[bytes, str] | tuple[None, None] | None = None  # None: not known
        self._claimed = False  # whether the journal has our token

    def acquire(self) -> None:
        dead, version = None, None
        while not self._renew(version, patient=True):
            dead, version = self._read(LOCK)
            if dead is not None and version is not None:
                self._watch(dead, version)
        self.heartbeats.start()
        if self.storage.replace(LOCK, self.description(), None) is not None:
            raise StoreError(
                f"the object store with {self.storage.root} ignores conditional requests "
                "(If-None-Match), so two jobs could change a store at once: use one that obeys "
                "them, such as AWS S3 or SeaweedFS"
            )
        if dead is not None:
            self.storage.write(f"{KILLED}/{self.token}.json", dead)

    def release(self) -> None:
        with suppress(OSError, StoreError):
            journal, version = self._journal or (None, None)
            if self._claimed and version and not has_entries(journal):
                self.storage.remove_version(JOURNAL, version)
            if self._version and self._renew(self._version):
                self.storage.remove_version(LOCK, self._version)

    def check(self) -> None:
        if time.monotonic() - self._renewed > lock.LEASE_S:
            self.describe()

    def describe(self) -> None:
        end = time.monotonic() + _OUTAGE_S
        while True:
            try:
                held = self._renew(self._version)
                break
            except (OSError, StoreError):
                if time.monotonic() > end:
                    raise
                time.sleep(lock.POLL_S)
        if not held:
            raise taken_over(self.storage.root)

    def beat(self) -> None:
        self._renew(self._version)

    def read_journal(self) -> bytes | None:
        if self._journal is None:
            self._journal = self._read(JOURNAL)
            if self._claimed and self.token.encode() not in (self._journal[0] or b""):
                raise taken_over(self.storage.root)
        return self._journal[0]

    def claim_journal(self, data: bytes) -> bool:
        if self._claimed:
            return True
        assert self._journal is not None, "it was not read"
        written = self._replace(JOURNAL, data, self._journal[1])
        self._claimed = written is not None
        self._journal = (data, written) if written else None
        if not written:
            self.describe()
        return self._claimed

    def write_journal(self, data: bytes) -> None:
        self.read_journal()
        before, self._journal = self._journal, None  # not known if this fails
        written = self._replace(JOURNAL, data, before[1] if before else None)
        if written is None:
            raise taken_over(self.storage.root)
        self._journal = data, written

    def remove_journal(self) -> None:
        self.write_journal(as_json({"token": self.token, **dict.fromkeys(ENTRIES, [])}))

    def _renew(self, version: str | None, *, patient: bool = False) -> bool:
        """Write the lock if ``version`` is its version; return whether it is ours now."""
        with self._writing:
            while True:
                began = time.monotonic()
                written = self.storage.replace(LOCK, self.description(), version, patient=patient)
                if written is not None:
                    self._version, self._renewed = written, began
                    return True
                # The answer to an earlier renewal may have been lost.
                found, version = self._read(LOCK)
                if self.token.encode() not in (found or b""):
                    return False

    def _replace(self, name: str, data: bytes, version: str | None) -> str | None:
        written = self.storage.replace(name, data, version)
        if written is None:
            # The answer to an earlier attempt may have been lost.
            found, current = self._read(name)
            return current if found == data else None
        return written

    def _read(self, name: str) -> tuple[bytes, str] | tuple[None, None]:
        try:
            return self.storage.read_version(name)
        except FileNotFoundError:
            return None, None

    def _watch(self, holder: bytes, version: str) -> None:
        """Raise StoreError if the holder is alive."""
        for _ in lock.looks():
            time.sleep(lock.POLL_S)
            current = self._read(LOCK)[1]
            if current is None:
                return  # it has just ended
            if current != version:
                self.refuse(holder)
