"""The file that holds a command's options: TOML, with the names of the command line."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from jobs.errors import UsageError


def read_config(path: Path, names: list[str]) -> dict[str, Any]:
    """Read the options of a file.

    Parameters
    ----------
    path : Path
        The file.
    names : list of str
        The options that there are, as the command line writes them without their dashes. In the
        file they may also have ``_`` in place of ``-``.

    Returns
    -------
    dict of str to Any
        By the names of the command line. What they may be is checked as on the command line.

    Raises
    ------
    UsageError
        There is no such file, it is no TOML, or it has an option that there is not.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is no TOML: {error}") from None
    options: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("_", "-")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}"
            raise UsageError(f"--config {path} has the unknown option {key!r}: {remedy}")
        if isinstance(value, dict):
            raise UsageError(f"--config {path}: {key} is a table, and an option has one value")
        options[name] = value
    return options
