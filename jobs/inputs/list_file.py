"""List files: a path or an address per line, as people and players write them.

An entry is literal if there is such a file. Otherwise it is read as players write it: as a
``file://`` address, with percent-encoding, in Windows-1252 (a superset of Latin-1), with
backslashes, with blanks around it, or in another normal form of Unicode.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from jobs.errors import UsageError
from jobs.redaction import public_address

SUFFIXES = (".txt", ".lst", ".m3u", ".m3u8")
"""Suffixes of list files."""


def read_list(path: str) -> Iterator[str]:
    """Yield the absolute path or the address of each entry of a list file.

    A path that no reading of an entry leads to is the literal one. UsageError if the list is not
    text, or names a misspelt address.
    """
    playlist = path.lower().endswith((".m3u", ".m3u8"))
    root = os.path.dirname(path)
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            entry = line.rstrip("\r\n")
            if "\0" in entry:
                raise UsageError(
                    f"{path}, line {number}, contains a null byte. A list is text in UTF-8 with "
                    "one path per line"
                )
            if not entry.strip() or (playlist and entry.startswith("#")):
                continue
            if "://" in entry and not entry.startswith("file://"):
                yield entry if entry.startswith("s3://") else entry.strip()
                continue
            names = readings(entry)
            paths = (os.path.normpath(os.path.join(root, name)) for name in names)
            found = next(filter(os.path.lexists, paths), None)
            public = public_address(entry)
            if found is None and public != entry:
                # A misspelt address would be stored with its secret, as a file that is missing.
                raise UsageError(
                    f"{path}, line {number}: there is no {public}. An address has :// after its "
                    "protocol"
                )
            yield found or os.path.normpath(os.path.join(root, names[0]))


def readings(entry: str) -> list[str]:
    r"""Return the paths that an entry may mean, the literal one first.

    Parameters
    ----------
    entry : str
        A path, or an address with ``file://``. Bytes that are not UTF-8 are lone surrogates.

    Examples
    --------
    >>> readings("rock/a.wav")
    ['rock/a.wav']
    >>> readings("file:///rock%20live/a.wav ")[-1]
    '/rock live/a.wav'
    >>> readings("rock\\a.wav")
    ['rock\\a.wav', 'rock/a.wav']
    """
    names = [entry.removeprefix("file://")]
    for read in _READINGS:
        names = list(dict.fromkeys([*names, *map(read, names)]))
    return names


def _from_windows(name: str) -> str:
    """Return a name of bytes that are not UTF-8 as text."""
    data = name.encode("utf-8", "surrogateescape")
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
    return name


_READINGS: tuple[Callable[[str], str], ...] = (
    str.strip,
    lambda name: name.removeprefix("localhost"),
    lambda name: unquote(name, errors="surrogateescape"),
    _from_windows,
    lambda name: name.replace("\\", "/"),
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: unicodedata.normalize("NFD", name),
)
"""Readings of an entry. Each may be right or wrong, whatever the others are."""
