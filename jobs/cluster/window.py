"""Independent calls on the cluster whose results return to the job.

For work that leaves rows in the store, and must outlive the job, see
:mod:`jobs.extraction.dispatch`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jobs.cluster.failures import translate_errors, wait_for_finished

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

RESULT_TIMEOUT_S = 60.0
"""Seconds to wait for a finished task's result."""


def map_unordered(
    pool: "WorkerPool",
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    tick: Callable[[int], None] = lambda threads: None,
    prefetch: int = 0,
) -> Iterator[tuple[int, Any]]:
    """Call a function on the workers, one call per thread at a time, and yield the results.

    Parameters
    ----------
    pool : WorkerPool
        The workers.
    function : callable
        A deterministic function; it is called again if its worker dies.
    arguments : iterable of tuple
        Positional arguments of each call. They are drawn when there is room.
    tick : callable
        Called about every second with the number of threads.
    prefetch : int
        Calls to queue per thread, which saves time if calls are short.

    Yields
    ------
    (int, Any)
        The index of a call in ``arguments``, and its result or exception:
        ``distributed.KilledWorker`` if the call has killed several workers. Pairs come in
        the order in which the calls finish.

    Raises
    ------
    ClusterError
        The scheduler was lost, or no workers are left.
    """
    queue = enumerate(arguments)
    pending: dict[Any, int] = {}
    with translate_errors(pool.client):
        while True:
            threads = pool.poll()
            tick(threads)
            # Without a worker, one call waits for it: an adaptive cluster starts one for a task.
            room = max(0, max(1, threads) * (1 + prefetch) - len(pending))
            for index, given in itertools.islice(queue, room):
                pending[pool.submit(function, *given)] = index
            if not pending:
                return
            for future in wait_for_finished(pool.client, list(pending)):
                if future.status == "error":
                    result: Any = future.exception()
                else:
                    try:
                        result = future.result(timeout=RESULT_TIMEOUT_S)
                    except TimeoutError:
                        continue  # lost with its worker after it finished: Dask repeats it
                index = pending.pop(future)
                future.release()  # not only when Python collects garbage
                yield index, result
