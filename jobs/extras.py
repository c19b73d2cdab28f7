"""Optional packages: the extras of ``pyproject.toml``."""

import importlib.util

from jobs.errors import UsageError

EXTRAS = {
    "postgres": ("adbc_driver_postgresql", "Exports to PostgreSQL"),
    "s3": ("s3fs", "Addresses in buckets (s3://…)"),
    "report": ("matplotlib", "Reports and pictures"),
}
"""The module that each extra installs, and the part of songmill that needs it."""


def require(extra: str) -> None:
    """Check that an extra is installed.

    Parameters
    ----------
    extra : str
        A key of :data:`EXTRAS`.

    Raises
    ------
    UsageError
        If its module is missing; the message has the command that installs it.

    Examples
    --------
    >>> require("report")
    """
    module, part = EXTRAS[extra]
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"{part} need the package {module}, which is not installed: "
            f"pip install 'songmill[{extra}]'"
        )
