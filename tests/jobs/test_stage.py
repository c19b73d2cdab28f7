"""Sessions and stages: one lock, one name, one cluster; and the rows of runs that ended early."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
from dask.utils import key_split
from distributed import Client
from support.damaged_json import DAMAGED_JSON, short_id
from support.made_stores import make_store

from jobs.cluster import pool as pool_module
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
            client = stage.pool().client
            [pid] = client.run(os.getpid).values()
            stage.commit(commit.Change())
        with session.stage("similarity") as stage:
            assert stage.pool().client is client
            assert list(client.run(os.getpid).values()) == [pid]
            stage.commit(commit.Change())
    assert client.status == "closed"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_error_because_another_run_has_taken_over_names_that_cause(root: Path) -> None:
    def lose_the_lock() -> None:
        shutil.rmtree(root / "_work")
        raise FileNotFoundError("features/gone")

    stage = open_session(str(root)).stage("train")
    with pytest.raises(StoreError, match="another run has taken over the store"), stage:
        lose_the_lock()
    assert rows(root) == []


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


# The cluster of a session


def resources(client: Client) -> dict[str, Any]:
    """Return the Dask resources that the scheduler or a worker knows."""
    found: dict[str, Any] = client.run_on_scheduler(
        lambda dask_scheduler: dict(dask_scheduler.resources)
    )
    for of_worker in client.run(lambda dask_worker: dask_worker.state.total_resources).values():
        found |= of_worker
    return found


@pytest.mark.parametrize(
    "error",
    [None, StoreError("damaged"), UsageError("wrong"), RunInterruptedError(15), KeyError("a bug")],
    ids=lambda error: type(error).__name__,
)
def test_a_stage_closes_its_pools_however_it_ends(
    root: Path,
    in_process_cluster: str,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException | None,
) -> None:
    monkeypatch.setattr(pool_module, "CLOSE_S", 60.0)
    session = open_session(str(root), scheduler=in_process_cluster)
    with session.held():
        expected = pytest.raises(type(error)) if error else contextlib.nullcontext()
        with expected, session.stage("train") as stage:
            pools = [stage.pool() for _ in range(2)]
            assert {pool.resource for pool in pools} <= resources(session.client()).keys()
            if error:
                raise error
            stage.commit(commit.Change())
        assert not {pool.resource for pool in pools} & resources(session.client()).keys()


def test_the_names_of_tasks_have_the_stage_and_the_store(
    tmp_path: Path, in_process_cluster: str
) -> None:
    make_store(tmp_path / "my-tables", [("a.wav", None)])
    session = open_session(str(tmp_path / "my-tables"), scheduler=in_process_cluster)
    with session.stage("train") as stage:
        pool = stage.pool()
        keys = [pool.submit(abs, -1).key for _ in range(2)]
        assert {key_split(key) for key in keys} == {"train my_tables abs"}
        assert keys[0] != keys[1]
        stage.commit(commit.Change())


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("https://hub/{host}/status", "https://hub/localhost/status"),
        ("{NO_SUCH_VARIABLE}/{port}", None),
        ("{}/status", None),
        ("{port", None),
    ],
)
def test_a_template_that_gives_no_link_to_the_dashboard_ends_no_job(
    root: Path,
    in_process_cluster: str,
    capsys: pytest.CaptureFixture[str],
    template: str,
    link: str | None,
) -> None:
    session = open_session(str(root), scheduler=in_process_cluster)
    with dask.config.set({"distributed.dashboard.link": template}), session.held():
        assert session.client().status == "running"
    lines = [line for line in capsys.readouterr().err.splitlines() if "board" in line]
    expected = [f"{session.run_id} Dask's dashboard: {link}"] if link else []
    assert [line.partition(" ")[2] for line in lines] == expected
