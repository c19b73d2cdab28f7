from pathlib import Path

import pytest

from jobs.errors import UsageError
from jobs.exporting.target import parse_target
from jobs.redaction import redact


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgres://me:s3cret@h:5432/d", "postgresql://me@h:5432/d"),
        ("postgresql://me:a%40b%2Fc@h/d", "postgresql://me@h/d"),
        ("postgresql://me@h/d?password=s3cret&sslmode=require", "postgresql://me@h/d"),
        ("PostgreSQL:///d?host=/run/pg", "postgresql:///d"),
    ],
)
def test_a_database_is_shown_without_its_password(given: str, shown: str) -> None:
    target = parse_target(given)
    assert (target.kind, target.address, target.shown) == ("postgresql", given, shown)


@pytest.mark.parametrize(
    "given",
    [
        *("postgresql://me:a/b@h/d", "postgresql://me:a@b@h/d", "postgresql://me:a#b@h/d"),
        *("postgresql://me:a?b@h/d", "postgresql://me:a:b/c@h", "postgresql://h:port/d"),
        *("postgresql://me:12?3@h/d", "postgresql://me:12?a/b=3@h/d", "postgresql://me:12#a@b/d"),
    ],
)
def test_a_password_that_is_not_escaped_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(UsageError, match="%40 %3A %2F") as refused:
        parse_target(given)
    assert "me" not in str(refused.value).split("--to")[0]
    for secret in ("a/b", "a@b", "a#b", "a?b", "a:b"):
        assert secret not in str(refused.value)


def test_a_password_in_a_drivers_message_is_hidden() -> None:
    uri = "postgresql://me:p%40ss@h/d?password=ot%20her&sslpassword=third"
    assert "p%40ss" not in repr(parse_target(uri))
    text = f'bad "{uri}": p@ss, p%40ss, ot her, ot%20her, third'
    hidden = redact(text, uri)
    for secret in ("p@ss", "p%40ss", "ot her", "ot%20her", "third"):
        assert secret not in hidden
    assert hidden.startswith('bad "postgresql://me@h/d')
    assert redact("as it is", "postgresql://me@h/d") == "as it is"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, name in (("~/x.csv", "x.csv"), ("sqlite:///~/x.db", "x.db")):
        assert parse_target(given).address == f"{tmp_path}/{name}"
        assert f"{tmp_path}/{name}" in parse_target(given).shown


def test_files_are_recognised_by_their_suffix_unless_they_are_folders(tmp_path: Path) -> None:
    for name in ("x.csv", "x.CSV.gz", "x.y.jsonl", "x.jsonl.gz", "a b.parquet", "x.arrow"):
        target = parse_target(str(tmp_path / name))
        assert (target.kind, target.address) == ("file", str(tmp_path / name))
    assert parse_target(f"file://{tmp_path}/x.csv").address == str(tmp_path / "x.csv")
    assert parse_target("x.csv").address == "x.csv"
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        parse_target(str(tmp_path / "x.csv"))


def test_databases_in_files_have_absolute_and_relative_paths(tmp_path: Path) -> None:
    assert parse_target(f"sqlite:///{tmp_path}/x.db").address == f"{tmp_path}/x.db"
    assert parse_target("sqlite:///x.db").address == "x.db"
    assert parse_target("duckdb:///x.db").kind == "duckdb"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("x.xlsx", "'x.xlsx' is not a target .* use postgresql"),
        ("", "is not a target"),
        ("mysql://me:s3cret@h/d", "mysql://… is not a target"),
        ("host=h user=me password=s3cret dbname=d", "--to … is not a target"),
        ("host=h password = 's3cret with spaces'", "--to … is not a target"),
        ("host=h password=s3cret://x", "--to … is not a target"),
        ("host=h password=s3cret dbname=songs.csv", "--to … is not a target"),
        ("postgresql:/me:s3cret@h/d", "--to … is not a target"),
        ("postgresql:me:s3cret@h/d", "--to … is not a target"),
        ("postgres:/me:s3cret@h/songs.csv", "--to … is not a target"),
        ("postgresql//me:s3cret@h/d", "--to … is not a target"),
        ("postgresql//me:s3cret@h/songs.csv", "there is no folder"),
        ("mysql:/me:s3cret@h/songs.csv", "there is no folder"),
        ("s3://bucket/x.csv", "s3://… is not a target"),
        ("sqlite://x.db", "needs the path"),
        ("duckdb:///", "needs the path"),
        ("/nowhere/at/all/x.csv", "there is no folder /nowhere/at/all"),
        ("sqlite:////nowhere/x.db", "there is no folder /nowhere"),
    ],
)
def test_other_targets_are_refused(given: str, match: str) -> None:
    with pytest.raises(UsageError, match=match) as refused:
        parse_target(given)
    assert "s3cret" not in str(refused.value)
