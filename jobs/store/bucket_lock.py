"""The lock of a store in a bucket.

``_lock.json`` is a lease: the holder renews it every few seconds, and a contender that sees no
renewal for :data:`jobs.store.lock.LEASE_S` takes over. No clocks are compared. Every write is
conditional on the version that the writer has seen last (``If-Match``, ``If-None-Match``), so a
late one fails, and only one of several contenders succeeds.

The journal is written and removed under the same conditions. A former holder cannot commit: before
it decides a commit it renews its lock, and afterwards it finds that the new holder has removed its
staged files.
"""

import threading
import time
from contextlib import suppress

from jobs.errors import StoreError
from jobs.store import lock
from jobs.store.bucket import Bucket
from jobs.store.lock import JOURNAL, KILLED, LOCK, Lock, taken_over


class BucketLock(Lock):
    """Exclusive right to change the store in a bucket."""

    storage: Bucket

    def __init__(self, storage: Bucket) -> None:
        super().__init__(storage)
        self._version: str | None = None  # of the lock; None before it is held
        self._journal: tuple[bytes, str] | tuple[None, None] | None = None  # content and version
        self._renewed = 0.0  # monotonic time at which the last renewal began
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._send_heartbeats, daemon=True, name="store lock"
        )

    def acquire(self) -> None:
        dead, version = None, None
        while not self._renew(version):
            dead, version = self._read(LOCK)
            if dead is not None and version is not None:
                self._watch(dead, version)
        self._thread.start()
        if dead is not None:
            self.storage.write(f"{KILLED}/{self.token}.json", dead)

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        if self._version is not None:
            self.storage.remove_version(LOCK, self._version)

    def check(self) -> None:
        if time.monotonic() - self._renewed > lock.LEASE_S:
            self.describe()

    def describe(self) -> None:
        if not self._renew():
            raise taken_over(self.storage.root)

    def read_journal(self) -> bytes | None:
        # It is read once: a later version would be another run's.
        if self._journal is None:
            self._journal = self._read(JOURNAL)
        return self._journal[0]

    def write_journal(self, data: bytes) -> None:
        version = self._journal[1] if self._journal else None
        if version is None:
            self.describe()
        written = self._replace(JOURNAL, data, version)
        if written is None:
            self.describe()
            # It is the journal of a former holder, which can do nothing with it.
            written = self._replace(JOURNAL, data, self._read(JOURNAL)[1])
        if written is None:
            raise taken_over(self.storage.root)
        self._journal = data, written

    def remove_journal(self) -> None:
        if self._journal and self._journal[1]:
            if not self.storage.remove_version(JOURNAL, self._journal[1]):
                self.describe()  # the answer to an earlier attempt may have been lost
            self._journal = None, None

    def _renew(self, dead: str | None = None, *, patient: bool = True) -> bool:
        """Write the lock if nobody else has; return whether it is ours now.

        ``dead`` is the version of a dead holder, if this run does not hold the lock yet.
        """
        with self._writing:
            # Read here: the other thread may have renewed it just now.
            version = self._version or dead
            began = time.monotonic()
            written = self._replace(LOCK, self.description(), version, patient=patient)
            if written is None:
                return False
            self._version, self._renewed = written, began
            return True

    def _replace(
        self, name: str, data: bytes, version: str | None, *, patient: bool = True
    ) -> str | None:
        written = self.storage.replace(name, data, version, patient=patient)
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
        end = time.monotonic() + lock.LEASE_S
        while time.monotonic() < end:
            time.sleep(lock.POLL_S)
            current = self._read(LOCK)[1]
            if current is None:
                return  # it has just ended
            if current != version:
                self.refuse(holder)

    def _send_heartbeats(self) -> None:
        while not self._ended.wait(lock.HEARTBEAT_S):
            # An outage of the object store delays the heartbeat, but not the run.
            with suppress(OSError, StoreError):
                if not self._renew(patient=False):
                    self._renewed = -lock.LEASE_S  # the next check finds out
                    return
