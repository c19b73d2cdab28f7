"""The storage interface: files below one root, in a folder or in a bucket."""

import json
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import StoreError
from jobs.store.damage import damage_error

TEMPORARY = "_work/tmp"
"""Folder of incomplete files: on the file system of the tables, out of readers' sight."""

_BATCH_ROWS = 16_384

_GROUP_VALUES = 2**23
"""Values of a row group, of at least a batch: wide tables get several, which are read one by one.
"""

_BUFFER_BYTES = 65_536
"""Read buffer of a column. Without one, Arrow reads a column of a whole part at once."""

_TAIL_BYTES = 65_536
"""Bytes at the end of a Parquet file that are read at once, as Arrow does."""

_MAGIC = b"PAR1"
"""First and last bytes of a Parquet file."""


@dataclass(frozen=True)
class Entry:
    """A file: its name below the root, its size in bytes, and its modification time (Unix)."""

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class Part:
    """A Parquet file, as it was written.

    Parameters
    ----------
    rows : int
        Number of rows.
    bytes : int
        Size of the file.
    footer : str
        CRC-32 of the footer, in hexadecimal. Unlike the pages, it has no checksum in the file.
    """

    rows: int
    bytes: int
    footer: str


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
    ...     part = storage.write_table("t/a.parquet", pa.table({"x": [1, 2], "y": [3, 4]}))
    ...     storage.count_rows("t/a.parquet"), storage.read_table("t/a.parquet", ["y"]).to_pydict()
    (2, {'y': [3, 4]})
    """

    PRE_BUFFER: ClassVar[bool]
    """Whether columns are fetched in few large reads, which costs memory and saves requests."""

    DAMAGE: ClassVar[tuple[int, ...]] = ()
    """Numbers of the operating system's errors that are damage."""

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
        """Open a file for writing and reading that replaces ``name`` when the body ends well.

        A ``durable`` file survives a power failure.
        """

    @abstractmethod
    def create(self, name: str, data: bytes, *, durable: bool = False) -> bool:
        """Write ``data`` as ``name`` unless that exists; return whether it was written."""

    def overwrite(self, name: str, data: bytes) -> None:
        """Write ``data`` as ``name``, over an existing file that is not longer.

        Cheaper in a folder than :meth:`write`, but a reader may see a part of both contents.
        """
        self.write(name, data)

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
    def sync(self, name: str) -> None:
        """Make a file's content, or the names in a folder, survive a power failure."""

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

    def read_table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        is_footer: Callable[[str], bool] | None = None,
    ) -> pa.Table:
        """Return the Parquet file ``name``, or some of its columns; StoreError if it is damaged.

        ``is_footer`` tells whether a CRC-32, as in :class:`Part`, is that of the file's footer.
        """
        whole, pre_buffer = columns is None, self.PRE_BUFFER
        with self._parquet(name, is_footer, whole=whole, pre_buffer=pre_buffer) as file:
            _check_columns(file, columns)
            return file.read(columns=columns)

    def read_batches(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        is_footer: Callable[[str], bool] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the Parquet file ``name`` in batches, in constant memory.

        ``is_footer`` and errors are those of :meth:`read_table`.
        """
        with self._parquet(name, is_footer, buffer_size=_BUFFER_BYTES) as file:
            _check_columns(file, columns)
            for i in range(file.num_row_groups):  # Arrow would keep those that were read
                yield from file.iter_batches(
                    _BATCH_ROWS, row_groups=[i], columns=columns, use_threads=False
                )

    def read_slice(
        self, name: str, columns: Sequence[str], start: int, stop: int
    ) -> Iterator[pa.Table]:
        """Yield rows ``start`` to ``stop`` of the Parquet file ``name``, a row group at a time.

        Errors are those of :meth:`read_table`.
        """
        with self._parquet(name, pre_buffer=self.PRE_BUFFER) as file:
            _check_columns(file, columns)
            end = 0
            for i in range(file.num_row_groups):
                first, end = end, end + file.metadata.row_group(i).num_rows
                if first < stop and start < end:
                    rows = file.read_row_group(i, columns=columns)
                    yield rows.slice(max(start - first, 0), stop - max(start, first))

    def read_schema(self, name: str) -> pa.Schema:
        """Return the schema of the Parquet file ``name``; StoreError if it is damaged."""
        with self._parquet(name) as file:
            return file.schema_arrow

    def count_rows(self, name: str, *, is_footer: Callable[[str], bool] | None = None) -> int:
        """Return the number of rows of the Parquet file ``name``, from its footer.

        ``is_footer`` and errors are those of :meth:`read_table`.
        """
        with self._parquet(name, is_footer) as file:
            return int(file.metadata.num_rows)

    def describe_part(self, name: str) -> Part:
        """Return the rows, size and footer of the Parquet file ``name``."""
        with self._report_damage(name), self.open(name) as source:
            footer = footer_checksum(source)
            size = source.seek(0, os.SEEK_END)
            return Part(int(pq.read_metadata(source).num_rows), size, footer)

    @contextmanager
    def _parquet(
        self,
        name: str,
        is_footer: Callable[[str], bool] | None = None,
        *,
        whole: bool = False,
        **options: Any,
    ) -> Iterator[pq.ParquetFile]:
        """Open the Parquet file ``name``; StoreError if what the body reads is damaged."""
        with self._report_damage(name), self.open(name, whole=whole) as source:
            if is_footer and not is_footer(footer_checksum(source)):
                raise pa.ArrowInvalid("its footer is not the one that was written")
            # A ParquetFile, because the data set reader would add the columns of `level=...`
            # folders.
            with pq.ParquetFile(source, page_checksum_verification=True, **options) as file:
                yield file

    @contextmanager
    def _report_damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            # Arrow's own errors about a file are plain and have no number. Refusals and time-outs
            # of an object store may have none either, but are no damage.
            is_arrows = type(error) is OSError and error.errno is None
            if isinstance(error, OSError) and not is_arrows and error.errno not in self.DAMAGE:
                text = error.strerror or str(error) or type(error).__name__
                raise StoreError(f"{self.root}/{name} cannot be read: {text}") from None
            raise damage_error(self.root, name, f"is damaged ({error})") from None

    def write_table(self, name: str, table: pa.Table, *, durable: bool = False) -> Part:
        """Write ``table`` as the Parquet file ``name``, and describe that file."""
        with self.writer(name, durable=durable) as file:
            write_parquet(table, file)
            return Part(table.num_rows, file.tell(), footer_checksum(file))


def write_parquet(table: pa.Table, file: IO[bytes]) -> None:
    """Write ``table`` to an open file as Parquet, with a checksum of each page."""
    # Features rarely repeat: their dictionaries would be larger than the values.
    dictionary = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(
        table,
        file,
        row_group_size=max(_BATCH_ROWS, _GROUP_VALUES // max(1, table.num_columns)),
        compression="zstd",
        use_dictionary=dictionary,
        write_page_checksum=True,
    )


def footer_checksum(source: Any) -> str:
    """Return the CRC-32 of the footer of an open Parquet file, in hexadecimal.

    Raise pa.ArrowInvalid if it has none.
    """
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - _TAIL_BYTES))
    tail = source.read()
    # A footer ends with its length and the magic bytes.
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != _MAGIC or length + len(_MAGIC) > size:
        raise pa.ArrowInvalid("it does not end with the footer of a Parquet file")
    if length > len(tail):
        source.seek(size - length)
        tail = source.read()
    return f"{zlib.crc32(tail[-length:]):08x}"


def _check_columns(file: pq.ParquetFile, columns: Sequence[str] | None) -> None:
    """Raise pa.ArrowInvalid if the file lacks one of the columns, which Arrow would leave out."""
    missing = set(columns or ()) - set(file.schema_arrow.names)
    if missing:
        raise pa.ArrowInvalid(f"it has no column {min(missing)!r}")


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
        json.dumps(value, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def json_checksum(value: Any) -> str:
    """Return the CRC-32 of ``value`` as JSON text, in hexadecimal.

    Examples
    --------
    >>> json_checksum({"version": 1})
    '903bbdec'
    """
    return f"{zlib.crc32(as_json(value)):08x}"


def as_json(value: Any) -> bytes:
    r"""Return ``value`` as readable JSON text.

    Examples
    --------
    >>> as_json({"version": 1})
    b'{\n "version": 1\n}\n'
    """
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
