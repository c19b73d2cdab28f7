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

from jobs.batch import Batch, Summary, fate, process_of, unfit, work
from jobs.cluster import count_threads
from jobs.errors import ClusterError
from jobs.storage import Storage

if TYPE_CHECKING:
    from distributed import Client, Future

WINDOW_PER_THREAD = 3

DEATHS = 2
"""So many workers may a file cost."""

MOST_NOT_BEGUN = 8
"""So many batches in a row may be lost before a worker has begun with them."""

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
    with _losses(client):
        _threads(client, lambda threads: None)
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
        :data:`DEATHS` workers, the last of them while nothing else was at work in its process.

    Raises
    ------
    ClusterError
        The scheduler was lost, no workers are left, or one is unfit.
    """
    again: deque[Batch] = deque()
    suspects: deque[Batch] = deque()
    under_way: dict[Future, Batch] = {}
    dead: set[str] = set()
    not_begun = 0
    with _losses(client):
        while True:
            threads = _threads(client, tick)
            while len(under_way) < max(1, threads) * WINDOW_PER_THREAD:
                batch = again.popleft() if again else next(batches, None)
                if batch is None and suspects and not under_way:
                    batch = suspects.popleft()
                if batch is None:
                    break
                future = client.submit(work, batch, key=f"extract-{batch.attempt}", pure=False)
                under_way[future] = batch
            if not under_way:
                return
            for future in _finished(client, list(under_way)):
                batch = under_way.pop(future)
                summary = _result(future, batch)
                future.release()
                if summary is None:
                    not_begun += 1
                    if not_begun > MOST_NOT_BEGUN:
                        raise ClusterError(
                            f"the workers of {client.scheduler.address} die before they begin to "
                            "work: their own logs say why. What is finished is kept"
                        )
                    again.append(dataclasses.replace(batch, attempt=new_attempt()))
                    continue
                not_begun = 0
                if summary.outcome == "unfit":
                    raise ClusterError(summary.message)
                if summary.outcome == "done":
                    yield batch, summary
                    continue
                # Who else was at work in the process that died may have been what it died of.
                others = {
                    process_of(Storage(other.root), other.attempt) for other in under_way.values()
                }
                alone = summary.process not in dead | others
                dead.add(summary.process)
                suspect, rest = _split(batch, summary.file)
                if rest.files:
                    again.append(rest)
                if not alone:
                    suspects.append(suspect)
                elif suspect.deaths < DEATHS:
                    again.append(suspect)
                else:
                    yield suspect, summary


def _split(batch: Batch, file: int) -> tuple[Batch, Batch]:
    """Take the file that a worker died of out of its batch, and return it and the others."""
    places = range(len(batch.files))
    parts = []
    for chosen, deaths in (([file], batch.deaths + 1), ([i for i in places if i != file], 0)):
        part = dataclasses.replace(
            batch,
            attempt=new_attempt(),
            files=[batch.files[i] for i in chosen],
            labels=[batch.labels[i] for i in chosen],
            deaths=deaths,
        )
        parts.append(part)
    return parts[0], parts[1]


def _threads(client: "Client", tick: Callable[[int], None]) -> int:
    """Return the cluster's threads, waiting where it has none just now."""
    end = time.monotonic() + NO_WORKERS_S
    while True:
        threads = count_threads(client)
        tick(threads)
        if threads:
            return threads
        if time.monotonic() > end:
            address = client.scheduler.address
            raise ClusterError(
                f"the cluster at {address} has had no worker for {NO_WORKERS_S:g} s. What is "
                f"finished is kept: start `dask worker {address}`, and run the same command again"
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


def _result(future: "Future", batch: Batch) -> Summary | None:
    """Return what became of a batch; None where workers died before they began with it."""
    from distributed.scheduler import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise _LostError
    try:
        summary: Any = future.result()
    except KilledWorker:
        # Dask has given it up: of the workers that it was waiting for, too many have died.
        return fate(Storage(batch.root), batch.attempt)
    except OSError as error:
        raise ClusterError(f"a worker cannot write to the store: {error}") from None
    assert isinstance(summary, Summary)
    return summary


@contextlib.contextmanager
def _losses(client: "Client") -> Iterator[None]:
    """Turn the many ways in which a scheduler is missed into one clear error."""
    address = client.scheduler.address if client.scheduler else "?"
    try:
        yield
    except (_LostError, CancelledError, OSError):
        raise ClusterError(
            f"the scheduler at {address} was lost. What is finished is kept: start it, and run "
            "the same command again"
        ) from None
