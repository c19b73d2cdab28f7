"""The limit on files that leave a store at once.

A file that its source no longer lists leaves every table. Many at a time are more often a mount
that is gone than files that were deleted.
"""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from jobs.defaults import FEW_FILES
from jobs.inputs.sources import Listing, is_missing
from jobs.redaction import public_address
from jobs.store.storage import Storage
from jobs.store.tables import Store, read_settings

_MAX_FOLDERS = 5
"""Maximum number of folders that a message names."""


def knows_source(storage: Storage, source: str) -> bool:
    """Tell whether there is a store that knows files of ``source``."""
    settings = read_settings(storage)
    if settings is None:
        return False
    known = pc.unique(Store(storage, settings).read("files", ["source"])["source"])
    return source in map(public_address, known.to_pylist())


def too_many_gone(listing: Listing, files: pa.Table, max_gone: float) -> str:
    """Return why too many known files are gone; empty if their number is within the limit.

    Parameters
    ----------
    listing : Listing
        What the sources list now. A listed file that is missing, as a list may name one, is gone.
    files : pa.Table
        The table ``files`` of the store, with public sources.
    max_gone : float [range=(0, 1)]
        Share of the known files of a source that may be gone. Unless it is 0,
        :data:`jobs.defaults.FEW_FILES` may be gone whatever their share, but not all files of a
        source that is empty now.
    """
    known = files.filter(_is_in(files["source"], listing.sources))
    there = [one for one in listing.recordings if not is_missing(one)]
    missing = [one.track_id for one in listing.recordings if is_missing(one)]
    gone = pc.or_(
        pc.invert(_is_in(known["track_id"], [one.track_id for one in there] + missing)),
        # A list may have named a missing file before.
        pc.and_(_is_in(known["track_id"], missing), pc.is_valid(known["bytes"])),
    )
    rows = known.select(["uri", "source"]).filter(gone).to_pylist()
    if not rows:
        return ""
    uris = {one.uri for one in there}  # which may belong to another source now
    unlisted = tuple(f"{folder}/" for folder in listing.unlisted)
    lost = [row for row in rows if row["uri"] not in uris and not row["uri"].startswith(unlisted)]
    known_of = Counter(known["source"].to_pylist())
    excess = {
        source: count
        for source, count in sorted(Counter(row["source"] for row in lost).items())
        if count > max(max_gone * known_of[source], FEW_FILES if max_gone else 0)
        or (source in listing.empty and max_gone < 1)
    }
    if not excess:
        return ""
    counts = "; ".join(
        f"{count:,} of {known_of[source]:,} known files of {source} are gone "
        f"({count / known_of[source]:.1%})"
        for source, count in excess.items()
    )
    of_excess = [row["uri"] for row in lost if row["source"] in excess]
    folders = _emptied(of_excess, uris, listing.sources)
    named = ", ".join(folders[:_MAX_FOLDERS])
    if len(folders) > _MAX_FOLDERS:
        named += f" and {len(folders) - _MAX_FOLDERS} more"
    return (
        f"{counts}, more than --max-gone {max_gone:g} allows. Nothing was changed. "
        f"{f'Without recordings now: {named}. ' if named else ''}Bring the files back, leave the "
        "source out, or add --max-gone 1 to remove their features"
    )


def _is_in(column: pa.ChunkedArray, values: list[str]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(values, pa.string()))


def _emptied(lost: list[str], listed: set[str], sources: list[str]) -> list[str]:
    """Return the topmost folders of ``lost`` files without a ``listed`` one, below the sources."""
    filled = {
        parent
        for folder in {_parents(uri)[-1] for uri in listed}
        for parent in _parents(f"{folder}/")
    }
    filled.update(parent for source in sources for parent in _parents(source))
    found = ([folder for folder in _parents(uri) if folder not in filled] for uri in lost)
    return sorted({folders[0] for folders in found if folders})


def _parents(path: str) -> list[str]:
    """Return the folders above a path or address, the topmost first.

    Examples
    --------
    >>> _parents("/music/rock/1.wav")
    ['', '/music', '/music/rock']
    """
    steps = path.split("/")
    return ["/".join(steps[:count]) for count in range(1, len(steps))]
