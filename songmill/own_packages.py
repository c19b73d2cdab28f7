"""Packages of songmill with plain names, such as ``jobs``, that another package may hide.

Used before any of them is imported, so it imports none.
"""

import importlib.util
import sys
from pathlib import Path

OWN = ("compiling", "featurizer", "jobs", "pages", "recommend", "training")
"""Packages that are installed beside this one."""

FOLDER = Path(__file__).resolve().parents[1]
"""Folder that holds them."""


def put_first() -> None:
    """Put songmill's own folder first on Python's path; raise ImportError if it is too late."""
    if sys.path[:1] != [str(FOLDER)]:
        sys.path.insert(0, str(FOLDER))
    check_not_hidden()


def check_not_hidden() -> None:
    """Raise ImportError, naming the file, if another package hides one of songmill's.

    Examples
    --------
    >>> check_not_hidden()
    """
    for name in OWN:
        spec = importlib.util.find_spec(name)
        file = spec.origin if spec else None
        if file is None or Path(file).resolve().parent != FOLDER / name:
            raise ImportError(
                f"songmill's package {name!r} is hidden by {file or 'a folder of that name'}: "
                "rename it or remove its folder from Python's path"
            )
