"""Fitness of a worker: it needs the job's songmill and access to the job's store."""

import functools
import socket
from importlib import metadata

from featurizer.columns import FEATURE_SET
from jobs.store.address import storage_of


@functools.cache
def songmill_version() -> str:
    """Return the version of songmill in this process."""
    return metadata.version("songmill")


def unfit_for_store(root: str, mark: str, run_id: str, songmill: str, feature_set: str) -> str:
    """Return why this worker is unfit for a job; empty if it is fit.

    ``mark`` is a file of the store in which the job has just written its ``run_id``. ``songmill``
    and ``feature_set`` are the job's versions.
    """
    storage = storage_of(root)
    here = f"the worker on {socket.gethostname()}"
    if (songmill_version(), FEATURE_SET) != (songmill, feature_set):
        return (
            f"{here} has songmill {songmill_version()} (features {FEATURE_SET}), and the job has "
            f"{songmill} ({feature_set}): install the same on both"
        )
    try:
        found = storage.read_json(mark)["run_id"]
    except FileNotFoundError:
        found = None
    if found != run_id:
        return (
            f"{here} does not see the store {storage.root} as the job does: the store must be on "
            "a file system that the job and all workers share, under one path"
        )
    return ""
