"""The Dask cluster: one of this machine's own by default, any running one by its address."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.cluster.failures import _silence, _unanswered
from jobs.errors import ClusterError, RunInterruptedError, UsageError
from jobs.interruption import in_thread, raise_if_interrupted, wait_for

if TYPE_CHECKING:
    from distributed import Client, LocalCluster
    from tornado.ioloop import IOLoop

DASHBOARD_PORT = 8787


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
        with _local_cluster(workers) as cluster, Client(cluster) as client:
            yield client
        return
    # A lost scheduler is an error here: one that comes back knows nothing of this job's tasks.
    with dask.config.set({"distributed.client.scheduler-info-interval": "5s"}):
        try:
            client = wait_for(in_thread(Client, address, timeout=10))
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            raise ClusterError(_unanswered(address, error)) from None
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=5)


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
    with (
        # The workers' environment must stand before their process does.
        dask.config.set({"distributed.nanny.pre-spawn-environ": environment}),
        _loop_with_blocked_signals() as loop,
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
        try:
            yield cluster
        except RunInterruptedError:
            # Asked to end, a worker first finishes what it computes.
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
            _kill_workers()
            raise


def _kill_workers() -> None:
    for process in multiprocessing.active_children():
        process.kill()


@contextlib.contextmanager
def _loop_with_blocked_signals() -> Iterator["IOLoop"]:
    """Run an event loop that blocks the terminal's signals in the processes that it starts.

    A terminal sends SIGINT (Ctrl-C) and SIGHUP to every process of the group, including workers
    that are still starting. Only the job answers them, and it ends its workers.
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


def _started(**settings: Any) -> "LocalCluster":
    from distributed import LocalCluster

    starting = in_thread(LocalCluster, **settings)
    try:
        return wait_for(starting)
    except RunInterruptedError:
        # Without its workers the start fails at once.
        while not starting.done():
            _kill_workers()
            time.sleep(0.1)
        with contextlib.suppress(Exception):
            starting.result().close()
        raise
    except RuntimeError as error:
        raise_if_interrupted()  # workers that a signal has ended do not start
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
