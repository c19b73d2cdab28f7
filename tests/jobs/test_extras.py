"""A command that needs an extra that is not installed names it."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from support.command_line import Command
from support.made_stores import make_store

from jobs.extras import EXTRAS
from jobs.store import s3

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("postgres", "export features --store STORE --to postgresql://me@127.0.0.1:9/music"),
        ("s3", "extract s3://music/in --store STORE"),
        ("s3", "status --store s3://music/tables"),
        ("report", "report --store STORE"),
        ("report", "inspect song.wav"),
        ("report", "run . --store STORE"),
        ("report", "demo"),
    ],
)
def test_a_missing_extra_is_named(
    extra: str,
    arguments: str,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_store(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, EXTRAS[extra][0], None)
    s3.file_system.cache_clear()
    code, _, err = command(*arguments.replace("STORE", str(tmp_path / "store")).split())
    assert code == 2
    assert err.splitlines()[-1].endswith(f"is not installed: pip install 'songmill[{extra}]'")


def test_extras_are_those_of_the_project() -> None:
    optional = PYPROJECT["project"]["optional-dependencies"]
    assert set(optional) == {*EXTRAS, "all", "dev", "docs"}
    assert optional["all"] == [f"songmill[{','.join(sorted(EXTRAS))}]"]
    for extra, (module, _) in EXTRAS.items():
        names = [re.split("[<>= ]", package)[0] for package in optional[extra]]
        assert module.replace("_", "-") in names
