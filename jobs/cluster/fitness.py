"""Fitness of a worker: it must have this songmill and see the job's store."""

import functools
import json
import socket
from importlib import metadata

from featurizer.columns import FEATURE_SET
from jobs.store.address import storage_of


@functools.cache
def songmill_version() -> str:
    """Return the version of this songmill."""
    return metadata.version("songmill")


def unfit_for_store(root: str, mark: str, run_id: str, songmill: str, feature_set: str) -> str:
    """Say why this worker cannot work on a store for a job; nothing where it can.

    Parameters
    ----------
    root : str
        The store's folder.
    mark : str
        A file of the store that holds the ``run_id``, which the job has just written.
    run_id : str
        The job's.
    songmill, feature_set : str
        The job's versions.
    """
    storage = storage_of(root)
    here = f"the worker on {socket.gethostname()}"
    if (songmill_version(), FEATURE_SET) != (songmill, feature_set):
        return (
            f"{here} has songmill {songmill_version()} (features {FEATURE_SET}), and the job has "
            f"{songmill} ({feature_set}): install the same on both"
        )
    try:
        found = json.loads(storage.read(mark))["run_id"]
    except FileNotFoundError:
        found = None
    if found != run_id:
        return (
            f"{here} does not see the store {storage.root} as the job does: the store must be on "
            "a file system that the job and all workers share, under one path"
        )
    return ""
