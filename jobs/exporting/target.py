"""Targets of exports, as given with ``--to``. They are shown without the password."""

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs.errors import UsageError

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet", ".arrow")
"""Suffixes of files, which determine the format."""

Kind = Literal["postgresql", "sqlite", "duckdb", "file"]

_SECRET = "***"


@dataclass(frozen=True)
class Target:
    """A database, or a file.

    Parameters
    ----------
    kind : {"postgresql", "sqlite", "duckdb", "file"}
        Kind of the target.
    address : str
        URI of the PostgreSQL database, with the password; else the path of the file.
    shown : str
        The address without the password.
    """

    kind: Kind
    address: str
    shown: str

    def hide_password(self, text: str) -> str:
        """Return a driver's message ``text`` without the password."""
        if self.kind != "postgresql":
            return text
        text = text.replace(self.address, self.shown)
        for secret in sorted(_secrets(self.address), key=len, reverse=True):
            text = text.replace(secret, _SECRET)
        return text


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
    if path.lower().endswith(SUFFIXES):
        return Target("file", _check_folder(path), path)
    shown = f"{scheme}://…" if separator else repr(given)
    raise UsageError(
        f"--to {shown} is not a target of exports: use postgresql://user@host/database, "
        f"sqlite:///FILE, duckdb:///FILE, or a file name that ends in {', '.join(SUFFIXES)}"
    )


def _parse_postgresql(given: str) -> Target:
    invalid = UsageError(
        "--to postgresql://… is not valid. Write postgresql://user:password@host:port/database, "
        "with @ : / ? # % in a name or a password as %40 %3A %2F %3F %23 %25. PGPASSWORD and "
        "~/.pgpass can also hold the password"
    )
    try:
        parts = urlsplit(given)
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        raise invalid from None
    # An unescaped password would be parsed as another part, and shown.
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query + parts.fragment:
        raise invalid
    user, _, host = parts.netloc.rpartition("@")
    shown = f"postgresql://{user.partition(':')[0]}{'@' if user else ''}{host}{parts.path}"
    return Target("postgresql", given, shown)


def _secrets(uri: str) -> set[str]:
    """Return the passwords of a URI, escaped and unescaped."""
    parts = urlsplit(uri)
    found = {parts.password or ""}
    found |= {value for name, value in parse_qsl(parts.query) if "password" in name.lower()}
    found |= set(re.findall(r"password=([^&]*)", parts.query))
    return {form for secret in found for form in (secret, unquote(secret)) if form}


def _check_folder(path: str) -> str:
    """Return ``path``; raise UsageError unless a file can be created there."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder} to export to: create it first")
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder: name a file to export to")
    return path
