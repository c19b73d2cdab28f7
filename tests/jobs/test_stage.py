"""Sessions and stages: one lock, one name, one cluster; and the rows of runs that ended early."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.damaged_json import DAMAGED_JSON, short_id
from support.made_stores import make_store

from jobs.errors import RunInterruptedError, StoreError, UsageError
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.lock import KILLED, LOCK
from jobs.store.storage import TEMPORARY

HOLD = """
import sys, time
from jobs.stage import open_session
from jobs.store.commit import Change

session = open_session(sys.argv[1])
with session.held("run"):
    if "within" in sys.argv:
        with session.stage("train"):
            print(session.run_id, flush=True)
            time.sleep(60)
    with session.stage("train") as stage:
        stage.commit(Change())
        if "after" not in sys.argv:
            print(session.run_id, flush=True)
            time.sleep(60)
    print(session.run_id, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_store(tmp_path / "store", [("a.wav", "a")], level="track")
    return tmp_path / "store"


def rows(root: Path) -> list[dict[str, Any]]:
    found = open_session(str(root)).store.read("runs").sort_by("started_at")
    return found.select(["run_id", "stage", "outcome", "message"]).to_pylist()


def killed(root: Path, moment: str) -> tuple[str, int]:
    """Kill a process that holds the store; return its run and process id."""
    command = [sys.executable, "-c", HOLD, str(root), moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.kill()
    assert run_id
    return run_id, process.pid


def work(session: Session, name: str) -> None:
    with session.stage(name) as stage:
        stage.commit(commit.Change())


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("within", [("train", "killed")]),
        ("between", [("train", "done")]),
        ("after", [("train", "done"), ("run", "killed")]),
    ],
)
def test_a_killed_run_gets_one_row_from_the_next_one(
    root: Path, moment: str, expected: list[tuple[str, str]]
) -> None:
    run_id, pid = killed(root, moment)
    for _ in range(2):
        work(open_session(str(root)), "similarity")
    found = [row for row in rows(root) if row["run_id"] == run_id]
    assert sorted((row["stage"], row["outcome"]) for row in found) == sorted(expected)
    for row in found:
        if row["outcome"] == "killed":
            assert f"process {pid} on " in row["message"]
    assert not list((root / KILLED).iterdir())


def test_a_lock_of_an_older_songmill_leaves_no_row(root: Path) -> None:
    killed(root, "within")
    (root / LOCK).write_text('{"token": "of an older songmill", "pid": 0}')
    work(open_session(str(root)), "similarity")
    assert [row["outcome"] for row in rows(root)] == ["done"]
    assert not list((root / KILLED).iterdir())


@pytest.mark.parametrize(
    "text",
    [
        *DAMAGED_JSON,
        *(
            b'{"run_id": "x", "stage": "train", "pid": 1, "host": "h", "started": %s, "seen": %s}'
            % times
            for times in ((b"null", b"1"), (b"1e300", b"1"), (b"NaN", b"1"), (b"1", b"Infinity"))
        ),
    ],
    ids=short_id,
)
def test_a_damaged_broken_lock_leaves_no_row(root: Path, text: bytes) -> None:
    (root / KILLED).mkdir(parents=True)
    (root / KILLED / "x.json").write_bytes(text)
    work(open_session(str(root)), "similarity")
    assert [row["stage"] for row in rows(root)] == ["similarity"]
    assert not list((root / KILLED).iterdir())


def test_the_stages_of_a_session_share_its_lock_and_its_name(root: Path) -> None:
    session = open_session(str(root))
    with session.held():
        assert open_session(session) is session
        work(session, "train")
        with pytest.raises(StoreError, match="another run is at work"):
            work(open_session(str(root)), "similarity")
        work(session, "similarity")
        assert (root / LOCK).exists()
    assert not (root / LOCK).exists()
    assert [row["stage"] for row in rows(root)] == ["train", "similarity"]
    assert {row["run_id"] for row in rows(root)} == {session.run_id}


@pytest.mark.parametrize("early", [False, True])
def test_incomplete_files_of_killed_processes_go_with_any_stage(root: Path, early: bool) -> None:
    half = root / TEMPORARY / "of a killed process"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.touch()
    with contextlib.suppress(UsageError), open_session(str(root)).stage("similarity") as stage:
        assert not half.exists()  # it may have filled the disk
        half.parent.mkdir(exist_ok=True)
        half.touch()  # of a worker that dies now
        if early:
            raise UsageError("no such column")
        stage.commit(commit.Change())
    assert not half.exists()


def test_one_cluster_serves_a_session_and_ends_with_it(root: Path) -> None:
    session = open_session(str(root), workers=1)
    with session.held():
        with session.stage("train") as stage:
            client = stage.client()
            [pid] = client.run(os.getpid).values()
            stage.commit(commit.Change())
        with session.stage("similarity") as stage:
            assert stage.client() is client
            assert list(client.run(os.getpid).values()) == [pid]
            stage.commit(commit.Change())
    assert client.status == "closed"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StoreError("a part is damaged"), "failed"),
        (ZeroDivisionError(), "failed"),
        (RunInterruptedError(signal.SIGTERM), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
        (UsageError("no such column"), None),
    ],
)
def test_a_stage_that_ends_early_leaves_a_row(
    root: Path, error: BaseException, outcome: str | None
) -> None:
    with pytest.raises(type(error)), open_session(str(root)).stage("train"):
        raise error
    ended = [(row["outcome"], row["message"]) for row in rows(root)]
    assert ended == ([(outcome, str(error) or type(error).__name__)] if outcome else [])
    assert not (root / LOCK).exists()
    assert not (root / "_work" / "train").exists()
