"""A store: what it is made of, how it is opened, how its tables are read.

How tables change is :mod:`jobs.store.commit`; who may change them is :mod:`jobs.store.lock`;
their columns are :mod:`jobs.store.schemas`.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pyarrow as pa

from featurizer.columns import FEATURE_SET
from jobs.errors import StoreError, UsageError
from jobs.store.address import storage_at
from jobs.store.folder import Storage
from jobs.store.schemas import TABLES
from jobs.store.storage import as_json

STORE_JSON = "store.json"
FORMAT = 1
"""Layout and columns of a store. It changes when an older songmill could not read or write it."""

_MADE_ANEW = {
    "comparison": "remove the folder and run `songmill compare`",
    "duplicates": "remove the folder and run `songmill similarity`",
    "predictions": "remove the folder and run `songmill predict --all`",
    "similarity": "remove the folder and run `songmill similarity`",
}
"""What makes a table anew that is not made by an extraction."""


@dataclass(frozen=True)
class Settings:
    """What every row of a store's features has in common.

    Parameters
    ----------
    feature_set : str
        What the numbers mean (:data:`featurizer.columns.FEATURE_SET`).
    segment_seconds : float
        Length of a segment in seconds.
    """

    feature_set: str
    segment_seconds: float

    def to_json(self) -> bytes:
        """Return the text of ``store.json``."""
        return as_json({"format": FORMAT, **asdict(self)})


class Store:
    """An existing store.

    Parameters
    ----------
    storage : Storage
        Where its files lie.
    settings : Settings
        What ``store.json`` says.
    """

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.storage = storage
        self.settings = settings

    def parts(self, table: str) -> list[str]:
        """Return the names of the Parquet files of ``table``, in order."""
        return [entry.name for entry in self.storage.list(table) if is_part(entry.name)]

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """Return ``table``, or some of its columns, whole; without rows where it has no part."""
        schema = TABLES[table]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        tables = [self.read_part(name, columns) for name in self.parts(table)]
        return pa.concat_tables([schema.empty_table(), *tables])

    def read_part(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return one part, or some of its columns; StoreError where it is damaged."""
        with self._undamaged(name):
            return self.storage.read_table(name, columns)

    def read_batches(
        self, table: str, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``table``, some at a time; StoreError where a part is damaged.

        However many rows there are, it takes no more memory.
        """
        for name in self.parts(table):
            with self._undamaged(name):
                yield from self.storage.read_batches(name, columns)

    def count_rows(self, table: str) -> int:
        """Return the rows that ``table`` has, as its parts say; StoreError where one is damaged."""
        total = 0
        for name in self.parts(table):
            with self._undamaged(name):
                total += self.storage.count_rows(name)
        return total

    @contextmanager
    def _undamaged(self, name: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's own words are the better ones
            remedy = _MADE_ANEW.get(name.partition("/")[0], "extract into another store")
            raise StoreError(
                f"{self.storage.path(name)} is damaged ({error}): put an undamaged copy in its "
                f"place, or {remedy}"
            ) from None


def is_part(name: str) -> bool:
    """Tell whether a file in a table's folder is a part of the table, and not a stranger there."""
    base = os.path.basename(name)
    return base.startswith("part-") and base.endswith(".parquet")


def read_settings(storage: Storage) -> Settings | None:
    """Return what ``store.json`` says; None where there is none.

    Raises
    ------
    StoreError
        It is damaged or of another format.
    """
    try:
        text = storage.read(STORE_JSON)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = json.loads(text)
        layout = found["format"]
        settings = Settings(str(found["feature_set"]), float(found["segment_seconds"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{storage.path(STORE_JSON)} cannot be understood ({error}): "
            "is this folder a songmill store?"
        ) from None
    if layout != FORMAT:
        raise StoreError(
            f"the store {storage.root} has format {layout}, and this songmill reads format "
            f"{FORMAT}: use the songmill that made it, or another folder"
        )
    return settings


def open_store(store: "str | Storage | Store") -> Store:
    """Open a store for reading.

    Parameters
    ----------
    store : str, Storage or Store
        Its address or its files; an open store is returned as it is.

    Raises
    ------
    UsageError
        There is no store.
    StoreError
        It is damaged or of another format.
    """
    if isinstance(store, Store):
        return store
    storage = storage_at(store) if isinstance(store, str) else store
    settings = read_settings(storage)
    if settings is None:
        raise UsageError(
            f"there is no store at {storage.root}: `songmill extract` or "
            "`songmill import-features` makes one"
        )
    return Store(storage, settings)


def storage_to_write(address: str) -> Storage:
    """Return the storage at ``address``, which may have to be made.

    Raises
    ------
    UsageError
        The folder holds other things than a store.
    """
    storage = storage_at(address)
    if read_settings(storage) is None:
        strangers = [name for name in storage.names() if not name.startswith(("_", "."))]
        if strangers:
            raise UsageError(
                f"{storage.root} is not a store and not empty (it holds {min(strangers)!r}): "
                "name a new folder or an existing store"
            )
    return storage


def open_to_write(storage: Storage, wanted: Settings, *, force: bool) -> Store:
    """Open the store for writing, or make it. The caller holds its lock.

    Parameters
    ----------
    storage : Storage
        From :func:`storage_to_write`.
    wanted : Settings
        What the rows to come will have in common.
    force : bool
        Whether a store with other settings may be opened: all its rows are then to be replaced.

    Raises
    ------
    UsageError
        The settings differ and ``force`` is not given.
    StoreError
        The store is damaged or of another format.
    """
    settings = read_settings(storage)
    if settings is None:
        storage.write(STORE_JSON, wanted.to_json(), durable=True)
        settings = wanted
    if settings != wanted and not force:
        raise UsageError(_settings_differ(storage.root, settings, wanted))
    return Store(storage, settings)


def _settings_differ(root: str, settings: Settings, wanted: Settings) -> str:
    if settings.feature_set != wanted.feature_set:
        return (
            f"the store {root} holds feature set {settings.feature_set}, and this songmill makes "
            f"{FEATURE_SET}; rows of both cannot stand in one table: add --force to extract "
            "everything anew, or name another store"
        )
    return (
        f"the store {root} holds segments of {settings.segment_seconds:g} s, and "
        f"{wanted.segment_seconds:g} s were asked for; rows of both cannot stand in one table: "
        f"add --force to extract everything anew, or say --segment-seconds "
        f"{settings.segment_seconds:g}"
    )
