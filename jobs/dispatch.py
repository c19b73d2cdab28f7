"""Batches to the workers and summaries back, in a window; and what to do when a worker dies.

Only a few batches per thread are with the scheduler at a time, so that a million files cost it no
more than a hundred do.
"""

import contextlib
import dataclasses
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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

RESULT_TIMEOUT_S = 10.0
"""For so long a finished batch's summary may be on its way."""

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
        # Dask hands over what a worker cannot unpickle as a plain Exception that quotes the cause.
        if "ModuleNotFoundError" in repr(answer):
            raise ClusterError(
                f"the worker {address} lacks songmill or a part of it ({answer}): install "
                f"songmill {batch.songmill} on every worker"
            )
        if isinstance(answer, OSError) and answer.errno is None:
            continue  # Dask's, not the system's: the worker has died since
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
    queue = _Queue(batches)
    under_way: dict[Future, Batch] = {}
    with _losses(client):
        while True:
            threads = _threads(client, tick)
            while len(under_way) < max(1, threads) * WINDOW_PER_THREAD:
                batch = queue.next(idle=not under_way)
                if batch is None:
                    break
                future = client.submit(work, batch, key=f"extract-{batch.attempt}", pure=False)
                under_way[future] = batch
            if not under_way:
                return
            for future in _finished(client, list(under_way)):
                try:
                    summary = _result(future, under_way[future])
                except TimeoutError:
                    continue  # Lost with its worker since it was finished: it is computed again
                batch = under_way.pop(future)
                future.release()
                if summary is None:
                    queue.not_begun(batch)
                elif summary.outcome == "unfit":
                    raise ClusterError(summary.message)
                elif summary.outcome == "done":
                    queue.unlucky = 0
                    yield batch, summary
                else:
                    convicted = queue.died(batch, summary, under_way.values())
                    if convicted:
                        yield convicted, summary


class _Queue:
    """The batches that wait: the job's own, and what is left of those whose worker died."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._again: deque[Batch] = deque()
        self._suspects: deque[Batch] = deque()
        self._dead: set[str] = set()
        self.unlucky = 0

    def next(self, *, idle: bool) -> Batch | None:
        """Return what is to be worked on next; ``idle``: nothing else is under way."""
        batch = self._again.popleft() if self._again else next(self._batches, None)
        if batch is None and idle and self._suspects:
            return self._suspects.popleft()
        return batch

    def not_begun(self, batch: Batch) -> None:
        """Put back a batch that Dask gave up because of workers that died before it."""
        self.unlucky += 1
        if self.unlucky > MOST_NOT_BEGUN:
            raise ClusterError(
                "worker after worker dies before it begins to work: their own logs say why. "
                "What is finished is kept"
            )
        self._again.append(dataclasses.replace(batch, attempt=new_attempt()))

    def died(self, batch: Batch, summary: Summary, others: Iterable[Batch]) -> Batch | None:
        """Put back a batch whose worker died, but for a file that is to blame: return that."""
        # A process may have died of anything that was at work in it. Of several threads' files
        # each is tried once more when nothing else is under way.
        processes = {process_of(Storage(other.root), other.attempt) for other in others}
        alone = summary.process not in self._dead | processes
        self._dead.add(summary.process)
        places = range(len(batch.files))
        suspect = _part(batch, [summary.file], deaths=batch.deaths + 1)
        rest = _part(batch, [i for i in places if i != summary.file], deaths=0)
        if rest.files:
            self._again.append(rest)
        if not alone:
            self._suspects.append(suspect)
        elif suspect.deaths < DEATHS:
            self._again.append(suspect)
        else:
            return suspect
        return None


def _part(batch: Batch, places: list[int], *, deaths: int) -> Batch:
    """Return a batch of some files of ``batch``."""
    return dataclasses.replace(
        batch,
        attempt=new_attempt(),
        files=[batch.files[i] for i in places],
        labels=[batch.labels[i] for i in places],
        deaths=deaths,
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
            address = client.scheduler.address
            raise ClusterError(
                f"the cluster at {address} has had no worker for {NO_WORKERS_S:g} s. What is "
                f"finished is kept: start `dask worker {address}`, and run the same command again"
            )
        time.sleep(1)


def _finished(client: "Client", futures: list["Future"]) -> list["Future"]:
    """Return those that have ended, after a second at most."""
    from distributed import wait

    with contextlib.suppress(TimeoutError):
        wait(futures, timeout=1, return_when="FIRST_COMPLETED")
    if client.status != "running":
        raise _LostError
    # One whose result was lost with its worker is pending again.
    return [future for future in futures if future.status not in ("pending", "lost")]


class _LostError(Exception):
    """The scheduler is lost."""


def _result(future: "Future", batch: Batch) -> Summary | None:
    """Return what became of a batch; None where workers died before they began with it.

    Raises
    ------
    TimeoutError
        The result was lost after all.
    """
    from distributed.scheduler import KilledWorker

    if future.status == "cancelled":
        raise _LostError
    try:
        summary: Any = future.result(timeout=RESULT_TIMEOUT_S)
    except KilledWorker:
        # Dask has given it up: of the workers that it was waiting for, too many have died.
        return fate(Storage(batch.root), batch.attempt)
    except OSError as error:
        if isinstance(error, TimeoutError) and future.status != "error":
            raise
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
