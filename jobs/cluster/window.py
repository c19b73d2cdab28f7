"""Independent pieces of work on the cluster, whose results come back to the job.

For work that leaves rows in the store, and must outlive the job, see
:mod:`jobs.extraction.dispatch`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jobs.cluster.failures import finished, losses, wait_for_threads

if TYPE_CHECKING:
    from distributed import Client

RESULT_TIMEOUT_S = 60.0
"""For so long a result may be on its way."""


def each(
    client: "Client",
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    tick: Callable[[int], None] = lambda threads: None,
    ahead: int = 0,
) -> Iterator[tuple[int, Any]]:
    """Have the workers work, one piece a thread at a time, and yield what they return.

    Parameters
    ----------
    client : Client
        The cluster.
    function : callable
        Does a piece; the same arguments give the same result, whoever does it.
    arguments : iterable of tuple
        Of each piece. Taken from as there is room.
    tick : callable
        Called about every second with the number of threads.
    ahead : int
        Pieces that wait at each thread for the one before them, where pieces are short.

    Yields
    ------
    (int, Any)
        The place of a piece among ``arguments``, and its result; or the exception that it raised,
        or ``distributed.KilledWorker`` where worker after worker died of it. In the order in
        which they are finished.

    Raises
    ------
    ClusterError
        The scheduler was lost, or no workers are left.
    """
    waiting = enumerate(arguments)
    under_way: dict[Any, int] = {}
    with losses(client):
        while True:
            threads = wait_for_threads(client, tick, under_way)
            while len(under_way) < threads * (1 + ahead):
                following = next(waiting, None)
                if following is None:
                    break
                place, given = following
                under_way[client.submit(function, *given, pure=False)] = place
            if not under_way:
                return
            for future in finished(client, list(under_way)):
                result: Any
                if future.status == "error":
                    result = future.exception()
                else:
                    try:
                        result = future.result(timeout=RESULT_TIMEOUT_S)
                    except TimeoutError:
                        continue  # lost with its worker since it was finished: it is done again
                yield under_way.pop(future), result
