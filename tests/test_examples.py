"""The examples of all docstrings run, in a folder with a small collection and its stores.

So do those of some documents.
"""

import doctest
import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.documents import ROOT, blocks
from support.made_stores import make_store
from support.recordings import play

from jobs.extraction.extract import extract
from jobs.learning.train import train
from jobs.progress import Progress

PACKAGES = ("compiling", "featurizer", "jobs", "pages", "recommend", "songmill", "training")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, in_process_cluster: str) -> Path:
    """``music`` with two labels, its store ``tables``, and ``trained``, which has a champion."""
    folder = tmp_path_factory.mktemp("examples")
    for i in range(6):
        label, sound = (("blues", "hiss"), ("rock", "hum"))[i % 2]
        play(folder / "music" / label / f"{i // 2}.wav", sound, i)
    where: Any = {"scheduler": in_process_cluster, "progress": Progress(Console(quiet=True))}
    extract([str(folder / "music")], store=str(folder / "tables"), **where)
    shutil.copytree(folder / "tables", folder / "trained")
    train(store=str(folder / "trained"), **where)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    module = importlib.import_module(name)
    failed, attempted = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert attempted
    assert not failed


@pytest.mark.parametrize("document", ["features", "python"])
def test_the_python_of_a_document_runs(
    document: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "music").symlink_to(folder / "music")
    shutil.copytree(folder / "trained", tmp_path / "tables")
    # The recordings are too short for these features.
    make_store(tmp_path / "tables", [("blues/0.wav", "blues")], level="track", features="rich")
    monkeypatch.chdir(tmp_path)
    code = blocks(ROOT / "docs" / f"{document}.md", "python")
    assert code
    for block in code:
        exec(block, {})
