"""Atomic exports to a file: CSV, JSON lines, Parquet or Arrow."""

import os

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import ExportError
from jobs.exporting.rows import Rows
from jobs.exporting.target import STDOUT
from jobs.store.atomic import atomic_write


def write_file(rows: Rows, path: str) -> None:
    """Write rows to a file; an existing file is replaced atomically.

    Parameters
    ----------
    rows : Rows
        The table.
    path : str
        The file, with one of the suffixes :data:`jobs.exporting.target.SUFFIXES`; or
        :data:`jobs.exporting.target.STDOUT`, for CSV.

    Raises
    ------
    ExportError
        The file cannot be written. An existing one is unchanged.
    """
    if path == STDOUT:
        _write_text(rows, "/dev/stdout", "stdout.csv")
        return
    try:
        with atomic_write(path) as temporary:
            _write(rows, temporary, os.path.basename(path).lower())
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from None


def _write(rows: Rows, path: str, name: str) -> None:
    if name.endswith(".parquet"):
        with pq.ParquetWriter(path, rows.schema, compression="zstd") as parquet:
            for batch in rows.reader():
                parquet.write_batch(batch)
    elif name.endswith(".arrow"):
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, rows.schema) as arrow:
            for batch in rows.reader():
                arrow.write_batch(batch)
    else:
        _write_text(rows, path, name)


def _write_text(rows: Rows, path: str, name: str) -> None:
    import duckdb

    delimiters = {".csv": ",", ".tsv": "\t"}
    delimiter = delimiters.get(os.path.splitext(name.removesuffix(".gz"))[1])
    text = f"FORMAT csv, HEADER, DELIMITER '{delimiter}'" if delimiter else "FORMAT json"
    compression = "gzip" if name.endswith(".gz") else "none"
    quoted = path.replace("'", "''")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("exported", rows.reader())
        try:
            connection.execute(
                f"COPY (SELECT * FROM exported) TO '{quoted}' ({text}, COMPRESSION {compression})"
            )
        except duckdb.Error as error:
            if rows.failure is not None:
                raise rows.failure from None
            raise ExportError(f"the file cannot be written: {error}") from None
