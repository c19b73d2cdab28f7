"""Tracks that are the same recording, which a split keeps on one side."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import defaults
from jobs.errors import UsageError
from jobs.progress import Progress
from jobs.store.tables import Store
from training.splits import Tracks


def group_duplicates(store: Store, tracks: Tracks, progress: Progress) -> Tracks:
    """Return the tracks with a group for each recording, and report those with several tracks.

    Two tracks are the same recording if the cosine of their published features is at least
    :data:`jobs.defaults.DUPLICATE_COSINE`, or if they are connected by such pairs. The other tracks
    of a pair may have no label. A track without these features is a group of its own.

    Examples
    --------
    >>> from jobs.learning.dataset import labelled_tracks
    >>> from jobs.store.tables import open_store
    >>> store = open_store("tables")
    >>> tracks = labelled_tracks(store, "gtzan", "segment").tracks
    >>> count_duplicates(group_duplicates(store, tracks, Progress()))
    {'groups': 0, 'tracks': 0}
    """
    # Importing Numba takes longer than training a small model.
    from jobs.neighbours.vectors import recordings_space
    from recommend.same_recording import same_recording

    groups = -1 - np.arange(len(tracks.ids))
    try:
        space = recordings_space(store)
    except UsageError as error:  # trees learn from values that are not finite
        progress.warn(f"tracks that are the same recording are not found: {error}")
        space = None
    if space is not None:
        progress.update_live("looking for tracks that are the same recording")
        found = same_recording(space.vectors, defaults.DUPLICATE_COSINE)
        names = space.names["track_id"].combine_chunks()
        index = pc.index_in(pa.array(tracks.ids, pa.string()), value_set=names)
        index = index.fill_null(-1).to_numpy()
        groups = np.where(index >= 0, found[index], groups)
    grouped = replace(tracks, groups=groups)
    counts = count_duplicates(grouped)
    if counts["groups"]:
        progress.write(
            "info",
            f"{counts['tracks']} tracks in {counts['groups']} groups of the same recording stay "
            "on one side of the split",
        )
    return grouped


def count_duplicates(tracks: Tracks) -> dict[str, int]:
    """Return the number of ``groups`` of several tracks, and the number of ``tracks`` in them."""
    sizes = np.unique(tracks.group_of_track, return_counts=True)[1]
    several = sizes[sizes > 1]
    return {"groups": len(several), "tracks": int(several.sum())}
