"""A database for the tables of a plan, which spills to disk.

The tables of a million files are larger than a job's memory should be. DuckDB keeps them within a
limit, and moves the rest to a temporary folder.
"""

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from jobs.errors import SongmillError

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "400MB"
"""Memory of the database; its tables may be larger."""

THREADS = 2
"""Threads of a query. Each needs memory of its own."""


def connect() -> "duckdb.DuckDBPyConnection":
    """Return an empty database.

    Examples
    --------
    >>> with connect() as database:
    ...     insert(database, "listed", [pa.table({"track_id": ["a.wav", "b.wav"]})])
    ...     database.execute("SELECT count(*) FROM listed").fetchone()
    (2,)
    """
    import duckdb

    # Addresses may hold secrets: only the owner may read the folder.
    folder = tempfile.TemporaryDirectory(prefix="songmill-", ignore_cleanup_errors=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "threads": THREADS,
        "temp_directory": folder.name,
    }
    database = duckdb.connect(":memory:", config=config)
    weakref.finalize(database, folder.cleanup)
    return database


@contextmanager
def explain_full_disk() -> Iterator[None]:
    """Explain the errors of a database that finds no room for its tables.

    Raises
    ------
    SongmillError
        The memory and the temporary folder are full.
    """
    import duckdb

    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        problem = str(error).splitlines()[0].rstrip(".")
        raise SongmillError(
            f"the tables of the plan do not fit into {tempfile.gettempdir()}: {problem}. Free some "
            "space there, or set TMPDIR to another folder, and run the same command again"
        ) from None


def insert(
    database: "duckdb.DuckDBPyConnection", table: str, rows: Iterable[pa.Table | pa.RecordBatch]
) -> None:
    """Add rows to a table, which is created if it does not exist."""
    for batch in rows:
        database.register("batch", pa.table(batch))
        database.execute(f"CREATE TABLE IF NOT EXISTS {table} AS FROM batch LIMIT 0")
        database.execute(f"INSERT INTO {table} FROM batch")
        database.unregister("batch")
