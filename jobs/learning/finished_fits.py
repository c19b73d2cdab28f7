"""Results of finished fits, kept in the store until their comparison is committed.

A comparison that was interrupted goes on from them. A key stands for everything that a result
depends on, so a result of other rows, folds or libraries is never taken.
"""

import functools
import hashlib
from collections.abc import Collection
from importlib import metadata
from typing import Any

from jobs.store.storage import Storage

FOLDER = "_work/compared"


def key(*parts: object) -> str:
    """Return the key of a fit: a digest of its parts and of the versions of the libraries.

    Examples
    --------
    >>> key("SVM", 0) == key("SVM", 0), key("SVM", 0) == key("SVM", 1)
    (True, False)
    """
    return hashlib.sha256(repr((*parts, *_versions())).encode()).hexdigest()


@functools.cache
def _versions() -> tuple[str, ...]:
    import xgboost

    installed = map(metadata.version, ("songmill", "numpy", "scikit-learn"))
    return *installed, xgboost.__version__


def read(storage: Storage, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the results that are kept for some keys; remove those of other comparisons."""
    found = {}
    for entry in list(storage.list(FOLDER)):
        name = entry.name.rpartition("/")[2].removesuffix(".json")
        try:
            result = storage.read_json(entry.name) if name in keys else None
        except ValueError:  # damaged
            result = None
        if isinstance(result, dict):
            found[name] = result
        else:
            storage.remove(entry.name)
    return found


def write(storage: Storage, name: str, result: dict[str, Any]) -> None:
    """Keep the result, a JSON object, of the fit with a key."""
    storage.write_json(f"{FOLDER}/{name}.json", result)


def clear(storage: Storage) -> None:
    """Remove all results."""
    storage.remove_folder(FOLDER)
