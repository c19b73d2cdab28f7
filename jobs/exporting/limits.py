"""Limits of databases and files on the names of columns, checked before anything is loaded."""

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.errors import ExportError, command_for
from jobs.exporting.table_names import TableName
from jobs.exporting.target import Kind, Target

POSTGRESQL_NAME_BYTES = 63
"""Length limit of names in PostgreSQL (``NAMEDATALEN - 1``), which cuts longer ones."""


@dataclass(frozen=True)
class Limits:
    """Limits on the columns of a table; None where there is none.

    Parameters
    ----------
    system : str
        What has the limits, for messages.
    columns : int or None
        Largest number of columns.
    name_bytes : int or None
        Largest number of bytes of a name.
    folds_case : bool
        Whether names that differ only in the case of ASCII letters are one name.
    null : bool
        Whether a name may contain the null character.
    """

    system: str
    columns: int | None = None
    name_bytes: int | None = None
    folds_case: bool = False
    null: bool = False


_DATABASES: dict[Kind, Limits] = {
    "postgresql": Limits("PostgreSQL", columns=1600, name_bytes=POSTGRESQL_NAME_BYTES),
    "sqlite": Limits("SQLite", columns=2000, folds_case=True),  # SQLITE_MAX_COLUMN
    "duckdb": Limits("DuckDB", folds_case=True),
}

_TEXT = Limits("the writer of CSV and JSON (DuckDB)", folds_case=True)

_BINARY = Limits("Parquet and Arrow", null=True)


def limits_of(target: Target) -> Limits:
    """Return the limits of a database or a file.

    Examples
    --------
    >>> limits_of(Target("postgresql", "", "")).columns
    1600
    """
    if target.kind != "file":
        return _DATABASES[target.kind]
    return _BINARY if target.address.lower().endswith((".parquet", ".arrow")) else _TEXT


def fold_case(name: str) -> str:
    """Return a name in lower case; only ASCII letters have cases, as in SQLite and DuckDB.

    Examples
    --------
    >>> fold_case("p_Été")
    'p_Été'
    >>> fold_case("p_ROCK")
    'p_rock'
    """
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def check_columns(table: TableName, names: Iterable[str], target: Target, store: str) -> None:
    """Check that a table of a store, with these columns, can be made in a target.

    Raises
    ------
    ExportError
        It cannot. The message names the column, and the remedy.

    Examples
    --------
    >>> target = Target("sqlite", "x.db", "sqlite:///x.db")
    >>> check_columns("predictions", ["p_Rock", "p_rock"], target, "tables")
    Traceback (most recent call last):
        ...
    jobs.errors.ExportError: nothing was exported to sqlite:///x.db: the columns 'p_Rock' and \
'p_rock' differ only in case, and to SQLite they are one. Export predictions-long instead, which \
`songmill predict --all --long --store tables` writes with a row for each class
    """
    limits, names = limits_of(target), list(names)
    problem = _find_problem(limits, names)
    if problem:
        remedy = "Export to a file that ends in .parquet"
        if table == "predictions":
            command = command_for(store, "predict --all --long")
            remedy = (
                f"Export predictions-long instead, which `{command}` writes with a row for each "
                "class"
            )
        raise ExportError(f"nothing was exported to {target.shown}: {problem}. {remedy}")


def _find_problem(limits: Limits, names: list[str]) -> str:
    """Return what limits these columns violate; empty if none."""
    system = limits.system
    if limits.columns and len(names) > limits.columns:
        return f"the table has {len(names):,} columns, and {system} allows {limits.columns:,}"
    seen: dict[str, str] = {}
    for name in names:
        if "\0" in name and not limits.null:
            return f"the column {name!r} has a null character, which {system} does not allow"
        size = len(name.encode())
        if limits.name_bytes and size > limits.name_bytes:
            return (
                f"the name of the column {name!r} has {size} bytes, and {system} allows "
                f"{limits.name_bytes}"
            )
        other = seen.setdefault(fold_case(name) if limits.folds_case else name, name)
        if other != name:
            return (
                f"the columns {other!r} and {name!r} differ only in case, and to {system} they "
                "are one"
            )
    return ""
