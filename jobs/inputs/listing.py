"""The listing of a run: the recordings of all its sources, each track_id once."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.formats import AUDIO_SUFFIXES
from jobs.errors import UsageError
from jobs.inputs.database import connect, insert
from jobs.inputs.path_text import from_text
from jobs.inputs.patterns import EVERYTHING, Patterns
from jobs.inputs.sources import Paths, SourceFile, list_source
from jobs.interruption import raise_if_interrupted
from jobs.redaction import public_address

if TYPE_CHECKING:
    import duckdb

IS_MISSING = "size IS NULL AND NOT regexp_matches(uri, '^https?://', 'i')"
"""Whether a list names a file that is not there, or is not a regular file. A web server need not
tell a size, so its files never count as missing."""

_BATCH_FILES = 10_000
"""Files that are added to the database at a time."""

_FETCHED_FILES = 2048
"""Files that are read from the database at a time."""

_LISTED = pa.schema(
    [
        ("track_id", pa.string()),
        ("uri", pa.string()),
        ("source", pa.string()),
        ("path", pa.binary()),  # null if it is the inverse of the uri, as of most files
        ("size", pa.int64()),
        ("modified", pa.int64()),
    ]
)


@dataclass
class Listing:
    """Recordings of all sources of a run.

    The table ``listed`` of a database has a row for each, with the fields of
    :class:`jobs.inputs.sources.SourceFile`. Known files below an unlisted folder do not count as
    gone.

    Examples
    --------
    >>> listing = Listing(["/music"])
    >>> listing.add([SourceFile("a.wav", "/music/a.wav", "/music", "/music/a.wav", 4096, 0)])
    1
    >>> [recording.track_id for recording in listing.recordings()]
    ['a.wav']
    """

    sources: list[str] = field(default_factory=list)  # absolute paths or public addresses
    unlisted: list[str] = field(default_factory=list)  # folders that could not be listed
    empty: list[str] = field(default_factory=list)  # sources without a recording
    may_repeat: bool = False  # links, lists or several sources may name a file twice
    database: "duckdb.DuckDBPyConnection" = field(default_factory=connect)

    def __post_init__(self) -> None:
        insert(self.database, "listed", [_LISTED.empty_table()])

    def __len__(self) -> int:
        return int(self.row("SELECT count(*) FROM listed")[0])

    def row(self, query: str, values: object = None) -> tuple[Any, ...]:
        """Return the first row of a query."""
        with self.database.cursor() as cursor:  # which ends the query
            return cursor.execute(query, values).fetchone() or ()

    def add(self, recordings: Iterable[SourceFile]) -> int:
        """Add recordings, and return their number."""
        # The garbage collector visits retained objects again and again, but not rows of text.
        rows, count = map(_row, recordings), 0
        while batch := list(islice(rows, _BATCH_FILES)):
            columns = dict(zip(_LISTED.names, zip(*batch, strict=True), strict=True))
            insert(self.database, "listed", [pa.table(columns, schema=_LISTED)])
            count += len(batch)
        return count

    def recordings(self) -> Iterator[SourceFile]:
        """Yield the recordings in the order of their track_ids."""
        return self.select("FROM listed ORDER BY track_id")

    def tracks(self) -> Iterator[str]:
        """Yield the track_ids in their order."""
        return (recording.track_id for recording in self.recordings())

    def first_track(self) -> str | None:
        """Return the first track_id; None if there is no recording."""
        track: str | None = self.row("SELECT min(track_id) FROM listed")[0]
        return track

    def select(self, query: str) -> Iterator[SourceFile]:
        """Yield the recordings of a query, which begins with ``FROM``."""
        with self.database.cursor() as cursor:  # others may query meanwhile
            found = cursor.execute(f"SELECT {', '.join(_LISTED.names)} {query}")
            while rows := found.fetchmany(_FETCHED_FILES):
                raise_if_interrupted()
                for track_id, uri, source, path, size, modified in rows:
                    full = full_path(uri, path)
                    yield SourceFile(track_id, uri, source, full, size, modified)

    def contains(self, tracks: pa.ChunkedArray) -> pa.Array:
        """Tell for each track whether it is listed."""
        self.database.register("tracks", pa.table({"track_id": tracks}))
        found = self.database.sql("FROM tracks SEMI JOIN listed USING (track_id)")
        listed = found.to_arrow_table()["track_id"].combine_chunks()
        self.database.unregister("tracks")
        return pc.is_in(tracks, value_set=listed)


def list_sources(
    sources: Paths,
    is_known: Callable[[str], bool] = lambda _: False,
    *,
    patterns: Patterns = EVERYTHING,
    on_ignored: Callable[[str, str], None] | None = None,
) -> Listing:
    """List the recordings of ``sources``; ``~`` is the user's home folder.

    ``patterns`` chooses among them. ``on_ignored`` takes the path and the reason of each local file
    that is not listed.

    UsageError if a source does not exist, or has no recording and is not known; or if two
    recordings have the same track_id. StoreError if an object store does not answer.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "take1.wav").touch()
    ...     [recording.track_id for recording in list_sources([folder]).recordings()]
    ['take1.wav']
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else sources
    listing = Listing()
    unlisted = listing.unlisted
    links: list[str] = []
    for source in [os.fspath(path) for path in given]:
        before = len(unlisted)
        name, found = list_source(source, unlisted, links, on_ignored)
        listing.sources.append(name)
        if listing.add(_admitted(found, patterns, on_ignored)):
            continue
        if name in unlisted or (len(unlisted) > before and is_known(name)):
            raise UsageError(
                f"the folder {unlisted[before]} of {source} cannot be read. Check that it exists, "
                "and its permissions"
            )
        if not is_known(name):
            raise UsageError(
                f"no recording was found in {public_address(source)}. Names must end in .wav, "
                f".flac, .mp3, .ogg, .m4a or one of {len(AUDIO_SUFFIXES) - 5} other suffixes"
                f"{', and fit --include and --exclude' if patterns != EVERYTHING else ''}. "
                "Nothing was changed"
            )
        listing.empty.append(name)
    listing.may_repeat = len(given) > 1 or bool(links)
    if len(given) > 1:
        # A single source may repeat a file only under the same track_id.
        _merge_repeats(listing, "coalesce(path, encode(uri))")
    _merge_repeats(listing, "track_id")
    return listing


def _admitted(
    recordings: Iterable[SourceFile],
    patterns: Patterns,
    on_ignored: Callable[[str, str], None] | None,
) -> Iterator[SourceFile]:
    for recording in recordings:
        raise_if_interrupted()
        if patterns.admit(recording.track_id):
            yield recording
        elif on_ignored:
            on_ignored(recording.uri, "left out by --include or --exclude")


def _merge_repeats(listing: Listing, key: str) -> None:
    """Keep only the first recording with each value of ``key``.

    UsageError if two recordings have the same track_id, and are not the same file.
    """
    listing.database.execute(
        f"CREATE OR REPLACE TABLE repeated AS SELECT {key} AS key, min(rowid) AS first "
        "FROM listed GROUP BY ALL HAVING count(*) > 1"
    )
    repeats = f"FROM listed JOIN repeated ON {key} = key ORDER BY track_id, listed.rowid"
    other: SourceFile | None = None
    for recording in listing.select(repeats):
        if other is None or other.track_id != recording.track_id:
            other = recording
        elif not _is_same_file(other.path, recording.path):
            raise UsageError(_describe_clash(other, recording))
    if other:
        listing.database.execute(
            f"DELETE FROM listed USING repeated WHERE {key} = key AND listed.rowid > first"
        )


def _describe_clash(one: SourceFile, other: SourceFile) -> str:
    """Return why two files with the same track_id cannot be in one store."""
    if one.uri == other.uri:
        return (
            f"two addresses of {one.uri} differ only in their user, password or query, which the "
            "store does not keep. Leave one out, or extract them into two stores"
        )
    return (
        f"two recordings have the track_id {one.track_id!r}: {one.uri} and {other.uri}. Name a "
        "folder above both as the source, or extract them into two stores"
    )


def _is_same_file(path: str, other: str) -> bool:
    """Tell whether two paths or addresses are equal, or lead to the same file by links."""
    if path == other:
        return True
    return "://" not in path + other and os.path.realpath(path) == os.path.realpath(other)


def full_path(uri: str, path: bytes | None) -> str:
    """Return the path or address to open of a row of ``listed``."""
    return from_text(uri) if path is None else os.fsdecode(path)


def _row(one: SourceFile) -> tuple[str, str, str, bytes | None, int | None, int | None]:
    """Return a row of ``listed``."""
    path = None if one.path == from_text(one.uri) else os.fsencode(one.path)
    return one.track_id, one.uri, one.source, path, one.size, one.modified
