"""Fitness of a worker: it needs the job's songmill and access to the job's store."""

import functools
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from featurizer.feature_set import feature_sets
from jobs.store.address import storage_of


@functools.cache
def songmill_version() -> str:
    """Return the version of songmill in this process."""
    return metadata.version("songmill")


def known_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of feature sets in this process, without sets that it does not know.

    Examples
    --------
    >>> known_versions(["gtzan", "unheard"])
    {'gtzan': 'gtzan-57.1'}
    """
    return {name: feature_sets()[name].version for name in names if name in feature_sets()}


def unfit_for_store(
    root: str, mark: str, run_id: str, songmill: str, versions: dict[str, str]
) -> str:
    """Return why this worker is unfit for a job; empty if it is fit.

    ``mark`` is a file of the store in which the job has just written its ``run_id``. ``songmill``
    is the job's version, and ``versions`` are those of its feature sets.
    """
    storage = storage_of(root)
    ours = known_versions(versions)
    if (songmill_version(), ours) != (songmill, versions):
        return (
            f"it has songmill {songmill_version()} (features {', '.join(ours.values())}), and the "
            f"job has {songmill} ({', '.join(versions.values())}): install the same on both"
        )
    try:
        found = storage.read_json(mark)["run_id"]
    except FileNotFoundError:
        found = None
    if found != run_id:
        return (
            f"it does not see the store {storage.root} as the job does: the store must be on a "
            "file system that the job and all workers share, under one path"
        )
    return ""


def worker_address() -> str:
    """Return Dask's address of the worker that runs this task; empty outside of one."""
    from distributed import get_worker

    try:
        return str(get_worker().contact_address)
    except ValueError:
        return ""


async def admit(check: Callable[[], str], resource: str, dask_worker: Any) -> str:
    """Give this worker a Dask resource if it passes the check; return why it is unfit, or ""."""
    reason = check()
    if not reason:
        await dask_worker.set_resources(**{resource: 1})
    return reason


async def bar(resource: str, dask_worker: Any) -> None:
    """Give this worker no more tasks. Those that wait on it run, and find that it is unfit."""
    state = dask_worker.state
    state.total_resources[resource] = -1  # the available quantity stays, which waiting tasks need
    address = dask_worker.contact_address
    await dask_worker.scheduler.set_resources(resources=state.total_resources, worker=address)


def forget_resource(resource: str, dask_worker: Any) -> None:
    """Remove a Dask resource of this worker, unless a task still needs it."""
    state, ended = dask_worker.state, ("memory", "error", "released")
    needing = (task for task in state.tasks.values() if task.state not in ended)
    if not any(resource in task.resource_restrictions for task in needing):
        state.total_resources.pop(resource, None)
        state.available_resources.pop(resource, None)
