"""Listings of recordings that are not there."""

from collections.abc import Iterable

from jobs.inputs.listing import Listing
from jobs.inputs.sources import SourceFile


def listing_of(
    recordings: Iterable[SourceFile], sources: Iterable[str] = (), unlisted: Iterable[str] = ()
) -> Listing:
    listing = Listing(list(sources), list(unlisted))
    listing.add(recordings)
    return listing
