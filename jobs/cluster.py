"""The Dask cluster: one of this machine's own by default, any running one by its address."""

import contextlib
import errno
import json
import logging
import os
import signal
import socket
import ssl
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.batch import songmill_version
from jobs.errors import ClusterError, SongmillError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster
    from tornado.ioloop import IOLoop

DASHBOARD_PORT = 8787

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}

NO_WORKERS_S = 300.0
"""For so long a cluster may be without any worker before the job gives up."""


def scheduler_address(scheduler: str | None, workers: int | None) -> str | None:
    """Return the address of the scheduler that is asked for; None for a cluster of its own.

    Parameters
    ----------
    scheduler, workers
        As for :func:`connect`.

    Raises
    ------
    UsageError
        Both were given, or the scheduler is neither an address nor a scheduler file.
    """
    if not scheduler:
        return None
    if workers:
        raise UsageError("--workers is for a cluster of this machine; --scheduler brings its own")
    if not os.path.isfile(scheduler):
        if "://" not in scheduler:
            raise UsageError(
                f"--scheduler {scheduler} is neither an address such as tcp://host:8786 or "
                "tls://host:8786 nor the path of a scheduler file"
            )
        return scheduler
    try:
        return str(json.loads(Path(scheduler).read_bytes())["address"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"--scheduler {scheduler} is a file without a scheduler's address: name one that "
            "`dask scheduler --scheduler-file` has written"
        ) from None


@contextlib.contextmanager
def connect(scheduler: str | None, workers: int | None) -> Iterator["Client"]:
    """Give a client of a cluster, and end a cluster made for it afterwards.

    Parameters
    ----------
    scheduler : str or None
        Address of a running scheduler, or path of its scheduler file. None makes a local cluster.
    workers : int or None
        Single-threaded processes of the local cluster; by default one a core.

    Raises
    ------
    UsageError
        As from :func:`scheduler_address`.
    ClusterError
        The scheduler does not answer.
    """
    import dask
    from distributed import Client

    _silence()
    address = scheduler_address(scheduler, workers)
    if address is None:
        if _kept:
            yield _kept[-1].client(workers)
            return
        with _local_cluster(workers) as cluster, Client(cluster) as client:
            yield client
        return
    # A lost scheduler is an error here: one that comes back knows nothing of this job's tasks.
    with dask.config.set({"distributed.client.scheduler-info-interval": "5s"}):
        try:
            client = Client(address, timeout=10)
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            raise ClusterError(_unanswered(address, error)) from None
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=5)


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


class _Keeper:
    """A local cluster that is started when it is needed first, and ends with the run."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._client: Client | None = None

    def client(self, workers: int | None) -> "Client":
        """Return its client."""
        from distributed import Client

        if self._client is None or self._client.status != "running":
            cluster = self._stack.enter_context(_local_cluster(workers))
            self._client = self._stack.enter_context(Client(cluster))
        return self._client


_kept: list[_Keeper] = []


@contextlib.contextmanager
def kept_cluster() -> Iterator[None]:
    """Have all stages of the body share one local cluster, which takes some seconds to start."""
    with contextlib.ExitStack() as stack:
        _kept.append(_Keeper(stack))
        try:
            yield
        finally:
            _kept.pop()


def _silence() -> None:
    """Keep Dask's own remarks on workers and schedulers that die to itself: the job says it."""
    for name in ("distributed", "tornado", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextlib.contextmanager
def _local_cluster(workers: int | None) -> Iterator[Any]:
    import dask
    from dask.system import CPU_COUNT

    environment = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    # Another run may take the dashboard's port in this moment; the one that is found is printed.
    warnings.filterwarnings("ignore", message="Port .* is already in use", category=UserWarning)
    preloads = dask.config.get("distributed.worker.preload")
    preloads = [preloads] if isinstance(preloads, str) else preloads
    with (
        dask.config.set(
            {
                # The workers' environment must stand before their process does.
                "distributed.nanny.pre-spawn-environ": environment,
                "distributed.worker.preload": [*preloads, "jobs.local_worker"],
            }
        ),
        _deaf_loop() as loop,
        _started(
            loop=loop,
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=f"127.0.0.1:{_free_port(DASHBOARD_PORT)}",
            local_directory=tempfile.gettempdir(),
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        yield cluster


@contextlib.contextmanager
def _deaf_loop() -> Iterator["IOLoop"]:
    """Give a running event loop whose threads, and the processes they start, hear no Ctrl-C.

    A terminal's goes to all of them, and who is to end is told by the job.
    """
    from distributed.utils import LoopRunner

    # The thread that starts it would hear Ctrl-C from then on.
    resource_tracker.ensure_running()
    runner = LoopRunner()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield runner.loop
    finally:
        runner.stop()


def _started(**settings: Any) -> "LocalCluster":
    from distributed import LocalCluster

    try:
        return LocalCluster(**settings)
    except RuntimeError as error:
        cause = error.__cause__ or error
        raise ClusterError(f"the workers of a local cluster did not start: {cause}") from None


def _free_port(wanted: int) -> int:
    """Return ``wanted`` if nobody listens there, else 0: any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


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
        answers = client.run(unfit, *arguments, on_error="return")
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
