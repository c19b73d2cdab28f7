"""Connection to a Dask cluster: a local one by default, or a running one by its address."""

import contextlib
import ipaddress
import json
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.cluster.certificates import make_certificates
from jobs.errors import ClusterError, RunInterruptedError, UsageError
from jobs.interruption import in_thread, raise_if_interrupted, wait_for
from jobs.store.address import expand_home

if TYPE_CHECKING:
    from distributed import Client, LocalCluster
    from distributed.security import Security
    from tornado.ioloop import IOLoop

UNWATCHED = {
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
}
"""Dask's settings for a cluster without a dashboard, which alone shows what they leave out.

An idle process then uses a tenth of the CPU time, and a busy worker is not profiled.
"""


def scheduler_address(scheduler: str | None, workers: int | None) -> str | None:
    """Return the address of the wanted scheduler; None for a local cluster.

    Raises
    ------
    UsageError
        Both were given, or the scheduler is neither an address nor a scheduler file.
    """
    if not scheduler:
        return None
    scheduler = expand_home(scheduler)
    if workers:
        raise UsageError("--workers is for a local cluster: leave it out with --scheduler")
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
            f"--scheduler {scheduler} is a file without a scheduler's address: name a file that "
            "`dask scheduler --scheduler-file` has written"
        ) from None


@contextlib.contextmanager
def connect(
    scheduler: str | None, workers: int | None, warn: Callable[[str], None]
) -> Iterator["Client"]:
    """Yield a client of a cluster, and end the cluster if it was started here.

    Parameters
    ----------
    scheduler : str or None
        Address of a running scheduler, or path of its scheduler file. None starts a local cluster.
    workers : int or None
        Single-threaded processes of the local cluster; by default one per core.
    warn : callable
        Receives a warning if other machines may reach the scheduler without a certificate.

    Raises
    ------
    UsageError
        As from :func:`scheduler_address`.
    ClusterError
        The scheduler does not answer.
    """
    import dask
    from distributed import Client

    _silence_dask_logs()
    address = scheduler_address(scheduler, workers)
    if address is None:
        with _local_cluster(workers) as cluster, Client(cluster) as client:
            yield client
        return
    # A lost scheduler is an error here: one that comes back knows nothing of this job's tasks.
    with dask.config.set({"distributed.client.scheduler-info-interval": "5s"}):
        try:
            client = wait_for(in_thread(Client, address, timeout=10))
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            raise ClusterError(_explain(address, error)) from None
    if _is_exposed(address):
        warn(
            f"the scheduler {address} is not under TLS: whoever reaches its port can run code as "
            "the user of its workers. Use a cluster under TLS (tls://…)"
        )
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=5)


def _silence_dask_logs() -> None:
    """Drop Dask's logs of workers and schedulers that die: the job reports them itself."""
    level = logging.CRITICAL + 1
    for name in ("distributed", "tornado", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logger = logging.getLogger(name)
            if logger.level != level:  # setLevel goes through all loggers
                logger.setLevel(level)


def _explain(address: str, error: Exception) -> str:
    """Return why the connection to a scheduler failed, and what to do."""
    settings = (
        "distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration "
        "(or in DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on)"
    )
    if "ssl_context" in str(error):  # a TypeError of Dask's
        return f"{address} requires a certificate, and this job has none: set {settings}"
    if "encryption required" in str(error):
        return (
            "Dask's configuration requires encryption (distributed.comm.require-encryption), and "
            f"{address} does not use TLS: write tls://…"
        )
    cause = f"{error}" if str(error) else f"{error.__cause__ or type(error).__name__}"
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return (
            f"the certificate of the scheduler at {address} is not trusted "
            f"({error.__cause__.verify_message}): set {settings} to those of the cluster"
        )
    remedy = ""
    if address.startswith("tcp://") and "reset by peer" in cause:
        remedy = ". If the cluster uses TLS, its address begins with tls://"
    return f"no Dask scheduler answers at {address}: {cause}{remedy}"


def _is_exposed(address: str) -> bool:
    """Tell whether other machines may reach a scheduler that asks for no certificate.

    Examples
    --------
    >>> _is_exposed("tcp://192.0.2.1:8786"), _is_exposed("tcp://[::1]:8786")
    (True, False)
    >>> _is_exposed("tls://192.0.2.1:8786")
    False
    """
    from distributed.comm import get_address_host

    if address.partition("://")[0] in ("tls", "wss", "inproc"):
        return False
    try:
        found = socket.getaddrinfo(get_address_host(address), None)
    except (OSError, ValueError):
        return True
    return not all(ipaddress.ip_address(one[4][0]).is_loopback for one in found)


@contextlib.contextmanager
def _local_cluster(workers: int | None) -> Iterator[Any]:
    """Start a cluster that admits only this process and its workers.

    All its connections are under TLS, with a certificate that exists only in the memory of these
    processes. Dask's HTTP servers, which have no authentication, serve no pages.
    """
    import dask
    from dask.system import CPU_COUNT

    with (
        dask.config.set(_own_settings()),
        _loop_with_blocked_signals() as loop,
        _start_cluster(
            loop=loop,
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            security=_new_security(),
            dashboard_address="127.0.0.1:0",  # of the HTTP server, which Dask always starts
            scheduler_kwargs={"dashboard": False},
            local_directory=_private_folder(),
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        try:
            yield cluster
        finally:
            # A worker that is asked to end would first finish its task, and then take a second.
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                if nanny.pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(nanny.pid, signal.SIGKILL)


def _own_settings() -> dict[str, Any]:
    """Return Dask's settings of a local cluster: its defaults, without those of the user.

    The user's are for other clusters: with them, this one might spill to disk or end when idle.
    Modules that workers load first (``distributed.worker.preload``) are loaded all the same.
    """
    import dask
    import distributed  # noqa: F401  # adds its defaults

    defaults: dict[str, Any] = dask.config.merge(*dask.config.defaults)
    preload = "distributed.worker.preload"
    return {
        **defaults,
        **UNWATCHED,
        preload: dask.config.get(preload),
        # The environment must be set before the workers' processes start.
        "distributed.nanny.pre-spawn-environ": {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "NUMBA_NUM_THREADS": "1",
        },
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }


def _new_security() -> "Security":
    """Return TLS settings with a new certificate, which is valid whatever the clock shows."""
    from distributed.security import Security

    made = make_certificates()
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=made.authority,
        **{f"tls_{role}_cert": made.certificate for role in roles},
        **{f"tls_{role}_key": made.key for role in roles},
    )


@contextlib.contextmanager
def _loop_with_blocked_signals() -> Iterator["IOLoop"]:
    """Run an event loop that blocks the terminal's signals in the processes that it starts.

    A terminal sends SIGINT (Ctrl-C) and SIGHUP to every process of the group, including workers
    that are still starting. Only the job handles them, and ends its workers.
    """
    from distributed.utils import LoopRunner

    signals = {signal.SIGINT, signal.SIGHUP}
    runner = LoopRunner()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # unblocked by the line above
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield runner.loop
    finally:
        runner.stop()


def _start_cluster(**settings: Any) -> "LocalCluster":
    from distributed import LocalCluster

    starting = in_thread(LocalCluster, **settings)
    try:
        return wait_for(starting)
    except RunInterruptedError:
        # The start fails at once without its workers.
        while not starting.done():
            for process in multiprocessing.active_children():
                process.kill()
            time.sleep(0.1)
        with contextlib.suppress(Exception):
            starting.result().close()
        raise
    except RuntimeError as error:
        raise_if_interrupted()  # a signal may have ended the starting workers
        cause = str(error.__cause__ or error)
        if cause.startswith("Nanny failed"):
            # Each worker imports the script, which starts a cluster again.
            cause += '. In a script, call songmill below `if __name__ == "__main__":`'
        raise ClusterError(f"the workers of a local cluster did not start: {cause}") from None


def _private_folder() -> str:
    """Return a folder for the workers' files that other users cannot enter.

    The name is the same in every run, so that Dask removes what killed workers have left in it.
    """
    folder = Path(tempfile.gettempdir()) / f"songmill-workers-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if own and not status.st_mode & 0o077:
        return str(folder)
    return tempfile.mkdtemp(prefix="songmill-workers-")  # another user has taken the name
