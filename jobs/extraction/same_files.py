r"""Files with several names: of links, of sources within one another, of older stores.

Each file is extracted once: under a name that the store knows, else under its own path below its
source, else under the first.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import StoreError
from jobs.extraction.plan import with_public_sources
from jobs.inputs.path_text import from_text, unescaped_text
from jobs.inputs.sources import Listing, SourceFile
from jobs.interruption import raise_if_interrupted
from jobs.store.schemas import FILES
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store, read_settings


def with_each_file_once(
    listing: Listing, storage: Storage, settings: Settings, warn: Callable[[str], None]
) -> Listing:
    """Return a listing with each file once, under the name that the store has for it.

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
    """
    try:
        known = read_known(storage, settings, listing)
    except StoreError:
        return listing  # the run will end with this error, and record it
    return without_repeats(with_known_names(listing, known), known, warn)


def read_known(storage: Storage, settings: Settings, listing: Listing) -> pa.Table:
    """Return ``track_id``, ``uri`` and ``source`` of the files that a store knows.

    There are no rows if they say nothing about the listing: if a run with these settings replaces
    all rows of the store; or if they are of the same sources, in which nothing has two names.
    """
    names = ["track_id", "uri", "source"]
    stored = read_settings(storage)
    if stored is None or not settings.extends(stored):
        return FILES.empty_table().select(names)
    store = Store(storage, stored)
    if not (listing.may_repeat or any(map(_has_escape, listing.recordings))):
        sources = with_public_sources(store.read("files", ["source"]))["source"]
        if set(pc.unique(sources).to_pylist()) <= set(listing.sources):
            return FILES.empty_table().select(names)
    return with_public_sources(store.read("files", names))


def with_known_names(listing: Listing, known: pa.Table) -> Listing:
    r"""Return a listing with the names of an older store, in which ``\xff`` may be four letters."""
    if not any(_has_escape(one) for one in listing.recordings):
        return listing
    uris = dict(zip(known["track_id"].to_pylist(), known["uri"].to_pylist(), strict=True))
    taken = {one.track_id for one in listing.recordings if not _has_escape(one)}

    def renamed(one: SourceFile) -> SourceFile:
        track, uri = (unescaped_text(from_text(text)) for text in (one.track_id, one.uri))
        if _has_escape(one) and one.track_id not in uris and uris.get(track) == uri:
            return one if track in taken else replace(one, track_id=track, uri=uri)
        return one

    recordings = sorted(map(renamed, listing.recordings), key=lambda one: one.track_id)
    return replace(listing, recordings=recordings)


def _has_escape(recording: SourceFile) -> bool:
    return r"\x5c" in recording.uri


def without_repeats(listing: Listing, known: pa.Table, warn: Callable[[str], None]) -> Listing:
    """Return a listing with each file once; warn of the names that are left out.

    A name that the store knows is never left out. Tracks of other sources count as listed.
    """
    is_elsewhere = pc.invert(pc.is_in(known["source"], pa.array(listing.sources, pa.string())))
    elsewhere = known.filter(is_elsewhere)
    if not (listing.may_repeat or elsewhere.num_rows):
        return listing
    real = _RealPaths()
    paths = [real.path(one.uri if "://" in one.uri else one.path) for one in listing.recordings]
    known_ids = set(known["track_id"].to_pylist())

    def precedence(one: SourceFile, path: str) -> tuple[bool, bool, str]:
        return (one.track_id not in known_ids, not real.is_direct(one, path), one.track_id)

    first: dict[str, SourceFile] = {}
    for one, path in zip(listing.recordings, paths, strict=True):
        raise_if_interrupted()
        other = first.setdefault(path, one)
        if other is not one and precedence(one, path) < precedence(other, path):
            first[path] = one
    names = {path: one.track_id for path, one in first.items()}
    listed = {one.track_id for one in listing.recordings}
    for track, uri in zip(
        *(elsewhere[name].to_pylist() for name in ("track_id", "uri")), strict=True
    ):
        if track not in listed:
            path = real.path(uri if "://" in uri or os.path.lexists(uri) else from_text(uri))
            if path in names:
                names[path] = track
    recordings: list[SourceFile] = []
    left_out: dict[str, str] = {}
    for one, path in zip(listing.recordings, paths, strict=True):
        if names[path] == one.track_id or one.track_id in known_ids:
            recordings.append(one)
        else:
            left_out[one.uri] = names[path]
    if left_out:
        uri, name = next(iter(left_out.items()))
        warn(
            "files that are left out, because they are listed or known under another name: "
            f"{len(left_out)}, such as {uri}, which is the track {name!r}"
        )
    return replace(listing, recordings=recordings)


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
