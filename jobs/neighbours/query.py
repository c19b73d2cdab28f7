"""The tracks of a store that are most similar to a recording: one of its tracks, or any file."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import defaults
from jobs.errors import UsageError
from jobs.inputs.recordings import decode_recording
from jobs.interruption import raise_if_interrupted
from jobs.neighbours.metrics import FEATURES, choose_metric
from jobs.neighbours.vectors import Space, duplicates_metric, kept_space
from jobs.progress import Progress
from jobs.redaction import public_address
from jobs.store.address import expand_home
from jobs.store.schemas import SEGMENTS
from jobs.store.tables import Store, open_store
from jobs.store.track_names import (
    ambiguity_error,
    matching_tracks,
    similar_tracks,
    unknown_error,
)
from recommend.metric import Name
from recommend.recognise import Call, distances
from recommend.vectors import cosines_with

if TYPE_CHECKING:
    from featurizer.extract import FeatureRows

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
    score : float
        The cosine, less a correction for tracks that are near to nearly all others; the metric
        ``cosine`` has no correction.
    cosine : float
        Cosine of both as vectors of the metric, -1 to 1.
    duplicate : bool
        Whether both are the same recording: by the cosine of the published features or, for
        excerpts and re-encodings, by the segments (:mod:`recommend.recognise`).
    perhaps : bool
        Whether both may be the same recording: by the segments, but not with certainty.
    """

    rank: int
    track_id: str
    label: str | None
    score: float
    cosine: float
    duplicate: bool
    perhaps: bool


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
    metric : {"cosine", "rich", "learned"}
        Metric by which neighbours were ranked.
    labels : list of str
        Labels that the metric was fitted to.
    neighbours : list of Neighbour
        Duplicates first, then those that may be some, then by descending score; ties by
        ``track_id``.
    """

    track_id: str | None
    file: str | None
    label: str | None
    metric: Name
    labels: list[str]
    neighbours: list[Neighbour]


def similar(
    recording: str,
    *,
    store: str | Store,
    k: int = defaults.SHOWN_NEIGHBOURS,
    metric: Name | None = None,
    duplicates: bool = True,
    progress: Progress | None = None,
) -> Outcome:
    """Find the tracks of a store that are most similar to a recording.

    Parameters
    ----------
    recording : str
        A track of the store, or the end of its name; else the path of a file; else an unambiguous
        part of a track's name, whatever its case and accents.
    store : str or Store
        The store, or its address.
    k : int
        Neighbours to return.
    metric : {"cosine", "rich", "learned"}, optional
        As for :func:`jobs.neighbours.similarity.similarity`, with the numbers that the store has
        kept; without them, it is fitted. By default ``rich``, if the recording and the store have
        rich features; else ``cosine``.
    duplicates : bool
        Whether to return other copies of the recording too.
    progress : Progress, optional
        By default lines on stderr.

    Raises
    ------
    UsageError
        No track and no file has this name, or several tracks have it; the recording or the store
        lacks the features that the metric compares, or the store lacks labels.
    SongmillError
        The file cannot be decoded.

    Examples
    --------
    >>> found = similar("blues/0", store="tables", k=2)
    >>> found.track_id, [one.rank for one in found.neighbours]
    ('blues/0.wav', [1, 2])
    """
    store = open_store(store)
    progress = progress or Progress()
    chosen = choose_metric(store, metric, "track")
    space = kept_space(store, chosen, progress)
    of_copies = duplicates_metric(store)
    copies = space if of_copies == chosen else kept_space(store, of_copies, progress)
    found = _find_track([space, copies], recording)
    index = None
    if found:
        if metric and found[0] is not space:
            raise UsageError(
                f"the track {recording!r} has no {FEATURES[metric]} features, which --metric "
                f"{metric} compares: use --metric {of_copies}"
            )
        space, index = found
        vector, copy_vectors = space.vectors[index], copies.vectors_of(space)
        may_be = np.zeros(len(copy_vectors), bool)
        is_duplicate = cosines_with(copy_vectors, copy_vectors[index]) >= defaults.DUPLICATE_COSINE
    elif _is_file(recording):
        progress.step(f"analysing {public_address(recording)}")
        rows = _analyse(recording, {FEATURES[chosen], FEATURES[of_copies]}, store)
        too_short = rows[FEATURES[chosen]].too_short
        if too_short:
            if metric or FEATURES[of_copies] == FEATURES[chosen]:
                raise UsageError(f"{public_address(recording)} cannot be compared: {too_short}")
            space = copies
        vector = _vector(space, rows)
        is_copy, may_be_copy = _find_copies(store, copies, rows, progress)
        # An index of -1 is that of the last, which no track has.
        is_duplicate = np.append(is_copy, False)[copies.index_of(space)]
        may_be = np.append(may_be_copy, False)[copies.index_of(space)]
    else:
        raise unknown_error(copies.names["track_id"], recording, store.storage.root)
    cosines = cosines_with(space.vectors, vector)
    scores = space.scores(cosines, slice(None))
    order = np.lexsort((np.arange(len(scores)), -scores, ~may_be, ~is_duplicate))
    if not duplicates:
        order = order[~is_duplicate[order]]
    order = order[order != index][:k] if index is not None else order[:k]
    named = space.names.take(order).to_pylist()
    neighbours = [
        Neighbour(
            rank,
            **row,
            score=float(scores[i]),
            cosine=float(cosines[i]),
            duplicate=bool(is_duplicate[i]),
            perhaps=bool(may_be[i]),
        )
        for rank, (i, row) in enumerate(zip(order, named, strict=True), 1)
    ]
    used = space.fitted.metric
    if index is None:
        file, queried = public_address(recording), {"track_id": None, "label": None}
    else:
        file, queried = None, space.names.slice(index, 1).to_pylist()[0]
    return Outcome(
        **queried, file=file, metric=used.name, labels=list(used.classes), neighbours=neighbours
    )


def _find_track(spaces: list[Space], recording: str) -> tuple[Space, int] | None:
    """Return the track of this name: the first space that has it, and its index there.

    None if there is none, or it is a file.
    """
    is_file = _is_file(recording)
    for find in (matching_tracks, *([] if is_file else [similar_tracks])):
        for space in spaces:
            tracks = space.names["track_id"]
            matches = find(tracks, recording)
            if len(matches) > 1 and not is_file:
                raise ambiguity_error(tracks, recording, matches)
            if len(matches) == 1:
                return space, matches[0]
    return None


def _is_file(recording: str) -> bool:
    return os.path.isfile(expand_home(recording)) or "://" in recording


def _analyse(recording: str, sets: set[str], store: Store) -> "dict[str, FeatureRows]":
    """Return the rows of a file in some feature sets."""
    from featurizer.extract import analyse

    with decode_recording(recording) as audio:
        seconds = store.settings.segment_seconds
        return analyse(audio, sets=sorted(sets), segment_seconds=seconds).rows


def _vector(space: Space, rows: "dict[str, FeatureRows]") -> np.ndarray:
    """Return the vector of a file in a space."""
    metric = space.fitted.metric
    row = np.asarray(rows[FEATURES[metric.name]].track)
    vector: np.ndarray = metric.vectors(row[np.newaxis])[0]
    return vector


def _find_copies(
    store: Store, copies: Space, rows: "dict[str, FeatureRows]", progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the tracks in ``copies`` that a file is, or may be, a copy or excerpt of."""
    cosines = cosines_with(copies.vectors, _vector(copies, rows))
    is_copy: np.ndarray = cosines >= defaults.DUPLICATE_COSINE
    segments = rows[FEATURES[copies.fitted.metric.name]].segments
    if is_copy.any() or not len(segments):
        return is_copy, np.zeros_like(is_copy)
    progress.step("comparing its segments")
    return _find_copies_by_segment(store, copies, segments, cosines)


def _find_copies_by_segment(
    store: Store, copies: Space, segments: np.ndarray, cosines: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the tracks that a file is, or may be, an excerpt or a re-encoding of."""
    masks: dict[Call, np.ndarray] = {
        call: np.zeros(len(cosines), bool) for call in ("yes", "perhaps", "no")
    }
    candidates = np.argsort(-cosines, kind="stable")[:MAX_CANDIDATES]
    tracks = copies.names["track_id"].take(pa.array(candidates)).combine_chunks()
    scaling = copies.fitted.metric.scaling
    found: list[pa.Table] = []
    for part in store.parts(SEGMENTS):
        raise_if_interrupted()
        mask = pc.is_in(store.read_part(part, ["track_id"])["track_id"], value_set=tracks)
        if pc.any(mask).as_py():
            columns = ["track_id", "segment", *scaling.columns]
            found.append(store.read_part(part, columns).filter(mask))
    if not found:
        return masks["yes"], masks["perhaps"]
    rows = pa.concat_tables(found)
    rows = rows.append_column("owner", pc.index_in(rows["track_id"], value_set=tracks))
    rows = rows.sort_by([("owner", "ascending"), ("segment", "ascending")])
    owners = rows["owner"].to_numpy()
    references = np.column_stack([rows[name].to_numpy() for name in scaling.columns])
    to_tracks = distances(
        scaling.z_scores(segments), scaling.z_scores(references), owners, len(candidates)
    )
    nearest = int(to_tracks.total.argmin())
    cosines = cosines_with(copies.vectors[candidates], copies.vectors[candidates[nearest]])
    is_near = cosines >= defaults.DUPLICATE_COSINE
    is_near[nearest] = True
    masks[to_tracks.call(is_near)][candidates[is_near]] = True
    return masks["yes"], masks["perhaps"]
