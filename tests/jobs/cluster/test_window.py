"""Calls on a cluster of threads in this process."""

import errno
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, LocalCluster

from jobs.cluster import window
from jobs.cluster.failures import translate_errors
from jobs.cluster.pool import WorkerPool
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError, StoreError
from jobs.learning import distributed_boosting

THREADS = 2


def fit() -> str:
    return ""


@pytest.fixture(scope="module")
def pool(in_process_cluster: str) -> Iterator[WorkerPool]:
    with Client(in_process_cluster) as client:
        pool = WorkerPool(client, fit, lambda level, text: None)
        pool.settle()
        yield pool


def power(base: int, exponent: int) -> int:
    return base**exponent


def test_results_come_with_their_indexes(pool: WorkerPool) -> None:
    arguments = [(base, exponent) for base in range(8) for exponent in (2, 3)]
    found = list(map_unordered(pool, power, iter(arguments)))
    assert sorted(found) == [(index, power(*given)) for index, given in enumerate(arguments)]
    assert list(map_unordered(pool, power, [])) == []


def test_a_result_is_yielded_when_it_is_finished(pool: WorkerPool, tmp_path: Path) -> None:
    mark = tmp_path / "go on"

    def work(index: int) -> int:
        end = time.monotonic() + 20
        while index == 0 and not mark.exists() and time.monotonic() < end:
            time.sleep(0.01)
        return index

    found = []
    for result in map_unordered(pool, work, zip(range(4))):
        found.append(result)
        if len(found) == 3:
            mark.touch()
    assert found == [(1, 1), (2, 2), (3, 3), (0, 0)]


def test_an_exception_is_a_result_and_the_others_go_on(pool: WorkerPool) -> None:
    def work(index: int) -> int:
        if index % 2:
            raise [ValueError, OSError, KeyError, TimeoutError][index // 2](f"no {index}")
        return index

    found: dict[int, Any] = dict(map_unordered(pool, work, zip(range(8))))
    assert [found[index] for index in (0, 2, 4, 6)] == [0, 2, 4, 6]
    for index, kind in ((1, ValueError), (3, OSError), (5, KeyError), (7, TimeoutError)):
        assert type(found[index]) is kind
        assert f"no {index}" in str(found[index])


def test_arguments_are_taken_as_there_is_room(pool: WorkerPool) -> None:
    taken, done = [], []

    def work(index: int) -> tuple[float, float]:
        began = time.monotonic()
        time.sleep(0.05)
        return began, time.monotonic()

    def arguments() -> Iterator[tuple[int]]:
        for index in range(10):
            taken.append(index)
            assert len(taken) - len(done) <= THREADS
            yield (index,)

    spans = []
    for index, span in map_unordered(pool, work, arguments()):
        done.append(index)
        spans.append(span)
    assert sorted(done) == taken == list(range(10))
    # All threads have worked at once.
    at_a_time = [sum(began <= moment < ended for began, ended in spans) for moment, _ in spans]
    assert max(at_a_time) == THREADS


def test_equal_arguments_are_worked_on_each_time_and_the_threads_are_told(pool: WorkerPool) -> None:
    def work(value: int) -> str:
        return f"{value} {uuid.uuid4()}"

    told: list[int] = []
    results = dict(map_unordered(pool, work, [(1,)] * 5, tick=told.append))
    assert len(set(results.values())) == 5
    assert set(told) == {THREADS}


def test_work_that_a_scheduler_has_dropped_is_a_lost_scheduler(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped(client: Client, futures: list[Any]) -> list[Any]:
        client.cancel(futures)
        return futures

    monkeypatch.setattr(window, "wait_for_finished", dropped)
    with pytest.raises(
        ClusterError, match=f"scheduler at {pool.client.scheduler.address} was lost"
    ):
        list(map_unordered(pool, power, [(2, 3)]))


@pytest.mark.parametrize(
    ("status", "error", "is_loss"),
    [
        ("running", OSError("in <TCP (closed)>: Stream is closed"), True),
        ("running", ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True),
        ("running", OSError(errno.EHOSTUNREACH, "no route"), True),
        ("running", socket.gaierror(-2, "unknown"), True),
        ("running", CancelledError(), True),
        ("running", OSError(errno.ENOSPC, "No space left on device"), False),
        ("running", OSError(errno.EIO, "the object store has a fault"), False),
        ("running", KeyError("workers"), False),
        ("closed", OSError(errno.ENOSPC, "No space left on device"), False),
        ("closed", StoreError("no store"), False),
    ],
)
def test_only_errors_of_the_connection_are_a_lost_scheduler(
    status: str, error: Exception, is_loss: bool
) -> None:
    client: Any = SimpleNamespace(scheduler=SimpleNamespace(address="tcp://there"), status=status)
    expected = ClusterError if is_loss else type(error)
    with pytest.raises(expected) as raised, translate_errors(client):
        raise error
    assert ("tcp://there was lost" in str(raised.value)) == is_loss
    assert (raised.value is error) != is_loss


@pytest.mark.parametrize(
    "ask",
    [
        lambda pool: pool.client.unsubscribe_topic("storm"),
        lambda pool: pool.client.subscribe_topic("calm", print),
        lambda pool: pool.client.run(power, 2, 3),
        lambda pool: pool.submit(power, 2, 3),
        lambda pool: pool.poll(),
        lambda pool: pool.list_workers(),
        lambda pool: distributed_boosting._wait_for_workers(pool, 1),
    ],
)
def test_any_error_of_a_closed_client_is_a_lost_scheduler(ask: Callable[[WorkerPool], Any]) -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        client = Client(cluster)
        client.subscribe_topic("storm", print)

        client.close()
        lost = pytest.raises(ClusterError, match="the scheduler.* was lost")
        with lost, translate_errors(client):
            ask(WorkerPool(client, fit, lambda level, text: None))
