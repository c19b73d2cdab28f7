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

    The groups are those of :func:`recording_groups`.

    Examples
    --------
    >>> from jobs.learning.dataset import labelled_tracks
    >>> from jobs.store.tables import open_store
    >>> store = open_store("tables")
    >>> tracks = labelled_tracks(store, "gtzan", "segment").tracks
    >>> count_duplicates(group_duplicates(store, tracks, Progress()))
    {'groups': 0, 'tracks': 0}
    """
    groups = recording_groups(store, pa.array(tracks.ids, pa.string()), progress)
    grouped = replace(tracks, groups=groups)
    counts = count_duplicates(grouped)
    if counts["groups"]:
        number = "1 group" if counts["groups"] == 1 else f"{counts['groups']:,} groups"
        progress.write(
            "info",
            f"{counts['tracks']:,} tracks in {number} of the same recording stay on one side of "
            "the split",
        )
    return grouped


def recording_groups(store: Store, track_ids: pa.Array, progress: Progress) -> np.ndarray:
    """Return a group for each track, the same for tracks that are the same recording.

    Two tracks are the same recording if the cosine of their published features is at least
    :data:`jobs.defaults.DUPLICATE_COSINE`, or if they are connected by such pairs, also through
    other tracks of the store. A track without these features is a group of its own, and so are all
    tracks, with a warning, if a feature is not finite.

    Parameters
    ----------
    store : Store
        The store.
    track_ids : pa.Array or pa.ChunkedArray [shape=(n,), string]
        Names of tracks.
    progress : Progress
        Shows the work, and the warning.

    Returns
    -------
    np.ndarray [shape=(n,), int]

    Examples
    --------
    >>> from jobs.store.tables import open_store
    >>> recording_groups(open_store("tables"), pa.array(["not a track"]), Progress())
    array([-1])
    """
    # Importing Numba takes longer than training a small model.
    from jobs.neighbours.vectors import recordings_space
    from recommend.same_recording import same_recording

    groups = -1 - np.arange(len(track_ids))
    try:
        space = recordings_space(store, progress)
    except UsageError as error:  # trees learn from values that are not finite
        progress.warn(f"tracks that are the same recording are not found: {error}")
        return groups
    if space is None:
        return groups
    progress.step("looking for tracks that are the same recording")
    found = same_recording(space.vectors, defaults.DUPLICATE_COSINE)
    names = space.names["track_id"].combine_chunks()
    index = pc.fill_null(pc.index_in(track_ids, value_set=names), -1).to_numpy()
    return np.where(index >= 0, found[index], groups)


def count_duplicates(tracks: Tracks) -> dict[str, int]:
    """Return the number of ``groups`` of several tracks, and the number of ``tracks`` in them."""
    sizes = np.unique(tracks.group_of_track, return_counts=True)[1]
    several = sizes[sizes > 1]
    return {"groups": len(several), "tracks": int(several.sum())}


def held_out_by_group(model_of: np.ndarray, groups: np.ndarray, of_new: int) -> np.ndarray:
    """Return for each track a model that has learnt no track of its group.

    Parameters
    ----------
    model_of : np.ndarray [shape=(n_tracks,), range=[-1, of_new], int]
        A model that has not learnt the track itself; -1 if all have.
    groups : np.ndarray [shape=(n_tracks,), int]
        Group of each track.
    of_new : int
        Model of the tracks that no model has learnt; it has learnt all others.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[-1, of_new], int]
        -1 if all models have learnt a track of the group.

    Examples
    --------
    A new track with a copy in fold 1, and copies in two folds:

    >>> held_out_by_group(np.array([5, 1, 0, 2, 5]), np.array([7, 7, 8, 8, 9]), of_new=5)
    array([ 1,  1, -1, -1,  5])
    """
    group_of = np.unique(groups, return_inverse=True)[1]
    least = np.full(len(groups), of_new)
    greatest = np.full(len(groups), -1)
    is_learnt = model_of != of_new
    np.minimum.at(least, group_of, model_of)
    np.maximum.at(greatest, group_of[is_learnt], model_of[is_learnt])
    agree = (least == greatest) | (least == of_new)
    return np.where(agree, least, -1)[group_of]
