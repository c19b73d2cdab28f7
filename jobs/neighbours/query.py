"""The tracks of a store that are most similar to a recording: one of its tracks, or any file."""

import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import feature_set
from jobs import defaults
from jobs.errors import UsageError
from jobs.inputs.recordings import decode_recording
from jobs.interruption import raise_if_interrupted
from jobs.neighbours.vectors import Vectors, read_vectors
from jobs.progress import Progress
from jobs.redaction import public_address
from jobs.store.schemas import SEGMENTS
from jobs.store.tables import Store, open_store
from jobs.store.track_names import ambiguity_error, matching_tracks
from recommend.recognise import distances, passes_ratio_test
from recommend.topk import cosines_with
from recommend.vectors import unit

_FEATURES = feature_set("gtzan").names

MAX_CANDIDATES = 1000
"""Nearest tracks by cosine that are compared with a file segment by segment."""


@dataclass(frozen=True)
class Neighbour:
    """A track of the store, with its similarity.

    Parameters
    ----------
    rank : int
        Rank, from 1.
    track_id, label : str
        The track; ``label`` is None if it has no label.
    cosine : float
        Cosine of the z-scored features, -1 to 1.
    duplicate : bool
        Whether both are the same recording: by the cosine or, for excerpts and re-encodings, by
        the segments (:mod:`recommend.recognise`).
    """

    rank: int
    track_id: str
    label: str | None
    cosine: float
    duplicate: bool


@dataclass(frozen=True)
class Outcome:
    """The neighbours of a recording.

    Parameters
    ----------
    track_id : str or None
        The queried track; None for a file.
    file : str or None
        The queried file; None for a track.
    label : str or None
        Label of the track.
    neighbours : list of Neighbour
        Duplicates first, then by descending cosine; ties by ``track_id``.
    """

    track_id: str | None
    file: str | None
    label: str | None
    neighbours: list[Neighbour]


def similar(
    recording: str,
    *,
    store: str | Store,
    k: int = defaults.SHOWN_NEIGHBOURS,
    duplicates: bool = True,
    progress: Progress | None = None,
) -> Outcome:
    """Find the tracks of a store that are most similar to a recording.

    Parameters
    ----------
    recording : str
        A track of the store, or the unambiguous end of its name; else the path of a file.
    store : str or Store
        The store, or its address.
    k : int
        Neighbours to return.
    duplicates : bool
        Whether to return other copies of the recording too.
    progress : Progress, optional
        By default lines on stderr.

    Raises
    ------
    UsageError
        No track and no file has this name, or several tracks have it.
    SongmillError
        The file cannot be decoded.

    Examples
    --------
    >>> found = similar("blues/0", store="tables", k=2)
    >>> found.track_id, [one.rank for one in found.neighbours]
    ('blues/0.wav', [1, 2])
    """
    from featurizer.extract import analyse

    store = open_store(store)
    progress = progress or Progress()
    progress.step("reading the features")
    vectors = read_vectors(store, "track")
    index = _track_index(vectors, recording, store)
    if index is not None:
        cosines = cosines_with(vectors.unit, vectors.unit[index])
        is_duplicate = cosines >= defaults.DUPLICATE_COSINE
    else:
        progress.step(f"analysing {public_address(recording)}")
        with decode_recording(recording) as audio:
            features = analyse(
                audio, sets=("gtzan",), segment_seconds=store.settings.segment_seconds
            ).rows["gtzan"]
        assert features.track is not None
        vector = unit(vectors.scaling.z_scores(features.track[np.newaxis]))[0]
        cosines = cosines_with(vectors.unit, vector)
        is_duplicate = cosines >= defaults.DUPLICATE_COSINE
        if not is_duplicate.any():
            progress.step("comparing its segments")
            is_duplicate = _duplicates_by_segment(store, vectors, features.segments, cosines)
    order = np.lexsort((np.arange(len(cosines)), -cosines, ~is_duplicate))
    if not duplicates:
        order = order[~is_duplicate[order]]
    order = order[order != index][:k] if index is not None else order[:k]
    rows = vectors.names.take(order).to_pylist()
    neighbours = [
        Neighbour(rank, **row, cosine=float(cosines[i]), duplicate=bool(is_duplicate[i]))
        for rank, (i, row) in enumerate(zip(order, rows, strict=True), 1)
    ]
    if index is None:
        return Outcome(None, public_address(recording), None, neighbours)
    row = vectors.names.slice(index, 1).to_pylist()[0]
    return Outcome(row["track_id"], None, row["label"], neighbours)


def _track_index(vectors: Vectors, recording: str, store: Store) -> int | None:
    """Return the index of the track of this name; None for the path of a file."""
    tracks = vectors.names["track_id"]
    matches = matching_tracks(tracks, recording)
    if len(matches) == 1:
        return matches[0]
    if os.path.isfile(recording) or "://" in recording:
        return None
    if matches:
        raise ambiguity_error(tracks, recording, matches)
    raise UsageError(
        f"{recording!r} is neither a track of the store {store.storage.root} nor a file. Name a "
        f"track, such as {tracks[0].as_py()!r}, or the end of its name, or the path of a recording"
    )


def _duplicates_by_segment(
    store: Store, vectors: Vectors, segments: np.ndarray, cosines: np.ndarray
) -> np.ndarray:
    """Return a mask of the tracks that a file is an excerpt or a re-encoding of."""
    is_duplicate = np.zeros(len(cosines), bool)
    candidates = np.argsort(-cosines, kind="stable")[:MAX_CANDIDATES]
    tracks = vectors.names["track_id"].take(pa.array(candidates)).combine_chunks()
    columns = ["track_id", *_FEATURES]
    found: list[pa.Table] = []
    for part in store.parts(SEGMENTS):
        raise_if_interrupted()
        mask = pc.is_in(store.read_part(part, ["track_id"])["track_id"], value_set=tracks)
        if pc.any(mask).as_py():
            found.append(store.read_part(part, columns).filter(mask))
    if not found or not len(segments):
        return is_duplicate
    rows = pa.concat_tables(found)
    owners = pc.index_in(rows["track_id"], value_set=tracks).to_numpy()
    z_scores = vectors.scaling.z_scores
    references = z_scores(np.column_stack([rows[name].to_numpy() for name in _FEATURES]))
    to_tracks = distances(z_scores(segments), references, owners, len(candidates))
    nearest = int(to_tracks.argmin())
    cosines = cosines_with(vectors.unit[candidates], vectors.unit[candidates[nearest]])
    copies = cosines >= defaults.DUPLICATE_COSINE
    copies[nearest] = True
    if passes_ratio_test(to_tracks, copies):
        is_duplicate[candidates[copies]] = True
    return is_duplicate
