"""Where a table is exported to, as given after ``--to``; shown without its password."""

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs.errors import UsageError

FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet", ".arrow")
"""What the name of a file may end in."""

Kind = Literal["postgresql", "sqlite", "duckdb", "file"]

_SECRET = "***"


@dataclass(frozen=True)
class Target:
    """A database, or a file.

    Parameters
    ----------
    kind : {"postgresql", "sqlite", "duckdb", "file"}
        Who loads it.
    address : str
        The URI of a PostgreSQL, with its password; else the path of a file.
    shown : str
        The same for people's eyes: without the password.
    """

    kind: Kind
    address: str
    shown: str

    def hide(self, text: str) -> str:
        """Return ``text`` without the password, wherever a driver has quoted it."""
        if self.kind != "postgresql":
            return text
        text = text.replace(self.address, self.shown)
        for secret in sorted(_secrets(self.address), key=len, reverse=True):
            text = text.replace(secret, _SECRET)
        return text


def parse_target(given: str) -> Target:
    """Understand what is given after ``--to``.

    Raises
    ------
    UsageError
        It is nothing that songmill exports to; its text holds no password.
    """
    scheme, separator, rest = given.partition("://")
    scheme = scheme.lower()
    if separator and scheme in ("postgresql", "postgres"):
        return _postgresql(given)
    if separator and scheme in ("sqlite", "duckdb"):
        if not rest.startswith("/") or len(rest) == 1:
            raise UsageError(
                f"--to {scheme}://… needs the path of its file: {scheme}:///relative/path.db or "
                f"{scheme}:////absolute/path.db"
            )
        path = _in_a_folder(rest[1:])
        return Target("sqlite" if scheme == "sqlite" else "duckdb", path, f"{scheme}:///{path}")
    path = given if not separator else rest if scheme == "file" else ""
    if path.lower().endswith(FORMATS):
        return Target("file", _in_a_folder(path), path)
    shown = f"{scheme}://…" if separator else repr(given)
    raise UsageError(
        f"--to {shown} is nothing that songmill exports to: say postgresql://user@host/database, "
        f"sqlite:///FILE, duckdb:///FILE, or a file that ends in {', '.join(FORMATS)}"
    )


def _postgresql(given: str) -> Target:
    unclear = UsageError(
        "--to postgresql://… cannot be understood: it is postgresql://user:password@host:port/"
        "database, where @ : / ? # % of a name or a password are written %40 %3A %2F %3F %23 %25. "
        "A password may also stand in PGPASSWORD or ~/.pgpass"
    )
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError:
        raise unclear from None
    # A password with such a character in it would be taken for another part, and shown.
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query + parts.fragment:
        raise unclear
    user, _, host = parts.netloc.rpartition("@")
    shown = f"postgresql://{user.partition(':')[0]}{'@' if user else ''}{host}{parts.path}"
    return Target("postgresql", given, shown)


def _secrets(uri: str) -> set[str]:
    """Return the ways in which the password of a URI may be written."""
    parts = urlsplit(uri)
    found = {parts.password or ""}
    found |= {value for name, value in parse_qsl(parts.query) if "password" in name.lower()}
    found |= set(re.findall(r"password=([^&]*)", parts.query))
    return {form for secret in found for form in (secret, unquote(secret)) if form}


def _in_a_folder(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder} to export into: make it first")
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder: name a file to export to")
    return path
