"""Independent calls on the cluster whose results return to the job.

For work that leaves rows in the store, and must outlive the job, see
:mod:`jobs.extraction.dispatch`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jobs.cluster.failures import translate_errors, wait_for_finished, wait_for_threads

if TYPE_CHECKING:
    from distributed import Client

RESULT_TIMEOUT_S = 60.0
"""Seconds to wait for a finished task's result."""


def map_unordered(
    client: "Client",
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    tick: Callable[[int], None] = lambda threads: None,
    prefetch: int = 0,
) -> Iterator[tuple[int, Any]]:
    """Call a function on the workers, one call per thread at a time, and yield the results.

    Parameters
    ----------
    client : Client
        The cluster.
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
    with translate_errors(client):
        while True:
            threads = wait_for_threads(client, tick, pending)
            room = max(0, threads * (1 + prefetch) - len(pending))
            for index, given in itertools.islice(queue, room):
                pending[client.submit(function, *given, pure=False)] = index
            if not pending:
                return
            for future in wait_for_finished(client, list(pending)):
                if future.status == "error":
                    result: Any = future.exception()
                else:
                    try:
                        result = future.result(timeout=RESULT_TIMEOUT_S)
                    except TimeoutError:
                        continue  # lost with its worker after it finished: Dask repeats it
                yield pending.pop(future), result
