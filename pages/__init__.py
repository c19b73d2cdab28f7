"""Pictures and HTML pages.

It uses matplotlib and the numeric packages of this project, but no store and no ``jobs``.
"""

import os
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import matplotlib although ``MPLBACKEND`` names a backend that is not installed.

    A command that is started in a notebook inherits the notebook's. Pictures need no backend.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend is not None:
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend


_import_matplotlib()
