"""The limit on files that leave a store at once.

A file that its source no longer lists leaves every table. Many at a time are more often a mount
that is gone than files that were deleted.
"""

import pyarrow.compute as pc

from jobs.defaults import FEW_FILES
from jobs.extraction.known_files import IS_UNLISTED
from jobs.inputs.listing import IS_MISSING, Listing
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


def too_many_gone(listing: Listing, max_gone: float) -> str:
    """Return why too many known files are gone; empty if their number is within the limit.

    Parameters
    ----------
    listing : Listing
        What the sources list now, with the files that the store knows
        (:func:`jobs.extraction.known_files.load_known`). A listed file that is missing, as a list
        may name one, is gone.
    max_gone : float [range=(0, 1)]
        Share of the known files of a source that may be gone. Unless it is 0,
        :data:`jobs.defaults.FEW_FILES` may be gone whatever their share, but not all files of a
        source that is empty now.
    """
    _find_lost(listing)
    if not listing.row("FROM lost LIMIT 1"):
        return ""
    count = "SELECT source, count(*) FROM {} GROUP BY source ORDER BY source"
    lost_of, known_of = (
        dict(listing.database.execute(count.format(table)).fetchall())
        for table in ("lost", "known")
    )
    excess = {
        source: number
        for source, number in lost_of.items()
        if number > max(max_gone * known_of[source], FEW_FILES if max_gone else 0)
        or (source in listing.empty and max_gone < 1)
    }
    if not excess:
        return ""
    counts = "; ".join(
        f"{number:,} of {known_of[source]:,} known files of {source} are gone "
        f"({number / known_of[source]:.1%})"
        for source, number in excess.items()
    )
    folders = _emptied(listing, list(excess))
    named = ", ".join(folders[:_MAX_FOLDERS])
    if len(folders) > _MAX_FOLDERS:
        named += f" and {len(folders) - _MAX_FOLDERS} more"
    return (
        f"{counts}, more than --max-gone {max_gone:g} allows. Nothing was changed. "
        f"{f'Without recordings now: {named}. ' if named else ''}Bring the files back, leave the "
        "source out, or add --max-gone 1 to remove their features"
    )


def _find_lost(listing: Listing) -> None:
    """Make the table ``lost``, the known files that are gone."""
    values = {"sources": listing.sources, "unlisted": listing.unlisted}
    listing.database.execute(
        f"""
        CREATE OR REPLACE TABLE lost AS
        SELECT known.uri, known.source
        FROM known LEFT JOIN (SELECT *, {IS_MISSING} AS is_missing FROM listed) AS now
        USING (track_id)
        WHERE list_contains($sources, known.source)
        -- A list may have named a missing file before.
        AND (now.track_id IS NULL OR (is_missing AND known.bytes IS NOT NULL))
        AND NOT {IS_UNLISTED.format("known.uri")}
        """,
        values,
    )
    # A file may belong to another source now.
    listing.database.execute(
        f"DELETE FROM lost WHERE uri IN (SELECT uri FROM listed WHERE NOT ({IS_MISSING}))"
    )


def _emptied(listing: Listing, sources: list[str]) -> list[str]:
    """Return the topmost folders of lost files of ``sources`` without a recording now."""
    folders = "SELECT DISTINCT left(uri, length(uri) - length(split_part(uri, '/', -1)) - 1) FROM "
    listed, lost = (
        [folder for (folder,) in listing.database.execute(folders + rest, values).fetchall()]
        for rest, values in (
            (f"listed WHERE NOT ({IS_MISSING})", None),
            ("lost WHERE list_contains($sources, source)", {"sources": sources}),
        )
    )
    filled = {parent for folder in listed for parent in _parents(f"{folder}/")}
    filled.update(parent for source in listing.sources for parent in _parents(source))
    found = ([parent for parent in _parents(f"{one}/") if parent not in filled] for one in lost)
    return sorted({parents[0] for parents in found if parents})


def _parents(path: str) -> list[str]:
    """Return the folders above a path or address, the topmost first.

    Examples
    --------
    >>> _parents("/music/rock/1.wav")
    ['', '/music', '/music/rock']
    """
    steps = path.split("/")
    return ["/".join(steps[:count]) for count in range(1, len(steps))]
