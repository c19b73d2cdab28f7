"""Dispatch of batches to the workers, and the handling of workers that die.

Only a few batches per thread are on the cluster at a time, so the load on the scheduler does not
grow with the number of files.
"""

import dataclasses
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from featurizer.feature_set import LEVELS
from jobs.cluster.failures import translate_errors, wait_for_finished
from jobs.errors import ClusterError
from jobs.extraction.attempts import Batch, Summary, attempt_summary, read_mark
from jobs.extraction.batch import extract_batch, extract_level
from jobs.store.address import storage_of

if TYPE_CHECKING:
    from distributed import Future

    from jobs.cluster.pool import WorkerPool

PENDING_PER_THREAD = 3
"""Batches on the cluster at a time, per thread."""

MAX_DEATHS = 2
"""Workers that a file may kill before it is recorded as ``worker-killed``."""

MAX_UNSTARTED_WINDOWS = 8
"""Windows of batches that may be lost in a row before a worker has started one. A window is all
batches on the cluster at a time: workers that die may take all of them along.
"""

RETRY_WINDOWS = 8
"""Windows of batches that go before the retry of a file that may have killed its worker."""

RESULT_TIMEOUT_S = 10.0
"""Seconds to wait for the summary of a finished batch."""


def new_attempt() -> str:
    """Return a unique name of an attempt."""
    return uuid.uuid4().hex


def dispatch(
    pool: "WorkerPool", batches: Iterator[Batch], *, tick: Callable[[int], None]
) -> Iterator[tuple[Batch, Summary]]:
    """Extract ``batches`` on the workers and yield each batch with its summary.

    The outcome is ``done``; or ``died``, for a batch of one file that has killed
    :data:`MAX_DEATHS` workers, the last of them while nothing else ran in its process. ``batches``
    are read on demand. ``tick`` is called about every second with the number of threads.

    Raises
    ------
    ClusterError
        The scheduler was lost, or no workers are left.
    """
    queue = _Queue(batches)
    pending: dict[Future, Batch] = {}
    window = 0
    with translate_errors(pool.client):
        while True:
            threads = pool.poll()
            tick(threads)
            # A nanny restarts its worker: then other batches go before the retry of a file that may
            # have killed it.
            window = max(window if pool.has_nannies else 0, max(1, threads) * PENDING_PER_THREAD)
            queue.largest_window = max(queue.largest_window, window)
            while len(pending) < window:
                batch = queue.next(idle=not pending, has_nannies=pool.has_nannies)
                if batch is None:
                    break
                levels = [
                    pool.submit(extract_level, batch, level)
                    for level in (LEVELS if batch.by_level else ())
                ]
                pending[pool.submit(extract_batch, batch, levels)] = batch
            if not pending:
                return
            for future in wait_for_finished(pool.client, list(pending)):
                try:
                    summary = _result(future, pending[future])
                except TimeoutError:
                    continue  # the result was lost with its worker and is computed again
                batch = pending.pop(future)
                future.release()
                if summary is None:
                    queue.retry_unstarted(batch)
                elif summary.outcome == "unfit":
                    pool.exclude(summary.worker, summary.message)
                    queue.retry(batch)
                elif summary.outcome == "done":
                    queue.unstarted = 0
                    yield batch, summary
                else:
                    queue.unstarted = 0  # a worker had started it
                    killer = queue.retry_died(batch, summary, pending.values())
                    if killer:
                        yield killer, summary


@dataclasses.dataclass
class _Suspect:
    """A file that may have killed its worker."""

    batch: Batch
    alone: bool  # whether nothing else may run during the retry
    after: int  # number of batches, from the start of the job, that go before the retry


class _Queue:
    """Batches to extract: those of the job, retries, and files that may have killed a worker.

    Something else may be killing workers at the moment, so the retry of such a file waits. If
    nannies restart the workers, it waits for :data:`RETRY_WINDOWS`: a run with a time limit may
    never reach its last batch. Without nannies each death costs a worker, so all other batches go
    first.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.largest_window = 0  # largest number of batches on the cluster at a time
        self.unstarted = 0
        self._batches = batches
        self._retries: deque[Batch] = deque()
        self._suspects: deque[_Suspect] = deque()
        self._dead_processes: set[str] = set()
        self._taken = 0  # batches so far, without suspects
        self._is_alone = False  # whether a suspect runs during which nothing else may run

    def next(self, *, idle: bool, has_nannies: bool) -> Batch | None:
        """Return the next batch; None if there is none, or none before the cluster is ``idle``."""
        if self._is_alone and not idle:
            return None
        self._is_alone = False
        if not (has_nannies and self._suspects and self._suspects[0].after <= self._taken):
            batch = self._retries.popleft() if self._retries else next(self._batches, None)
            if batch is not None:
                self._taken += 1
                return batch
        if not self._suspects or (self._suspects[0].alone and not idle):
            return None
        suspect = self._suspects.popleft()
        self._is_alone = suspect.alone
        return suspect.batch

    def retry(self, batch: Batch) -> None:
        """Retry the same attempt, which a worker that has become unfit has not touched."""
        self._retries.append(batch)

    def retry_unstarted(self, batch: Batch) -> None:
        """Retry a batch that Dask gave up because workers died before they started it."""
        self.unstarted += 1
        if self.unstarted > MAX_UNSTARTED_WINDOWS * self.largest_window:
            raise ClusterError(
                "the workers die before they start to work. See their logs. Finished work is kept"
            )
        self._retries.append(dataclasses.replace(batch, attempt=new_attempt()))

    def retry_died(self, batch: Batch, summary: Summary, others: Iterable[Batch]) -> Batch | None:
        """Retry a batch after its worker died; return the file that killed it, if certain."""
        # A process may have died of any file that its threads were extracting. Each of these
        # files is retried alone.
        marks = [read_mark(storage_of(other.root), other.attempt) for other in others]
        shared = {mark["process"] for mark in marks if mark} | self._dead_processes
        self._dead_processes.add(summary.process)
        suspect = _select(batch, [summary.file], deaths=batch.deaths + 1)
        rest = _select(batch, [i for i in range(len(batch.files)) if i != summary.file], deaths=0)
        if rest.files:
            self._retries.append(rest)
        alone = summary.process in shared
        if not alone and suspect.deaths >= MAX_DEATHS:
            return suspect
        last = self._suspects[-1].after if self._suspects else 0
        after = max(last, self._taken) + RETRY_WINDOWS * self.largest_window
        self._suspects.append(_Suspect(suspect, alone, after))
        return None


def _select(batch: Batch, indices: list[int], *, deaths: int) -> Batch:
    """Return a batch of some files of ``batch``."""
    return dataclasses.replace(
        batch,
        attempt=new_attempt(),
        files=[batch.files[i] for i in indices],
        labels=[batch.labels[i] for i in indices],
        deaths=deaths,
        by_level=False,
    )


def _result(future: "Future", batch: Batch) -> Summary | None:
    """Return a batch's summary; None if workers died before they started it.

    Raises
    ------
    TimeoutError
        The result, or the connection to the scheduler, was lost.
    """
    from distributed.scheduler import KilledWorker

    try:
        summary: Summary = future.result(timeout=RESULT_TIMEOUT_S)
    except KilledWorker:
        # Dask gave the task up because too many workers died while it waited for them.
        return attempt_summary(storage_of(batch.root), batch.attempt)
    except OSError as error:
        if future.status != "error":
            # Not the worker's error: a lost scheduler closes its connections.
            raise TimeoutError from error
        raise ClusterError(f"a worker cannot continue: {error}") from None
    return summary
