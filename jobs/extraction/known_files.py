"""The files that a store knows, beside the listing of a run."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from jobs.inputs.database import insert
from jobs.inputs.listing import Listing
from jobs.redaction import public_address
from jobs.store.schemas import FILES

IS_UNLISTED = (
    "len(list_filter($unlisted::VARCHAR[], lambda folder: starts_with({}, folder || '/'))) > 0"
)
"""Whether a uri is below a folder of the parameter ``unlisted``."""


def load_known(listing: Listing, rows: Iterable[pa.Table | pa.RecordBatch]) -> None:
    """Replace the table ``known`` of the listing's database.

    ``rows`` are of the table ``files``, with at least ``track_id``, ``uri`` and ``source``.
    """
    listing.database.execute("DROP TABLE IF EXISTS known")
    insert(listing.database, "known", map(with_public_sources, rows))


def with_public_sources(known: pa.Table | pa.RecordBatch) -> pa.Table:
    """Remove the secrets from the column ``source``, which older versions kept."""
    known = pa.table(known).combine_chunks()
    encoded = pc.dictionary_encode(known["source"].combine_chunks())
    public = pa.array([public_address(s) for s in encoded.dictionary.to_pylist()], pa.string())
    column = pa.DictionaryArray.from_arrays(encoded.indices, public).dictionary_decode()
    return known.set_column(known.schema.get_field_index("source"), FILES.field("source"), column)
