"""Targets of exports, as given with ``--to``. They are shown without the password."""

import os
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from jobs.errors import UsageError
from jobs.redaction import public_address
from jobs.store.address import expand_home

SUFFIXES = (
    *(".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz"),
    *(".parquet", ".arrow"),
)
"""Suffixes of files, which determine the format."""

Kind = Literal["postgresql", "sqlite", "duckdb", "file"]

STDOUT = "-"

_DATABASES: dict[str, Kind] = {".db": "sqlite", ".sqlite": "sqlite", ".duckdb": "duckdb"}
"""Kinds of databases, by the suffix of their file."""

_MISSPELT = re.compile(r"\s*postgres(ql)?:|.*password\s*=", re.IGNORECASE | re.DOTALL)
"""Addresses of databases that would otherwise be names of files."""


@dataclass(frozen=True)
class Target:
    """A database, or a file.

    Parameters
    ----------
    kind : {"postgresql", "sqlite", "duckdb", "file"}
        Kind of the target.
    address : str
        URI of the PostgreSQL database, with the password; else the path of the file, or
        :data:`STDOUT`.
    shown : str
        The address without the password.
    """

    kind: Kind
    address: str = field(repr=False)
    shown: str


def parse_target(given: str) -> Target:
    """Parse the value of ``--to``.

    Raises
    ------
    UsageError
        This is not a valid target. The message contains no password.

    Examples
    --------
    >>> parse_target("postgresql://me:secret@host/music").shown
    'postgresql://me@host/music'
    """
    if given == STDOUT:
        return Target("file", STDOUT, "stdout")
    scheme, separator, rest = given.partition("://")
    scheme = scheme.lower()
    if separator and scheme in ("postgresql", "postgres"):
        return _parse_postgresql(given)
    if separator and scheme in ("sqlite", "duckdb"):
        if not rest.startswith("/") or len(rest) == 1:
            raise UsageError(
                f"--to {scheme}://… needs the path of a file: {scheme}:///relative/path.db or "
                f"{scheme}:////absolute/path.db"
            )
        path = _check_folder(rest[1:])
        return Target("sqlite" if scheme == "sqlite" else "duckdb", path, f"{scheme}:///{path}")
    path = given if not separator else rest if scheme == "file" else ""
    kind = _DATABASES.get(os.path.splitext(path.lower())[1])
    if (kind or path.lower().endswith(SUFFIXES)) and not _MISSPELT.match(given):
        path = _check_folder(path)
        return Target(kind or "file", path, path)
    # Anything else may hold a password: only a scheme, or a plain name, is shown.
    shown = "…"
    if separator and re.fullmatch("[a-z0-9+.-]*", scheme):
        shown = f"{scheme}://…"
    elif not re.search("[:=@]", given):
        shown = repr(given)
    raise UsageError(
        f"--to {shown} is not a target of exports: use postgresql://user@host/database, "
        "sqlite:///FILE, duckdb:///FILE, - for stdout, or a file name that ends in "
        f"{', '.join([*_DATABASES, *SUFFIXES])}"
    )


def _parse_postgresql(given: str) -> Target:
    invalid = UsageError(
        "--to postgresql://… is not valid. Write postgresql://user@host:port/database, and the "
        "password in PGPASSWORD, in ~/.pgpass or after the user and a colon, with @ : / ? # % in a "
        "name or a password as %40 %3A %2F %3F %23 %25"
    )
    try:
        parts = urlsplit(given)
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        raise invalid from None
    # An unescaped password would be parsed as another part, and shown.
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query + parts.fragment:
        raise invalid
    return Target("postgresql", given, f"postgresql://{public_address(given).partition('://')[2]}")


def _check_folder(path: str) -> str:
    """Return ``path`` without ``~``; raise UsageError unless a file can be created there."""
    path = expand_home(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder} to export to: create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"the folder {folder} is not writable: export to another one")
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder: name a file to export to")
    return path
