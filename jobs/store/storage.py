"""The storage interface: files below one root, in a folder or in a bucket."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

TEMPORARY = "_work/tmp"
"""Folder of incomplete files: on the file system of the tables, out of readers' sight."""

_BATCH_ROWS = 16_384

_BUFFER_BYTES = 65_536
"""Read buffer of a column. Without one, Arrow reads a column of a whole part at once."""


@dataclass(frozen=True)
class Entry:
    """A file: its name below the root, its size in bytes, and its modification time (Unix)."""

    name: str
    size: int
    modified: float


class Storage(ABC):
    """Files below one root. A file appears complete under its name, or not at all.

    :class:`jobs.store.folder.Folder` and :class:`jobs.store.bucket.Bucket` implement the abstract
    methods; JSON and Parquet are written on top of them. Names are relative to the root, with
    ``/``. Methods that read raise FileNotFoundError for a missing file.

    Parameters
    ----------
    root : str
        The folder's absolute path, or ``s3://BUCKET/PREFIX``. It need not exist yet.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from jobs.store.folder import Folder
    >>> with TemporaryDirectory() as root:
    ...     storage = Folder(root)
    ...     storage.write_table("t/a.parquet", pa.table({"x": [1, 2], "y": [3, 4]}))
    ...     storage.count_rows("t/a.parquet"), storage.read_table("t/a.parquet", ["y"]).to_pydict()
    (2, {'y': [3, 4]})
    """

    PRE_BUFFER: ClassVar[bool]
    """Whether columns are fetched in few large reads, which costs memory and saves requests."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, name: str) -> str:
        """Return the full path or address of ``name``."""
        return os.path.join(self.root, name)

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether the file ``name`` exists."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the sorted names of files and folders directly below the root."""

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Return the sorted names of the folders in ``folder``; none if it does not exist."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of ``name``."""

    @abstractmethod
    def open(self, name: str, *, whole: bool = False) -> AbstractContextManager[Any]:
        """Open ``name`` for random reads; ``whole`` if all of it will be read."""

    @abstractmethod
    def writer(self, name: str, *, durable: bool = False) -> AbstractContextManager[Any]:
        """Open a file for writing that replaces ``name`` when the body ends without an error.

        A ``durable`` file survives a power failure.
        """

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write ``data`` as ``name`` unless that exists; return whether it was written."""

    @abstractmethod
    def move(self, name: str, to: str) -> None:
        """Rename the file or folder ``name``; an existing file ``to`` is replaced."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove the file ``name`` if it exists."""

    @abstractmethod
    def remove_folder(self, name: str) -> None:
        """Remove the folder ``name`` and all its content, if it exists."""

    @abstractmethod
    def sync(self, folder: str) -> None:
        """Make the names in ``folder`` survive a power failure."""

    @abstractmethod
    def list(self, folder: str) -> Iterator[Entry]:
        """Yield the files directly in ``folder`` by name; none if it does not exist."""

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Write ``data`` as ``name``."""
        with self.writer(name, durable=durable) as file:
            file.write(data)

    def read_json(self, name: str) -> Any:
        """Return the value of the JSON file ``name``; ValueError if it is not JSON."""
        return parse_json(self.read(name))

    def write_json(self, name: str, value: Any, *, durable: bool = False) -> None:
        """Write ``value`` as the JSON file ``name``."""
        self.write(name, as_json(value), durable=durable)

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the Parquet file ``name``, or some of its columns."""
        # A ParquetFile, because the data set reader would add the columns of `level=...` folders.
        with (
            self.open(name, whole=columns is None) as source,
            pq.ParquetFile(source, pre_buffer=self.PRE_BUFFER) as file,
        ):
            return file.read(columns=columns)

    def read_batches(
        self, name: str, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the Parquet file ``name`` in batches, in constant memory."""
        with self.open(name) as source, pq.ParquetFile(source, buffer_size=_BUFFER_BYTES) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False)

    def read_schema(self, name: str) -> pa.Schema:
        """Return the schema of the Parquet file ``name``."""
        with self.open(name) as source:
            return pq.read_schema(source)

    def count_rows(self, name: str) -> int:
        """Return the number of rows of the Parquet file ``name``, from its footer."""
        with self.open(name) as source:
            return int(pq.read_metadata(source).num_rows)

    def write_table(self, name: str, table: pa.Table, *, durable: bool = False) -> None:
        """Write ``table`` as the Parquet file ``name``."""
        # Features rarely repeat: their dictionaries would be larger than the values.
        dictionary = [field.name for field in table.schema if pa.types.is_string(field.type)]
        with self.writer(name, durable=durable) as file:
            pq.write_table(table, file, compression="zstd", use_dictionary=dictionary)


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text; ValueError if it is not JSON.

    Deep nesting and halves of surrogate pairs are refused too: no file of a store has them.

    Examples
    --------
    >>> parse_json(b'{"version": 1}')
    {'version': 1}
    """
    try:
        value = json.loads(text)
        as_json(value)  # fails for half of a surrogate pair
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def as_json(value: Any) -> bytes:
    r"""Return ``value`` as readable JSON text.

    Examples
    --------
    >>> as_json({"version": 1})
    b'{\n "version": 1\n}\n'
    """
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
