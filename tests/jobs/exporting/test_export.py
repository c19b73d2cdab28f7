"""Exports, read back as their readers do: from real databases, and from files."""

import functools
import io
import json
import os
import resource
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import postgres
from support.cluster_processes import Job, Processes, processes, wait_until
from support.command_line import Command
from support.databases import ask, connect, table_of
from support.made_models import put_model
from support.made_stores import make_store, put, write_part

from jobs.errors import ExportError, SongmillError, UsageError
from jobs.exporting import databases
from jobs.exporting.export import KEYS, Outcome, check_target, export, resolve_target
from jobs.exporting.files import write_file
from jobs.exporting.rows import Rows
from jobs.exporting.table_names import TableName
from jobs.learning.predict_store import predict_all
from jobs.neighbours.similarity import similarity
from jobs.progress import Progress
from jobs.store import schemas
from jobs.store.schemas import FILES
from jobs.store.tables import open_store

NASTY = ['"quoted", comma', "new\nline", "'; DROP TABLE x; --", "\N{GUITAR} ü", "tab\there"]


def export_to(root: Path, name: str, to: str | Path, **options: Any) -> Outcome:
    return export(name, store=str(root), to=str(to), **options)  # type: ignore[arg-type]


def read(root: Path, table: str) -> pd.DataFrame:
    return pd.read_parquet(root / table, partitioning=None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, in_process_cluster: str) -> Path:
    """Every table, with names of all kinds, missing values and times."""
    root = tmp_path_factory.mktemp("made") / "store"
    names = [*NASTY, *(f"take{i}.wav" for i in range(25))]
    labels = [None, *NASTY, *["jazz"] * 25]
    rows = list(zip(names, labels, strict=False))
    made = make_store(root, rows[:11], rows[11:], level="track")
    make_store(root, [row for row in rows for _ in range(2)])
    common = {"source": "/music", "status": "ok", "sample_rate": 22050, "run_id": "r"}
    common |= {"modified": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)}
    files = [
        common | {"track_id": name, "uri": f"/{name}", "bytes": 2**40 + i, "duration_s": 1.1 * i}
        for i, name in enumerate(names)
    ]
    failure = {"error": "too-short", "message": 'is, "too" short', "duration_s": None}
    files[0] |= {"status": "failed", **failure}
    put(made, "files", files, FILES)
    classes, folds = ["a,b", 'c"d', "jazz"], {name: i % 2 for i, name in enumerate(names)}
    put_model(made, "20260301T120000-aaaaaa", classes, champion=True, folds=folds)
    # One recording twice.
    part = made.parts("features/level=track")[1]
    rows_there = made.read_part(part)
    twice = rows_there.take([1, *range(1, rows_there.num_rows)])
    twice = twice.set_column(0, "track_id", rows_there["track_id"])
    write_part(made, part, twice)
    similarity(store=str(root), k=4)
    predict_all(store=str(root), segments=True, long=True, scheduler=in_process_cluster)
    suspect = {"label": "jazz", "suggested": 'c"d', "probability": 0.7, "reason": NASTY[0]}
    rows = [suspect | {"rank": 2 - i, "track_id": name} for i, name in enumerate(NASTY[:2])]
    put(made, "suspects", rows, schemas.SUSPECT)
    tags = [{"track_id": name, "title": name, "genre": name, "year": 1959} for name in NASTY]
    put(made, "tags", tags, schemas.TAG)
    rows = [{"track_id": name, "label": "jazz"} for name in NASTY]
    put(made, "labels", rows, pa.schema([("track_id", pa.string()), ("label", pa.string())]))
    return root


TABLES = [
    ("similarity", "track", "similarity"),
    ("duplicates", "track", "duplicates"),
    ("predictions", "track", "predictions/level=track"),
    ("predictions", "segment", "predictions/level=segment"),
    ("suspects", "track", "suspects"),
    ("features", "track", "features/level=track"),
    ("features", "segment", "features/level=segment"),
    ("files", "track", "files"),
    ("tags", "track", "tags"),
]


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare values, exactly; what a format cannot tell apart (None, NaN, NaT) is equal."""
    assert list(found) == list(expected)
    assert len(found) == len(expected)
    keys = [name for name in ("track_id", "segment", "rank") if name in expected]
    if keys:
        found, expected = (one.sort_values(keys, ignore_index=True) for one in (found, expected))
    for name in expected:
        one, other = found[name], expected[name]
        if isinstance(other.dtype, pd.DatetimeTZDtype):
            one = pd.to_datetime(one, utc=True, format="ISO8601").astype(other.dtype)
        elif pd.api.types.is_bool_dtype(other):
            one = one.astype(bool)
        elif pd.api.types.is_numeric_dtype(other):
            one = pd.to_numeric(one).astype(other.dtype)
        assert (one.isna() == other.isna()).all(), name
        assert one[one.notna()].tolist() == other[other.notna()].tolist(), name


@pytest.fixture(params=["postgresql", "sqlite", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"{request.param}:///{tmp_path}/x.db"


# Reading back


@pytest.mark.parametrize(("name", "level", "folder"), TABLES)
def test_a_table_comes_back_from_a_database(
    store: Path, target: str, name: str, level: str, folder: str
) -> None:
    expected = read(store, folder)
    for _ in range(2):
        outcome = export_to(store, name, target, level=level)
        assert outcome.rows == len(expected)
        same(table_of(target, outcome.table), expected)
    objects = {
        "sqlite": "SELECT sum(type = 'table'), sum(type = 'index') FROM sqlite_master",
        "duckdb": "SELECT (SELECT count(*) FROM duckdb_tables()), count(*) FROM duckdb_indexes()",
    }.get(target.partition(":")[0])
    assert objects is None or ask(target, objects) == [(1, 1)]


def test_types_and_index_are_real_in_postgresql(store: Path, database: str) -> None:
    export_to(store, "similarity", database)
    export_to(store, "files", database)
    types = "SELECT column_name::text, data_type::text FROM information_schema.columns"
    assert dict(ask(database, f"{types} WHERE table_name = 'similarity'")) == {
        **{"track_id": "text", "neighbour_id": "text", "rank": "integer"},
        **{"score": "double precision", "cosine": "double precision"},
        **{"duplicate": "boolean", "metric": "text"},
    }
    of_files = dict(ask(database, f"{types} WHERE table_name = 'files'"))
    assert (of_files["bytes"], of_files["modified"]) == ("bigint", "timestamp with time zone")
    indexes = ask(database, "SELECT indexdef::text FROM pg_indexes WHERE tablename = 'similarity'")
    index = "CREATE INDEX similarity_index ON public.similarity USING btree (track_id, rank)"
    assert indexes == [(index,)]
    assert ask(database, TEMPORARY) == [(0,)]


READERS: dict[str, Callable[..., pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".tsv": functools.partial(pd.read_csv, sep="\t"),
    ".jsonl": functools.partial(pd.read_json, lines=True, dtype=False, precise_float=True),
    ".parquet": pd.read_parquet,
    ".arrow": pd.read_feather,
}


def test_long_predictions_have_a_name_for_sql(store: Path, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/x.db"
    assert export_to(store, "predictions-long", target).table == "predictions_long"
    found, expected = (
        rows.sort_values(["track_id", "class"], ignore_index=True)
        for rows in (table_of(target, "predictions_long"), read(store, "predictions-long"))
    )
    assert len(found) == 3 * 30
    same(found, expected)


@pytest.mark.parametrize(
    ("name", "level", "folder", "end"),
    [
        *((*table, end) for table in TABLES for end in (".csv", ".jsonl", ".parquet", ".arrow")),
        *((*TABLES[0], end) for end in (".csv.gz", ".jsonl.gz", ".tsv", ".tsv.gz")),
    ],
)
def test_a_table_comes_back_from_a_file(
    store: Path, tmp_path: Path, name: str, level: str, folder: str, end: str
) -> None:
    path = tmp_path / f"it's a {name}{end}"
    path.write_text("old")
    path.chmod(0o644)
    outcome = export_to(store, name, path, level=level)
    assert outcome.to == outcome.table == str(path)
    same(READERS[end.removesuffix(".gz")](path), read(store, folder))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_suffix_names_the_kind_of_a_database(store: Path, tmp_path: Path) -> None:
    for kind, suffix in (("sqlite", "db"), ("duckdb", "duckdb")):
        path = tmp_path / f"x.{suffix}"
        export_to(store, "files", path)
        same(table_of(f"{kind}:///{path}", "files"), read(store, "files"))


def test_stdout_gets_csv_and_nothing_else(store: Path, command: Command) -> None:
    code, out, _ = command("export", "files", "--store", store, "--to", "-")
    assert code == 0
    same(pd.read_csv(io.StringIO(out)), read(store, "files"))
    assert command("export", "files", "--store", store, "--to", "-", "--json")[:2] == (2, "")


@pytest.mark.parametrize("name", ["labels", "runs", "compared"])
def test_every_other_table_comes_back(store: Path, target: str, name: TableName) -> None:
    expected = read(store, name)
    export_to(store, name, target)
    found = table_of(target, name)
    if name == "compared" and not target.startswith("duckdb"):
        expected["digest"] = expected["digest"].astype(str)
    same(found, expected)
    assert set(KEYS[name]) <= set(found)


def test_a_list_is_a_json_text_in_a_database_without_lists(store: Path, tmp_path: Path) -> None:
    expected = read(store, "metrics")
    export_to(store, "metrics", tmp_path / "x.db")
    (found,) = ask(f"sqlite:///{tmp_path}/x.db", "SELECT columns, matrix FROM metrics")
    assert (json.loads(found[0]), found[1]) == (expected["columns"][0].tolist(), None)


def test_features_come_with_their_units_and_descriptions(
    store: Path, tmp_path: Path, database: str
) -> None:
    export_to(store, "features", tmp_path / "x.parquet")
    field = pq.read_schema(tmp_path / "x.parquet").field("tempo")
    assert field.metadata[b"unit"] == b"BPM"
    comment = f"{field.metadata[b'description'].decode()} [BPM]"
    export_to(store, "features", tmp_path / "x.duckdb")
    query = "SELECT comment FROM duckdb_columns() WHERE column_name = 'tempo'"
    assert ask(f"duckdb:///{tmp_path}/x.duckdb", query) == [(comment,)]
    export_to(store, "features", database, table="described")
    query = (
        "SELECT col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE attrelid = 'described'::regclass AND attname = 'tempo'"
    )
    assert ask(database, query) == [(comment,)]


def test_an_export_is_a_run_of_the_store(store: Path, tmp_path: Path) -> None:
    export_to(store, "similarity", tmp_path / "x.csv")
    last = read(store, "runs").sort_values("started_at").iloc[-1]
    assert (last["stage"], last["outcome"]) == ("export", "done")
    assert last["message"] == f"{30 * 4} rows of similarity to {tmp_path}/x.csv"


# Failures that change nothing


def test_a_view_that_depends_on_the_table_keeps_it(store: Path, database: str) -> None:
    export_to(store, "similarity", database, table="viewed")
    before = table_of(database, "viewed")
    ask(database, "CREATE VIEW nearest AS SELECT * FROM viewed WHERE rank = 1")
    with pytest.raises(ExportError, match="view nearest depends on table viewed"):
        export_to(store, "similarity", database, table="viewed")
    same(table_of(database, "viewed"), before)
    assert len(table_of(database, "nearest")) == 30
    with pytest.raises(UsageError, match="is not a table"):
        export_to(store, "similarity", database, table="nearest")


def test_a_view_in_sqlite_shows_the_new_table(store: Path, tmp_path: Path) -> None:
    to = f"sqlite:///{tmp_path}/x.db"
    export_to(store, "similarity", to)
    ask(to, "CREATE VIEW nearest AS SELECT * FROM similarity WHERE rank = 1")
    ask(to, "DELETE FROM similarity")
    export_to(store, "similarity", to)
    assert len(table_of(to, "nearest")) == 30


def test_somebody_elses_table_is_left_alone(store: Path, target: str) -> None:
    ask(target, "DROP TABLE IF EXISTS files")
    ask(target, "CREATE TABLE files (track_id text, mine integer)")
    ask(target, "INSERT INTO files VALUES ('x', 1)")
    with pytest.raises(UsageError, match="not an earlier export .*no column uri"):
        export_to(store, "files", target)
    assert ask(target, "SELECT * FROM files") == [("x", 1)]
    with pytest.raises(UsageError, match="no column uri"):
        check("files", target)
    ask(target, "DROP TABLE files")


# Checks before the work


def check(name: Any, to: str, schema: str | None = None) -> None:
    target, table = resolve_target(name, to, schema=schema)
    check_target(name, target, schema, table)


def test_a_check_changes_nothing(database: str, tmp_path: Path) -> None:
    objects = "SELECT oid::bigint, relname::text FROM pg_class ORDER BY oid"
    before = ask(database, objects)
    for to in (database, f"sqlite:///{tmp_path}/s.db", f"duckdb:///{tmp_path}/d.db"):
        check("duplicates", to)
    (tmp_path / "empty.db").touch()
    for kind in ("sqlite", "duckdb"):
        check("duplicates", f"{kind}:///{tmp_path}/empty.db")
    check("duplicates", f"{tmp_path}/x.csv")
    assert ask(database, objects) == before
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]
    assert (tmp_path / "empty.db").read_bytes() == b""


def test_a_table_of_somebody_else_is_found_before_the_load(
    store: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_to(store, "duplicates", database, schema="public")
    ask(database, "CREATE ROLE guest LOGIN")
    ask(database, "GRANT CREATE ON SCHEMA public TO guest")
    ask(database, "GRANT SELECT ON duplicates TO guest")
    guest = database.replace("postgres:@", "guest@")
    monkeypatch.setattr(databases, "LOADERS", {})
    with pytest.raises(ExportError, match="belongs to postgres, and only its owner can replace it"):
        export_to(store, "duplicates", guest)
    ask(database, "GRANT postgres TO guest")
    check("duplicates", guest)
    ask(database, "ALTER ROLE guest SET default_transaction_read_only = on")
    with pytest.raises(ExportError, match="read-only transaction"):
        check("duplicates", guest)


def test_a_view_of_the_table_is_found_before_the_load(
    store: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(database, "CREATE SCHEMA viewed")
    export_to(store, "duplicates", database, schema="viewed")
    ask(database, "ALTER TABLE viewed.duplicates ADD CHECK (cosine <= track_id::float OR true)")
    ask(database, "CREATE POLICY mine ON viewed.duplicates USING (track_id = 'x')")
    check("duplicates", database, "viewed")
    export_to(store, "duplicates", database, schema="viewed")
    ask(database, "CREATE VIEW viewed.pairs AS SELECT track_id FROM viewed.duplicates")
    monkeypatch.setattr(databases, "LOADERS", {})
    with pytest.raises(ExportError, match="view viewed.pairs depends on table viewed.duplicates"):
        export_to(store, "duplicates", database, schema="viewed")
    ask(database, "DROP SCHEMA viewed CASCADE")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "file"])
def test_a_file_or_folder_that_is_not_writable_is_found_before_the_load(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / ("x.csv" if kind == "file" else "x.db")
    to = str(path) if kind == "file" else f"{kind}:///{path}"
    export_to(store, "duplicates", to)
    content = path.read_bytes()
    read_only = tmp_path if kind == "file" else path
    # Root may write everywhere.
    monkeypatch.setattr(databases, "LOADERS", {})
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda name, mode: str(name) != str(read_only) and access(name, mode)
    )
    with pytest.raises(SongmillError, match=f"{read_only} is not writable"):
        export_to(store, "duplicates", to)
    assert path.read_bytes() == content


def test_schemas_and_names_of_all_kinds(store: Path, database: str, tmp_path: Path) -> None:
    for name in NASTY:
        schema = name[:20]
        quoted = '"' + schema.replace('"', '""') + '"'
        ask(database, f"CREATE SCHEMA {quoted}")
        for _ in range(2):
            export_to(store, "duplicates", database, schema=schema, table=name)
            export_to(store, "duplicates", f"sqlite:///{tmp_path}/s.db", table=name)
            export_to(store, "duplicates", f"duckdb:///{tmp_path}/d.db", table=name)
    found = ask(
        database,
        "SELECT schemaname::text, tablename::text FROM pg_tables WHERE tablename "
        "NOT LIKE 'pg%' AND schemaname NOT IN ('public', 'information_schema', 'pg_catalog')",
    )
    assert sorted(found) == sorted((name[:20], name) for name in NASTY)


def test_privileges_pass_to_the_new_table(store: Path, database: str) -> None:
    export_to(store, "similarity", database, table="shared")
    ask(database, 'CREATE ROLE "down stream"')
    ask(database, 'GRANT SELECT ON shared TO "down stream" WITH GRANT OPTION')
    ask(database, "GRANT SELECT ON shared TO PUBLIC")
    before = ask(database, "SELECT relacl::text FROM pg_class WHERE relname = 'shared'")
    export_to(store, "similarity", database, table="shared")
    assert ask(database, "SELECT relacl::text FROM pg_class WHERE relname = 'shared'") == before


def test_a_reader_that_stays_is_waited_for_and_then_given_up(
    store: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "MAX_SWAP_ATTEMPTS", 2)
    export_to(store, "similarity", database, table="busy")
    before = ask(database, "SELECT 'busy'::regclass::oid::bigint")
    with connect(database) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM busy")
        reader.fetchall()
        with pytest.raises(ExportError, match="others have been reading the table for 4 s"):
            export_to(store, "similarity", database, table="busy")
    assert ask(database, "SELECT 'busy'::regclass::oid::bigint") == before
    export_to(store, "similarity", database, table="busy")
    assert ask(database, "SELECT 'busy'::regclass::oid::bigint") != before


def test_a_second_export_to_the_same_table_is_refused(
    store: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "ADVISORY_LOCK_TIMEOUT_S", 1)
    with connect(database) as other:
        other.execute("""SELECT pg_advisory_lock(hashtext('songmill "public"."both"'))""")
        other.fetchall()
        with pytest.raises(ExportError, match="has been running for"):
            export_to(store, "similarity", database, table="both")
    export_to(store, "similarity", database, table="both")


# Refusals


@pytest.fixture
def no_secrets(store: Path, command: Command) -> Any:
    """Run an export that fails, check that the password is nowhere, and return the error."""

    def run(*arguments: str) -> str:
        code, out, err = command("export", "similarity", "--store", store, *arguments)
        assert code != 0
        everything = out + err + str(read(store, "runs").to_dict())
        assert "s3cret" not in everything
        assert "Traceback" not in everything
        return err.splitlines()[-1]

    return run


def test_a_wrong_password_is_reported_and_not_shown(database: str, no_secrets: Any) -> None:
    ask(database, "CREATE ROLE somebody LOGIN PASSWORD 'right'")
    socket = database.partition("host=")[2]
    rules = Path(socket, "pg_hba.conf")
    rules.write_text("local all somebody scram-sha-256\n" + rules.read_text())
    ask(database, "SELECT pg_reload_conf()")
    uri = f"postgresql://somebody:s3cret@/postgres?host={socket}"
    error = wait_until(
        lambda: (text := no_secrets("--to", uri)) and "password" in text and text, seconds=20
    )
    assert 'password authentication failed for user "somebody"' in error
    assert "the old table is still there" in error


def test_an_absent_server_is_reported(no_secrets: Any) -> None:
    error = no_secrets("--to", "postgresql://me:s3cret@127.0.0.1:1/d")
    assert "postgresql://me@127.0.0.1:1/d" in error
    assert "Connection refused" in error


def test_a_missing_permission_or_schema_is_reported(database: str, no_secrets: Any) -> None:
    assert "has no schema 'nope'" in no_secrets("--to", database, "--schema", "nope")
    ask(database, "CREATE ROLE weak LOGIN")
    ask(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    weak = database.replace("postgres:@", "weak@")
    assert "permission denied for schema public" in no_secrets("--to", weak)
    assert "1 to 63 bytes" in no_secrets("--to", database, "--table", "x" * 64)


@pytest.mark.parametrize(
    "to",
    ["host=h user=me password=s3cret", "postgresql:/me:s3cret@h/d", "postgresql://me:s3cret@h"],
)
def test_a_target_in_a_wrong_place_or_form_is_not_shown(to: str, no_secrets: Any) -> None:
    if "://" not in to:
        assert "is not a target" in no_secrets("--to", to)
    assert no_secrets("--to", "x.csv", to)


def test_options_that_do_not_fit_are_refused(tmp_path: Path, no_secrets: Any) -> None:
    assert "are for databases" in no_secrets("--to", f"{tmp_path}/x.csv", "--table", "x")
    to = f"sqlite:///{tmp_path}/x.db"
    assert "no schemas" in no_secrets("--to", to, "--schema", "x")
    assert "use --level track" in no_secrets("--to", to, "--level", "segment")


def test_files_of_other_kinds_are_left_alone(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("a letter, and no database " * 100)
    for kind in ("sqlite", "duckdb"):
        with pytest.raises(SongmillError, match=r"database|still there"):
            export_to(store, "similarity", f"{kind}:///{path}")
    assert path.read_text().startswith("a letter")


def test_a_table_that_is_not_there_is_reported(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [("a", None)], level="track")
    runs = {"similarity": "similarity", "duplicates": "similarity", "predictions": "predict --all"}
    for name, command in runs.items():
        with pytest.raises(UsageError, match=f"has no {name}. Run: songmill {command}"):
            export_to(tmp_path / "s", name, tmp_path / "x.csv")
    with pytest.raises(UsageError, match="of segments"):
        export_to(tmp_path / "s", "features", tmp_path / "x.csv", level="segment")
    assert not (tmp_path / "x.csv").exists()


def test_no_duplicates_are_an_empty_table(tmp_path: Path, database: str) -> None:
    root = tmp_path / "s"
    make_store(root, [("a", None), ("b", None), ("c", None)], level="track")
    similarity(store=str(root))
    assert export_to(root, "duplicates", tmp_path / "x.csv").rows == 0
    assert (tmp_path / "x.csv").read_text() == "track_id,duplicate_id,cosine\n"
    export_to(root, "duplicates", database, table="none")
    assert table_of(database, "none").empty


def test_a_damaged_part_ends_the_export_and_says_which(tmp_path: Path, database: str) -> None:
    root = tmp_path / "s"
    make_store(root, [(f"{i}", None) for i in range(20)], level="track")
    similarity(store=str(root), k=3)
    targets = [database, f"sqlite:///{tmp_path}/s.db", f"duckdb:///{tmp_path}/d.db"]
    targets += [str(tmp_path / f"x{end}") for end in (".csv", ".parquet", ".arrow")]
    for to in targets:
        export_to(root, "similarity", to)
    (part,) = (root / "similarity").iterdir()
    data = part.read_bytes()
    part.write_bytes(data[:10] + bytes(190) + data[200:])
    before = (tmp_path / "x.csv").read_bytes()
    for to in targets:
        with pytest.raises(SongmillError, match=r"part-.*is damaged"):
            export_to(root, "similarity", to)
    assert (tmp_path / "x.csv").read_bytes() == before
    assert len(table_of(database, "similarity")) == 60
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("end", ["csv", "parquet", "jsonl.gz", "arrow"])
def test_a_full_disk_leaves_the_old_file(store: Path, tmp_path: Path, end: str) -> None:
    path = tmp_path / f"x.{end}"
    path.write_text("old")
    opened = open_store(str(store))
    parts = opened.parts("similarity")
    rows = Rows(opened, parts, opened.storage.read_schema(parts[0]), Progress())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(ExportError, match="cannot be written"):
            write_file(rows, str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_text() == "old"


# Two million rows, with a reader that polls throughout


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large") / "store"
    made = make_store(root, [("a", None)], level="track")
    n, k = 100_000, 20
    names = pa.array([f"collection/genre{i % 10}/track{i:06}.wav" for i in range(n)])
    random = np.random.default_rng(0)
    columns = [
        names.take(pa.array(np.arange(n).repeat(k))),
        pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), n)),
        names.take(pa.array(random.integers(n, size=n * k))),
        *[pa.array(random.random(n * k))] * 2,
        pa.array(np.zeros(n * k, bool)),
        pa.repeat("cosine", n * k),
    ]
    rows = pa.table(columns, schema=schemas.similarity("track"))
    for part in range(2):
        half = rows.slice(part * len(rows) // 2, len(rows) // 2)
        write_part(made, f"similarity/part-{part}.parquet", half)
    return root


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path / "processes") as found:
        yield found


TEMPORARY = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_songmill%'"
LOAD = 'COPY "public%songmill%'
INDEX = "CREATE INDEX _songmill%"


def wait_for_query(database: str, query: str) -> None:
    """Wait until another connection runs a query of this pattern."""
    active = f"FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{query}'"
    wait_until(lambda: ask(database, f"SELECT count(*) {active}") == [(1,)], what=query)


@pytest.mark.storm
def test_two_million_rows_are_there_whole_or_not_at_all(
    store: Path, large: Path, database: str, running: Processes
) -> None:
    export_to(store, "similarity", database, table="polled")
    small = 30 * 4
    seen = set()
    stop = threading.Event()

    def poll() -> None:
        with connect(database) as cursor:
            while not stop.is_set():
                cursor.execute("SELECT count(*), count(DISTINCT rank) FROM polled")
                seen.add(cursor.fetchone())

    def start() -> Job:
        where = ("--store", large, "--to", database, "--table", "polled")
        return running.songmill("export", "similarity", *where)

    killed, ended = (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)
    with ThreadPoolExecutor() as pool:
        polling = pool.submit(poll)
        try:
            for query, (number, code) in ((LOAD, killed), (INDEX, killed), (LOAD, ended)):
                job = start()
                wait_for_query(database, query)
                job.process.send_signal(number)
                result = job.wait(60)
                assert result.code == code, result
                result.assert_quiet()
                assert ask(database, "SELECT count(*) FROM polled") == [(small,)]
            runs = read(large, "runs").sort_values("started_at")
            assert runs["outcome"].iloc[-1] == "interrupted"
            result = start().wait()
            assert result.code == 0, result
            assert "2,000,000 rows of similarity" in result.out
        finally:
            stop.set()
        polling.result()
    assert seen == {(small, 4), (2_000_000, 20)}
    assert ask(database, TEMPORARY) == [(0,)]


@pytest.mark.storm
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "csv", "parquet"])
def test_a_killed_export_leaves_the_old_file(
    store: Path, large: Path, tmp_path: Path, running: Processes, kind: str
) -> None:
    path = tmp_path / f"x.{kind}"
    to = f"{kind}:///{path}" if kind in ("sqlite", "duckdb") else str(path)
    export_to(store, "similarity", to)

    def count() -> int:
        if kind in ("sqlite", "duckdb"):
            return int(ask(to, "SELECT count(*) FROM similarity")[0][0])
        return len(pd.read_csv(path) if kind == "csv" else pd.read_parquet(path))

    rows = count()
    for enough in (1_000_000, 5_000_000):
        job = running.songmill("export", "similarity", "--store", large, "--to", to)
        job_io = psutil.Process(job.process.pid).io_counters
        wait_until(lambda io=job_io, enough=enough: io().write_chars >= enough, what="the export")
        job.kill()
        assert count() == rows
    export_to(large, "similarity", to)
    assert count() == 2_000_000


def test_processes_of_the_server_are_ended() -> None:
    with postgres.server() as uri:
        assert ask(uri, "SELECT 1") == [(1,)]
    for process in psutil.process_iter(["cmdline"]):
        assert uri.partition("host=")[2] not in " ".join(process.info["cmdline"] or [])
