"""Failures of a cluster (no workers, a lost scheduler, unfit workers), each as one clear error."""

import contextlib
import errno
import importlib
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from jobs.cluster.fitness import songmill_version
from jobs.errors import ClusterError, SongmillError
from jobs.interruption import in_thread, raise_if_interrupted, wait_for

if TYPE_CHECKING:
    from distributed import Client, Future

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}

NO_WORKERS_TIMEOUT_S = 300.0
"""Seconds that a cluster may be without workers before the job gives up."""


def count_threads(client: "Client") -> int:
    """Return the number of tasks that the cluster can run at once."""
    with translate_errors(client):
        return sum(client.nthreads().values())


def count_workers(client: "Client") -> int:
    """Return the number of workers of the cluster."""
    with translate_errors(client):
        return len(client.nthreads())


def check_workers(client: "Client", unfit: Callable[..., str], *arguments: Any) -> None:
    """Check that there are workers, and that all are fit for this job; else raise ClusterError.

    ``unfit`` runs on every worker and returns why the worker is unfit; empty if it is fit.
    """
    with translate_errors(client):
        wait_for_threads(client, lambda threads: None)
        # Importing it puts songmill's folder first: other packages may have the same names.
        client.run(importlib.import_module, "songmill.worker", on_error="ignore")
        answers = wait_for(in_thread(client.run, unfit, *arguments, on_error="return"))
    for address, answer in answers.items():
        # Dask replaces what a worker cannot unpickle by a plain Exception that quotes the cause.
        if "ModuleNotFoundError" in repr(answer):
            raise ClusterError(
                f"the worker {address} lacks songmill or a part of it ({answer}): install "
                f"songmill {songmill_version()} on every worker"
            )
        if isinstance(answer, OSError) and answer.errno is None:
            continue  # an error of Dask, not of the system: the worker has died since
        if isinstance(answer, SongmillError):
            raise ClusterError(f"the worker {address} cannot begin: {answer}")
        if isinstance(answer, BaseException):
            raise ClusterError(f"the worker {address} failed its check: {answer!r}")
        if answer:
            raise ClusterError(answer)


def wait_for_threads(
    client: "Client", tick: Callable[[int], None], pending: Collection["Future"] = ()
) -> int:
    """Return the number of threads of the cluster; wait while there are none.

    ``tick`` is called with the number, about every second while there are none.

    Raises
    ------
    ClusterError
        There were no workers for :data:`NO_WORKERS_TIMEOUT_S`.
    SchedulerLostError
        The scheduler is lost, or another has replaced the one that knew the pending tasks.
    """
    end = time.monotonic() + NO_WORKERS_TIMEOUT_S
    while True:
        raise_if_interrupted()
        if client.status != "running":
            raise SchedulerLostError  # Asking it would first wait for the connection to time out.
        threads = count_threads(client)
        tick(threads)
        _check_not_cancelled(pending)
        if threads:
            return threads
        if time.monotonic() > end:
            address = client.scheduler.address
            raise ClusterError(
                f"the cluster at {address} has had no worker for {NO_WORKERS_TIMEOUT_S:g} s. "
                f"Finished work is kept: start `dask worker {address}`, and run the same command "
                "again"
            )
        time.sleep(1)


def wait_for_finished(client: "Client", futures: list["Future"]) -> list["Future"]:
    """Return the futures that have finished; wait up to one second for the first.

    Raise SchedulerLostError if the scheduler is lost.
    """
    from distributed import wait

    raise_if_interrupted()
    with contextlib.suppress(TimeoutError):
        wait(futures, timeout=1, return_when="FIRST_COMPLETED")
    if client.status != "running":
        raise SchedulerLostError
    _check_not_cancelled(futures)
    # A future whose result was lost with its worker is pending again.
    return [future for future in futures if future.status not in ("pending", "lost")]


def _check_not_cancelled(futures: Collection["Future"]) -> None:
    """Raise SchedulerLostError if the client has cancelled futures: it lost its scheduler."""
    if any(future.status == "cancelled" for future in futures):
        raise SchedulerLostError


class SchedulerLostError(Exception):
    """The scheduler is lost."""


@contextlib.contextmanager
def translate_errors(client: "Client") -> Iterator[None]:
    """Translate the many errors of a lost scheduler into one ClusterError."""
    where = f" at {client.scheduler.address}" if client.scheduler else ""
    try:
        yield
    except Exception as error:
        if not _is_loss(client, error):
            raise
        raise ClusterError(
            f"the scheduler{where} was lost. Finished work is kept: start the scheduler, and run "
            "the same command again"
        ) from None


def _is_loss(client: "Client", error: Exception) -> bool:
    if isinstance(error, SongmillError):
        return False
    if isinstance(error, OSError):
        return not _is_local(error)
    # A closed client raises different errors: its own ClosedClientError, an AttributeError.
    return isinstance(error, SchedulerLostError | CancelledError) or client.status != "running"


def _is_local(error: OSError) -> bool:
    """Return whether an error, such as a full disk, is not from a connection."""
    of_connection = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    return error.errno is not None and not of_connection and error.errno not in _UNREACHABLE
