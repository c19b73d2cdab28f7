"""Stores: opening them, their settings, reading their tables.

Changes of tables are in :mod:`jobs.store.commit`, their columns in :mod:`jobs.store.schemas`.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurizer.feature_set import feature_set, feature_sets
from jobs import defaults
from jobs.errors import StoreError, UsageError, command_for
from jobs.store import manifest
from jobs.store.address import storage_at
from jobs.store.damage import damage_error
from jobs.store.lock import is_committing
from jobs.store.schemas import PUBLISHED, complete, table_schemas
from jobs.store.storage import Part, Storage, as_json, json_checksum

STORE_JSON = "store.json"
STAGES_JSON = "_stages.json"
FORMAT = 2
"""Version of the layout and columns. It changes when an older songmill could not use the store.

A store with the published features alone has format 1, which an older songmill can use.
"""


@dataclass(frozen=True)
class Settings:
    """Settings that all feature rows of a store share."""

    feature_sets: dict[str, str]  # version of each feature set of the store, by name
    segment_seconds: float  # length of a segment

    @property
    def versions(self) -> str:
        """The versions of the feature sets, for people.

        Examples
        --------
        >>> Settings({"gtzan": "gtzan-57.1", "rich": "rich-458.1"}, 3.0).versions
        'gtzan-57.1, rich-458.1'
        """
        return ", ".join(version for _, version in sorted(self.feature_sets.items()))

    def extends(self, other: "Settings") -> bool:
        """Return whether these settings equal ``other``, or only add feature sets to them.

        Examples
        --------
        >>> published = Settings({"gtzan": "gtzan-57.1"}, 3.0)
        >>> Settings({"gtzan": "gtzan-57.1", "rich": "rich-458.1"}, 3.0).extends(published)
        True
        """
        return (
            self.segment_seconds == other.segment_seconds
            and other.feature_sets.items() <= self.feature_sets.items()
        )

    def to_json(self) -> bytes:
        """Return the content of ``store.json``."""
        # An older songmill needs `feature_set` to find that it does not know the format.
        content: dict[str, Any] = {"format": 1, "feature_set": self.versions}
        if list(self.feature_sets) != [PUBLISHED]:
            sets = dict(sorted(self.feature_sets.items()))
            content = {**content, "format": FORMAT, "feature_sets": sets}
        content["segment_seconds"] = self.segment_seconds
        return as_json({**content, "checksum": json_checksum(content)})


def current_settings(names: Iterable[str], segment_seconds: float) -> Settings:
    """Return the settings of rows that this songmill computes, with the named feature sets.

    Examples
    --------
    >>> current_settings(["gtzan"], 3.0)
    Settings(feature_sets={'gtzan': 'gtzan-57.1'}, segment_seconds=3.0)
    """
    return Settings({name: feature_set(name).version for name in names}, segment_seconds)


class Store:
    """An existing store: its files, and the settings in its ``store.json``.

    Parts are compared with the manifest when they are listed and read.
    """

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.storage = storage
        self.settings = settings
        self._manifest: dict[str, Part] | None = None

    def parts(self, table: str) -> list[str]:
        """Return the sorted names of the Parquet files of ``table``.

        Raise StoreError if one is missing or has another size than in the manifest.
        """
        while True:
            self._manifest = manifest.read(self.storage)
            entries = [entry for entry in self.storage.list(table) if is_part(entry.name)]
            found = manifest.find_difference(self._manifest or {}, table, entries)
            # While a commit is under way, readers may see fewer rows.
            if found is None or is_committing(self.storage):
                return [entry.name for entry in entries]
            if manifest.read(self.storage) == self._manifest:
                raise damage_error(self.storage.root, *found)

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """Return all rows of ``table``, or some of its columns; no rows if it has no parts.

        Raise StoreError if a part is missing or damaged.
        """
        schema = table_schemas()[table]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        tables = [schema.empty_table()]
        for name in self.parts(table):
            rows = complete(self.read_part(name, columns), schema)
            if not rows.schema.equals(schema):
                raise damage_error(self.storage.root, name, "has other columns than its table")
            tables.append(rows)
        return pa.concat_tables(tables)

    def read_part(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return one part, or some of its columns; StoreError if it is damaged."""
        return self.storage.read_table(name, columns, is_footer=self._is_footer_of(name))

    def read_batches(
        self, table: str, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``table`` in batches, in constant memory.

        Raise StoreError if a part is missing or damaged.
        """
        for name in self.parts(table):
            is_footer = self._is_footer_of(name)
            yield from self.storage.read_batches(name, columns, is_footer=is_footer)

    def count_rows(self, table: str) -> int:
        """Return the number of rows of ``table``; StoreError if a part is missing or damaged."""
        names = self.parts(table)
        return sum(
            self.storage.count_rows(name, is_footer=self._is_footer_of(name)) for name in names
        )

    def _is_footer_of(self, name: str) -> Callable[[str], bool] | None:
        """Return whether a checksum is that of the part's footer, as a function."""
        part = (self._manifest or {}).get(name)
        if part is None:
            return None

        def is_footer(checksum: str) -> bool:
            if checksum == part.footer or is_committing(self.storage):
                return True
            # A commit may have replaced the part since it was listed.
            return (manifest.read(self.storage) or {}).get(name) != part

        return is_footer


def is_part(name: str) -> bool:
    """Return whether a file in a table's folder is a part of the table.

    Examples
    --------
    >>> is_part("files/part-1.parquet"), is_part("files/.DS_Store")
    (True, False)
    """
    base = os.path.basename(name)
    return base.startswith("part-") and base.endswith(".parquet")


def read_settings(storage: Storage) -> Settings | None:
    """Return the content of ``store.json``; None if it does not exist.

    Raise StoreError if it is damaged or of another format.
    """
    try:
        found = storage.read_json(STORE_JSON)
        layout, seconds = found["format"], found["segment_seconds"]
        if layout not in (1, FORMAT):
            raise StoreError(
                f"the store {storage.root} has format {layout}, and this songmill reads format "
                f"{FORMAT} and older ones: use the songmill that made it, or another folder"
            )
        entries = ["format", "feature_set", *(["feature_sets"] if layout == FORMAT else [])]
        sets = {PUBLISHED: found["feature_set"]} if layout == 1 else dict(found["feature_sets"])
        if not sets or not all(isinstance(version, str) for version in sets.values()):
            raise ValueError(f"{entries[-1]!r} is {found[entries[-1]]!r}")
        if not is_segment_length(seconds):
            raise ValueError(f"'segment_seconds' is {seconds!r}")
        content = {name: found[name] for name in (*entries, "segment_seconds")}
        expected = json_checksum(content)
        if found.get("checksum", expected) != expected:  # an older songmill wrote none
            raise ValueError("its checksum is not that of its settings")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{storage.path(STORE_JSON)} is damaged ({error}): restore it, or check that this "
            "folder is a songmill store"
        ) from None
    return Settings(sets, float(seconds))


def is_segment_length(seconds: Any) -> bool:
    """Return whether a value from a file is a valid length of a segment in seconds.

    Examples
    --------
    >>> is_segment_length(3), is_segment_length(float("nan")), is_segment_length("3")
    (True, False, False)
    """
    shortest, longest = defaults.SEGMENT_RANGE_S
    return type(seconds) in (int, float) and bool(shortest <= seconds <= longest)


def open_store(store: "str | os.PathLike[str] | Storage | Store") -> Store:
    """Open a store for reading.

    Parameters
    ----------
    store : str, path, Storage or Store
        Its address or its files; an open store is returned as it is.

    Raises
    ------
    UsageError
        No store exists there.
    StoreError
        It is damaged or of another format.
    """
    if isinstance(store, Store):
        return store
    storage = store if isinstance(store, Storage) else storage_at(os.fspath(store))
    settings = read_settings(storage)
    if settings is None:
        raise UsageError(
            f"there is no store at {storage.root}. "
            f"Create it: {command_for(storage.root, 'extract SOURCE')}"
        )
    return Store(storage, settings)


def storage_to_write(address: str) -> Storage:
    """Return the storage at ``address``; UsageError if it is neither a store nor empty."""
    storage = storage_at(address)
    if read_settings(storage) is None:
        foreign = [name for name in storage.names() if not name.startswith(("_", "."))]
        if foreign:
            raise UsageError(
                f"{storage.root} is not a store and not empty (it holds {min(foreign)!r}): "
                "name a new folder or an existing store"
            )
    return storage


def open_to_write(storage: Storage, wanted: Settings, *, force: bool) -> Store:
    """Open the store in ``storage`` for writing, or make it. The caller must hold its lock.

    The returned store has the settings that are in force: the caller must commit the ``wanted``
    ones if they add feature sets. With ``force``, they may differ in more; the caller must then
    replace all rows.

    Raises
    ------
    UsageError
        The settings differ and ``force`` is not set, or the store has an unknown feature set.
    StoreError
        The store is damaged or of another format.
    """
    settings = read_settings(storage)
    if settings is None:
        # A run that has lost its lock to another one may not replace the settings of that one.
        storage.create(STORE_JSON, wanted.to_json(), durable=True)
        settings = read_settings(storage) or wanted
    unknown = settings.feature_sets.keys() - feature_sets().keys()
    if unknown:
        raise UsageError(
            f"the store {storage.root} has the feature set {min(unknown)}, which this songmill "
            f"does not know (it knows {', '.join(feature_sets())}): install it, or name another "
            "store"
        )
    if not wanted.extends(settings) and not force:
        raise UsageError(_describe_difference(storage.root, settings, wanted))
    return Store(storage, settings)


def _describe_difference(root: str, settings: Settings, wanted: Settings) -> str:
    """Return why rows with the ``wanted`` settings cannot be added to the store at ``root``."""
    left_out = settings.feature_sets.keys() - wanted.feature_sets.keys()
    if left_out:
        names = ",".join(sorted(settings.feature_sets.keys() | wanted.feature_sets.keys()))
        return (
            f"the store {root} has the {min(left_out)} features too, and --features leaves them "
            f"out: give --features {names}, or add --force to drop them and extract everything "
            "again"
        )
    if settings.segment_seconds != wanted.segment_seconds:
        length = f"{settings.segment_seconds:g}"
        present = f"segments of {length} s, and {wanted.segment_seconds:g} s were asked for"
        remedy = f"give --segment-seconds {length}"
    else:
        name, version = min(settings.feature_sets.items() - wanted.feature_sets.items())
        present = f"feature set {version}, and this songmill computes {wanted.feature_sets[name]}"
        remedy = "name another store"
    return (
        f"the store {root} holds {present}; rows of both cannot be in one table: add --force to "
        f"extract everything again, or {remedy}"
    )
