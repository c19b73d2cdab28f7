"""The workers of a cluster that have passed a stage's check. Only they get its tasks.

A pool has a Dask resource of its own, which its tasks require. A worker gets the resource when it
has passed the check, and a process that replaces it has to pass again. So no task reaches a worker
that has just joined, has another songmill, or does not see the store.
"""

import importlib
import os
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future as Check
from concurrent.futures import wait
from importlib import metadata
from typing import TYPE_CHECKING, Any

from jobs.cluster.failures import SchedulerLostError
from jobs.cluster.fitness import admit, bar, forget_resource, songmill_version
from jobs.errors import ClusterError, SongmillError
from jobs.interruption import in_thread, raise_if_interrupted

if TYPE_CHECKING:
    from distributed import Client, Future

NO_WORKERS_TIMEOUT_S = 300.0
"""Seconds that a cluster may be without workers before the job gives up."""

ONLY_UNFIT_TIMEOUT_S = 10.0
"""Seconds that a cluster may have unfit workers only before the job gives up."""

FIRST_CHECK_S = 10.0
"""Seconds that a new pool waits for the checks of the workers that are there."""

CLOSE_S = 2.0
"""Seconds that the end of a pool may take."""

POLL_S = 0.5
"""Seconds between two looks at the cluster's workers."""


class WorkerPool:
    """The workers that have passed a stage's check.

    Parameters
    ----------
    client : Client
        The cluster.
    check : callable
        Runs on a worker, and returns why it is unfit; empty if it is fit.
    report : callable
        Receives the level and the text of each message: unfit workers, and lost ones.
    name : str
        Beginning of the tasks' names on Dask's dashboard.

    Attributes
    ----------
    most_workers : int
        Largest number of fit workers at one time.
    has_nannies : bool
        Whether a nanny restarts each worker that dies.
    """

    def __init__(
        self,
        client: "Client",
        check: Callable[[], str],
        report: Callable[[str, str], None],
        name: str = "songmill",
    ) -> None:
        self.client = client
        self.resource = f"songmill-{uuid.uuid4().hex}"
        self.most_workers = 0
        self.has_nannies = False
        self._check = check
        self._report = report
        self._name = name.replace("-", "_")  # Dask shows a key up to its first hyphen
        self._checks: dict[tuple[str, ...], Check[dict[str, str]]] = {}  # running, by addresses
        self._unfit: dict[str, str] = {}  # reasons by address
        self._fit: set[str] = set()
        self._threads = 0
        self._next_poll = 0.0
        self._empty_since: float | None = None

    def submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> "Future":
        """Submit a task for any fit worker. If there is none yet, the task waits for one."""
        from dask.utils import funcname

        key = f"{self._name} {funcname(function).strip('_')}-{uuid.uuid4().hex}"
        return self.client.submit(function, *args, key=key, resources={self.resource: 0}, **options)

    def settle(self) -> None:
        """Wait until the workers that are there are checked, for FIRST_CHECK_S at most."""
        end = time.monotonic() + FIRST_CHECK_S
        while self.poll(fresh=True) or self._checks:
            if not self._checks or time.monotonic() > end:
                return
            time.sleep(0.02)

    def wait(self, tick: Callable[[int], None]) -> None:
        """Wait for a fit worker. ``tick`` is called now and then with the number of threads."""
        request = None
        while not (threads := self.poll()):
            tick(threads)
            # An adaptive cluster starts workers only if there is a task.
            request = request or self.submit(os.getpid)
            time.sleep(POLL_S)

    def poll(self, *, fresh: bool = False) -> int:
        """Return the number of threads of the fit workers.

        The workers are listed every :data:`POLL_S`, or if ``fresh``.

        Raises
        ------
        ClusterError
            There has been no fit worker for too long.
        SchedulerLostError
            The scheduler is lost.
        """
        raise_if_interrupted()
        if self.client.status != "running":
            raise SchedulerLostError  # Asking it would first wait for the connection to time out.
        if fresh or time.monotonic() >= self._next_poll:
            found = self.list_workers()
            self._threads = sum(worker["nthreads"] for worker in found.values())
            self._next_poll = time.monotonic() + POLL_S
            self._give_up_without_workers()
        return self._threads

    def list_workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of each fit worker, by address.

        Workers that have joined are checked in the background. The error is one of many if the
        scheduler is lost: see :func:`jobs.cluster.failures.translate_errors`.
        """
        self._finish_checks()
        # Not client.scheduler_info, which another thread may replace by one without workers.
        identity = self.client.sync(self.client.scheduler.identity, n_workers=-1)
        found: dict[str, dict[str, Any]] = identity["workers"]
        fit = {
            address: worker
            for address, worker in found.items()
            if worker["resources"].get(self.resource, -1) >= 0
        }
        for address in sorted(self._fit - fit.keys() - self._unfit.keys()):
            self._report_lost(address, len(fit))
        if fit.keys() - self._fit:
            _start_waiting_tasks(self.client)
        self._fit = set(fit)
        if fit:
            self.has_nannies = all(worker["nanny"] for worker in fit.values())
        self.most_workers = max(self.most_workers, len(fit))
        self._unfit = {address: why for address, why in self._unfit.items() if address in found}
        known = {*fit, *self._unfit, *(address for group in self._checks for address in group)}
        new = tuple(address for address in found if address not in known)
        if new:
            self._checks[new] = in_thread(self._admit, new)
        return fit

    def exclude(self, address: str, reason: str) -> None:
        """Give no more tasks to a worker that has become unfit, and report it once."""
        if address in self._unfit:
            return
        self.client.run(bar, self.resource, workers=[address], on_error="return")
        self._report_unfit(address, f"{self._describe(address)}: {reason}")

    def close(self) -> None:
        """Remove the pool's resource: a cluster that runs for months would collect them."""
        wait([in_thread(self._forget)], CLOSE_S)

    def _forget(self) -> None:
        self.client.run(forget_resource, self.resource, on_error="ignore")
        resource = self.resource

        # A nested function is sent whole, because a scheduler need not have songmill.
        def forget(dask_scheduler: Any) -> None:
            workers = dask_scheduler.workers.values()
            running = [task for worker in workers for task in worker.processing]
            if any(resource in (task.resource_restrictions or ()) for task in running):
                return
            for worker in workers:
                worker.resources.pop(resource, None)
                worker.used_resources.pop(resource, None)
            dask_scheduler.resources.pop(resource, None)

        self.client.run_on_scheduler(forget)

    def _finish_checks(self) -> None:
        for group, check in list(self._checks.items()):
            if check.done():
                del self._checks[group]
                for address, reason in check.result().items():
                    self._report_unfit(address, reason)

    def _report_unfit(self, address: str, reason: str) -> None:
        self._unfit[address] = reason
        self._report("warning", f"a worker gets no work: {reason}")

    def _report_lost(self, address: str, left: int) -> None:
        events = self.client.get_events(address)
        expected = any(event.get("expected") for _, event in events if isinstance(event, dict))
        level, what = ("info", "has ended") if expected else ("warning", "was lost")
        self._report(level, f"the worker {address} {what}: {left} left")

    def _admit(self, addresses: tuple[str, ...]) -> dict[str, str]:
        """Check workers, and let tasks reach the fit ones; return the others with the reasons."""
        workers, client = list(addresses), self.client
        # Importing it puts songmill's folder first: other packages may have the same names.
        client.run(importlib.import_module, "songmill.worker", workers=workers, on_error="ignore")
        answers = client.run(admit, self._check, self.resource, workers=workers, on_error="return")
        reasons = {address: _reason(answer) for address, answer in answers.items()}
        return {
            address: f"{self._describe(address)}: {reason}"
            for address, reason in reasons.items()
            if reason
        }

    def _describe(self, address: str) -> str:
        """Return the address of a worker, its host, process and version, by modules of Python."""

        def ask(function: Callable[..., Any], *args: Any) -> Any:
            answer = self.client.run(function, *args, workers=[address], on_error="return")
            found = answer.get(address)
            return "unknown" if isinstance(found, BaseException) else found

        host, pid = ask(socket.gethostname), ask(os.getpid)
        version = ask(metadata.version, "songmill")
        return f"{address} (host {host}, process {pid}, songmill {version})"

    def _give_up_without_workers(self) -> None:
        now = time.monotonic()
        if self._threads or self._empty_since is None:
            self._empty_since = None if self._threads else now
        elif (
            self._unfit
            and not self._checks
            and not self.most_workers  # a fit worker that was there may be restarting
            and now - self._empty_since > ONLY_UNFIT_TIMEOUT_S
        ):
            raise ClusterError(
                f"no worker of the cluster is fit: {next(iter(self._unfit.values()))}"
            )
        elif now - self._empty_since > NO_WORKERS_TIMEOUT_S:
            address = self.client.scheduler.address
            raise ClusterError(
                f"the cluster at {address} has had no worker for {NO_WORKERS_TIMEOUT_S:g} s. "
                f"Finished work is kept: start `dask worker {address}`, and run the same command "
                "again"
            )


def _start_waiting_tasks(client: "Client") -> None:
    """Start the tasks that wait for a worker. A scheduler does that only when a worker joins."""
    # A lambda, which is sent whole, because a scheduler need not have songmill.
    client.run_on_scheduler(
        lambda dask_scheduler: [
            dask_scheduler.transitions(
                dask_scheduler.bulk_schedule_unrunnable_after_adding_worker(worker), "songmill"
            )
            for worker in list(dask_scheduler.workers.values())
        ]
    )


def _reason(answer: Any) -> str:
    """Return why a worker is unfit by the answer of its check; empty if it is fit or gone."""
    # Dask replaces what a worker cannot unpickle by a plain Exception that quotes the cause.
    if "ModuleNotFoundError" in repr(answer) or "AttributeError" in repr(answer):
        return (
            f"it lacks songmill or a part of it ({answer}): install songmill "
            f"{songmill_version()} on every worker"
        )
    if isinstance(answer, OSError) and answer.errno is None:
        return ""  # an error of Dask, not of the system: the worker has died since
    if isinstance(answer, SongmillError):
        return str(answer)
    if isinstance(answer, BaseException):
        return f"its check failed: {answer!r}"
    return str(answer)
