"""Batches to the workers and summaries back, in a window; and what to do when a worker dies.

Only a few batches per thread are with the scheduler at a time, so that a million files cost it no
more than a hundred do.
"""

import contextlib
import dataclasses
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from jobs.batch import Batch, Summary, work
from jobs.cluster import count_threads
from jobs.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

WINDOW_PER_THREAD = 3

DEATHS = 2
"""So many workers may a file cost."""

NO_WORKERS_S = 300.0
"""For so long a cluster may be without any worker before the job gives up."""


def new_attempt() -> str:
    """Return a name that no other attempt has."""
    return uuid.uuid4().hex


def check_workers(client: "Client", batch: Batch) -> None:
    """See that there are workers and that each could work on ``batch``.

    Raises
    ------
    ClusterError
        There is none, or one has another songmill or does not see the store or a source.
    """
    from jobs.batch import unfit

    try:
        client.wait_for_workers(1, timeout=NO_WORKERS_S)
    except TimeoutError:
        raise ClusterError(
            f"the cluster at {client.scheduler.address} has no worker, and none came within "
            f"{NO_WORKERS_S:g} s: start `dask worker {client.scheduler.address}`"
        ) from None
    answers = client.run(unfit, batch, on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, ModuleNotFoundError):
            raise ClusterError(
                f"the worker {address} lacks songmill or a part of it ({answer}): install "
                f"songmill {batch.songmill} on every worker"
            )
        if isinstance(answer, BaseException):
            raise ClusterError(f"the worker {address} does not answer as it should: {answer!r}")
        if answer:
            raise ClusterError(answer)


def dispatch(
    client: "Client", batches: Iterator[Batch], *, tick: Callable[[int], None]
) -> Iterator[tuple[Batch, Summary]]:
    """Have the workers work on ``batches`` and yield each batch with its summary.

    Parameters
    ----------
    client : Client
        The cluster.
    batches : iterator of Batch
        Taken from as there is room.
    tick : callable
        Called about every second with the number of threads.

    Yields
    ------
    (Batch, Summary)
        With outcome ``done``; or with ``died``, for a batch of one file that has cost
        :data:`DEATHS` workers.

    Raises
    ------
    ClusterError
        The scheduler was lost, no workers are left, or one is unfit.
    """
    again: deque[Batch] = deque()
    under_way: dict[Future, Batch] = {}
    with _losses(client):
        while True:
            threads = _threads(client, tick)
            while len(under_way) < max(1, threads) * WINDOW_PER_THREAD:
                batch = again.popleft() if again else next(batches, None)
                if batch is None:
                    break
                future = client.submit(work, batch, key=f"extract-{batch.attempt}", pure=False)
                under_way[future] = batch
            if not under_way:
                return
            for future in _finished(client, list(under_way)):
                batch = under_way.pop(future)
                summary = _result(future)
                future.release()
                if summary.outcome == "unfit":
                    raise ClusterError(summary.message)
                if summary.outcome == "died" and not _guilty(batch):
                    again.extend(_alone(batch))
                else:
                    yield batch, summary


def _guilty(batch: Batch) -> bool:
    """Tell whether a batch that its worker has just died of is one file, for the last time."""
    return len(batch.files) == 1 and batch.deaths + 1 >= DEATHS


def _alone(batch: Batch) -> Iterator[Batch]:
    for file, label in zip(batch.files, batch.labels, strict=True):
        yield dataclasses.replace(
            batch, attempt=new_attempt(), files=[file], labels=[label], deaths=batch.deaths + 1
        )


def _threads(client: "Client", tick: Callable[[int], None]) -> int:
    """Return the cluster's threads, waiting where it has none just now."""
    end = time.monotonic() + NO_WORKERS_S
    while True:
        threads = count_threads(client)
        tick(threads)
        if threads:
            return threads
        if time.monotonic() > end:
            raise ClusterError(
                f"the cluster at {client.scheduler.address} has had no worker for "
                f"{NO_WORKERS_S:g} s. What is finished is kept: start workers, and run the same "
                "command again"
            )
        time.sleep(1)


def _finished(client: "Client", futures: list["Future"]) -> list["Future"]:
    """Return those that are not pending, after a second at most."""
    from distributed import wait

    with contextlib.suppress(TimeoutError):
        wait(futures, timeout=1, return_when="FIRST_COMPLETED")
    if client.status != "running":
        raise _LostError
    return [future for future in futures if future.status != "pending"]


class _LostError(Exception):
    """The scheduler is lost."""


def _result(future: "Future") -> Summary:
    from distributed.scheduler import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise _LostError
    try:
        summary: Any = future.result()
    except KilledWorker:
        return Summary("died")
    except (FileNotFoundError, PermissionError) as error:
        raise ClusterError(f"a worker cannot write to the store: {error}") from None
    assert isinstance(summary, Summary)
    return summary


@contextlib.contextmanager
def _losses(client: "Client") -> Iterator[None]:
    """Turn the many ways in which a scheduler is missed into one clear error."""
    from distributed.comm import CommClosedError

    address = client.scheduler.address if client.scheduler else "?"
    try:
        yield
    except (_LostError, CommClosedError, CancelledError, ConnectionError):
        raise ClusterError(
            f"the scheduler at {address} was lost. What is finished is kept: start it, and run "
            "the same command again"
        ) from None
