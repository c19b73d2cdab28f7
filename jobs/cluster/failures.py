"""Failures of a cluster (no workers, a lost scheduler, unfit workers), each as one clear error."""

import contextlib
import errno
import importlib
import logging
import socket
import ssl
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

NO_WORKERS_S = 300.0
"""For so long a cluster may be without any worker before the job gives up."""


def _unanswered(address: str, error: Exception) -> str:
    """Say why a scheduler could not be talked to, and what would do."""
    settings = (
        "distributed.comm.tls.ca-file, and .client.cert and .client.key in Dask's configuration "
        "(or DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on)"
    )
    if "ssl_context" in str(error):  # a TypeError of Dask's
        return f"{address} asks for a certificate, and this job has none: {settings} name them"
    if "encryption required" in str(error):
        return (
            f"Dask's configuration asks for encryption (distributed.comm.require-encryption), and "
            f"{address} is not under TLS: say tls://…"
        )
    cause = f"{error}" if str(error) else f"{error.__cause__ or type(error).__name__}"
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return (
            f"the certificate of the scheduler at {address} is not good for this job "
            f"({error.__cause__.verify_message}): {settings} name those that the cluster has"
        )
    remedy = ""
    if address.startswith("tcp://") and "reset by peer" in cause:
        remedy = ". If the cluster is under TLS, its address begins with tls://"
    return f"no Dask scheduler answers at {address}: {cause}{remedy}"


def _silence() -> None:
    """Keep Dask's own remarks on workers and schedulers that die to itself: the job says it."""
    for name in ("distributed", "tornado", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def count_threads(client: "Client") -> int:
    """Return the number of tasks that the cluster's workers can do at once."""
    with losses(client):
        return sum(client.nthreads().values())


def count_workers(client: "Client") -> int:
    """Return the number of the cluster's workers."""
    with losses(client):
        return len(client.nthreads())


def ask_workers(client: "Client", unfit: Callable[..., str], *arguments: Any) -> None:
    """See that there are workers and that each could work for this job.

    Parameters
    ----------
    client : Client
        The cluster.
    unfit : callable
        Runs on every worker and says why it could not; nothing where it could.
    *arguments
        What ``unfit`` is given.

    Raises
    ------
    ClusterError
        There is none, or one is unfit.
    """
    with losses(client):
        wait_for_threads(client, lambda threads: None)
        # Else a package of the worker's user may hide those that the functions to come are in.
        client.run(importlib.import_module, "songmill.worker", on_error="ignore")
        answers = wait_for(in_thread(client.run, unfit, *arguments, on_error="return"))
    for address, answer in answers.items():
        # Dask hands over what a worker cannot unpickle as a plain Exception that quotes the cause.
        if "ModuleNotFoundError" in repr(answer):
            raise ClusterError(
                f"the worker {address} lacks songmill or a part of it ({answer}): install "
                f"songmill {songmill_version()} on every worker"
            )
        if isinstance(answer, OSError) and answer.errno is None:
            continue  # Dask's, not the system's: the worker has died since
        if isinstance(answer, SongmillError):
            raise ClusterError(f"the worker {address} cannot begin: {answer}")
        if isinstance(answer, BaseException):
            raise ClusterError(f"the worker {address} does not answer as it should: {answer!r}")
        if answer:
            raise ClusterError(answer)


def wait_for_threads(
    client: "Client", tick: Callable[[int], None], under_way: Collection["Future"] = ()
) -> int:
    """Return the cluster's threads, waiting where it has none just now.

    Parameters
    ----------
    client : Client
        The cluster.
    tick : callable
        Called with the number of threads, about every second while there is none.
    under_way : collection of Future
        What is on the cluster meanwhile.

    Raises
    ------
    ClusterError
        There has been none for :data:`NO_WORKERS_S`.
    LostError
        Another scheduler has come in the place of the one that knew what is under way.
    """
    end = time.monotonic() + NO_WORKERS_S
    while True:
        raise_if_interrupted()
        threads = count_threads(client)
        tick(threads)
        _see_known(under_way)
        if threads:
            return threads
        if time.monotonic() > end:
            address = client.scheduler.address
            raise ClusterError(
                f"the cluster at {address} has had no worker for {NO_WORKERS_S:g} s. What is "
                f"finished is kept: start `dask worker {address}`, and run the same command again"
            )
        time.sleep(1)


def finished(client: "Client", futures: list["Future"]) -> list["Future"]:
    """Return those that have ended, after a second at most; LostError without a scheduler."""
    from distributed import wait

    raise_if_interrupted()
    with contextlib.suppress(TimeoutError):
        wait(futures, timeout=1, return_when="FIRST_COMPLETED")
    if client.status != "running":
        raise LostError
    _see_known(futures)
    # One whose result was lost with its worker is pending again.
    return [future for future in futures if future.status not in ("pending", "lost")]


def _see_known(futures: Collection["Future"]) -> None:
    """Raise LostError where the client has given them up, as it does without its scheduler."""
    if any(future.status == "cancelled" for future in futures):
        raise LostError


class LostError(Exception):
    """The scheduler is lost."""


@contextlib.contextmanager
def losses(client: "Client") -> Iterator[None]:
    """Turn the many ways in which a scheduler is missed into one clear error."""
    where = f" at {client.scheduler.address}" if client.scheduler else ""
    try:
        yield
    except Exception as error:
        if not _tells_of_a_loss(client, error):
            raise
        raise ClusterError(
            f"the scheduler{where} was lost. What is finished is kept: start it, and run the same "
            "command again"
        ) from None


def _tells_of_a_loss(client: "Client", error: Exception) -> bool:
    if isinstance(error, SongmillError):
        return False
    if isinstance(error, OSError):
        return not _is_of_this_machine(error)
    # What Dask's client raises once it is closed depends on what it is asked for: its own
    # ClosedClientError here, an AttributeError there.
    return isinstance(error, LostError | CancelledError) or client.status != "running"


def _is_of_this_machine(error: OSError) -> bool:
    """Tell a full disk and its like, which have a number, from a connection that ends."""
    of_the_way = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    return error.errno is not None and not of_the_way and error.errno not in _UNREACHABLE
