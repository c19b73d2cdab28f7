"""Storage in a folder of a file system.

A run that holds the lock has a folder of its own in the store. Every file that it writes or removes
is renamed from or to that folder. A run that takes over renames the folder first: from then on each
of these renames fails, so a suspended run cannot change the store when it goes on.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from jobs.store.atomic import atomic_write
from jobs.store.damage import damage_error
from jobs.store.lock import taken_over
from jobs.store.storage import TEMPORARY, Entry, Storage


class Folder(Storage):
    """The files below a folder, which need not exist yet."""

    PRE_BUFFER = False
    DAMAGE = (errno.EIO,)  # a bad sector

    def __init__(self, root: str) -> None:
        super().__init__(os.path.abspath(root))
        self.turn: str | None = None  # folder of the run that holds the lock

    def exists(self, name: str) -> bool:
        return os.path.isfile(self.path(name))

    def names(self) -> list[str]:
        return sorted(os.listdir(self.root)) if os.path.isdir(self.root) else []

    def folders(self, folder: str) -> list[str]:
        return [entry.name for entry in self._scan(folder) if entry.is_dir()]

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path(folder)) as found:
                return sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        try:
            return Path(self.path(name)).read_bytes()
        except OSError as error:
            if error.errno in self.DAMAGE:
                raise damage_error(self.root, name, f"is damaged ({error})") from None
            raise

    def open(self, name: str, *, whole: bool = False) -> AbstractContextManager[Any]:
        file: AbstractContextManager[Any] = pa.OSFile(self.path(name))
        return file

    @contextmanager
    def writer(self, name: str, *, durable: bool = False) -> Iterator[IO[bytes]]:
        target = self._target(name)
        with (
            self._temporary() as temporary,
            atomic_write(target, temporary=temporary, durable=durable),
            open(temporary, "w+b") as file,
        ):
            yield file
        if durable:
            self.sync(os.path.dirname(name) or ".")

    def create(self, name: str, data: bytes, *, durable: bool = False) -> bool:
        target = self._target(name)
        try:
            with (
                self._temporary() as temporary,
                atomic_write(target, temporary=temporary, durable=durable, exclusive=True),
            ):
                Path(temporary).write_bytes(data)
        except FileExistsError:
            return False
        return True

    def overwrite(self, name: str, data: bytes) -> None:
        descriptor = os.open(self._target(name), os.O_WRONLY | os.O_CREAT)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(data)

    def _target(self, name: str) -> str:
        target = self.path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    @contextmanager
    def _temporary(self) -> Iterator[str]:
        """Yield a new path, for a file before it appears in the store or before it is deleted."""
        if self.turn is None:
            os.makedirs(self.path(TEMPORARY), exist_ok=True)
        with self.fenced():
            yield self.path(f"{self.turn or TEMPORARY}/{uuid.uuid4().hex}")

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """Raise StoreError in place of FileNotFoundError if another run has taken over."""
        try:
            yield
        except FileNotFoundError:
            self.check_turn()
            raise

    def check_turn(self) -> None:
        """Raise StoreError if this run held the lock, and another run has taken over."""
        if self.turn is not None and not os.path.isdir(self.path(self.turn)):
            raise taken_over(self.root)

    def move(self, name: str, to: str) -> None:
        with self.fenced():
            os.utime(self.path(name))  # as in a bucket, it is as old as its new name
            os.replace(self.path(name), self._target(to))

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError), self._temporary() as temporary:
            os.rename(self.path(name), temporary)
            os.unlink(temporary)

    def remove_folder(self, name: str) -> None:
        path = self.path(name)
        with suppress(FileNotFoundError), self._temporary() as temporary:
            try:
                os.rename(path, temporary)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                # A layered file system (a container's) does not rename a folder of its image.
                self.check_turn()
                shutil.rmtree(path, ignore_errors=True)
            shutil.rmtree(temporary, ignore_errors=True)

    def sync(self, name: str) -> None:
        with self.fenced():
            descriptor = os.open(self.path(name), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def list(self, folder: str) -> Iterator[Entry]:
        for entry in self._scan(folder):
            try:
                if entry.is_file():
                    state = entry.stat()
                    yield Entry(f"{folder}/{entry.name}", state.st_size, state.st_mtime)
            except FileNotFoundError:
                continue
