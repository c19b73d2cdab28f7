"""A store's files in an object store: a :class:`jobs.store.folder.Storage` without a rename.

An object appears whole under its key or not at all, as a file does that is moved into its place.
What a folder does by a rename is a copy and a deletion here; if the process dies in between, there
are both, and the commit's journal has it done once more.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.store.folder import Storage
from jobs.store.s3 import answering, file_system
from jobs.store.storage import Entry, batches_of, parquet

LAST = "model.json"
"""Of a folder, the file that is copied last: without it a model is none."""


class Bucket(Storage):
    """The objects below a prefix.

    Parameters
    ----------
    root : str
        ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._system = file_system()

    def path(self, name: str) -> str:
        """Return the address of ``name``."""
        return f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Tell whether there is an object ``name``."""
        try:
            return bool(self._ask("info", self.path(name))["type"] == "file")
        except FileNotFoundError:
            return False

    def names(self) -> list[str]:
        """Return the names directly below the root."""
        try:
            found = self._ask("ls", self.root, detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def read(self, name: str) -> bytes:
        """Return the bytes of ``name``; FileNotFoundError where it is not."""
        data: bytes = self._ask("cat_file", self.path(name))
        return data

    def _ask(self, operation: str, *arguments: Any, **how: Any) -> Any:
        with answering(self.root):
            return getattr(self._system, operation)(*arguments, **how)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        with answering(self.root), self._system.open(self.path(name), "rb") as file:
            yield file

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return the Parquet file ``name``, or some of its columns."""
        if columns is None:
            with pq.ParquetFile(pa.BufferReader(self.read(name))) as whole:
                return whole.read()
        with self._opened(name) as source, pq.ParquetFile(source, pre_buffer=True) as file:
            return file.read(columns=columns)

    def read_batches(self, name: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the Parquet file ``name``, some at a time."""
        with self._opened(name) as source:
            yield from batches_of(source, columns)

    def read_schema(self, name: str) -> pa.Schema:
        """Return the columns of the Parquet file ``name``."""
        with self._opened(name) as source:
            return pq.read_schema(source)

    def count_rows(self, name: str) -> int:
        """Return the number of rows that the footer of ``name`` states."""
        with self._opened(name) as source:
            return int(pq.read_metadata(source).num_rows)

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Write ``data`` as ``name``; an object store keeps what it has confirmed."""
        self._ask("pipe_file", self.path(name), data)

    def write_table(self, name: str, table: pa.Table, *, durable: bool = False) -> None:
        """Write ``table`` as the Parquet file ``name``."""
        file = io.BytesIO()
        parquet(table, file)
        self.write(name, file.getvalue())

    def create(self, name: str, data: bytes) -> bool:
        """Write ``data`` as ``name`` unless that exists; tell whether it was written."""
        try:
            self._ask("pipe_file", self.path(name), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def move(self, name: str, to: str) -> None:
        """Give the object ``name`` the name ``to``, in place of what had it; or a folder its."""
        if self.exists(name):
            self._ask("cp_file", self.path(name), self.path(to))
            self.remove(name)
            return
        below = [found.rpartition("/")[2] for found in self._find(name) if not _is_mark(found)]
        if not below:
            raise FileNotFoundError(self.path(name))
        for file in sorted(below, key=lambda one: (one == LAST, one)):
            self._ask("cp_file", self.path(f"{name}/{file}"), self.path(f"{to}/{file}"))
        self.remove_folder(name)

    def remove(self, name: str) -> None:
        """Remove ``name``; nothing happens where it is not."""
        try:
            self._ask("rm_file", self.path(name))
        except FileNotFoundError:
            return

    def remove_folder(self, name: str) -> None:
        """Remove all that is below ``name``; nothing happens where there is nothing."""
        found = self._find(name)
        if found:
            self._ask("rm", found)

    def _find(self, folder: str) -> list[str]:
        try:
            return list(self._ask("find", self.path(folder)))
        except FileNotFoundError:
            return []

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in ``folder``, ascending."""
        return sorted(
            entry["name"].rstrip("/").rpartition("/")[2]
            for entry in self._entries(folder)
            if entry["type"] == "directory"
        )

    def _entries(self, folder: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._ask("ls", self.path(folder), detail=True)
        except FileNotFoundError:
            return []
        return [entry for entry in found if entry["type"] != "file" or not _is_mark(entry["name"])]

    def list(self, folder: str) -> Iterator[Entry]:
        """Yield the objects directly in ``folder``, by name; none where there is no such folder."""
        for entry in sorted(self._entries(folder), key=lambda entry: str(entry["name"])):
            if entry["type"] == "file":
                name = entry["name"].rpartition("/")[2]
                modified = entry["LastModified"].timestamp()
                yield Entry(f"{folder}/{name}", entry["size"], modified)

    def sync(self, folder: str) -> None:
        """Do nothing: an object store keeps what it has confirmed."""


def _is_mark(name: str) -> bool:
    """Tell whether an object is the empty one by which some object stores keep a folder."""
    return name.endswith("/")


def _code(error: OSError) -> str:
    """Return the object store's own word for what went wrong."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
