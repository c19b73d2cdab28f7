"""Workers of real processes that join late, come again, lack something, or do not exist yet."""

import functools
import io
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from rich.console import Console
from support.cluster_processes import Processes, processes, wait_until
from support.made_stores import make_store
from support.recordings import make_collection

import jobs.learning.train
from jobs.cluster import pool as module
from jobs.cluster.pool import WorkerPool
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError, StoreError
from jobs.extraction.extract import extract
from jobs.learning import compare
from jobs.learning.predict_store import predict_all
from jobs.learning.train import train
from jobs.neighbours.similarity import similarity
from jobs.progress import Progress
from recommend import neighbours
from training import boosting

VERSION = {"SONGMILL_TEST_LACKS": "version"}
GATE = "SONGMILL_TEST_GATE"
BARE: dict[str, Any] = {"bare": True, "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]"}


class Report:
    """Records the messages of a pool or of a job."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, level: str, text: str) -> None:
        self.lines.append((level, text))

    def unfit(self) -> list[str]:
        return [text for _, text in self.lines if "gets no work" in text]


class Log(Progress):
    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.report = Report()

    def write(self, level: str, text: str) -> None:
        self.report(level, text)


def fit() -> str:
    return ""


def songmill_check() -> str:
    from jobs.cluster.fitness import songmill_version

    version = songmill_version()
    return f"it has songmill {version}" if version == "0.0.1" else ""


def gated_check() -> str:
    """Wait, in a worker with a gate, until somebody opens it for writing."""
    if gate := os.environ.get(GATE):
        Path(gate).read_bytes()
    return ""


def executed(client: Client) -> dict[str, int]:
    """Return the number of tasks that each worker has executed."""
    return client.run(lambda dask_worker: dask_worker.state.executed_count)


def pids(client: Client) -> dict[int, str]:
    return {pid: address for address, pid in client.run(os.getpid).items()}


# A cluster with a fit worker, one of another version, and one without songmill


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with processes(tmp_path_factory.mktemp("mixed") / "processes") as found:
        found.start_scheduler()
        for environment in ({}, VERSION, BARE):
            found.start_worker(**environment)
        with Client(found.address) as client:
            client.wait_for_workers(3, timeout=60)
        yield found


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_collection(tmp_path_factory.mktemp("music"), 3)


ROWS = [(f"{name}{i:02}.wav", name) for i in range(12) for name in ("blues", "rock")]

STAGES: dict[str, Callable[..., Any]] = {
    "extract": extract,
    "similarity": similarity,
    "compare": functools.partial(compare.compare, folds=2),
    "train": train,
    "predict": predict_all,
}


@pytest.fixture(scope="module")
def root(mixed: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store") / "store"
    make_store(root, ROWS, level="track", shift={"blues": 0.0, "rock": 2.0})
    return root


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_unfit_workers_are_named_once_and_get_no_work(
    mixed: Processes, root: Path, music: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 60.0)
    monkeypatch.setattr(neighbours, "tile_rows", lambda n: 8)
    monkeypatch.setattr(boosting, "MAX_ROUNDS", 3)
    monkeypatch.setattr(jobs.learning.train, "importance", lambda *args, **options: [])
    for name in ("CLASSIFIERS", "SLOWEST_FIRST"):
        monkeypatch.setattr(compare, name, ("KNN", "naive Bayes"))
    log = Log()
    given: dict[str, Any] = {"store": str(root), "scheduler": mixed.scheduler_file}
    if stage == "extract":
        given |= {"sources": [str(music)], "segment_seconds": 3.0}
        given["store"] = str(root.with_name("extracted"))
    with Client(mixed.address) as client:
        before = executed(client)
        STAGES[stage](**given, progress=log)
        after = executed(client)
        by_pid = pids(client)
        # Nothing of the run is left on a cluster that may run for months.
        resources = client.run_on_scheduler(lambda dask_scheduler: dict(dask_scheduler.resources))
        assert resources == {}
        assert not any(client.run(lambda dask_worker: dask_worker.state.total_resources).values())
    assert sum(after[address] > before[address] for address in after) == 1
    older, bare = sorted(log.report.unfit(), key=lambda text: "lacks songmill" in text)
    assert "it has songmill 0.0.1" in older
    for text, worker in ((older, mixed.workers[1]), (bare, mixed.workers[2])):
        assert f"process {worker.pid}," in text
        assert by_pid[worker.pid] in text
        assert socket.gethostname() in text
        assert after[by_pid[worker.pid]] == 0


# Workers that come and go


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path / "processes") as found:
        found.start_scheduler()
        yield found


@pytest.mark.slow
def test_an_unfit_worker_that_joins_a_run_is_named_and_the_run_goes_on(
    running: Processes, tmp_path: Path
) -> None:
    music = make_collection(tmp_path / "music", 6)
    running.start_worker()
    running.panel.shut("take003.wav")
    job = running.job(music, store=tmp_path / "store")
    fit_pid = running.panel.waiting("take003.wav")
    running.start_worker(**VERSION)
    named = wait_until(
        lambda: [line for line in job.process.read("err").splitlines() if "gets no work" in line],
        what="the worker is named",
    )
    assert f"process {running.workers[1].pid}," in named[0]
    running.panel.open("take003.wav")
    result = job.wait()
    assert result.code == 0, result
    assert result.outcome["extracted"] == 6
    assert result.outcome["workers"] == 1
    assert result.err.count("gets no work") == 1
    assert fit_pid == running.workers[0].pid


@pytest.mark.slow
def test_a_process_at_the_address_of_a_checked_one_is_checked_again(running: Processes) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    report = Report()
    running.start_worker(port=port)
    with Client(running.address) as client:
        pool = WorkerPool(client, songmill_check, report)
        client.wait_for_workers(1, timeout=60)
        pool.settle()
        assert pool.submit(os.getpid).result() == running.workers[0].pid
        running.end_workers()
        wait_until(lambda: not pool.list_workers(), what="the loss")
        future = pool.submit(os.getpid)
        running.start_worker(port=port, **VERSION)
        wait_until(lambda: pool.list_workers() or report.unfit(), what="the check")
        assert f"127.0.0.1:{port} " in report.unfit()[0]
        assert not future.done()
        assert set(executed(client).values()) == {0}
        running.end_workers()
        running.start_worker(port=port)
        wait_until(pool.list_workers, what="the check")
        assert future.result(timeout=30) == running.workers[0].pid
    assert [level for level, text in report.lines if "was lost: 0 left" in text] == ["warning"]


@pytest.mark.slow
def test_waiting_tasks_start_while_another_check_of_the_group_hangs(
    running: Processes, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    running.start_worker(**{GATE: str(gate)})
    running.start_worker()
    with Client(running.address) as client:
        client.wait_for_workers(2, timeout=60)
        pool = WorkerPool(client, gated_check, Report())
        waiting = [pool.submit(os.getpid) for _ in range(3)]
        wait_until(pool.list_workers, what="a fit worker")
        assert {future.result(timeout=30) for future in waiting} == {running.workers[1].pid}
        assert len(pool.list_workers()) == 1
        gate.write_bytes(b"")
        wait_until(lambda: len(pool.list_workers()) == 2, what="the other worker")


@pytest.mark.slow
def test_a_worker_that_becomes_unfit_gets_no_more_work(running: Processes) -> None:
    report = Report()
    running.start_worker()
    running.start_worker()
    with Client(running.address) as client:
        client.wait_for_workers(2, timeout=60)
        pool = WorkerPool(client, fit, report)
        pool.settle()
        assert pool.most_workers == 2
        one, other = pool.list_workers()
        waiting = [pool.submit(time.sleep, 0.2) for _ in range(6)]
        for _ in range(2):
            pool.exclude(one, "it does not see the source /music")
        wait_until(lambda: all(future.done() for future in waiting), what="the waiting tasks")
        assert list(pool.list_workers()) == [other]
        results = [result for _, result in map_unordered(pool, os.getpid, [()] * 20)]
        assert {pids(client)[pid] for pid in results} == {other}
    assert len(report.unfit()) == 1
    assert f"{one} (host " in report.unfit()[0]


@pytest.mark.slow
def test_the_work_of_a_new_pool_brings_workers_to_an_adaptive_cluster() -> None:
    with (
        LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=False,
            dashboard_address=":0",
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.adapt(minimum=0, maximum=1, interval="200ms", wait_count=10)
        pool = WorkerPool(client, fit, Report())
        pool.settle()
        assert pool.poll() == 0
        assert sorted(map_unordered(pool, abs, [(-1,), (-2,)])) == [(0, 1), (1, 2)]
        wait_until(lambda: not pool.list_workers(), what="no worker")
        pool.wait(lambda threads: None)
        assert pool.most_workers == 1


def failing_check() -> str:
    raise StoreError("the object store does not answer")


def test_without_a_fit_worker_a_job_ends_with_the_reason(
    in_process_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ONLY_UNFIT_TIMEOUT_S", 0.5)
    with Client(in_process_cluster) as client:
        pool = WorkerPool(client, failing_check, Report())
        error = "no worker of the cluster is fit: inproc://.*: the object store does not answer$"
        with pytest.raises(ClusterError, match=error):
            list(map_unordered(pool, abs, [(-1,)]))


def test_a_fit_worker_that_was_there_is_waited_for(
    in_process_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ONLY_UNFIT_TIMEOUT_S", 0.0)
    with Client(in_process_cluster) as client:
        pool = WorkerPool(client, failing_check, Report())
        pool.most_workers = 1
        pool.settle()
        for _ in range(2):
            assert pool.poll(fresh=True) == 0


def test_a_check_that_hangs_does_not_hold_up_the_others(
    in_process_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_CHECK_S", 0.2)
    with Client(in_process_cluster) as client:
        pool = WorkerPool(client, fit, Report())
        monkeypatch.setattr(pool, "_admit", lambda addresses: time.sleep(60))
        began = time.monotonic()
        pool.settle()
        assert pool.poll(fresh=True) == 0
        assert time.monotonic() - began < 30
