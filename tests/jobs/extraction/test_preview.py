"""Dry runs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Command
from support.made_stores import make_store, put

from jobs.extraction.preview import preview
from jobs.store.schemas import FILES

NEW, CHANGED, SAME, FAILED, GONE = (f"rock/{name}.wav" for name in ("n", "c", "s", "f", "g"))


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A store that knows four files, of which one is gone and one has changed."""
    music = tmp_path / "music"
    (music / "rock").mkdir(parents=True)
    made = make_store(tmp_path / "store", [(SAME, "rock"), (CHANGED, "rock"), (GONE, "rock")])
    make_store(tmp_path / "store", [(SAME, "folk"), (CHANGED, "rock")], level="track")
    files: list[dict[str, Any]] = []
    for track in (CHANGED, SAME, FAILED, GONE):
        path = music / track
        path.write_bytes(track.encode())
        os.utime(path, (1.8e9, 1.8e9))
        row = {"track_id": track, "uri": str(path), "source": str(music), "duration_s": 5.0}
        row |= {"bytes": len(track), "modified": 1_800_000_000_000_000, "sample_rate": 22050}
        row |= {"status": "failed", "error": "empty"} if track == FAILED else {"status": "ok"}
        files.append(row)
    put(made, "files", files, FILES)
    (music / GONE).unlink()
    (music / CHANGED).write_bytes(b"more than before")
    (music / NEW).write_bytes(b"new")
    (music / "cover.jpg").touch()
    return music


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_says_what_would_be_done_and_why_not(music: Path) -> None:
    store = music.parent / "store"
    before = contents(store)
    found = preview([music], store=str(store), features="gtzan")
    assert (found.new, found.changed, found.gone, found.retried) == ([NEW], [CHANGED], [GONE], [])
    assert (found.listed, found.unchanged, found.relabelled) == (4, 2, [SAME])
    assert found.ignored == {
        "no recording, by its suffix": [f"{music}/cover.jpg"],
        "failed before: --retry-failed retries it": [FAILED],
    }
    assert preview([music], store=str(store), features="gtzan", retry_failed=True).retried == [
        FAILED
    ]
    assert contents(store) == before


def test_a_dry_run_without_a_store_makes_none(music: Path, command: Command) -> None:
    store = music.parent / "none"
    code, out, _ = command("extract", music, "--store", store, "--dry-run", "--exclude", "c.wav")
    assert code == 0
    assert f"3 new:\n  {FAILED}\n  {NEW}\n  {SAME}\n" in out
    assert f"  {music}/{CHANGED}\n" in out.partition("left out by --include or --exclude")[2]
    assert not store.exists()


def test_a_dry_run_of_a_run_that_would_be_refused_ends_as_that_run(
    music: Path, command: Command
) -> None:
    options = ("--store", music.parent / "store", "--features", "gtzan", "--max-gone", "0")
    code, out, err = command("run", music, *options, "--dry-run", "--json")
    assert (code, json.loads(out)["gone"]) == (3, [GONE])
    assert "1 of 4 known files" in err
