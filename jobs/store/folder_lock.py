"""The lock of a store in a folder.

The kernel keeps it: the holder has an advisory lock (``flock``) on ``_work/lock``, which ends with
the process, and only then. No clock and no process id matters.

Some file systems have no such locks. There the lock is a lease: the holder changes a file every few
seconds, and a contender that sees no change for :data:`jobs.store.lock.LEASE_S` takes over. No
clocks are compared.

``_work/turn`` contains one folder, which has the token of the holder as its name. To take over is
to rename it, so only one of several contenders succeeds, and the former holder can change nothing
more (see :mod:`jobs.store.folder`).
"""

import errno
import fcntl
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from jobs.errors import StoreError
from jobs.store import lock
from jobs.store.folder import Folder
from jobs.store.lock import JOURNAL, KILLED, LOCK, Lock
from jobs.store.storage import TEMPORARY

FILE = "_work/lock"

TURN = "_work/turn"

HEARTBEATS = "heartbeats"

_NO_LOCKS = (
    *(errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF),
)
"""Errors of file systems without advisory locks."""


class FolderLock(Lock):
    """Exclusive right to change the store in a folder."""

    storage: Folder

    def __init__(self, storage: Folder) -> None:
        super().__init__(storage)
        self._turn = f"{TURN}/{self.token}"
        self._descriptor: int | None = None  # None where the file system has no locks
        self._described = 0.0  # monotonic time of the last description
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._send_heartbeats, daemon=True, name="store lock"
        )

    def acquire(self) -> None:
        self._descriptor = self._lock_file()
        try:
            self._take_turn()
            with suppress(FileNotFoundError):
                self.storage.move(LOCK, f"{KILLED}/{self.token}.json")
            self.describe()
        except BaseException:
            self.release()
            raise
        if self._descriptor is None:
            self._thread.start()

    def release(self) -> None:
        if self._thread.ident is not None:
            self._ended.set()
            self._thread.join()
        if self.storage.turn is not None:
            with suppress(StoreError):
                self.storage.remove(LOCK)
            self.storage.turn = None
            shutil.rmtree(self.storage.path(self._turn), ignore_errors=True)
            with suppress(OSError):
                os.rmdir(self.storage.path(TURN))
        if self._descriptor is not None:
            if self._is_file(self._descriptor):
                os.unlink(self.storage.path(FILE))
            os.close(self._descriptor)
            self._descriptor = None

    def check(self) -> None:
        self.storage.check_turn()
        if time.monotonic() - self._described > lock.HEARTBEAT_S:
            self.describe()

    def describe(self) -> None:
        self.storage.write(LOCK, self.description())
        self._described = time.monotonic()

    def read_journal(self) -> bytes | None:
        try:
            return self.storage.read(JOURNAL)
        except FileNotFoundError:
            return None

    def write_journal(self, data: bytes) -> None:
        self.storage.write(JOURNAL, data, durable=True)

    def remove_journal(self) -> None:
        self.storage.remove(JOURNAL)

    def _lock_file(self) -> int | None:
        """Lock the file; return its descriptor, or None if the file system has no locks."""
        path = self.storage.path(FILE)
        while True:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                self._refuse()
            except OSError as error:
                os.close(descriptor)
                if error.errno not in _NO_LOCKS:
                    raise
                with suppress(FileNotFoundError):
                    os.unlink(path)
                return None
            # The former holder may have removed the file in between: then others lock a new one.
            if self._is_file(descriptor):
                return descriptor
            os.close(descriptor)

    def _is_file(self, descriptor: int) -> bool:
        """Return whether a descriptor is of the present lock file."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.storage.path(FILE)))
        except FileNotFoundError:
            return False

    def _take_turn(self) -> None:
        turn, own = self.storage.path(TURN), self.storage.path(self._turn)
        prepared = self.storage.path(f"{TEMPORARY}/{self.token}")
        os.makedirs(f"{prepared}/{self.token}")
        try:
            while not (_rename(prepared, turn) or self._take_over(turn, own)):
                pass
        finally:
            shutil.rmtree(prepared, ignore_errors=True)
        # A killed process may have left files on their way in or out.
        for entry in os.scandir(own):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
        self.storage.turn = self._turn

    def _take_over(self, turn: str, own: str) -> bool:
        """Take over from a dead holder; return False if there is none any more.

        Raise StoreError if the holder is alive.
        """
        with suppress(FileNotFoundError):
            for name in os.listdir(turn):
                if self._descriptor is None:
                    self._watch(name)
                os.rename(os.path.join(turn, name), own)
                return True
        return False

    def _watch(self, name: str) -> None:
        """Raise StoreError if the holder of a lease is alive."""
        path = Path(self.storage.path(f"{TURN}/{name}/{HEARTBEATS}"))
        first = _content(path)
        end = time.monotonic() + lock.LEASE_S
        while time.monotonic() < end:
            time.sleep(lock.POLL_S)
            if not path.parent.exists():
                return  # it has just ended
            if _content(path) != first:
                self._refuse()

    def _refuse(self) -> NoReturn:
        """Raise StoreError that names the holder."""
        description = b""
        with suppress(OSError):
            description = self.storage.read(LOCK)
        self.refuse(description)

    def _send_heartbeats(self) -> None:
        count = 0
        while not self._ended.wait(lock.HEARTBEAT_S):
            count += 1
            # A full disk or an outage of the file system delays the heartbeat, but not the run.
            with suppress(OSError):
                Path(self.storage.path(f"{self._turn}/{HEARTBEATS}")).write_text(str(count))


def _rename(folder: str, to: str) -> bool:
    """Rename a folder; return False if ``to`` exists and is not empty."""
    try:
        os.rename(folder, to)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
