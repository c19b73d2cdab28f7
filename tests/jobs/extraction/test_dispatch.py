"""Dispatch of batches to a fake cluster, which finishes them one by one, the oldest first."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from distributed.scheduler import KilledWorker

from featurizer.feature_set import LEVELS, Level
from jobs.errors import ClusterError
from jobs.extraction import dispatch as module
from jobs.extraction.attempts import Batch, Summary, make_mark, mark_file
from jobs.extraction.batch import extract_level
from jobs.extraction.dispatch import PENDING_PER_THREAD, RETRY_WINDOWS, dispatch, new_attempt
from jobs.inputs.sources import SourceFile
from jobs.store.address import storage_of
from jobs.store.tables import Settings


class Cluster:
    """A pool of workers; ``extract`` returns the summary of a batch or raises its error."""

    def __init__(self, root: Path, threads: int = 1, *, has_nannies: bool = True) -> None:
        self.root = str(root)
        self.threads = threads
        self.has_nannies = has_nannies
        self.client = SimpleNamespace(status="running", scheduler=None)
        self.pending: list[Batch] = []
        self.most_pending: dict[str, int] = {}  # batches beside each attempt, and itself
        self.levels: list[tuple[str, Level]] = []  # files that were extracted by level
        self.extract: Callable[[Batch], Summary] = extract_or_die
        root.mkdir()

    def poll(self) -> int:
        return self.threads

    def submit(self, function: object, batch: Batch, given: Any) -> Any:
        if function is extract_level:
            self.levels.append((name_of(batch), given))
            return given
        assert given == (list(LEVELS) if batch.by_level else [])
        self.pending.append(batch)
        for attempt in [one.attempt for one in self.pending]:
            most = self.most_pending.get(attempt, 0)
            self.most_pending[attempt] = max(most, len(self.pending))
        return Mock(
            result=lambda timeout: self.extract(batch), release=lambda: self.pending.remove(batch)
        )

    def run(self, *names: str, by_level: bool = False) -> Iterator[tuple[str, str]]:
        """Yield the name and the outcome of each file, a batch for each."""
        batches = (
            Batch(
                new_attempt(),
                "run",
                self.root,
                "0",
                Settings({"gtzan": ""}, 3.0),
                ("gtzan",),
                [listed(name)],
                [None],
                by_level=by_level,
            )
            for name in names
        )
        for batch, summary in dispatch(self, batches, tick=lambda threads: None):  # type: ignore[arg-type]
            yield name_of(batch), summary.outcome


@pytest.fixture(autouse=True)
def _finish_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wait_for_finished", lambda client, futures: futures[:1])


def listed(name: str) -> SourceFile:
    return SourceFile(name, f"/music/{name}", "/music", f"/music/{name}", 1, 1)


def name_of(batch: Batch) -> str:
    return batch.files[0].track_id


def extract_or_die(batch: Batch) -> Summary:
    """Let poison kill the worker, which ends its process."""
    is_poison = name_of(batch).startswith("poison")
    return Summary("died", process=batch.attempt) if is_poison else Summary("done")


def names(count: int) -> list[str]:
    return [f"{i}.wav" for i in range(count)]


# Extraction by level


def test_a_file_that_killed_a_worker_is_retried_as_a_whole(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "store")
    assert sorted(cluster.run("a", "poison", by_level=True)) == [("a", "done"), ("poison", "died")]
    assert cluster.levels == [(name, level) for name in ("a", "poison") for level in LEVELS]


# Files that may have killed a worker


@pytest.mark.parametrize("threads", [1, 16])
def test_a_file_that_killed_a_worker_has_its_turn_before_the_end(
    tmp_path: Path, threads: int
) -> None:
    cluster = Cluster(tmp_path / "store", threads)
    found = list(cluster.run("poison", *names(3000)))
    assert sorted(found) == sorted([("poison", "died"), *((name, "done") for name in names(3000))])
    least = RETRY_WINDOWS * PENDING_PER_THREAD * threads
    assert least <= found.index(("poison", "died")) < 2 * least


def test_many_files_that_kill_leave_most_of_the_work_to_the_others(tmp_path: Path) -> None:
    poison = [f"poison{i}" for i in range(20)]
    found = [name for name, _ in Cluster(tmp_path / "store").run(*poison, *names(600))]
    places = [found.index(name) for name in poison]
    gaps = [later - earlier for earlier, later in zip(places, places[1:], strict=False)]
    assert min(gaps) >= RETRY_WINDOWS * PENDING_PER_THREAD
    assert len(found) == 620


def test_without_nannies_a_file_that_killed_a_worker_is_retried_after_all_others(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path / "store", has_nannies=False)
    found = list(cluster.run("poison", *names(200)))
    assert found[-1] == ("poison", "died")
    assert len(found) == 201


def test_files_that_ran_beside_each_other_have_their_turns_alone(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "store", threads=3)
    beside = {"poison", "0.wav", "1.wav"}
    alone = []

    def extract(batch: Batch) -> Summary:
        name = name_of(batch)
        if name not in beside:
            return Summary("done")
        if batch.deaths == 0:
            storage = storage_of(batch.root)
            for other in cluster.pending:
                if name_of(other) in beside:
                    mark = make_mark(0) | {"process": "one"}
                    storage.write_json(mark_file(other.attempt), mark)
            return Summary("died", process="one")
        alone.append((name, cluster.most_pending[batch.attempt]))
        return extract_or_die(batch)

    cluster.extract = extract
    found = list(cluster.run("poison", *names(2000)))
    assert alone == [("poison", 1), ("0.wav", 1), ("1.wav", 1)]
    assert [name for name, outcome in found if outcome == "died"] == ["poison"]
    assert len(found) == 2001
    assert max(map(found.index, [("poison", "died"), ("0.wav", "done"), ("1.wav", "done")])) < 1000


# Batches that no worker has started


def give_up(batch: Batch) -> Summary:
    raise KilledWorker("a batch", None, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("has_nannies", [True, False])
def test_a_worker_of_many_threads_may_take_all_its_batches_along(
    tmp_path: Path, has_nannies: bool
) -> None:
    cluster = Cluster(tmp_path / "store", threads=32, has_nannies=has_nannies)
    lost: list[str] = []

    def extract(batch: Batch) -> Summary:
        if len(lost) == 32 * PENDING_PER_THREAD:
            cluster.threads = 32
            return Summary("done")
        cluster.threads = 0
        lost.append(name_of(batch))
        return give_up(batch)

    cluster.extract = extract
    assert sorted(cluster.run(*names(200))) == sorted((name, "done") for name in names(200))
    assert len(lost) == 96


@pytest.mark.parametrize("threads", [1, 32])
def test_workers_that_never_start_a_batch_end_the_job(tmp_path: Path, threads: int) -> None:
    cluster = Cluster(tmp_path / "store", threads)
    lost: list[Batch] = []

    def extract(batch: Batch) -> Summary:
        lost.append(batch)
        return give_up(batch)

    cluster.extract = extract
    with pytest.raises(ClusterError, match="the workers die before they start to work"):
        list(cluster.run(*names(10_000)))
    assert len(lost) == module.MAX_UNSTARTED_WINDOWS * PENDING_PER_THREAD * threads + 1
