"""Databases as their readers see them: SQL in, rows out."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import adbc_driver_postgresql.dbapi
import duckdb
import pandas as pd


@contextlib.contextmanager
def connect(to: str) -> Iterator[Any]:
    """Connect to a database; yield a cursor."""
    kind, path = to.partition("://")[0], to.partition(":///")[2]
    connection: Any
    if kind == "sqlite":
        connection = sqlite3.connect(path, isolation_level=None)
    elif kind == "duckdb":
        connection = duckdb.connect(path)
    else:
        utf8 = f"{to}&client_encoding=UTF8"  # as the driver expects it
        connection = adbc_driver_postgresql.dbapi.connect(utf8, autocommit=True)
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        yield cursor


def ask(to: str, query: str) -> Any:
    """Run SQL, and return the rows."""
    with connect(to) as cursor:
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else None


def table_of(to: str, name: str) -> pd.DataFrame:
    """Return all rows of a table."""
    query = f'SELECT * FROM "{name}"'
    with connect(to) as cursor:
        if isinstance(cursor, duckdb.DuckDBPyConnection):
            return cursor.sql(query).to_arrow_table().to_pandas()
        cursor.execute(query)
        if isinstance(cursor, sqlite3.Cursor):
            return pd.DataFrame(cursor.fetchall(), columns=[one[0] for one in cursor.description])
        return cursor.fetch_arrow_table().to_pandas()
