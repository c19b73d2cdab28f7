"""Entries and Parquet files: what every storage of a store has in common."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TEMPORARY = "_work/tmp"
"""Where a file lies until it is whole: on the file system of the tables, out of readers' sight."""

_BATCH_ROWS = 16_384

_BUFFER_BYTES = 65_536
"""Of each column: without it, a column's bytes of a whole part would be read at once."""


@dataclass(frozen=True)
class Entry:
    """One file: its name below the root, its size, and when it was last written."""

    name: str
    size: int
    modified: float


def parquet(table: pa.Table, to: Any) -> None:
    """Write a table as Parquet, to a path or a file."""
    # Hardly a feature occurs twice: dictionaries of them would be larger than the values.
    dictionary = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(table, to, compression="zstd", use_dictionary=dictionary)


def batches_of(source: Any, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, by its path or open, some at a time."""
    with pq.ParquetFile(source, buffer_size=_BUFFER_BYTES) as file:
        yield from file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False)


def as_json(value: Any) -> bytes:
    """Return ``value`` as readable JSON text."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
