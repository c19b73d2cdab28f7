r"""Files with several names: of links, of sources within one another, of older stores.

Each file is extracted once: under a name that the store knows, else under its own path below its
source, else under the first.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import StoreError
from jobs.extraction.known_files import load_known
from jobs.inputs.database import insert
from jobs.inputs.listing import Listing
from jobs.inputs.path_text import from_text, unescaped_text
from jobs.inputs.sources import SourceFile
from jobs.interruption import raise_if_interrupted
from jobs.redaction import public_address
from jobs.store.schemas import FILES
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store, read_settings

_HAS_ESCAPE = r"contains(uri, '\x5c')"

_BATCH_ROWS = 100_000
"""Paths that are added to the database at a time."""


def leave_each_file_once(
    listing: Listing,
    storage: Storage,
    settings: Settings,
    warn: Callable[[str], None],
    on_ignored: Callable[[str, str], None] | None = None,
) -> None:
    """Leave each file once in a listing, under the name that the store has for it.

    Parameters
    ----------
    listing : Listing
        What the sources list.
    storage : Storage
        Files of the store, which need not exist yet.
    settings : Settings
        Settings of the run.
    warn : callable
        Takes a warning of the names that are left out.
    on_ignored : callable, optional
        Takes the uri of each of them, and the reason.
    """
    try:
        load_names(listing, storage, settings)
    except StoreError:
        return  # the run will end with this error, and record it
    restore_known_names(listing)
    remove_repeats(listing, warn, on_ignored)


def load_names(listing: Listing, storage: Storage, settings: Settings) -> None:
    """Load ``track_id``, ``uri`` and ``source`` of the files that a store knows.

    There are no rows if they say nothing about the listing: if a run with these settings replaces
    all rows of the store; or if they are of the same sources, in which nothing has two names.
    """
    names = ["track_id", "uri", "source"]
    load_known(listing, [FILES.empty_table().select(names)])
    stored = read_settings(storage)
    if stored is None or not settings.extends(stored):
        return
    store = Store(storage, stored)
    if not (listing.may_repeat or listing.row(f"FROM listed WHERE {_HAS_ESCAPE}")):
        sources = pc.unique(store.read("files", ["source"])["source"])
        if set(map(public_address, sources.to_pylist())) <= set(listing.sources):
            return
    load_known(listing, store.read_batches("files", names))


def restore_known_names(listing: Listing) -> None:
    r"""Restore the names of an older store, in which ``\xff`` may be four letters."""
    renamed: dict[str, list[Any]] = {"track_id": [], "old_track": [], "old_uri": [], "path": []}
    for one in listing.select(f"FROM listed ANTI JOIN known USING (track_id) WHERE {_HAS_ESCAPE}"):
        track, uri = (unescaped_text(from_text(text)) for text in (one.track_id, one.uri))
        row = (one.track_id, track, uri, os.fsencode(one.path))
        for name, value in zip(renamed, row, strict=True):
            renamed[name].append(value)
    if not renamed["track_id"]:
        return
    insert(listing.database, "renamed", [pa.table(renamed)])
    listing.database.execute(
        f"""
        UPDATE listed SET track_id = old_track, uri = old_uri, path = renamed.path
        FROM renamed JOIN known ON known.track_id = old_track AND known.uri = old_uri
        WHERE listed.track_id = renamed.track_id
        AND old_track NOT IN (SELECT track_id FROM listed WHERE NOT {_HAS_ESCAPE})
        """
    )


def remove_repeats(
    listing: Listing,
    warn: Callable[[str], None],
    on_ignored: Callable[[str, str], None] | None = None,
) -> None:
    """Leave each file once in a listing; warn of the names that are left out.

    A name that the store knows is never left out. Tracks of other sources count as listed.
    """
    database = listing.database
    elsewhere = "FROM known WHERE NOT list_contains($sources, source)"
    values = {"sources": listing.sources}
    if not (listing.may_repeat or listing.row(f"{elsewhere} LIMIT 1", values)):
        return
    real = _RealPaths()
    columns = "(track_id VARCHAR, path BLOB, is_direct BOOLEAN)"
    database.execute(f"CREATE OR REPLACE TABLE real {columns}")
    database.execute(f"CREATE OR REPLACE TABLE elsewhere {columns}")
    with database.cursor() as cursor:
        insert(cursor, "real", _batches(map(real.row, listing.recordings())))
    query = f"SELECT track_id, uri {elsewhere} AND track_id NOT IN (SELECT track_id FROM listed)"
    found = database.execute(query, values).fetchall()
    insert(
        database, "elsewhere", _batches((track, real.of_known(uri), False) for track, uri in found)
    )
    database.execute(
        """
        CREATE OR REPLACE TABLE left_out AS
        WITH candidates AS (
            FROM real LEFT JOIN (SELECT track_id, true AS is_known FROM known) USING (track_id)
        ),
        first AS (
            SELECT path, track_id AS name FROM candidates
            QUALIFY row_number() OVER (
                PARTITION BY path ORDER BY is_known NULLS LAST, NOT is_direct, track_id
            ) = 1
        ),
        other AS (SELECT path, last(track_id ORDER BY rowid) AS name FROM elsewhere GROUP BY path)
        SELECT track_id, coalesce(other.name, first.name) AS name
        FROM candidates JOIN first USING (path) LEFT JOIN other USING (path)
        WHERE track_id <> coalesce(other.name, first.name) AND is_known IS NULL
        """
    )
    left_out = database.execute(
        "SELECT uri, name FROM listed JOIN left_out USING (track_id) ORDER BY track_id"
    ).fetchall()
    if not left_out:
        return
    uri, name = left_out[0]
    warn(
        "files that are left out, because they are listed or known under another name: "
        f"{len(left_out)}, such as {uri}, which is the track {name!r}"
    )
    if on_ignored:
        for uri, _ in left_out:
            on_ignored(uri, "listed or known under another name")
    database.execute("DELETE FROM listed WHERE track_id IN (SELECT track_id FROM left_out)")


def _batches(rows: Iterable[tuple[str, str, bool]]) -> Iterator[pa.Table]:
    """Yield rows of the track_id, the real path and whether it is direct, in batches."""
    found = iter(rows)
    while batch := list(islice(found, _BATCH_ROWS)):
        tracks, paths, direct = zip(*batch, strict=True)
        raise_if_interrupted()
        yield pa.table({"track_id": tracks, "path": map(os.fsencode, paths), "is_direct": direct})


class _RealPaths:
    """Paths without symbolic links. Each folder is resolved once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def path(self, path: str) -> str:
        """Return the real path of a file; an address is returned as it is."""
        if "://" in path:
            return path
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        real = self.folder(folder)
        return path if real == folder else os.path.join(real, name)

    def row(self, recording: SourceFile) -> tuple[str, str, bool]:
        """Return the track_id, the real path and whether it is direct."""
        path = self.path(recording.uri if "://" in recording.uri else recording.path)
        return recording.track_id, path, self.is_direct(recording, path)

    def of_known(self, uri: str) -> str:
        """Return the real path of a file that the store knows."""
        return self.path(uri if "://" in uri or os.path.lexists(uri) else from_text(uri))

    def folder(self, path: str) -> str:
        """Return the real path of a folder."""
        if path not in self._folders:
            self._folders[path] = os.path.realpath(path)
        return self._folders[path]

    def is_direct(self, recording: SourceFile, path: str) -> bool:
        """Tell whether no link leads from the root of its source to a file with this real path."""
        steps = recording.path.split("/")
        below = recording.track_id.count("/") + 1
        root = "/".join(steps[:-below])
        return path == os.path.join(self.folder(root), *steps[-below:])
