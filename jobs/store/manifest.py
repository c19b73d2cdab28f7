"""The manifest of a store: its parts with rows, as the last commit left them.

Each page of a part has a checksum, which readers verify. The manifest shows what the pages cannot:
that a part is missing, cut off or foreign, or that its footer is damaged. A commit replaces it
last. A store of an older songmill has none until its next commit.
"""

import functools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict

from jobs.errors import DamageError
from jobs.store.damage import damage_error
from jobs.store.storage import Entry, Part, Storage, as_json, json_checksum, parse_json

MANIFEST = "_manifest.json"

FORMAT = 1
"""Version of the file's entries."""


def to_json(parts: Mapping[str, Part]) -> bytes:
    """Return the content of a manifest of ``parts``."""
    listed = {name: asdict(part) for name, part in sorted(parts.items())}
    return as_json({"format": FORMAT, "checksum": json_checksum(listed), "parts": listed})


@functools.lru_cache(maxsize=2)  # readers compare it with every table, and it seldom changes
def from_json(text: bytes) -> Mapping[str, Part]:
    """Return the parts of a manifest, by name; ValueError if it is malformed.

    Examples
    --------
    >>> from_json(to_json({"files/part-1.parquet": Part(rows=3, bytes=4242, footer="0a1b2c3d")}))
    {'files/part-1.parquet': Part(rows=3, bytes=4242, footer='0a1b2c3d')}
    """
    try:
        content = parse_json(text)
        if content["format"] != FORMAT:
            raise ValueError(f"it has format {content['format']}; this songmill reads {FORMAT}")
        if content["checksum"] != json_checksum(content["parts"]):
            raise ValueError("its checksum is not that of its parts")
        parts = {name: Part(**values) for name, values in content["parts"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks or misnames entries: {error}") from None
    for name, part in parts.items():
        if (type(part.rows), type(part.bytes), type(part.footer)) != (int, int, str):
            raise ValueError(f"the entry of {name!r} is {part}")
    return parts


def read(storage: Storage) -> Mapping[str, Part] | None:
    """Return the parts of the store's manifest; None if it has no manifest.

    Raise DamageError if the manifest is damaged.
    """
    try:
        return from_json(storage.read(MANIFEST))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damage_error(storage.root, MANIFEST, f"is damaged ({error})") from None


def find_difference(
    parts: Mapping[str, Part], table: str, entries: Iterable[Entry]
) -> tuple[str, str] | None:
    """Return a part of ``table`` that is missing or has another size, and what is wrong with it.

    Parameters
    ----------
    parts : mapping of str to Part
        The manifest.
    table : str
        Folder of the table.
    entries : iterable of Entry
        The files in that folder.

    Examples
    --------
    >>> parts = {"files/part-1.parquet": Part(rows=3, bytes=4242, footer="0a1b2c3d")}
    >>> find_difference(parts, "files", [])
    ('files/part-1.parquet', 'does not exist')
    """
    sizes = {entry.name: entry.size for entry in entries}
    for name, part in parts.items():
        if name.rpartition("/")[0] != table:
            continue
        if name not in sizes:
            return name, "does not exist"
        if sizes[name] != part.bytes:
            return name, f"is damaged ({sizes[name]:,} bytes instead of {part.bytes:,})"
    return None


def updated(
    parts: Mapping[str, Part], removed: Iterable[str], added: Mapping[str, Part]
) -> dict[str, Part]:
    """Return the manifest after a commit.

    Parameters
    ----------
    parts : mapping of str to Part
        The manifest before.
    removed : iterable of str
        Parts that the commit empties.
    added : mapping of str to Part
        Parts that it adds or replaces. One without rows is left out.

    Examples
    --------
    >>> part = Part(rows=3, bytes=4242, footer="0a1b2c3d")
    >>> sorted(updated({"a": part, "b": part}, ["a"], {"c": part}))
    ['b', 'c']
    """
    gone = set(removed)
    after = {name: part for name, part in parts.items() if name not in gone}
    after.update(added)
    return {name: part for name, part in after.items() if part.rows}


def describe(storage: Storage, names: Iterable[str]) -> dict[str, Part]:
    """Return the manifest of existing parts, without those that are damaged."""
    found = {}
    for name in names:
        with suppress(DamageError):
            part = storage.describe_part(name)
            if part.rows:
                found[name] = part
    return found
