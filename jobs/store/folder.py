"""Storage in a folder of a file system."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from jobs.store.atomic import atomic_write
from jobs.store.storage import TEMPORARY, Entry, Storage


class Folder(Storage):
    """The files below a folder, which need not exist yet."""

    PRE_BUFFER = False

    def __init__(self, root: str) -> None:
        super().__init__(os.path.abspath(root))

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
        return Path(self.path(name)).read_bytes()

    def open(self, name: str, *, whole: bool = False) -> AbstractContextManager[Any]:
        file: AbstractContextManager[Any] = pa.OSFile(self.path(name))
        return file

    @contextmanager
    def writer(self, name: str, *, durable: bool = False) -> Iterator[IO[bytes]]:
        target, temporary = self._prepare(name)
        with (
            atomic_write(target, temporary=temporary, durable=durable),
            open(temporary, "wb") as file,
        ):
            yield file
        if durable:
            self.sync(os.path.dirname(name) or ".")

    def create(self, name: str, data: bytes) -> bool:
        target, temporary = self._prepare(name)
        try:
            with atomic_write(target, temporary=temporary, durable=False, exclusive=True):
                Path(temporary).write_bytes(data)
        except FileExistsError:
            return False
        return True

    def _prepare(self, name: str) -> tuple[str, str]:
        """Return the path of ``name`` and a new temporary path; their folders are made."""
        target, temporary = self.path(name), self.path(f"{TEMPORARY}/{uuid.uuid4().hex}")
        for path in (target, temporary):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        return target, temporary

    def move(self, name: str, to: str) -> None:
        target = self.path(to)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(self.path(name), target)

    def remove(self, name: str) -> None:
        Path(self.path(name)).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        shutil.rmtree(self.path(name), ignore_errors=True)

    def sync(self, folder: str) -> None:
        descriptor = os.open(self.path(folder), os.O_RDONLY)
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
