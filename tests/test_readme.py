"""README's commands print what README shows, and its Python runs after them."""

import doctest
import os
import re
import subprocess
from pathlib import Path

import pytest
from support.documents import README, ROOT, blocks

from jobs.demo.collection import synthesise

pytestmark = pytest.mark.dist

INSTALLED = ROOT / "dist/venv/bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    synthesise(folder / "songmill-demo/collection")
    return folder


def run(folder: Path, *command: str) -> str:
    path = f"{INSTALLED}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "COLUMNS": "80"}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_print_what_is_shown_and_the_python_runs(folder: Path) -> None:
    (session,) = blocks(README, "console")
    checker = doctest.OutputChecker()
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", session, re.MULTILINE):
        printed = run(folder, "sh", "-c", command)
        assert checker.check_output(shown, printed, options), f"$ {command}\n{printed}"
    for code in blocks(README, "python"):
        run(folder, "python", "-c", code)
