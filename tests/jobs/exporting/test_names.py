"""Hostile names and labels in every target: equal when read back, or refused before a load."""

import csv
import functools
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from support.databases import ask, connect
from support.made_stores import make_store, put, write_part

from jobs.errors import ExportError, UsageError
from jobs.exporting import databases
from jobs.exporting.export import KEYS, export
from jobs.exporting.limits import check_columns
from jobs.exporting.rows import Rows
from jobs.exporting.target import parse_target
from jobs.progress import Progress
from jobs.store.schemas import DUPLICATES, PREDICTED_TRACKS, duplicates, predictions
from jobs.store.tables import open_store

Content = list[tuple[str, ...]]

TARGETS = ["utf8", "latin1", "sqlite", "duckdb", "csv", "jsonl", "parquet", "arrow"]


@pytest.fixture(scope="session")
def latin1(database: str) -> str:
    """A database in LATIN1, on the same server."""
    ask(database, "CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    return database.replace("/postgres?", "/latin1?")


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A target of the kind of the parameter."""
    kind = request.param
    if kind in ("utf8", "latin1"):
        to = str(request.getfixturevalue("latin1" if kind == "latin1" else "database"))
        ask(to, "DROP TABLE IF EXISTS predictions")
        return to
    return f"{kind}:///{tmp_path}/x.db" if kind in ("sqlite", "duckdb") else f"{tmp_path}/x.{kind}"


def make_predictions(root: Path, rows: list[tuple[str, str]], classes: list[str]) -> Path:
    """Make a store with predictions of these tracks and labels, each of the last class."""
    store = make_store(root, rows, level="track")
    columns: dict[str, list[Any]] = {
        "track_id": [track for track, _ in rows],
        "label": [label for _, label in rows],
        "predicted": [classes[-1]] * len(rows),
        "probability": [1.0] * len(rows),
        "learnt": [False] * len(rows),
        "model": ["20260301T120000-aaaaaa"] * len(rows),
    }
    columns |= {f"p_{name}": [(i + 1) / len(classes)] * len(rows) for i, name in enumerate(classes)}
    schema = predictions(classes, segments=False)
    write_part(store, f"{PREDICTED_TRACKS}/part-0.parquet", pa.table(columns, schema=schema))
    pair = [{"track_id": "a", "duplicate_id": "b", "cosine": 1.0}]
    put(store, DUPLICATES, pair, duplicates("track"))
    return root


def of_arrow(table: pa.Table) -> Content:
    columns = [map(str, column.to_pylist()) for column in table.columns]
    return [tuple(table.column_names), *sorted(zip(*columns, strict=True))]


def read_back(to: str, table: str) -> Content:
    """Return the names of the columns, and the rows as text, sorted; by plain readers."""
    if "://" not in to:
        return READERS[Path(to).suffix](to)
    with connect(to) as cursor:
        query = f"SELECT * FROM {table}"
        if isinstance(cursor, duckdb.DuckDBPyConnection):
            return of_arrow(cursor.sql(query).to_arrow_table())
        cursor.execute(query)
        if isinstance(cursor, sqlite3.Cursor):
            rows = [tuple(map(str, row)) for row in cursor.fetchall()]
            return [tuple(one[0] for one in cursor.description), *sorted(rows)]
        return of_arrow(cursor.fetch_arrow_table())


def _read_csv(path: str) -> Content:
    with open(path, encoding="utf-8", newline="") as file:
        names, *rows = [tuple(row) for row in csv.reader(file, strict=True)]
    return [names, *sorted(rows)]


def _read_json(path: str) -> Content:
    # Only a line feed ends a line of JSON.
    rows = [json.loads(line) for line in Path(path).read_bytes().rstrip(b"\n").split(b"\n")]
    return [tuple(rows[0]), *sorted(tuple(map(str, row.values())) for row in rows)]


READERS: dict[str, Callable[[str], Content]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json,
    ".parquet": lambda path: of_arrow(pq.read_table(path)),
    ".arrow": lambda path: of_arrow(pyarrow.feather.read_table(path)),
}


def typed(content: Content) -> list[tuple[Any, ...]]:
    """Return rows with the numbers and truth values that formats print in several ways."""

    def parse(name: str, text: str) -> object:
        if name == "learnt":
            return text in ("True", "true", "1")
        return np.float32(text) if name.startswith("p_") or name == "probability" else text

    names, *rows = content
    return [names, *[tuple(map(parse, names, row)) for row in rows]]


LATIN1_TEXT = [
    *("Stra\xdfe", "stra\xdfe", "x" * 64, "\xe9" * 32, "select", "ctid", '"a""b"', "it's; --"),
    *("=cmd|' /C calc'!A0", "+1", "-1", "@x", "a,b\tc\r\nd", " x ", "NULL", "\\N", "\\", "null"),
]

CASES: dict[str, tuple[list[str], list[str], set[str], str]] = {
    "Latin-1": (
        LATIN1_TEXT,
        ["select", "Stra\xdfe", '"a""b"', "=cmd", "a.b; --", "x\ny", "tableoid", "\xc9", "\xe9"],
        set(),
        "",
    ),
    "other scripts": (
        ["\N{GUITAR}", "\u202egnp.exe", "e\u0301", "\u05e9\u05dc\u05d5\u05dd"],
        ["\N{GUITAR}", "\u05e9\u05dc\u05d5\u05dd"],
        {"latin1"},
        "in the column 'p_\N{GUITAR}'. Export to a database in UTF8",
    ),
    "text in another script": (
        ["song", "\N{GUITAR}"],
        ["a", "b"],
        {"latin1"},
        "LATIN1 cannot hold the character '\N{GUITAR}' of '\N{GUITAR}' in the column 'track_id'",
    ),
    "null character": (
        ["a", "a\0b"],
        ["a", "b"],
        {"utf8", "latin1"},
        r"cannot hold the character '\x00' of 'a\x00b' in the column 'track_id'",
    ),
    "classes in two cases": (
        ["a"],
        ["Rock", "rock"],
        {"sqlite", "duckdb", "csv", "jsonl"},
        "the columns 'p_Rock' and 'p_rock' differ only in case",
    ),
    "class of 62 bytes": (
        ["a"],
        ["pop", "\xe9" * 31],
        {"utf8", "latin1"},
        f"the column {'p_' + 31 * chr(0xE9)!r} has 64 bytes, and PostgreSQL allows 63.",
    ),
    "class with a null character": (
        ["a"],
        ["a", "a\0b"],
        {*TARGETS} - {"parquet", "arrow"},
        r"the column 'p_a\x00b' has a null character",
    ),
}
"""Names and labels of tracks, classes, the kinds of targets that refuse them, and the error."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Stores of the cases, made once each."""
    folder = tmp_path_factory.mktemp("named")

    @functools.cache
    def make(case: str) -> Path:
        names, classes, *_ = CASES[case]
        return make_predictions(folder / case, [(name, name) for name in names], classes)

    return make


def expected_of(root: Path) -> Content:
    return of_arrow(pq.read_table(root / PREDICTED_TRACKS, partitioning=None))


@pytest.mark.parametrize(
    ("target", "case"),
    [
        (target, case)
        for target in TARGETS
        for case in CASES
        if case != "text in another script" or target == "latin1"
    ],
    indirect=["target"],
)
def test_hostile_names_come_back_or_are_refused(
    made: Any, target: str, case: str, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, (*_, refusing, error) = made(case), CASES[case]
    if request.node.callspec.params["target"] not in refusing:
        export("predictions", store=str(root), to=target)
        assert typed(read_back(target, "predictions")) == typed(expected_of(root))
        return
    monkeypatch.setattr(Rows, "reader", lambda _: pytest.fail("rows were loaded"))
    with pytest.raises(ExportError, match=re.escape(error)):
        export("predictions", store=str(root), to=target)


def test_the_limits_on_columns_are_those_of_the_databases(database: str, tmp_path: Path) -> None:
    for to, most in ((database, 1600), (f"sqlite:///{tmp_path}/x.db", 2000)):
        target = parse_target(to)
        for count in (most, most + 1):
            names = [f"c{i}" for i in range(count)]
            create = f"CREATE TABLE c{count} ({', '.join(f'{name} real' for name in names)})"
            if count == most:
                ask(to, create)
                check_columns("predictions", names, target, "s")
                continue
            with pytest.raises(Exception, match=r"1600 columns|too many columns"):
                ask(to, create)
            with pytest.raises(
                ExportError, match=f"{count:,} columns.* allows {most:,}.*--long --store s"
            ):
                check_columns("predictions", names, target, "s")
    check_columns("predictions", map(str, range(3000)), parse_target("x.csv"), "s")


# The encoding of a session


@pytest.mark.parametrize("target", ["utf8", "latin1"], indirect=True)
def test_a_sessions_encoding_is_that_of_the_text(
    made: Any, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "latin1" not in target:  # the driver reads the names of all tables when it connects
        ask(target, 'CREATE TABLE IF NOT EXISTS "\N{GUITAR}" ()')
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    ask(target, "ALTER ROLE postgres SET client_encoding = 'LATIN1'")
    try:
        root = made("Latin-1")
        export("predictions", store=str(root), to=f"{target}&client_encoding=LATIN1")
    finally:
        ask(target, "ALTER ROLE postgres RESET client_encoding")
        monkeypatch.delenv("PGCLIENTENCODING")
    assert typed(read_back(target, "predictions")) == typed(expected_of(root))


# Names in the database that are taken


@pytest.fixture(scope="module")
def load(made: Any) -> Callable[[str, str], None]:
    """Load a table into a database, without a run of the store."""
    store = open_store(str(made("classes in two cases")))
    parts = store.parts(DUPLICATES)

    def run(to: str, table: str) -> None:
        rows, target = Rows(store, parts, duplicates("track"), Progress()), parse_target(to)
        databases.LOADERS[target.kind](rows, target, None, table, KEYS["duplicates"])

    return run


@pytest.fixture(params=["postgresql", "sqlite", "duckdb"])
def schema_target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind without tables."""
    if request.param != "postgresql":
        yield f"{request.param}:///{tmp_path}/x.db"
        return
    to = str(request.getfixturevalue("database"))
    ask(to, "CREATE DATABASE named")
    yield to.replace("/postgres?", "/named?")
    ask(to, "DROP DATABASE named")


def names_in(to: str) -> set[str]:
    """Return the names of all tables and indexes."""
    query = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    if to.startswith("sqlite"):
        query = "SELECT name FROM sqlite_master"
    elif to.startswith("duckdb"):
        query = "SELECT table_name FROM duckdb_tables() UNION ALL "
        query += "SELECT index_name FROM duckdb_indexes()"
    found = [name for (name,) in ask(to, query) if "pg_toast" not in name]
    assert len(set(found)) == len(found)
    return set(found)


def test_tables_whose_names_begin_alike_are_exported_again_and_again(
    load: Any, schema_target: str
) -> None:
    tables = [f"{'x' * 62}{i}" for i in range(2)]
    for _ in range(2):
        for table in tables:
            load(schema_target, table)
    indexes = names_in(schema_target) - set(tables)
    assert len(indexes) == 2
    assert all(name.startswith("x" * 40) and name.endswith("_index") for name in indexes)


def test_names_that_are_taken_hinder_no_export(load: Any, schema_target: str) -> None:
    ask(schema_target, 'CREATE TABLE "t_new" (mine integer)')
    ask(schema_target, 'CREATE INDEX "T_Index" ON t_new (mine)')
    for _ in range(2):
        load(schema_target, "t")
    if not schema_target.startswith("duckdb"):  # which renames no table that has an index
        ask(schema_target, "ALTER TABLE t RENAME TO old")
    for _ in range(2):
        load(schema_target, "t")
        assert len(ask(schema_target, "SELECT * FROM t")) == 1
    assert not [name for name in names_in(schema_target) if "songmill" in name]


def test_a_table_in_another_case_is_the_same_one_where_case_does_not_matter(
    load: Any, schema_target: str
) -> None:
    load(schema_target, "T")
    ask(schema_target, "CREATE TABLE MINE (mine integer)")
    load(schema_target, "t")
    tables = names_in(schema_target)
    if schema_target.startswith("postgresql"):
        assert {"t", "T"} <= tables
        return
    assert ("t" in tables, "T" in tables) == (True, False)
    with pytest.raises(UsageError, match="no column track_id"):
        load(schema_target, "mine")
    assert ask(schema_target, "SELECT * FROM MINE") == []


def test_what_a_killed_export_left_is_dropped_by_the_next(
    load: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(database, "DROP TABLE IF EXISTS left_over")
    # The connection is cut after the load.
    monkeypatch.setattr(databases, "_copy_privileges", lambda cursor, *_: kill_sessions(database))
    load(database, "left_over")
    with pytest.raises(ExportError):
        load(database, "left_over")
    staging = "SELECT count(*) FROM pg_class WHERE relname ~ '^_songmill' AND relkind = 'r'"
    assert ask(database, staging) == [(1,)]
    monkeypatch.undo()
    load(database, "left_over")
    assert ask(database, staging) == [(0,)]


def kill_sessions(database: str) -> None:
    ask(
        database,
        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()",
    )
