"""A table in a database: loaded beside the old one, and put in its place in one transaction.

Whoever reads meanwhile sees the old table or the new one, and an export that dies leaves the old.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from jobs.errors import ExportError, UsageError
from jobs.exporting.rows import Rows
from jobs.exporting.target import Kind, Target

CONNECT_S = 10
"""For so long a PostgreSQL that does not answer is waited for."""

RESERVE_S = 30
"""For so long another export to the same table is waited for. One that was killed ends by then."""

SWAP_TRIES = 60
"""So often an export asks for the table that others are reading, for a second each time."""

INDEXED = ("track_id", "segment", "rank")
"""The columns that rows are found by, as far as a table has them."""

_LOCK_NOT_AVAILABLE = "55P03"

MAX_NAME = 63
"""Bytes of a name in PostgreSQL."""


def to_postgresql(
    rows: Rows, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> None:
    """Load rows into PostgreSQL, by its binary COPY.

    Parameters
    ----------
    rows : Rows
        The table.
    target : Target
        The database.
    schema : str or None
        The schema; by default the first of the user's search path.
    table : str
        The table's name there.
    keys : tuple of str
        Columns by which an earlier export is known: nothing else is replaced.

    Raises
    ------
    UsageError
        There is no such schema, or the name is somebody else's.
    ExportError
        The server cannot be reached, or refuses.
    """
    from adbc_driver_postgresql import dbapi

    _fit_name(table)
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_S))
    with (
        _clear_errors(dbapi.Error, rows, target),
        contextlib.closing(dbapi.connect(target.address)) as connection,
        contextlib.closing(connection.cursor()) as cursor,
    ):
        schema = _schema(cursor, schema, target)
        where = f"{_quoted(schema)}.{_quoted(table)}"
        beside = f"_songmill_{hashlib.sha256(table.encode()).hexdigest()[:16]}"
        new = f"{_quoted(schema)}.{_quoted(beside)}"
        _reserve(cursor, where, target)
        _check_replaceable(cursor, where, keys)
        if _check_replaceable(cursor, new, keys) is not None:
            cursor.execute(f"DROP TABLE {new}")  # a killed export has left it
        cursor.adbc_ingest(beside, rows.reader(), mode="create", db_schema_name=schema)
        cursor.execute(f"CREATE INDEX {beside}_index ON {new} ({_indexed(rows.schema)})")
        # The rows are to be older than whoever waits for the swap: some readers (COPY) see what was
        # there when they began to wait, in whichever table they find then.
        connection.commit()
        cursor.execute(f"ANALYZE {new}")
        try:
            old = _check_replaceable(cursor, where, keys)
            if old is not None:
                for grant in _grants(cursor, old, new):
                    cursor.execute(grant)
                cursor.execute(_lock(where))
                cursor.execute(f"DROP TABLE {where}")
            index = _quoted(f"{table[: MAX_NAME // 2]}_index")
            if _ask(cursor, "SELECT to_regclass($1)::text", f"{_quoted(schema)}.{index}") is None:
                cursor.execute(f"ALTER INDEX {_quoted(schema)}.{beside}_index RENAME TO {index}")
            cursor.execute(f"ALTER TABLE {new} RENAME TO {_quoted(table)}")
            connection.commit()
        except BaseException:
            connection.rollback()
            cursor.execute(f"DROP TABLE {new}")
            connection.commit()
            raise


def to_sqlite(
    rows: Rows, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> None:
    """Load rows into a file of SQLite, which is made where it is not there.

    Parameters
    ----------
    rows, target, table, keys
        As for :func:`to_postgresql`.
    schema : None
        SQLite has none.

    Raises
    ------
    UsageError
        The name is somebody else's.
    ExportError
        The file is no database, or cannot be written.
    """
    from adbc_driver_sqlite import dbapi

    beside = f"{table}_new"
    with (
        _clear_errors(dbapi.Error, rows, target),
        contextlib.closing(dbapi.connect(target.address)) as connection,
        contextlib.closing(connection.cursor()) as cursor,
    ):
        # Readers are only locked out for the moment of the commit, not when the cache is full.
        cursor.execute("PRAGMA cache_spill = OFF")
        # A view of the old table goes on with the new one.
        cursor.execute("PRAGMA legacy_alter_table = ON")
        kind = _ask(cursor, "SELECT type FROM sqlite_master WHERE name = ?", table)
        if kind is not None:
            cursor.execute("SELECT name FROM pragma_table_info(?)", (table,))
            _check_known(kind == "table", {name for (name,) in cursor.fetchall()}, table, keys)
        columns = (f"{_quoted(field.name)} {_sqlite_type(field.type)}" for field in rows.schema)
        cursor.execute(f"CREATE TABLE {_quoted(beside)} ({', '.join(columns)})")
        cursor.adbc_ingest(beside, rows.reader(), mode="append")
        if kind is not None:
            cursor.execute(f"DROP TABLE {_quoted(table)}")
        cursor.execute(f"ALTER TABLE {_quoted(beside)} RENAME TO {_quoted(table)}")
        index = _quoted(f"{table}_index")
        cursor.execute(f"CREATE INDEX {index} ON {_quoted(table)} ({_indexed(rows.schema)})")
        connection.commit()


def to_duckdb(
    rows: Rows, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> None:
    """Load rows into a file of DuckDB, which is made where it is not there.

    Parameters
    ----------
    rows, target, table, keys
        As for :func:`to_postgresql`.
    schema : str or None
        The schema; by default ``main``.

    Raises
    ------
    UsageError
        There is no such schema, or the name is somebody else's.
    ExportError
        The file is no database, is in use by another process, or cannot be written.
    """
    import duckdb

    schema = schema or "main"
    where = f"{_quoted(schema)}.{_quoted(table)}"
    _check_duckdb(target)
    with (
        _clear_errors(duckdb.Error, rows, target),
        duckdb.connect(target.address) as connection,
    ):
        connection.execute("BEGIN")
        found = connection.execute(
            "SELECT count(*) FROM duckdb_schemas() WHERE schema_name = ? "
            "AND database_name = current_database()",
            [schema],
        ).fetchall()
        if found == [(0,)]:
            raise UsageError(f"{target.shown} has no schema {schema!r}")
        old = connection.execute(
            "SELECT table_type, list(column_name) FROM information_schema.tables "
            "JOIN information_schema.columns USING (table_catalog, table_schema, table_name) "
            "WHERE table_catalog = current_database() AND table_schema = ? AND table_name = ? "
            "GROUP BY table_type",
            [schema, table],
        ).fetchall()
        for table_type, columns in old:
            _check_known(table_type == "BASE TABLE", set(columns), where, keys)
        connection.register("exported", rows.reader())
        connection.execute(f"CREATE OR REPLACE TABLE {where} AS SELECT * FROM exported")
        index = _quoted(f"{table}_index")
        connection.execute(f"CREATE INDEX {index} ON {where} ({_indexed(rows.schema)})")
        connection.execute("COMMIT")


LOADERS: dict[Kind, Callable[[Rows, Target, str | None, str, tuple[str, ...]], None]] = {
    "postgresql": to_postgresql,
    "sqlite": to_sqlite,
    "duckdb": to_duckdb,
}
"""What loads into each kind of database."""


@contextlib.contextmanager
def _clear_errors(kind: type[Exception], rows: Rows, target: Target) -> Iterator[None]:
    """Turn a driver's errors into ours, without the password."""
    try:
        yield
    except kind as error:
        if rows.failure is not None:
            raise rows.failure from None
        text = _plain(target.hide(str(error)))
        raise ExportError(
            f"the export to {target.shown} failed, and what was there is still there: {text}"
        ) from None


def _plain(text: str) -> str:
    """Return what a driver says without what only its authors need."""
    text = " ".join(text.split())
    text = re.sub(r"^[A-Z_]+: \[\w+\] ", "", text)
    text = re.sub(r"^Failed to (execute|prepare) query '.*?': (ERROR: )?", "", text)
    return re.sub(r"( HINT: .*)?[ .]* SQLSTATE: \w+$", "", text)


def _quoted(name: str) -> str:
    """Return a name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _indexed(schema: pa.Schema) -> str:
    """Return the columns of the index, quoted."""
    return ", ".join(_quoted(name) for name in INDEXED if name in schema.names)


def _ask(cursor: Any, question: str, *values: str) -> Any:
    """Return the one value that answers a question; None where there is no row."""
    cursor.execute(question, values)
    row = cursor.fetchone()
    return None if row is None else row[0]


def _check_known(is_table: bool, columns: set[str], table: str, keys: tuple[str, ...]) -> None:
    """Raise UsageError unless a table is an earlier export."""
    missing = [key for key in keys if key not in columns]
    if missing or not is_table:
        why = f"it has no column {missing[0]}" if is_table else "it is no table"
        raise UsageError(
            f"{table} is there and is not an earlier export of this table ({why}): it is left as "
            "it is. Name another with --table"
        )


# PostgreSQL


def _fit_name(table: str) -> None:
    if not table or len(table.encode()) > MAX_NAME:
        raise UsageError(f"--table {table!r}: PostgreSQL's names have 1 to {MAX_NAME} bytes")


def _reserve(cursor: Any, where: str, target: Target) -> None:
    """Keep other exports from a table until the connection ends, however it does."""
    # Else the server goes on with what a killed export has asked for.
    cursor.execute(
        "SELECT set_config(name, '1000', false) FROM pg_settings "
        "WHERE name = 'client_connection_check_interval'"
    )
    cursor.fetchall()
    cursor.execute(f"SET LOCAL lock_timeout = '{RESERVE_S}s'")
    try:
        cursor.execute("SELECT pg_advisory_lock(hashtext($1))", (f"songmill {where}",))
        cursor.fetchall()
    except Exception as error:
        if getattr(error, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise ExportError(
            f"another export to {where} of {target.shown} is under way, for {RESERVE_S} s at least"
        ) from None


def _schema(cursor: Any, schema: str | None, target: Target) -> str:
    """Return the schema to load into."""
    if schema is None:
        found = _ask(cursor, "SELECT current_schema()::text")
        if found is None:
            raise UsageError(f"the user of {target.shown} has no schema: name one with --schema")
        return str(found)
    if not _ask(cursor, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema):
        raise UsageError(f"{target.shown} has no schema {schema!r}: make it first")
    return schema


def _check_replaceable(cursor: Any, where: str, keys: tuple[str, ...]) -> int | None:
    """Return the object id of an earlier export; None where there is no table of the name."""
    old = _ask(cursor, "SELECT to_regclass($1)::oid::bigint", where)
    if old is None:
        return None
    kind = _ask(cursor, f"SELECT relkind::text FROM pg_class WHERE oid = {old}")
    cursor.execute(f"SELECT attname::text FROM pg_attribute WHERE attrelid = {old} AND attnum > 0")
    _check_known(kind == "r", {name for (name,) in cursor.fetchall()}, where, keys)
    return int(old)


def _grants(cursor: Any, old: int, new: str) -> list[str]:
    """Return what gives the users of the old table the same rights to the new one."""
    cursor.execute(
        "SELECT acl.privilege_type::text, acl.is_grantable, "
        "CASE acl.grantee WHEN 0 THEN 'PUBLIC' "
        "ELSE quote_ident(pg_get_userbyid(acl.grantee)::text) END "
        "FROM pg_class, aclexplode(relacl) AS acl "
        f"WHERE oid = {old} AND acl.grantee <> relowner"
    )
    return [
        f"GRANT {privilege} ON {new} TO {grantee}{' WITH GRANT OPTION' if grantable else ''}"
        for privilege, grantable, grantee in cursor.fetchall()
    ]


def _lock(where: str) -> str:
    """Return what waits for a table until nobody reads it, and never keeps others waiting long."""
    literal = where.replace("'", "''")
    return f"""
DO $songmill$
BEGIN
    FOR i IN 1..{SWAP_TRIES} LOOP
        BEGIN
            SET LOCAL lock_timeout = '1s';
            EXECUTE 'LOCK TABLE {literal} IN ACCESS EXCLUSIVE MODE';
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'others have been reading the table for {2 * SWAP_TRIES} s';
END
$songmill$
"""


# Files


_DUCKDB_MAGIC = slice(8, 12), b"DUCK"


def _check_duckdb(target: Target) -> None:
    """Raise ExportError where a file is there and not DuckDB's, which would open it as a table."""
    with contextlib.suppress(FileNotFoundError), open(target.address, "rb") as file:
        place, magic = _DUCKDB_MAGIC
        start = file.read(place.stop)
        if start and start[place] != magic:
            raise ExportError(f"{target.address} is no database of DuckDB, and stays as it is")


def _sqlite_type(kind: pa.DataType) -> str:
    """Return the type of a column; SQLite keeps times as text and truth as 0 and 1."""
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_integer(kind):
        return "INTEGER"
    return "REAL" if pa.types.is_floating(kind) else "TEXT"
