"""Batches to the workers and summaries back, in a window; and what to do when a worker dies.

Only a few batches per thread are with the scheduler at a time, so that a million files cost it no
more than a hundred do.
"""

import dataclasses
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jobs.cluster.failures import translate_errors, wait_for_finished, wait_for_threads
from jobs.errors import ClusterError
from jobs.extraction.attempts import Batch, Summary, fate, process_of
from jobs.extraction.batch import work
from jobs.store.address import storage_of

if TYPE_CHECKING:
    from distributed import Client, Future

WINDOW_PER_THREAD = 3

DEATHS = 2
"""So many workers may a file cost."""

MOST_NOT_BEGUN = 8
"""So many batches in a row may be lost before a worker has begun with them."""

RESULT_TIMEOUT_S = 10.0
"""For so long a finished batch's summary may be on its way."""


def new_attempt() -> str:
    """Return a name that no other attempt has."""
    return uuid.uuid4().hex


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
    with translate_errors(client):
        while True:
            threads = wait_for_threads(client, tick, under_way)
            while len(under_way) < max(1, threads) * WINDOW_PER_THREAD:
                batch = queue.next(idle=not under_way)
                if batch is None:
                    break
                future = client.submit(work, batch, key=f"extract-{batch.attempt}", pure=False)
                under_way[future] = batch
            if not under_way:
                return
            for future in wait_for_finished(client, list(under_way)):
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
        processes = {process_of(storage_of(other.root), other.attempt) for other in others}
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


def _result(future: "Future", batch: Batch) -> Summary | None:
    """Return what became of a batch; None where workers died before they began with it.

    Raises
    ------
    TimeoutError
        The result was lost after all, or who was asked for it.
    """
    from distributed.scheduler import KilledWorker

    try:
        summary: Any = future.result(timeout=RESULT_TIMEOUT_S)
    except KilledWorker:
        # Dask has given it up: of the workers that it was waiting for, too many have died.
        return fate(storage_of(batch.root), batch.attempt)
    except OSError as error:
        if future.status != "error":
            # Of the way here, and not the worker's: a lost scheduler closes its connections.
            raise TimeoutError from error
        raise ClusterError(f"a worker cannot go on: {error}") from None
    assert isinstance(summary, Summary)
    return summary
