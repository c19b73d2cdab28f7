"""The lock of a store in a folder.

The kernel keeps it: the holder has an advisory lock (``flock``) on ``_work/lock``, which ends with
the process. No clock and no process id matters.

Some file systems have no such locks. There the lock is a lease: the holder rewrites ``_lock.json``
every few seconds, and a contender that sees no change for :data:`jobs.store.lock.LEASE_S` takes
over. No clocks are compared.

``_work/turn`` contains one folder, which has the token of the holder as its name. A contender
prepares such a folder and renames it into place, which succeeds only where there is none. It first
moves the folder of a dead holder away. From then on that run can change nothing more (see
:mod:`jobs.store.folder`).
"""

import errno
import fcntl
import os
import shutil
import time
from contextlib import suppress
from typing import NoReturn

from jobs.errors import StoreError
from jobs.store import lock
from jobs.store.folder import Folder
from jobs.store.lock import JOURNAL, KILLED, LOCK, Lock
from jobs.store.storage import TEMPORARY

FILE = "_work/lock"

TURN = "_work/turn"

LEASE = ".lease"
"""Suffix of the folder of a holder without an advisory lock."""

_NO_LOCKS = (
    *(errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF),
)
"""Errors of file systems without advisory locks."""


class FolderLock(Lock):
    """Exclusive right to change the store in a folder."""

    storage: Folder

    def __init__(self, storage: Folder) -> None:
        super().__init__(storage)
        self._turn = ""
        self._descriptor: int | None = None  # None where the file system has no locks

    def acquire(self) -> None:
        self._descriptor = self._lock_file()
        self._turn = f"{TURN}/{self.token}{LEASE if self._descriptor is None else ''}"
        self._take_turn()
        dead = self._read(LOCK)
        if dead is not None:
            self.storage.write(f"{KILLED}/{self.token}.json", dead)
        self.describe()
        self.heartbeats.start()
        with self.storage.fenced():
            left = list(os.scandir(self.storage.path(self._turn)))
        for entry in left:
            if entry.is_dir(follow_symlinks=False):  # with unfinished files of a dead holder
                shutil.rmtree(entry.path, ignore_errors=True)

    def release(self) -> None:
        try:
            if self.storage.turn == self._turn:
                with suppress(StoreError, OSError):
                    self.storage.remove(LOCK)
                self.storage.turn = None
                shutil.rmtree(self.storage.path(self._turn), ignore_errors=True)
                with suppress(OSError):
                    os.rmdir(self.storage.path(TURN))
            if self._descriptor is not None and self._is_file(self._descriptor):
                with suppress(OSError):
                    os.unlink(self.storage.path(FILE))
        finally:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def check(self) -> None:
        self.storage.check_turn()

    def describe(self) -> None:
        self.storage.write(LOCK, self.description())

    def beat(self) -> None:
        self.describe()

    def read_journal(self) -> bytes | None:
        return self._read(JOURNAL)

    def claim_journal(self, data: bytes) -> bool:
        if self.read_journal() is not None:
            self.write_journal(data)
        return True

    def write_journal(self, data: bytes) -> None:
        self.storage.write(JOURNAL, data, durable=True)

    def remove_journal(self) -> None:
        self.storage.remove(JOURNAL)

    def _read(self, name: str) -> bytes | None:
        try:
            return self.storage.read(name)
        except FileNotFoundError:
            return None

    def _lock_file(self) -> int | None:
        """Lock the file; return its descriptor, or None if the file system has no locks."""
        path = self.storage.path(FILE)
        while True:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # the latter on some network file systems
                os.close(descriptor)
                self._refuse()
            except OSError as error:
                os.close(descriptor)
                if error.errno not in _NO_LOCKS:
                    raise
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
        turn, name = self.storage.path(TURN), os.path.basename(self._turn)
        prepared = self.storage.path(f"{TEMPORARY}/{self.token}")
        if b'"heartbeats"' in (self._read(LOCK) or b""):  # of an older songmill
            self._watch(self.storage.root)
        try:
            while True:
                os.makedirs(f"{prepared}/{name}", exist_ok=True)
                with suppress(FileNotFoundError):
                    if _rename(prepared, turn):
                        break
                    for other in os.listdir(turn):
                        path = os.path.join(turn, other)
                        if self._descriptor is None or other.endswith(LEASE):
                            self._watch(path)
                        os.rename(path, f"{prepared}/{name}/{other}")
        finally:
            shutil.rmtree(prepared, ignore_errors=True)
        self.storage.turn = self._turn

    def _watch(self, path: str) -> None:
        """Raise StoreError if the holder of a lease is alive; ``path`` is its folder."""
        first = self._read(LOCK)
        for _ in lock.looks():
            time.sleep(lock.POLL_S)
            if not os.path.exists(path):
                return  # it has just ended
            if self._read(LOCK) != first:
                self._refuse()

    def _refuse(self) -> NoReturn:
        """Raise StoreError that names the holder."""
        self.refuse(self._read(LOCK) or b"")


def _rename(folder: str, to: str) -> bool:
    """Rename a folder; return False if ``to`` exists and is not empty."""
    with suppress(OSError):
        os.rmdir(to)  # not every file system replaces an empty folder
    try:
        os.rename(folder, to)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
