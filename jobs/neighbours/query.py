"""The recordings of a store that are most like one: a track of it, or a file that it never saw."""

import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS
from jobs import defaults
from jobs.errors import UsageError
from jobs.inputs.recordings import decode_recording
from jobs.interruption import raise_if_interrupted
from jobs.neighbours.vectors import Vectors, read_vectors
from jobs.progress import Progress
from jobs.store.schemas import SEGMENTS
from jobs.store.tables import Store, open_store
from jobs.store.track_names import ambiguity_error, matching_tracks
from recommend.recognise import distances, passes_ratio_test
from recommend.topk import cosines_with

CANDIDATES = 1000
"""So many tracks, the nearest by cosine, are looked at by their segments."""


@dataclass(frozen=True)
class Neighbour:
    """A track of the store, and how near it is.

    Parameters
    ----------
    rank : int
        From 1.
    track_id : str
        The track.
    label : str or None
        Its label.
    cosine : float
        Of the z-scored features, -1 to 1.
    duplicate : bool
        Whether it is taken for the same recording: by its cosine or, where a file is a cut or
        another encoding of it, by its segments (:mod:`recommend.recognise`).
    """

    rank: int
    track_id: str
    label: str | None
    cosine: float
    duplicate: bool


@dataclass(frozen=True)
class Outcome:
    """What a recording is like.

    Parameters
    ----------
    track_id : str or None
        The track that was asked for; None for a file.
    file : str or None
        The file that was asked for; None for a track.
    label : str or None
        The track's label.
    neighbours : list of Neighbour
        The same recording first, then the nearest; of equally near ones, that of the smaller
        ``track_id``.
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
    """Find the tracks of a store that are most like a recording.

    Parameters
    ----------
    recording : str
        A track of the store, or the unambiguous end of its name; else the path of a file.
    store : str or Store
        The store, or its address.
    k : int
        Neighbours to return.
    duplicates : bool
        Whether tracks that are the same recording are returned too.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        There is neither such a track nor such a file, or several tracks.
    SongmillError
        The file cannot be read as a recording.
    """
    from featurizer.extract import analyse

    store = open_store(store)
    progress = progress or Progress()
    progress.say("reading the features")
    vectors = read_vectors(store, "track")
    place = _place(vectors, recording, store)
    known = vectors.unit
    if place is not None:
        cosines = cosines_with(known, known[place])
        same = cosines >= defaults.DUPLICATE_COSINE
    else:
        progress.say(f"analysing {recording}")
        with decode_recording(recording) as heard:
            features = analyse(heard, segment_seconds=store.settings.segment_seconds)
        cosines = cosines_with(known, vectors.scaling.unit(features.track[np.newaxis])[0])
        same = cosines >= defaults.DUPLICATE_COSINE
        if not same.any():
            progress.say("comparing its segments")
            same = _recognised(store, vectors, features.segments, cosines)
    order = np.lexsort((np.arange(len(cosines)), -cosines, ~same))
    order = order[order != place] if place is not None else order
    if not duplicates:
        order = order[~same[order]]
    nearest = vectors.names.take(order[:k]).to_pylist()
    found = [
        Neighbour(
            rank=rank,
            track_id=row["track_id"],
            label=row["label"],
            cosine=float(cosines[at]),
            duplicate=bool(same[at]),
        )
        for rank, (at, row) in enumerate(zip(order[:k], nearest, strict=True), 1)
    ]
    if place is None:
        return Outcome(None, recording, None, found)
    row = vectors.names.slice(place, 1).to_pylist()[0]
    return Outcome(row["track_id"], None, row["label"], found)


def _place(vectors: Vectors, recording: str, store: Store) -> int | None:
    """Return the row of the track that is meant; None where it is a file."""
    tracks = vectors.names["track_id"]
    places = matching_tracks(tracks, recording)
    if len(places) == 1:
        return places[0]
    if os.path.isfile(recording) or "://" in recording:
        return None
    if places:
        raise ambiguity_error(tracks, recording, places)
    raise UsageError(
        f"{recording!r} is no track of the store {store.storage.root} and no file: name a track "
        f"such as {tracks[0].as_py()!r} or its end, or the path of a recording"
    )


def _recognised(
    store: Store, vectors: Vectors, segments: np.ndarray, cosines: np.ndarray
) -> np.ndarray:
    """Tell of each track whether the segments of a file show that the file is a form of it."""
    same = np.zeros(len(cosines), bool)
    candidates = np.argsort(-cosines, kind="stable")[:CANDIDATES]
    tracks = vectors.names["track_id"].take(pa.array(candidates)).combine_chunks()
    columns = ["track_id", *FEATURE_COLUMNS]
    found: list[pa.Table] = []
    for part in store.parts(SEGMENTS):
        raise_if_interrupted()
        mask = pc.is_in(store.read_part(part, ["track_id"])["track_id"], value_set=tracks)
        if pc.any(mask).as_py():
            found.append(store.read_part(part, columns).filter(mask))
    if not found or not len(segments):
        return same
    rows = pa.concat_tables(found)
    owners = pc.index_in(rows["track_id"], value_set=tracks).to_numpy()
    z_scores = vectors.scaling.z_scores
    known = z_scores(np.column_stack([rows[name].to_numpy() for name in FEATURE_COLUMNS]))
    far = distances(z_scores(segments), known, owners, len(candidates))
    best = candidates[int(far.argmin())]
    copies = cosines_with(vectors.unit[candidates], vectors.unit[best]) >= defaults.DUPLICATE_COSINE
    copies[int(far.argmin())] = True
    if passes_ratio_test(far, copies):
        same[candidates[copies]] = True
    return same
