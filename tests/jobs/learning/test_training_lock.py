"""The lock of a training, against Dask's own MultiLocks; without a cluster."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.multi_lock import MultiLockExtension

from jobs.learning import training_lock

WORKERS = ["tcp://a:1", "tcp://b:1"]


@pytest.fixture
def scheduler() -> Any:
    scheduler = SimpleNamespace(handlers={}, clients={"one": None, "other": None})
    scheduler.extensions = {"multi_locks": MultiLockExtension(scheduler)}
    return scheduler


@pytest.fixture
def clients(scheduler: Any) -> list[Any]:
    def run_on_scheduler(function: Any, *arguments: Any) -> Any:
        return function(*arguments, dask_scheduler=scheduler)

    return [
        SimpleNamespace(id=name, run_on_scheduler=run_on_scheduler) for name in scheduler.clients
    ]


def lock_workers(scheduler: Any, lock: str, workers: list[str]) -> None:
    """Acquire a MultiLock, as xgboost.dask.train does."""
    locks = scheduler.extensions["multi_locks"]
    assert asyncio.run(locks.acquire(workers, id=lock, num_locks=len(workers)))


def test_a_living_client_keeps_others_from_its_workers_until_it_releases_them(
    clients: Any,
) -> None:
    one, other = clients
    assert training_lock.try_acquire(one, WORKERS)
    assert training_lock.try_acquire(one, WORKERS)
    assert not training_lock.try_acquire(other, WORKERS[1:])
    assert training_lock.try_acquire(other, ["tcp://c:1"])
    training_lock.release(one)
    assert training_lock.try_acquire(other, WORKERS[1:])


def test_the_multi_lock_of_a_client_that_is_gone_is_released(scheduler: Any, clients: Any) -> None:
    one, other = clients
    lock_workers(scheduler, "earlier", ["tcp://c:1"])
    assert training_lock.try_acquire(one, WORKERS)
    lock_workers(scheduler, "of one", WORKERS)
    lock_workers(scheduler, "of somebody else", ["tcp://d:1"])
    assert not training_lock.try_acquire(other, WORKERS)
    del scheduler.clients["one"]
    assert training_lock.try_acquire(other, WORKERS)
    assert set(scheduler.extensions["multi_locks"].requests) == {"earlier", "of somebody else"}


def test_a_client_that_is_gone_before_it_locks_anything_releases_nothing(
    scheduler: Any, clients: Any
) -> None:
    one, other = clients
    lock_workers(scheduler, "earlier", WORKERS)
    assert training_lock.try_acquire(one, WORKERS)
    del scheduler.clients["one"]
    assert training_lock.try_acquire(other, WORKERS)
    assert set(scheduler.extensions["multi_locks"].requests) == {"earlier"}
