"""Files below one root, with the few operations that a store needs of a file system.

Whatever is written appears whole under its name or not at all. A root is a folder, or a prefix of a
bucket (:mod:`jobs.store.bucket`).
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.store.storage import TEMPORARY, Entry, batches_of, parquet

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links answer: FAT, some network and FUSE ones."""


class Storage:
    """The files below a folder.

    Parameters
    ----------
    root : str
        The folder's path. It need not exist yet.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def path(self, name: str) -> str:
        """Return the full path of ``name``."""
        return os.path.join(self.root, name)

    def exists(self, name: str) -> bool:
        """Tell whether there is a file ``name``."""
        return os.path.isfile(self.path(name))

    def names(self) -> list[str]:
        """Return the names directly below the root; none where there is none."""
        return sorted(os.listdir(self.root)) if os.path.isdir(self.root) else []

    def read(self, name: str) -> bytes:
        """Return the bytes of ``name``; FileNotFoundError where it is not."""
        return Path(self.path(name)).read_bytes()

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return the Parquet file ``name``, or some of its columns."""
        # A ParquetFile, because the data set reader would add the columns of `level=...` folders.
        with pq.ParquetFile(self.path(name)) as file:
            return file.read(columns=columns)

    def read_batches(self, name: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the Parquet file ``name``, some at a time, in memory for those only."""
        yield from batches_of(self.path(name), columns)

    def read_schema(self, name: str) -> pa.Schema:
        """Return the columns of the Parquet file ``name``."""
        return pq.read_schema(self.path(name))

    def count_rows(self, name: str) -> int:
        """Return the number of rows that the footer of ``name`` states."""
        return int(pq.read_metadata(self.path(name)).num_rows)

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Write ``data`` as ``name``; ``durable`` also survives the machine's power."""
        temporary = self._temporary()
        Path(temporary).write_bytes(data)
        self._place(temporary, name, durable=durable)

    def write_table(self, name: str, table: pa.Table, *, durable: bool = False) -> None:
        """Write ``table`` as the Parquet file ``name``."""
        temporary = self._temporary()
        parquet(table, temporary)
        self._place(temporary, name, durable=durable)

    def create(self, name: str, data: bytes) -> bool:
        """Write ``data`` as ``name`` unless that exists; tell whether it was written."""
        temporary = self._temporary()
        Path(temporary).write_bytes(data)
        target = self.path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # For a moment the file is there and empty: readers of it have to look twice.
            try:
                with open(target, "xb") as file:
                    file.write(data)
            except FileExistsError:
                return False
        finally:
            os.unlink(temporary)
        return True

    def move(self, name: str, to: str) -> None:
        """Give the file ``name`` the name ``to``, in place of what had it; or a folder its."""
        target = self.path(to)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(self.path(name), target)

    def remove(self, name: str) -> None:
        """Remove ``name``; nothing happens where it is not."""
        Path(self.path(name)).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """Remove the folder ``name`` with all that is in it; nothing happens where it is not."""
        shutil.rmtree(self.path(name), ignore_errors=True)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in ``folder``, ascending."""
        try:
            with os.scandir(self.path(folder)) as found:
                return sorted(entry.name for entry in found if entry.is_dir())
        except FileNotFoundError:
            return []

    def list(self, folder: str) -> Iterator[Entry]:
        """Yield the files directly in ``folder``, by name; none where there is no such folder."""
        try:
            with os.scandir(self.path(folder)) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            try:
                if entry.is_file():
                    state = entry.stat()
                    yield Entry(f"{folder}/{entry.name}", state.st_size, state.st_mtime)
            except FileNotFoundError:
                continue

    def sync(self, folder: str) -> None:
        """Make the names in ``folder`` survive the machine's power."""
        descriptor = os.open(self.path(folder), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _temporary(self) -> str:
        folder = self.path(TEMPORARY)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, uuid.uuid4().hex)

    def _place(self, temporary: str, name: str, *, durable: bool) -> None:
        target = self.path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
        if durable:
            self.sync(os.path.dirname(name) or ".")
