"""The examples of all docstrings run, in a folder with a small collection and its stores."""

import doctest
import importlib
import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from support.made_models import put_model
from support.recordings import write_recording

from jobs.extraction.extract import extract
from jobs.progress import Progress
from jobs.store.tables import open_store

ROOT = Path(__file__).parents[1]
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
        write_recording(folder / "music" / ("blues", "rock")[i % 2] / f"{i // 2}.wav", i)
    extract(
        [str(folder / "music")],
        store=str(folder / "tables"),
        segment_seconds=1.0,
        scheduler=in_process_cluster,
        progress=Progress(Console(file=io.StringIO())),
    )
    shutil.copytree(folder / "tables", folder / "trained")
    trained = open_store(str(folder / "trained"))
    put_model(trained, "20261101T120000-aaaaaa", ["blues", "rock"], champion=True)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried
    assert not failed
