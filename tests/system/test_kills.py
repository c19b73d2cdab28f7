"""Kills of any process: repeating the command gives the rows of an undisturbed run."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from distributed import Client
from support.cluster_processes import (
    Job,
    Processes,
    Result,
    assert_equal_tables,
    assert_tidy,
    descendants,
    finished,
    processes,
    tables,
    wait_until,
)
from support.recordings import make_collection, write_recording
from support.small_disk import small_disk
from support.storm import share

from jobs.cluster.failures import wait_for_finished
from jobs.extraction.attempts import Batch, Summary
from jobs.extraction.dispatch import _result
from jobs.store.tables import Settings

pytestmark = pytest.mark.slow

Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 recordings, which no test may change."""
    return make_collection(tmp_path_factory.mktemp("recordings") / "takes", 24)


@pytest.fixture(scope="module")
def undisturbed(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of an undisturbed run on ``collection``."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with processes(folder / "run") as running:
        running.start_cluster(2)
        result = running.run(collection, store=folder / "store")
    assert result.code == 0, result
    result.assert_quiet()
    found = tables(folder / "store")
    assert len(found["files"]) == len(found["features/level=track"]) == 24
    assert len(found["features/level=segment"]) > 24
    return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    """Processes that end with the test."""
    with processes(tmp_path / "processes") as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A cluster of two workers, for tests that do not kill it."""
    with processes(tmp_path_factory.mktemp("shared") / "processes") as found:
        found.start_cluster(2)
        yield found


def kill(pid: int) -> None:
    """Send SIGKILL."""
    os.kill(pid, signal.SIGKILL)


class Count:
    """The files finished before a run, which the run must not extract again."""

    def __init__(self, running: Processes, store: Path) -> None:
        self.panel = running.panel
        self.finished = finished(store)
        # Batches of killed jobs continue, and may extract files that others have finished.
        self.earlier = {process.pid for process in running.started}

    @property
    def extracted(self) -> list[str]:
        return self.panel.extracted(self.earlier)

    def assert_none_twice(self) -> None:
        """Check that the run has extracted none of the finished files."""
        assert self.finished.isdisjoint(self.extracted)


# Workers


@pytest.mark.parametrize("nanny", [pytest.param(True, marks=pytest.mark.storm), False])
def test_killed_workers_do_not_change_the_result(
    running: Processes, collection: Path, undisturbed: Tables, tmp_path: Path, nanny: bool
) -> None:
    """One worker dies inside a file, one between batches, one at each step that finishes a batch.

    With nannies, the scheduler retries their tasks; without, it gives them up at once.
    """
    panel, store = running.panel, tmp_path / "store"
    moments = [
        ("create", "_work/started"),
        ("write_table", ".track.parquet"),
        ("write_table", ".files.parquet"),
        ("rename", ".files.parquet"),
        ("remove", "_work/started"),
    ]
    for operation, name in moments:
        panel.die(operation, name)
    panel.shut("take022.wav")
    running.start_scheduler(allowed_failures=3 if nanny else 0)
    for _ in range(2 if nanny else len(moments) + 2):
        running.start_worker(nanny=nanny)
    job = running.job(collection, store=store)
    kill(panel.waiting("take022.wav"))
    panel.open("take022.wav")
    result = job.wait()
    assert result.code == 0, result
    result.assert_quiet()
    assert panel.deaths_to_come() == 0
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)


@pytest.mark.parametrize("allowed_failures", [0, 3])
def test_a_worker_that_dies_when_its_batch_is_finished(
    running: Processes, collection: Path, tmp_path: Path, allowed_failures: int
) -> None:
    """The summary is lost, but not the rows: nothing is extracted twice."""
    running.panel.die("remove", "_work/started")
    running.start_scheduler(allowed_failures=allowed_failures)
    for _ in range(2):
        running.start_worker()
    result = running.run(collection, store=tmp_path / "store")
    assert result.code == 0, result
    assert running.panel.deaths_to_come() == 0
    assert Counter(running.panel.extracted()) == {str(p): 1 for p in collection.rglob("*.wav")}


def test_a_summary_lost_with_its_worker_is_computed_again(
    running: Processes, tmp_path: Path
) -> None:
    running.start_scheduler()
    running.start_worker()
    with Client(running.address) as client:
        future = client.submit(Summary, "done", pure=False)
        wait_until(lambda: wait_for_finished(client, [future]), what="the batch")
        running.end_workers()
        wait_until(lambda: future.status == "lost", what="the loss of its summary")
        assert wait_for_finished(client, [future]) == []
        running.start_worker()
        assert wait_until(lambda: wait_for_finished(client, [future])) == [future]
        batch = Batch(
            "a", "run", str(tmp_path), "0", Settings({"gtzan": ""}, 3.0), ("gtzan",), [], []
        )
        assert _result(future, batch) == Summary("done")


# A file that kills


@pytest.mark.parametrize(
    ("poison", "workers", "nanny"),
    [
        pytest.param(2, 2, True, id="nanny", marks=pytest.mark.storm),
        pytest.param(1, 3, False, id="no nanny"),
    ],
)
def test_a_file_that_kills_its_worker_does_not_affect_others(
    running: Processes,
    collection: Path,
    undisturbed: Tables,
    tmp_path: Path,
    poison: int,
    workers: int,
    nanny: bool,
) -> None:
    source = shutil.copytree(collection, tmp_path / "takes")
    bad = [f"style1/poison{i}.wav" for i in range(poison)]
    for name in bad:
        shutil.copy2(source / "style1/take001.wav", source / name)
    store = tmp_path / "store"
    running.start_cluster(workers, nanny=nanny)
    result = running.run(source, store=store)
    assert result.code == 0, result
    result.assert_quiet()
    assert result.outcome["failures"] == {"worker-killed": poison}
    deaths = Counter(path for path in running.panel.extracted() if "poison" in path)
    assert deaths == {str(source / name): 2 for name in bad}

    files = tables(store)["files"].set_index("track_id")
    assert files[files["status"] == "failed"]["error"].to_dict() == dict.fromkeys(
        bad, "worker-killed"
    )
    ok = tables(store)["features/level=track"]
    pd.testing.assert_frame_equal(ok, undisturbed["features/level=track"], check_exact=True)
    assert_tidy(store)
    if not nanny:
        return

    count = Count(running, store)
    assert running.run(source, store=store).code == 0
    assert count.extracted == []
    result = running.run(source, "--retry-failed", store=store)
    assert result.outcome["failures"] == {"worker-killed": poison}
    assert sorted(count.extracted) == sorted(str(source / name) for name in bad * 2)


@pytest.mark.storm
def test_a_file_that_kills_does_not_affect_other_threads(
    running: Processes, tmp_path: Path
) -> None:
    """Each batch is one file, so the same batches are running at both deaths."""
    source = make_collection(tmp_path / "takes", 11)
    write_recording(source / "style1/poison.wav", 99)
    running.panel.slow(0.5)
    running.start_cluster(1, nanny=True, threads=3)
    result = running.run(source, store=tmp_path / "store")
    assert result.code == 0, result
    assert result.outcome["failures"] == {"worker-killed": 1}
    assert result.outcome["extracted"] == 11
    deaths = [path for path in running.panel.extracted() if "poison" in path]
    assert len(deaths) == 2


# The job


def test_a_killed_job_is_resumed(
    running: Processes, collection: Path, undisturbed: Tables, tmp_path: Path
) -> None:
    panel, store = running.panel, tmp_path / "store"
    running.start_cluster(2)

    # Killed as soon as a batch is finished.
    panel.slow(0.2)
    job = running.job(collection, store=store)
    wait_until(lambda: finished(store), what="a finished batch")
    job.kill()

    # Killed inside a batch, with others finished.
    count = Count(running, store)
    last = max(set(map(str, collection.rglob("*.wav"))) - set(running.panel.extracted()))
    last = os.path.basename(last)
    panel.shut(last)
    job = running.job(collection, store=store)
    stale = panel.waiting(last)
    wait_until(lambda: len(finished(store)) > len(count.finished), what="one more")
    job.kill()
    count.assert_none_twice()

    # That batch is still blocked on its worker while the next run extracts its files elsewhere.
    panel.slow(0)
    running.start_cluster(2)
    count = Count(running, store)
    assert 0 < len(count.finished) < 24
    job = running.job(collection, store=store)
    other = panel.waiting(last)
    assert other != stale
    panel.open(last, other)
    result = job.wait()
    assert result.code == 0, result
    result.assert_quiet()
    count.assert_none_twice()
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)

    # The late end of the stale batch is harmless.
    panel.open(last)
    wait_until(lambda: list((store / "_work/done").glob("*.files.parquet")), what="the stale batch")
    assert_equal_tables(store, undisturbed)
    count = Count(running, store)
    assert running.run(collection, store=store).code == 0
    assert count.extracted == []
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)


@pytest.mark.storm
def test_a_killed_job_leaves_no_worker_of_its_own(
    running: Processes, collection: Path, undisturbed: Tables, tmp_path: Path
) -> None:
    panel, store = running.panel, tmp_path / "store"
    panel.shut("take013.wav")
    job = running.job(collection, store=store, local=2)
    panel.waiting("take013.wav")
    wait_until(lambda: finished(store), what="a finished batch")
    family = descendants(job.process.pid)
    assert len(family) >= 2
    job.kill()
    wait_until(lambda: not any(p.is_running() for p in family), seconds=15, what="no worker")
    panel.open("take013.wav")
    count = Count(running, store)
    result = running.run(collection, store=store, local=2)
    assert result.code == 0, result
    count.assert_none_twice()
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)


def change_collection(source: Path) -> None:
    """Change two recordings, remove two and add two."""
    write_recording(source / "style0/take000.wav", 100)
    write_recording(source / "style1/take004.wav", 104)
    (source / "style2/take002.wav").unlink()
    (source / "style0/take003.wav").unlink()
    write_recording(source / "style1/take100.wav", 105)
    write_recording(source / "style3/take101.wav", 106)


@pytest.mark.storm
@pytest.mark.parametrize("kind", ["fresh", "changed", "forced"])
def test_a_job_killed_at_any_step_of_the_commit_is_resumed(
    running: Processes, tmp_path: Path, kind: str
) -> None:
    source = make_collection(tmp_path / "takes", 8, seed=50)
    prepared = tmp_path / "prepared"
    if kind != "fresh":
        # With several parts, those that change are emptied instead of replaced.
        small = {"set": {"jobs.store.commit.PART_ROWS": 6}}
        assert running.run(source, store=prepared, local=1, faulty=small).code == 0
        change_collection(source)
    # --force replaces the whole store with one of other settings.
    arguments = [source, "--force"] if kind == "forced" else [source]
    options: dict[str, Any] = {"segment_seconds": 0.5} if kind == "forced" else {}
    assert running.run(*arguments, store=tmp_path / "plain", local=1, **options).code == 0
    expected = tables(tmp_path / "plain")

    # The job dies just before its commit is decided, after all extractions.
    faulty = {"die_at": ["write", "_journal.json"]}
    result = running.run(*arguments, store=prepared, local=1, faulty=faulty, **options)
    assert result.code == -signal.SIGKILL, result
    done = len(running.panel.extracted())

    no_cluster = {"set": {"jobs.cluster.connect.connect": None}}

    def again(store: Path, **faulty: Any) -> Result:
        if not store.exists():
            shutil.copytree(prepared, store)
        return running.run(*arguments, store=store, local=1, faulty=no_cluster | faulty, **options)

    trace = tmp_path / "trace"
    result = again(tmp_path / "traced", trace=str(trace))
    assert result.code == 0, result
    steps = trace.read_text().splitlines()
    kinds = [re.sub(r"[0-9a-f]{6,}\S*|[^/]*$", "", step) for step in steps]
    # Of a sequence of similar steps, only the first and the last.
    chosen = [
        k
        for k in range(len(steps))
        if k == 0 or k + 1 == len(steps) or len({*kinds[k - 1 : k + 2]}) > 1
    ]
    # "changed" and "forced" take the same steps, so each is killed at half of them.
    chosen = {"fresh": chosen, "changed": chosen[::2], "forced": chosen[1::2]}[kind]
    assert sum(step.startswith("move ") for step in steps) >= 4
    if kind != "fresh":
        # Parts are emptied, and new ones moved in, in both tables.
        assert sum(step.startswith("move features/") for step in steps) >= 4
    # Once the run's own mark is removed, the same command is a new run.
    end = steps.index("remove _work/run.json")

    def killed(k: int) -> None:
        store = tmp_path / f"store{k}"
        result = again(store, die_before=k)
        assert result.code == -signal.SIGKILL, (steps[k], result)
        if k > end and "--force" in arguments:
            return
        result = again(store)
        assert result.code == 0, (steps[k], result)
        result.assert_quiet()
        assert_equal_tables(store, expected)
        assert_tidy(store)

    for k in share(chosen):
        killed(k)
    assert len(running.panel.extracted()) == done, "a finished batch was extracted again"


# The scheduler


def lose_scheduler(running: Processes, job: Job, *, restarted: bool = False) -> None:
    """Kill the scheduler, check that the job reports it and ends, and end the workers."""
    assert job.running()
    address = running.address
    running.kill_scheduler()
    if restarted:
        running.start_scheduler(address)
    result = job.wait(60)
    assert result.code == 1, result
    assert "scheduler" in result.complaint
    assert "lost" in result.complaint
    running.end_workers()


def test_a_lost_scheduler_ends_the_job_in_one_line(
    running: Processes, collection: Path, undisturbed: Tables, tmp_path: Path
) -> None:
    panel, store = running.panel, tmp_path / "store"

    # Before the first worker.
    running.start_scheduler()
    job = running.job(collection, store=store)
    wait_until((store / "_work/run.json").exists)
    time.sleep(2)
    lose_scheduler(running, job)

    # Inside a batch, with others finished.
    panel.shut("take013.wav")
    running.start_cluster(2)
    job = running.job(collection, store=store)
    panel.waiting("take013.wav")
    wait_until(lambda: finished(store), what="a finished batch")
    lose_scheduler(running, job)
    panel.open("take013.wav")

    count = Count(running, store)
    assert 0 < len(count.finished) < 24
    running.start_cluster(2)
    result = running.run(collection, store=store)
    assert result.code == 0, result
    count.assert_none_twice()
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)


def test_a_restarted_scheduler_knows_nothing_of_the_job(
    running: Processes, collection: Path, undisturbed: Tables, tmp_path: Path
) -> None:
    """A new scheduler at the same address starts before the job notices the loss."""
    panel, store = running.panel, tmp_path / "store"
    panel.shut("take013.wav")

    # While a batch is running.
    running.start_cluster(2)
    job = running.job(collection, store=store)
    panel.waiting("take013.wav")
    wait_until(lambda: finished(store), what="a finished batch")
    lose_scheduler(running, job, restarted=True)

    # While the job waits for a worker.
    count = Count(running, store)
    running.start_scheduler()
    running.start_worker()
    job = running.job(collection, store=store)
    kill(panel.waiting("take013.wav"))
    time.sleep(2)
    lose_scheduler(running, job, restarted=True)
    count.assert_none_twice()
    panel.open("take013.wav")

    count = Count(running, store)
    assert 0 < len(count.finished) < 24
    running.start_cluster(2)
    result = running.run(collection, store=store)
    assert result.code == 0, result
    count.assert_none_twice()
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)


# Readers


@pytest.mark.storm
def test_readers_never_see_a_commit(shared: Processes, tmp_path: Path) -> None:
    """New, changed, gone and forced files in small parts, with merges, and killed commits."""
    source = make_collection(tmp_path / "takes", 12, seed=200)
    store, stop = tmp_path / "store", tmp_path / "stop"
    # Emptied parts are kept, because a reader may just have listed them.
    small = {
        "jobs.store.commit.PART_ROWS": 16,
        "jobs.store.commit.SMALL_PARTS": 3,
        "jobs.store.commit.GRACE_S": 1e6,
    }
    assert shared.run(source, store=store, faulty={"set": small}).code == 0
    reader = shared.reader(store, stop)
    rng = np.random.default_rng(7)
    for turn, (killed, forced) in enumerate(product([False, True], repeat=2)):
        paths = sorted(source.rglob("*.wav"))
        for path in rng.choice(np.array(paths, dtype=object), 2, replace=False):
            write_recording(path, 300 + turn)
        rng.choice(np.array(paths, dtype=object)).unlink()
        for i in range(2):
            write_recording(source / f"style{turn % 2}/new{turn}-{i}.wav", 400 + 2 * turn + i)
        arguments = [source, "--force"] if forced else [source]
        if killed:
            # The job dies while it moves the parts.
            faulty = {"set": small, "die_at": ["move", "features/level=segment"]}
            assert shared.run(*arguments, store=store, faulty=faulty).code == -signal.SIGKILL
        result = shared.run(*arguments, store=store, faulty={"set": small})
        assert result.code == 0, result
        assert reader.running(), reader.wait()
    stop.touch()
    result = reader.wait()
    assert result.code == 0, result
    assert int(result.out) > 4 * 9
    result = shared.run(source, store=tmp_path / "plain")
    assert_equal_tables(store, tables(tmp_path / "plain"))
    rows = {name: len(frame) for name, frame in tables(store).items()}
    for name, count in rows.items():
        parts = [p for p in (store / name).glob("part-*") if pq.read_metadata(p).num_rows]
        assert len(parts) <= count / 16 * 2 + 3 + 1, name


# Two runs


def test_a_second_run_is_refused(
    shared: Processes, collection: Path, undisturbed: Tables, tmp_path: Path
) -> None:
    panel, store = shared.panel, tmp_path / "store"
    count = Count(shared, store)
    panel.shut("take013.wav")
    first = shared.job(collection, store=store)
    panel.waiting("take013.wav")
    second = shared.run(collection, store=store)
    assert second.code == 1
    assert f"process {first.process.pid}" in second.complaint
    assert second.out == ""
    panel.open("take013.wav")
    result = first.wait()
    assert result.code == 0, result
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)
    assert sorted(count.extracted) == sorted(map(str, collection.rglob("*.wav")))


# Clusters that do not fit


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ({"SONGMILL_TEST_LACKS": "store"}, "does not see the store"),
        ({"SONGMILL_TEST_LACKS": "source"}, "does not see the source"),
        ({"SONGMILL_TEST_LACKS": "version"}, "has songmill 0.0.1"),
        ({"bare": True, "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]"}, "lacks songmill"),
    ],
    ids=["store", "source", "version", "songmill"],
)
def test_a_worker_that_does_not_fit_is_named_before_work(
    running: Processes, tmp_path: Path, worker: dict[str, Any], message: str
) -> None:
    source = make_collection(tmp_path / "takes", 2)
    running.start_scheduler()
    running.start_worker(**worker)
    patience = {"set": {"jobs.cluster.pool.ONLY_UNFIT_TIMEOUT_S": 0.5}}
    result = running.run(source, store=tmp_path / "store", faulty=patience)
    assert result.code == 1, result
    assert message in result.complaint
    assert running.panel.extracted() == []


def test_a_cluster_without_workers_is_given_up(running: Processes, tmp_path: Path) -> None:
    source = make_collection(tmp_path / "takes", 8)
    store = tmp_path / "store"
    patience = {"set": {"jobs.cluster.pool.NO_WORKERS_TIMEOUT_S": 2.0}}
    running.start_scheduler()
    result = running.run(source, store=store, faulty=patience)
    assert result.code == 1, result
    assert "has had no worker" in result.complaint

    # The last one dies during the run.
    running.panel.shut("take003.wav")
    running.start_worker()
    with Client(running.address) as client:
        client.wait_for_workers(1, timeout=60)
    job = running.job(source, store=store, faulty=patience)
    kill(running.panel.waiting("take003.wav"))
    result = job.wait()
    assert result.code == 1, result
    assert "has had no worker" in result.complaint


# The disk


@pytest.fixture
def disk(tmp_path: Path, running: Processes) -> Iterator[Path]:
    """A small disk, which ``leave`` makes smaller."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder
        running.close()


def leave(disk: Path, free: int) -> None:
    """Resize a disk so that ``free`` bytes are free."""
    state = os.statvfs(disk)
    used = (state.f_blocks - state.f_bfree) * state.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={used + free}", str(disk)], check=True)


def test_a_disk_filled_by_workers_is_reported_and_survived(
    running: Processes, collection: Path, undisturbed: Tables, disk: Path
) -> None:
    store = disk / "store"
    running.start_cluster(1)
    leave(disk, 200_000)
    faulty = {"set": {"jobs.store.lock.HEARTBEAT_S": 0.1}}
    result = running.run(collection, store=store, faulty=faulty)
    assert result.code == 1, result
    assert "No space left" in result.complaint
    assert not (store / "_lock.json").exists()
    leave(disk, 64_000_000)
    count = Count(running, store)
    result = running.run(collection, store=store)
    assert result.code == 0, result
    count.assert_none_twice()
    assert_equal_tables(store, undisturbed)
    assert_tidy(store)


# Signals


@pytest.mark.parametrize(
    ("number", "local"),
    [
        pytest.param(signal.SIGTERM, None, id="SIGTERM remote"),
        pytest.param(signal.SIGTERM, 2, id="SIGTERM local", marks=pytest.mark.storm),
        pytest.param(signal.SIGINT, 2, id="SIGINT local"),
    ],
)
def test_a_signal_ends_the_job_at_once(
    shared: Processes, collection: Path, tmp_path: Path, number: signal.Signals, local: int | None
) -> None:
    panel, store = shared.panel, tmp_path / "store"
    panel.shut("take013.wav")
    job = shared.job(collection, store=store, local=local)
    panel.waiting("take013.wav")
    wait_until(lambda: finished(store), what="a finished batch")
    family = descendants(job.process.pid)
    if number == signal.SIGINT:
        os.killpg(job.process.pid, number)  # as a terminal does
    else:
        job.process.send_signal(number)
    result = job.wait(15)
    assert result.code == 128 + number
    assert "the same command resumes" in result.complaint
    wait_until(lambda: not any(p.is_running() for p in family), seconds=5, what="no worker")
    assert not (store / "_lock.json").exists()
    panel.open("take013.wav")
    count = Count(shared, store)
    assert count.finished
    result = shared.run(collection, store=store)
    assert result.code == 0, result
    count.assert_none_twice()
