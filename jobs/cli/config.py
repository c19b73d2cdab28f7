"""Configuration files: options of a command in TOML."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from jobs.errors import UsageError


def read_config(path: Path, names: list[str]) -> dict[str, Any]:
    """Return the options of a TOML file by name.

    The file may use ``_`` for ``-``. The command line checks the values like its own. UsageError if
    the file cannot be read, is not TOML, or has an option that is not in ``names``.
    """
    try:
        found = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    options: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("_", "-")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            remedy = (
                f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(names))}"
            )
            raise UsageError(f"{path} has the unknown option {key!r}: {remedy}")
        if isinstance(value, dict):
            raise UsageError(f"{path}: {key} is a table: give it one value")
        options[name] = value
    return options
