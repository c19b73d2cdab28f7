"""Calls on the workers whose results come in the order of the calls.

Floating-point sums depend on the order. With it, any number of workers gives the same bits.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError, SongmillError

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool


def map_ordered(
    pool: "WorkerPool",
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    purpose: str,
    tick: Callable[[int], None],
    on_result: Callable[[int], None] = lambda count: None,
) -> Iterator[Any]:
    """Call a function on the workers, and yield the results in the order of the calls.

    ``purpose`` completes "the workers could not". ``tick`` is called about every second with the
    number of threads, and ``on_result`` after each call with the number of finished calls.

    Raises
    ------
    SongmillError
        A call failed: its own error, or ClusterError.
    """
    waiting: dict[int, Any] = {}
    next_index = 0
    for index, result in map_unordered(pool, function, arguments, tick=tick):
        if isinstance(result, SongmillError):
            raise result
        if isinstance(result, BaseException):
            raise ClusterError(f"the workers could not {purpose}: {result!r}")
        waiting[index] = result
        on_result(next_index + len(waiting))
        while next_index in waiting:
            yield waiting.pop(next_index)
            next_index += 1
