"""Trainings on real clusters: reproducible trees, and workers and jobs that die."""

import io
import json
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client
from rich.console import Console
from support.cluster_processes import Job, Processes, processes, wait_until
from support.made_models import MODEL_FILES, champion_of, plainly, put_model, read_predictions
from support.made_stores import make_store, put, read_rows
from support.recordings import write_recording

import jobs.learning.train
from jobs.cluster.pool import WorkerPool
from jobs.errors import ClusterError
from jobs.extraction.extract import extract
from jobs.learning import dataset, distributed_boosting, registry, workers
from jobs.learning.judge import importance
from jobs.learning.predict_store import predict_all
from jobs.learning.promote import promote
from jobs.learning.train import Outcome, train
from jobs.neighbours.similarity import similarity
from jobs.progress import Progress
from jobs.store.schemas import SUSPECT
from jobs.store.tables import open_store
from training import boosting
from training.importance import REPEATS

pytestmark = pytest.mark.slow

SHIFT: dict[str | None, float] = {"blues": 0.0, "jazz": 2.0, "rock": 4.0}
LABELS = {f"{name}{i:02}.wav": name for i in range(30) for name in ("blues", "jazz", "rock")}
ROWS = [(track, label) for track, label in LABELS.items() for _ in range(3)]

PRELOAD = {
    "DASK_DISTRIBUTED__WORKER__PRELOAD": json.dumps(["support.faults", "support.training_faults"])
}


def fit() -> str:
    return ""


def wait_for_workers(running: Processes, count: int) -> None:
    with Client(running.address) as client:
        client.wait_for_workers(count, timeout=60)


@pytest.fixture(scope="module")
def nannies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler and three nannies, which restart a worker that dies."""
    with processes(tmp_path_factory.mktemp("cluster") / "processes") as found:
        found.variables = PRELOAD
        found.start_cluster(3, nanny=True)
        yield found


@pytest.fixture
def cluster(nannies: Processes) -> Processes:
    """The cluster, once all three workers are there."""
    wait_for_workers(nannies, 3)
    return nannies


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Shorten trainings and timeouts in this process, which controls the workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "MAX_ROUNDS", 12)
        patch.setattr(distributed_boosting, "RENDEZVOUS_TIMEOUT_S", 3)
        patch.setattr(distributed_boosting, "_LOSS_NOTICE_S", 1.5)
        patch.setattr(jobs.learning.train, "MIN_SHARE_ROWS", 30)
        # Its 57 tasks take longer than everything else.
        patch.setattr(jobs.learning.train, "importance", lambda *args, **options: [])
        yield


class Told(Progress):
    """Records messages, and calls functions at some of them."""

    def __init__(self, moments: dict[str, Callable[[], None]] | None = None) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.text = ""
        self.moments = moments or {}

    def write(self, level: str, text: str) -> None:
        self.text += f"{text}\n"
        self.moments.pop(text, lambda: None)()


def do(running: Processes, root: Path, progress: Progress | None = None) -> Outcome:
    where: Any = {"store": str(root), "scheduler": running.scheduler_file}
    return train(**where, model="xgboost", progress=progress or Told())


def trees(root: Path, version: str) -> list[bytes]:
    return [(root / "models" / version / name).read_bytes() for name in ("model.ubj", "judged.ubj")]


def models_in(root: Path) -> dict[str, set[str]]:
    """Return the files of each version."""
    folders = (root / "models").glob("*/")
    return {folder.name: {path.name for path in folder.iterdir()} for folder in folders}


@pytest.fixture(scope="module")
def trained(nannies: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model that three workers have trained."""
    wait_for_workers(nannies, 3)
    root = tmp_path_factory.mktemp("trained") / "store"
    # One part is empty, and one track is in two parts.
    make_store(root, ROWS[:100], [], ROWS[100:], shift=SHIFT)
    make_store(root, [*LABELS.items(), ("nobody.wav", None)], level="track", shift=SHIFT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.learning.train, "importance", importance)
        assert do(nannies, root).description.workers == 3
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained store."""
    return Path(shutil.copytree(trained, tmp_path / "store"))


def test_as_many_workers_give_the_same_trees_and_others_as_good_ones(
    cluster: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    # With a hundred test tracks, one track is 0.01 of accuracy.
    rows = [(f"{name}{i:03}.wav", name) for i in range(167) for name in SHIFT for _ in range(2)]
    make_store(root, rows[:600], rows[600:], shift=SHIFT)
    do(cluster, root)
    first = champion_of(root)
    ranked = workers.ranked_workers
    accuracy = {}
    made = {}
    for n in (3, 2, 1):
        monkeypatch.setattr(
            distributed_boosting, "ranked_workers", lambda pool, n=n: ranked(pool)[:n]
        )
        described = do(cluster, root).description
        assert described.workers == n
        accuracy[n] = described.scores["track"]["accuracy"]
        made[n] = trees(root, described.version)
    assert made[3] == trees(root, first)
    assert made[3] != made[2] != made[1]
    assert max(accuracy.values()) - min(accuracy.values()) <= 0.01
    assert min(accuracy.values()) > 0.9


def test_any_number_of_workers_gives_the_same_discriminants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "READ_ROWS", 40)
    root = tmp_path / "store"
    made = set()
    with processes(tmp_path / "processes") as running:
        make_store(root, ROWS[:100], ROWS[100:], shift=SHIFT)
        running.start_scheduler()
        for n in (1, 2, 3):
            running.start_worker()
            wait_for_workers(running, n)
            where: Any = {"store": str(root), "scheduler": running.scheduler_file}
            described = train(**where, model="lda", progress=Told()).description
            assert described.workers == n
            folder = root / "models" / described.version
            made.add((folder / "model.npz").read_bytes() + (folder / "judged.npz").read_bytes())
    assert len(made) == 1


def test_workers_meet_where_they_reach_the_scheduler(
    cluster: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(cluster.address) as client:
        pool = WorkerPool(client, fit, lambda level, text: None)
        pool.settle()
        worker = workers.ranked_workers(pool)[0]
        # Not the address of this host's default route, which XGBoost would take.
        assert workers.rendezvous_address(client, worker) == "127.0.0.1"
        # The address of something in between, such as a Kubernetes service.
        monkeypatch.setattr(workers, "_scheduler_ip", lambda: "192.0.2.1")
        assert workers.rendezvous_address(client, worker) is None


def test_a_plain_program_gets_what_predict_has_written(cluster: Processes, root: Path) -> None:
    version = champion_of(root)
    outcome = predict_all(store=str(root), segments=True, scheduler=cluster.scheduler_file)
    assert (outcome.model, outcome.tracks, outcome.segments) == (version, 91, 270)
    assert read_predictions(root, "track")["track_id"].nunique() == 91
    rows = read_rows(root).sort_values(["track_id", "segment"], ignore_index=True)
    folds = pd.read_parquet(root / "models" / version / "folds.parquet")
    fold_of = folds.set_index("track_id")["fold"]
    stems = "fold-" + rows["track_id"].map(fold_of).astype("Int64").astype("string")
    found = read_predictions(root, "segment")
    for stem, of_fold in rows.groupby(stems.fillna("model")):
        classes, given = plainly(root, version, of_fold, f"{stem}.ubj")
        predicted = found.loc[of_fold.index, [f"p_{name}" for name in classes]]
        np.testing.assert_allclose(predicted, given, atol=1e-6)
    matters = pd.read_parquet(root / "models" / version / "importance.parquet")
    assert set(matters["repeats"]) == {REPEATS}
    assert matters["mean"].is_monotonic_decreasing


# Workers that die


@pytest.mark.storm
def test_workers_that_die_and_come_again_cost_nothing(cluster: Processes, root: Path) -> None:
    """One dies before loading its share, one before joining the others, two between rounds."""
    first = champion_of(root)
    for moment in ("load", "meet", "round 5"):
        cluster.panel.die("train", moment)
    progress = Told({"learning from all rows": lambda: cluster.panel.die("train", "round 3")})
    outcome = do(cluster, root, progress)
    assert cluster.panel.deaths_to_come() == 0
    assert progress.text.count("a worker was lost: learning starts again") == 3
    assert progress.text.count("a worker was lost: learning from all rows starts") == 1
    version = outcome.description.version
    assert models_in(root)[version] == MODEL_FILES
    if outcome.description.workers == 3:  # a busy machine may take long to start one again
        assert trees(root, version) == trees(root, first)
    assert champion_of(root) == version


def test_a_silent_stranger_does_not_end_a_training(
    cluster: Processes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed_boosting, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(distributed_boosting, "COLLECTIVE_TIMEOUT_S", 3)
    assert cluster.scheduler
    scheduler = psutil.Process(cluster.scheduler.pid)
    hold = cluster.panel.folder / "hold"

    def ports() -> set[int]:
        found = scheduler.net_connections("tcp")
        return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}

    def intrude() -> socket.socket:
        [port] = wait_until(lambda: ports() - known, what="the tracker")
        stranger = socket.create_connection(("127.0.0.1", port))
        hold.unlink()
        return stranger

    known = ports()
    hold.touch()
    with ThreadPoolExecutor() as threads:
        stranger = threads.submit(intrude)
        progress = Told()
        outcome = do(cluster, root, progress)
        stranger.result().close()
    assert progress.text.count("learning starts again, with 1 left") == 1
    assert outcome.description.workers == 3


def test_one_worker_trains_without_a_connection_of_xgboosts(
    cluster: Processes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.learning.train, "MIN_SHARE_ROWS", 10_000)
    # The same trees as by xgboost.dask, with which earlier versions trained on one worker too.
    made = {}
    for run in (distributed_boosting._Attempt.run_alone, distributed_boosting._Attempt.run):
        # A worker that connects to others would die.
        if run is distributed_boosting._Attempt.run_alone:
            cluster.panel.die("train", "meet")
        else:
            assert cluster.panel.deaths_to_come() == 1
            (cluster.panel.folder / "die" / "train meet").unlink()
        monkeypatch.setattr(distributed_boosting._Attempt, "run_alone", run)
        described = do(cluster, root).description
        assert described.workers == 1
        made[run] = trees(root, described.version)
    one, other = made.values()
    assert one == other


def test_the_last_worker_goes_on_alone_and_without_it_the_models_stay(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = distributed_boosting._LOSS_NOTICE_S + distributed_boosting.NO_WORKERS_TIMEOUT_S
    assert longest < 60
    monkeypatch.setattr(distributed_boosting, "NO_WORKERS_TIMEOUT_S", 2.0)
    monkeypatch.setattr(distributed_boosting, "REPLACEMENT_TIMEOUT_S", 1.0)
    with processes(tmp_path / "processes") as running:
        running.variables = PRELOAD
        running.start_cluster(2)
        wait_for_workers(running, 2)
        running.panel.die("train", "round 5")
        progress = Told()
        outcome = do(running, root, progress)
        assert "learning starts again, with 1" in progress.text
        assert outcome.description.workers == 1
        assert models_in(root)[outcome.description.version] == MODEL_FILES

        before, champion = models_in(root), champion_of(root)
        # No worker is left when the second training starts.
        with pytest.raises(ClusterError, match="all workers were lost"):
            do(running, root, Told({"learning from all rows": running.end_workers}))
        # The only worker dies during the training.
        running.start_worker()
        running.panel.die("train", "round 5")
        with pytest.raises(ClusterError, match=r"all workers were lost.* models .* are unchanged"):
            do(running, root)
    assert models_in(root) == before
    assert champion_of(root) == champion
    runs = open_store(str(root)).read("runs").to_pylist()
    assert [run["outcome"] for run in runs if run["stage"] == "train"][-2:] == ["failed"] * 2
    assert not (root / "_lock.json").exists()


# Jobs that die

CONSTANTS = {"training.boosting.MAX_ROUNDS": 3, "jobs.learning.train.MIN_SHARE_ROWS": 60}

UNDECIDED = [("write", "/judged.ubj"), ("rename", "_journal.json")]
DECIDED = [("move", "models/2"), ("move", "champion.json")]


def start_training(running: Processes, root: Path, *options: str, **faulty: Any) -> Job:
    where = ("--store", root, "--scheduler", running.scheduler_file)
    return running.songmill("train", *where, "--model", "xgboost", *options, faulty=faulty)


@pytest.mark.storm
def test_a_job_that_dies_leaves_a_whole_model_or_none(cluster: Processes, root: Path) -> None:
    for moment in (*UNDECIDED, *DECIDED):
        before, first = models_in(root), champion_of(root)
        job = start_training(cluster, root, "--promote", die_at=moment, set=CONSTANTS)
        assert job.wait().code == -signal.SIGKILL, moment
        # Readers take no lock and apply no journal.
        found, damaged = registry.list_models(str(root))
        assert damaged == [], moment
        assert {one.version for one in found if one.description} == set(models_in(root)), moment
        assert all(files == MODEL_FILES for files in models_in(root).values()), moment
        assert [one.description.version for one in found if one.champion] == [champion_of(root)]

        promoted = promote(first, store=str(root))
        new = set(models_in(root)) - set(before)
        assert len(new) == (moment in DECIDED), moment
        assert promoted["before"] == (new.pop() if new else first), moment
        assert all(files == MODEL_FILES for files in models_in(root).values()), moment
        assert not list(root.glob("_work/*/*/")), moment
        assert not (root / "_journal.json").exists()
    done = cluster.songmill("models", "--store", root, "--json").wait()
    assert done.code == 0
    assert len(done.outcome["models"]) == 1 + len(DECIDED)


LONG = {"training.boosting.MAX_ROUNDS": 100_000, "training.boosting.PATIENCE": 100_000}


def begin_rounds(running: Processes, root: Path) -> Job:
    """Start a long training, and return it after some rounds."""
    log = running.panel.folder / "rounds.log"
    log.unlink(missing_ok=True)
    job = start_training(running, root, set={"jobs.learning.train.MIN_SHARE_ROWS": 30, **LONG})
    wait_until(lambda: log.exists() and log.stat().st_size > 200, what="rounds")
    return job


def multi_locks(running: Processes) -> int:
    """Return how many of XGBoost's MultiLocks are held or waited for."""
    with Client(running.address) as client:
        return client.run_on_scheduler(
            lambda dask_scheduler: len(dask_scheduler.extensions["multi_locks"].requests)
        )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_ends_within_a_training_does_not_keep_the_next_from_it(
    cluster: Processes, root: Path, how: signal.Signals
) -> None:
    job = begin_rounds(cluster, root)
    job.process.send_signal(how)
    assert job.wait(30).code == (-how if how == signal.SIGKILL else 128 + how)
    # A killed job leaves its lock, which the next one must break.
    assert multi_locks(cluster) or how != signal.SIGKILL
    short = CONSTANTS | {"jobs.learning.train.MIN_SHARE_ROWS": 30}
    assert start_training(cluster, root, set=short).wait(120).code == 0


def test_the_training_of_a_living_job_is_waited_for(cluster: Processes, root: Path) -> None:
    first = begin_rounds(cluster, Path(shutil.copytree(root, root.with_name("other"))))
    locks = []

    def end_it() -> None:
        locks.append(multi_locks(cluster))
        first.kill()

    waiting = "learning: waiting for another job that trains on these workers"
    # After several polls.
    later = threading.Timer(4 * distributed_boosting._POLL_S, end_it)
    told = Told({waiting: later.start})
    assert do(cluster, root, told).description.workers == 3
    later.join()
    assert told.text.count(waiting) == 1
    assert locks == [1]  # XGBoost, which would soon time out, has not been called


# Rows that leave the store


def test_derived_rows_leave_with_their_tracks(cluster: Processes, tmp_path: Path) -> None:
    root, music = tmp_path / "store", tmp_path / "music"
    where: Any = {"store": str(root), "scheduler": cluster.scheduler_file}

    def extract_all(labels: str) -> None:
        extract([str(music)], labels=labels, segment_seconds=1.0, **where)

    for seed, name in enumerate(("blues/a.wav", "blues/b.wav", "rock/c.wav", "rock/d.wav")):
        write_recording(music / name, seed)
    extract_all("parent")
    store = open_store(str(root))
    put_model(store, "1", ["blues", "rock"], champion=True)
    predict_all(segments=True, long=True, **where)
    suspects = [{"track_id": f"{name}.wav"} for name in ("blues/a", "rock/c", "rock/d")]
    put(store, "suspects", suspects, SUSPECT)
    # Each track is a duplicate of every other.
    similar: Any = {"k": 3, "duplicate_from": -1.0, "full": True, **where}
    similarity(**similar)
    before = {level: read_predictions(root, level) for level in ("track", "segment")}
    assert set(before["segment"]["track_id"]) == set(before["track"]["track_id"])
    assert len(before["track"]) == 4

    (music / "blues/b.wav").unlink()
    write_recording(music / "rock/c.wav", 9)
    write_recording(music / "rock/e.wav", 10)
    (tmp_path / "labels.csv").write_text("track_id,label\na.wav,folk\nd.wav,rock\n")
    extract_all(str(tmp_path / "labels.csv"))
    for level, old in before.items():
        kept = old[old["track_id"].isin(["blues/a.wav", "rock/d.wav"])].reset_index(drop=True)
        found = read_predictions(root, level)
        pd.testing.assert_frame_equal(found.drop(columns="label"), kept.drop(columns="label"))
        assert dict(zip(found["track_id"], found["label"], strict=True))["blues/a.wav"] == "folk"
    stay = {"blues/a.wav", "rock/d.wav"}
    assert set(pd.read_parquet(root / "predictions-long")["track_id"]) == stay
    # The other one has another label now.
    assert pd.read_parquet(root / "suspects")["track_id"].tolist() == ["rock/d.wav"]
    near = pd.read_parquet(root / "similarity")
    assert set(zip(near["track_id"], near["neighbour_id"], strict=True)) == set(permutations(stay))
    pairs = pd.read_parquet(root / "duplicates")
    assert list(zip(pairs["track_id"], pairs["duplicate_id"], strict=True)) == [tuple(sorted(stay))]
    assert pd.read_parquet(root / "similarity-matrix").empty
    similarity(**similar)
    for name, count in (("similarity", 12), ("similarity-matrix", 4)):
        assert len(pd.read_parquet(root / name)) == count
