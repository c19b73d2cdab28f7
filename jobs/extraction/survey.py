"""Input of an extraction: the recordings, their labels, and the plan of the work."""

import functools
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from jobs.extraction.losses import knows_source
from jobs.extraction.plan import Plan, make_plan
from jobs.extraction.same_files import with_each_file_once
from jobs.inputs import labels as label_table
from jobs.inputs.patterns import Patterns
from jobs.inputs.sources import Listing, Paths, list_sources
from jobs.progress import Progress
from jobs.store.schemas import features_folder
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store


def survey(
    sources: Paths,
    storage: Storage,
    settings: Settings,
    *,
    labels: str,
    patterns: Patterns,
    progress: Progress,
    on_ignored: Callable[[str, str], None] | None = None,
) -> tuple[Listing, label_table.Labels]:
    """List the recordings of ``sources`` for a store, which need not exist yet, and label them.

    Parameters and errors are those of :func:`jobs.inputs.sources.list_sources` and
    :func:`jobs.inputs.labels.label_tracks`.
    """
    progress.step("listing the sources")
    is_known = functools.partial(knows_source, storage)
    found = list_sources(sources, is_known, patterns=patterns, on_ignored=on_ignored)
    for folder in found.unlisted:
        progress.warn(f"the folder {folder} cannot be read; its known files stay as they are")
    listing = with_each_file_once(found, storage, settings, progress.warn)
    if on_ignored:
        uris = {recording.uri for recording in listing.recordings}
        for recording in found.recordings:
            if recording.uri not in uris:
                on_ignored(recording.uri, "listed or known under another name")
    return listing, label_table.label_tracks(labels, listing.recordings)


def plan_work(
    store: Store,
    settings: Settings,
    listing: Listing,
    known: pa.Table,
    labelling: label_table.Labels,
    **options: Any,
) -> tuple[Plan, dict[str, pa.Table]]:
    """Return the plan for a store that is to get ``settings``, and the tracks of its feature sets.

    ``known`` and ``options`` are as for :func:`jobs.extraction.plan.make_plan`.
    """
    rows = {
        name: store.read(features_folder(name, "track"), ["track_id", "label"])
        for name in settings.feature_sets
    }
    replace_all = not settings.extends(store.settings)
    plan = make_plan(listing, known, rows, labelling.by_track, replace_all=replace_all, **options)
    return plan, rows
