"""Input of an extraction: the recordings, their labels, and the plan of the work."""

import functools
from collections.abc import Callable
from typing import Any

from jobs.extraction.losses import knows_source
from jobs.extraction.plan import Plan, make_plan
from jobs.extraction.same_files import leave_each_file_once
from jobs.inputs import labels as label_table
from jobs.inputs.listing import Listing, list_sources
from jobs.inputs.patterns import Patterns
from jobs.inputs.sources import Paths
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

    Parameters and errors are those of :func:`jobs.inputs.listing.list_sources` and
    :func:`jobs.inputs.labels.label_tracks`.
    """
    progress.step("listing the sources")
    is_known = functools.partial(knows_source, storage)
    listing = list_sources(sources, is_known, patterns=patterns, on_ignored=on_ignored)
    for folder in listing.unlisted:
        progress.warn(f"the folder {folder} cannot be read; its known files stay as they are")
    leave_each_file_once(listing, storage, settings, progress.warn, on_ignored)
    return listing, label_table.label_tracks(labels, listing)


def plan_work(store: Store, settings: Settings, listing: Listing, **options: Any) -> Plan:
    """Return the plan for a store that is to get ``settings``.

    ``listing`` and ``options`` are as for :func:`jobs.extraction.plan.make_plan`.
    """
    rows = {
        name: store.read_batches(features_folder(name, "track"), ["track_id", "label"])
        for name in settings.feature_sets
    }
    return make_plan(listing, rows, replace_all=not settings.extends(store.settings), **options)
