"""Atomic exports to databases: readers see the old table or the new one.

The new table is loaded and indexed under another name, and replaces the old one in one transaction.
An export that is killed leaves the old table.
"""

import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pyarrow as pa

from jobs.errors import ExportError, UsageError
from jobs.exporting.limits import POSTGRESQL_NAME_BYTES, fold_case
from jobs.exporting.rows import Rows
from jobs.exporting.target import Kind, Target
from jobs.extras import require
from jobs.redaction import redact

CONNECT_TIMEOUT_S = 10
"""Seconds to wait for a PostgreSQL server that does not answer."""

ADVISORY_LOCK_TIMEOUT_S = 30
"""Seconds to wait for another export to the same table. A killed one releases its lock by then."""

MAX_SWAP_ATTEMPTS = 60
"""Attempts to lock a table that others read; each waits for one second."""

INDEX_COLUMNS = ("track_id", "segment", "rank")
"""Columns of the index; those that a table has, or else ``run_id``."""

_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE

_NOT_IN_ENCODING = ("22P05", "22021")
"""SQLSTATEs of text that has no equivalent in the encoding of a database."""


def check_postgresql(target: Target, schema: str | None, table: str, keys: tuple[str, ...]) -> None:
    """Check that :func:`to_postgresql` can create or replace the table, without changing anything.

    Raises
    ------
    UsageError
        There is no such schema, or another table has this name.
    ExportError
        The server is unreachable, the user lacks a right, or others depend on the table.
    """
    with _connect_postgresql(target) as (connection, cursor):
        schema, where, old = _find_table(cursor, target, schema, table, keys)
        # The server itself knows the rights to a schema, and whether it is read-only.
        cursor.execute(f"CREATE TABLE {_quote(schema)}._songmill_{uuid4().hex} ()")
        connection.rollback()
        if old is not None:
            _check_droppable(cursor, old, where, target)


def to_postgresql(
    rows: Rows, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> None:
    """Load rows into PostgreSQL with binary COPY.

    Parameters
    ----------
    rows : Rows
        The table.
    target : Target
        The database.
    schema : str or None
        The schema; by default the first of the user's search path.
    table : str
        Name of the table in the database.
    keys : tuple of str
        Columns that identify an earlier export. Other tables are not replaced.

    Raises
    ------
    UsageError
        There is no such schema, or another table has this name.
    ExportError
        The server is unreachable or reports an error.
    """
    with _connect_postgresql(target, rows) as (connection, cursor):
        schema, where, _ = _find_table(cursor, target, schema, table, keys)
        _check_text(connection, cursor, rows, target)
        _acquire_advisory_lock(cursor, where, target)
        _check_replaceable(cursor, where, keys)
        prefix = f"_songmill_{hashlib.sha256(table.encode()).hexdigest()[:16]}"
        _drop_leftovers(cursor, schema, prefix)
        staging = f"{prefix}_{uuid4().hex[:8]}"
        new = f"{_quote(schema)}.{_quote(staging)}"
        cursor.adbc_ingest(staging, rows.reader(), mode="create", db_schema_name=schema)
        _create_index(cursor, f"{staging}_index", new, rows.schema)
        _add_comments(cursor, new, rows.schema)
        # Readers that wait for the swap must find the rows in the new table, but some (COPY) keep
        # the snapshot from before they waited. So the rows are committed before the swap.
        connection.commit()
        try:
            cursor.execute(f"ANALYZE {new}")
            old = _check_replaceable(cursor, where, keys)
            if old is not None:
                _copy_privileges(cursor, old, new)
                cursor.execute(_lock_statement(where))
                cursor.execute(f"DROP TABLE {where}")
            index = _quote(_free_index_name(cursor, schema, table))
            cursor.execute(f"ALTER INDEX {_quote(schema)}.{staging}_index RENAME TO {index}")
            cursor.execute(f"ALTER TABLE {new} RENAME TO {_quote(table)}")
            connection.commit()
        except BaseException:
            connection.rollback()
            cursor.execute(f"DROP TABLE {new}")
            connection.commit()
            raise


def check_sqlite(target: Target, schema: str | None, table: str, keys: tuple[str, ...]) -> None:
    """Check that :func:`to_sqlite` can create or replace the table, as for PostgreSQL."""
    from adbc_driver_sqlite import dbapi

    with _connect(dbapi, _existing(target)) as (_, cursor):
        _find_in_sqlite(cursor, table, keys)


def to_sqlite(
    rows: Rows, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> None:
    """Load rows into an SQLite file, as :func:`to_postgresql` does into PostgreSQL.

    The file is created if it does not exist. It has no schemas: ``schema`` is None.
    """
    from adbc_driver_sqlite import dbapi

    staging = f"_songmill_{uuid4().hex}"
    with _connect(dbapi, target, rows) as (connection, cursor):
        # Lock readers out during the commit only, not whenever the cache is full.
        cursor.execute("PRAGMA cache_spill = OFF")
        # Views of the old table keep working with the new one.
        cursor.execute("PRAGMA legacy_alter_table = ON")
        old = _find_in_sqlite(cursor, table, keys)
        typed = (f"{_quote(field.name)} {_sqlite_type(field.type)}" for field in rows.schema)
        cursor.execute(f"CREATE TABLE {_quote(staging)} ({', '.join(typed)})")
        cursor.adbc_ingest(staging, rows.reader(), mode="append")
        where = _quote(table)
        if old is not None:
            cursor.execute(f"DROP TABLE {_quote(old)}")
        cursor.execute(f"ALTER TABLE {_quote(staging)} RENAME TO {where}")
        cursor.execute("SELECT name FROM sqlite_master")
        index = _free_name(table, {fold_case(name) for (name,) in cursor.fetchall()})
        _create_index(cursor, _quote(index), where, rows.schema)
        connection.commit()


def check_duckdb(target: Target, schema: str | None, table: str, keys: tuple[str, ...]) -> None:
    """Check that :func:`to_duckdb` can create or replace the table, as for PostgreSQL."""
    import duckdb

    with contextlib.suppress(FileNotFoundError), open(target.address, "rb") as file:
        header = file.read(12)
        # DuckDB would open a CSV file too. Its magic bytes follow a checksum.
        if header and header[8:] != b"DUCK":
            raise ExportError(f"{target.address} is not a DuckDB database; it stays as it is")
    with _connect(duckdb, _existing(target)) as (_, cursor):
        _find_in_duckdb(cursor, target, schema, table, keys)


def to_duckdb(
    rows: Rows, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> None:
    """Load rows into a DuckDB file, as :func:`to_postgresql` does into PostgreSQL.

    The file is created if it does not exist. The default schema is ``main``.
    """
    import duckdb

    with _connect(duckdb, target, rows) as (_, cursor):
        cursor.execute("BEGIN")
        where = _find_in_duckdb(cursor, target, schema, table, keys)
        cursor.register("exported", rows.reader())
        cursor.execute(f"CREATE OR REPLACE TABLE {where} AS SELECT * FROM exported")
        _add_comments(cursor, where, rows.schema)
        cursor.execute("SELECT index_name FROM duckdb_indexes()")
        index = _free_name(table, {fold_case(name) for (name,) in cursor.fetchall()})
        _create_index(cursor, _quote(index), where, rows.schema)
        cursor.execute("COMMIT")


CHECKS: dict[Kind, Callable[[Target, str | None, str, tuple[str, ...]], None]] = {
    "postgresql": check_postgresql,
    "sqlite": check_sqlite,
    "duckdb": check_duckdb,
}
"""Check of each kind of database, before any work."""

LOADERS: dict[Kind, Callable[[Rows, Target, str | None, str, tuple[str, ...]], None]] = {
    "postgresql": to_postgresql,
    "sqlite": to_sqlite,
    "duckdb": to_duckdb,
}
"""Loader of each kind of database."""


@contextlib.contextmanager
def _connect(driver: Any, target: Target, rows: Rows | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield a connection and its cursor; the connection may be used to load ``rows``.

    The driver's exceptions become ExportErrors, whose messages do not contain the password.
    """
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT_S))
    try:
        with (
            contextlib.closing(driver.connect(target.address)) as connection,
            contextlib.closing(connection.cursor()) as cursor,
        ):
            yield connection, cursor
    except driver.Error as error:
        if rows is not None and rows.failure is not None:
            raise rows.failure from None
        text = _shorten_message(redact(str(error), target.address))
        raise ExportError(
            f"the export to {target.shown} failed; the old table is still there: {text}"
        ) from None


@contextlib.contextmanager
def _connect_postgresql(target: Target, rows: Rows | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield a connection to PostgreSQL, as :func:`_connect` does, and its cursor."""
    require("postgres")
    from adbc_driver_postgresql import dbapi

    # The driver sends UTF-8, but the environment, the role or the address may announce another
    # encoding. The last one in the address counts, and before anything is read.
    separator = "&" if "?" in target.address else "?"
    address = f"{target.address}{separator}client_encoding=UTF8"
    with _connect(dbapi, dataclasses.replace(target, address=address), rows) as connected:
        yield connected


def _shorten_message(text: str) -> str:
    """Remove error codes and SQL from a driver's message."""
    text = " ".join(text.split())
    text = re.sub(r"^[A-Z_]+: \[\w+\] ", "", text)
    text = re.sub(r"^Failed to (execute|prepare) query '.*?': (ERROR: )?", "", text)
    return re.sub(r"( HINT: .*)?[ .]* SQLSTATE: \w+$", "", text)


def _quote(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _create_index(cursor: Any, name: str, where: str, schema: pa.Schema) -> None:
    columns = [column for column in INDEX_COLUMNS if column in schema.names] or ["run_id"]
    cursor.execute(f"CREATE INDEX {name} ON {where} ({', '.join(map(_quote, columns))})")


def _add_comments(cursor: Any, where: str, schema: pa.Schema) -> None:
    """Add the description and the unit of each feature as a comment on its column."""
    for field in schema:
        if field.metadata:
            unit, description = (field.metadata[key].decode() for key in (b"unit", b"description"))
            text = f"{description} [{unit}]" if unit else description
            literal = text.replace("'", "''")
            cursor.execute(f"COMMENT ON COLUMN {where}.{_quote(field.name)} IS '{literal}'")


def _free_name(table: str, taken: set[str]) -> str:
    """Return a name for the index of a table that is not in ``taken``, without regard to case.

    A table that was renamed keeps the name of its index.
    """
    for mark in ("_index", f"_{uuid4().hex[:8]}_index"):
        kept = table.encode()[: POSTGRESQL_NAME_BYTES - len(mark)].decode(errors="ignore")
        if fold_case(kept + mark) not in {*taken, fold_case(table)}:
            break
    return kept + mark


def _fetch_value(cursor: Any, query: str, *values: str) -> Any:
    """Return the first value of the first row; None if there is no row."""
    cursor.execute(query, values)
    row = cursor.fetchone()
    return None if row is None else row[0]


def _check_earlier_export(
    is_table: bool, columns: set[str], table: str, keys: tuple[str, ...]
) -> None:
    """Raise UsageError unless a table is an earlier export of the same table."""
    missing = [key for key in keys if key not in columns]
    if missing or not is_table:
        why = f"it has no column {missing[0]}" if is_table else "it is not a table"
        raise UsageError(
            f"{table} exists and is not an earlier export of this table ({why}). It stays as it "
            "is: name another table with --table"
        )


# PostgreSQL


def _find_table(
    cursor: Any, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> tuple[str, str, int | None]:
    """Return the schema, the quoted name of a table, and its object id if it exists."""
    if not 1 <= len(table.encode()) <= POSTGRESQL_NAME_BYTES:
        raise UsageError(
            f"--table {table!r}: PostgreSQL's names have 1 to {POSTGRESQL_NAME_BYTES} bytes"
        )
    schema = _resolve_schema(cursor, schema, target)
    where = f"{_quote(schema)}.{_quote(table)}"
    return schema, where, _check_replaceable(cursor, where, keys)


def _check_text(connection: Any, cursor: Any, rows: Rows, target: Target) -> None:
    """Check that a database can hold all text and names of a table, before any of it is loaded.

    Raises
    ------
    ExportError
        It cannot. The message names the character, and where it stands.
    """
    encoding = str(_fetch_value(cursor, "SELECT current_setting('server_encoding')"))
    # SQL_ASCII keeps bytes as they are.
    every = encoding in ("UTF8", "SQL_ASCII")
    uses = rows.find_characters(r"\x00" if every else r"[^\x01-\x7f]")
    refused, system, remedy = None, "PostgreSQL", "Correct the text, or export to a file"
    if "\0" in uses:
        refused = "\0"
    elif not _can_hold(connection, cursor, "".join(uses)):
        refused = next((one for one in uses if not _can_hold(connection, cursor, one)), None)
        system = f"a database in {encoding}"
        remedy = "Export to a database in UTF8, or to a file"
    if refused is not None:
        column, text = uses[refused]
        raise ExportError(
            f"nothing was exported to {target.shown}: {system} cannot hold the character "
            f"{refused!r} of {text!r} in the column {column!r}. {remedy}"
        )


def _can_hold(connection: Any, cursor: Any, text: str) -> bool:
    """Tell whether a text has an equivalent in the encoding of a database."""
    try:
        _fetch_value(cursor, "SELECT $1::text", text)
    except Exception as error:
        if getattr(error, "sqlstate", None) not in _NOT_IN_ENCODING:
            raise
        connection.rollback()
        return False
    return True


def _drop_leftovers(cursor: Any, schema: str, prefix: str) -> None:
    """Drop what killed exports to a table have loaded; the caller holds its advisory lock."""
    cursor.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = $1::regnamespace "
        "AND starts_with(relname::text, $2) AND relkind = 'r' AND pg_has_role(relowner, 'USAGE')",
        (_quote(schema), prefix),
    )
    for (name,) in cursor.fetchall():
        cursor.execute(f"DROP TABLE {_quote(schema)}.{_quote(name)}")


def _free_index_name(cursor: Any, schema: str, table: str) -> str:
    """Return a name for the index of a table that nothing in the schema has."""
    query = "SELECT relname::text FROM pg_class WHERE relnamespace = $1::regnamespace"
    cursor.execute(query, (_quote(schema),))
    return _free_name(table, {fold_case(name) for (name,) in cursor.fetchall()})


def _check_droppable(cursor: Any, old: int, where: str, target: Target) -> None:
    """Check that the user owns a table, and that nothing depends on it."""
    query = f"SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = {old}"
    owner = _fetch_value(cursor, f"{query} AND NOT pg_has_role(relowner, 'USAGE')")
    if owner is not None:
        raise ExportError(
            f"{where} of {target.shown} belongs to {owner}, and only its owner can replace it"
        )
    on_table = f"refclassid = 'pg_class'::regclass AND refobjid = {old} AND deptype"
    dependency = _fetch_value(
        cursor,
        "SELECT pg_describe_object(classid, objid, objsubid) || ' depends on ' || "
        f"pg_describe_object(refclassid, refobjid, 0) FROM pg_depend WHERE {on_table} = 'n' "
        # Constraints and policies of the table itself go with it.
        "AND (classid, objid) NOT IN "
        f"(SELECT classid, objid FROM pg_depend WHERE {on_table} IN ('a', 'i'))",
    )
    if dependency is not None:
        raise ExportError(f"{where} of {target.shown} cannot be replaced: {dependency}")


def _acquire_advisory_lock(cursor: Any, where: str, target: Target) -> None:
    """Keep other exports away from a table until the connection ends."""
    # Without this setting the server would finish the query of a killed export.
    cursor.execute(
        "SELECT set_config(name, '1000', false) FROM pg_settings "
        "WHERE name = 'client_connection_check_interval'"
    )
    cursor.fetchall()
    cursor.execute(f"SET LOCAL lock_timeout = '{ADVISORY_LOCK_TIMEOUT_S}s'")
    try:
        cursor.execute("SELECT pg_advisory_lock(hashtext($1))", (f"songmill {where}",))
        cursor.fetchall()
    except Exception as error:
        if getattr(error, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise ExportError(
            f"another export to {where} of {target.shown} has been running for more than "
            f"{ADVISORY_LOCK_TIMEOUT_S} s: try again later"
        ) from None


def _resolve_schema(cursor: Any, schema: str | None, target: Target) -> str:
    """Return the schema to load into; by default the current one."""
    if schema is None:
        found = _fetch_value(cursor, "SELECT current_schema()::text")
        if found is None:
            raise UsageError(f"the user of {target.shown} has no schema: name one with --schema")
        return str(found)
    query = "SELECT count(*) FROM pg_namespace WHERE nspname = $1"
    if not _fetch_value(cursor, query, schema):
        raise UsageError(f"{target.shown} has no schema {schema!r}: create it first")
    return schema


def _check_replaceable(cursor: Any, where: str, keys: tuple[str, ...]) -> int | None:
    """Return the object id of an earlier export; None if there is no table of this name."""
    old = _fetch_value(cursor, "SELECT to_regclass($1)::oid::bigint", where)
    if old is None:
        return None
    kind = _fetch_value(cursor, f"SELECT relkind::text FROM pg_class WHERE oid = {old}")
    cursor.execute(f"SELECT attname::text FROM pg_attribute WHERE attrelid = {old} AND attnum > 0")
    columns = {name for (name,) in cursor.fetchall()}
    _check_earlier_export(kind == "r", columns, where, keys)
    return int(old)


def _copy_privileges(cursor: Any, old: int, new: str) -> None:
    """Grant the privileges on the old table to the same users of the new."""
    cursor.execute(
        "SELECT acl.privilege_type::text, acl.is_grantable, "
        "CASE acl.grantee WHEN 0 THEN 'PUBLIC' "
        "ELSE quote_ident(pg_get_userbyid(acl.grantee)::text) END "
        "FROM pg_class, aclexplode(relacl) AS acl "
        f"WHERE oid = {old} AND acl.grantee <> relowner"
    )
    for privilege, grantable, grantee in cursor.fetchall():
        option = " WITH GRANT OPTION" if grantable else ""
        cursor.execute(f"GRANT {privilege} ON {new} TO {grantee}{option}")


def _lock_statement(where: str) -> str:
    """Return a statement that locks a table once nobody reads it; new readers wait at most 1 s."""
    literal = where.replace("'", "''")
    return f"""
DO $songmill$
BEGIN
    FOR i IN 1..{MAX_SWAP_ATTEMPTS} LOOP
        BEGIN
            SET LOCAL lock_timeout = '1s';
            EXECUTE 'LOCK TABLE {literal} IN ACCESS EXCLUSIVE MODE';
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'others have been reading the table for {2 * MAX_SWAP_ATTEMPTS} s';
END
$songmill$
"""


# Databases in files


def _existing(target: Target) -> Target:
    """Return the target of a check: an empty database in memory instead of a file to create."""
    path = target.address
    if not os.path.exists(path) or not os.path.getsize(path):
        return dataclasses.replace(target, address=":memory:")
    if not os.access(path, os.W_OK):
        raise ExportError(f"{path} is not writable")
    return target


def _find_in_sqlite(cursor: Any, table: str, keys: tuple[str, ...]) -> str | None:
    """Return the name of an earlier export, in its own case; None if there is none.

    UsageError if there is another table or view of this name.
    """
    if fold_case(table).startswith("sqlite_"):
        raise UsageError(f"--table {table!r}: SQLite keeps names that begin with sqlite_ to itself")
    cursor.execute("SELECT name, type FROM sqlite_master WHERE type <> 'trigger'")
    for name, kind in cursor.fetchall():
        if fold_case(name) == fold_case(table):
            cursor.execute("SELECT name FROM pragma_table_info(?)", (name,))
            columns = {column for (column,) in cursor.fetchall()}
            _check_earlier_export(kind == "table", columns, name, keys)
            return str(name)
    return None


def _find_in_duckdb(
    cursor: Any, target: Target, schema: str | None, table: str, keys: tuple[str, ...]
) -> str:
    """Return the quoted name of a table; UsageError if it is not an earlier export."""
    schema = schema or "main"
    where = f"{_quote(schema)}.{_quote(table)}"
    query = "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database()"
    if _fetch_value(cursor, f"{query} AND lower(schema_name) = lower(?)", schema) is None:
        raise UsageError(f"{target.shown} has no schema {schema!r}")
    cursor.execute(
        "SELECT table_name, table_type, list(column_name) FROM information_schema.tables "
        "JOIN information_schema.columns USING (table_catalog, table_schema, table_name) "
        "WHERE table_catalog = current_database() AND lower(table_schema) = lower(?) "
        "GROUP BY table_name, table_type",
        (schema,),
    )
    for name, kind, columns in cursor.fetchall():
        if fold_case(name) == fold_case(table):
            _check_earlier_export(kind == "BASE TABLE", set(columns), where, keys)
    return where


def _sqlite_type(kind: pa.DataType) -> str:
    """Return the type of a column. SQLite keeps times as text, and booleans as 0 and 1."""
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_integer(kind):
        return "INTEGER"
    return "REAL" if pa.types.is_floating(kind) else "TEXT"
