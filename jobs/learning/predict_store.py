"""Predictions of every track of the store by the champion, written to ``predictions``.

A track that the champion has learnt is predicted by the model of its fold, which has not. Labels
that these models contradict are written to ``suspects``, and so are recordings that occur twice.

A model of segments predicts a track by the mean of its segments' probabilities; a track shorter
than one segment by its track row. A track without a row in the model's feature set has no
prediction.
"""

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import FeatureSet
from jobs.cluster.pool import WorkerPool
from jobs.errors import UsageError, command_for
from jobs.interruption import raise_if_interrupted
from jobs.learning import registry
from jobs.learning.dataset import rows_at_a_time
from jobs.learning.folds import FoldedModel, Learnt, read_learnt
from jobs.learning.groups import recording_groups
from jobs.learning.ordered import map_ordered
from jobs.learning.suspects import suspect_rows
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.address import storage_of
from jobs.store.counts import count_tracks
from jobs.store.levels import feature_matrix
from jobs.store.schemas import (
    PREDICTED_LONG,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    PREDICTION_LONG,
    PROBABILITY,
    SUSPECT,
    SUSPECTS,
    features_folder,
    predictions,
)
from jobs.store.tables import open_store
from training.evaluate import sum_by_track
from training.model import Description
from training.predictor import Kind

MAX_NAMED_LABELS = 5
"""Unknown labels that a warning names."""

_TrackSum = tuple[str, str | None, np.ndarray, int]
"""Track, label, sum of the probabilities [shape=(n_classes,)] and number of rows."""


@dataclass(frozen=True)
class StoreOutcome:
    """The predictions of a store.

    Parameters
    ----------
    model : str
        Version of the model.
    tracks, segments : int
        Number of rows written; 0 segments unless they were requested.
    labels : dict of str to int
        Number of tracks predicted as each class.
    learnt : int
        Number of tracks that the predicting model has learnt.
    suspects : int
        Number of suspected mislabels.
    """

    model: str
    tracks: int
    segments: int
    labels: dict[str, int]
    learnt: int
    suspects: int
    seconds: float


def predict_all(
    *,
    store: str | Session,
    segments: bool = False,
    long: bool = False,
    features: str | None = None,
    model: Kind | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> StoreOutcome:
    """Predict every track of the store, and write ``predictions`` and ``suspects``.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    segments : bool
        Whether to write a row for each segment too.
    long : bool
        Whether to write ``predictions-long`` too, a row for each track and class.
    features, model
        As for :func:`jobs.learning.predict_files.predict_files`.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Raises
    ------
    SongmillError
        The store has no such model, or the model needs other features.
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    with session.stage("predict") as run:
        described = registry.choose(run.store, session.progress, features=features, kind=model)
        feature_set = registry.check_fit(described, run.store.settings, run.store.storage.root)
        if segments and described.level == "track":
            raise UsageError(
                f"the model {described.version} was trained on tracks, not segments: leave out "
                "--segments, or train with --level segment"
            )
        pool = run.pool()
        tracks = _predict_tracks(pool, run, described, feature_set, write=segments)
        without = max(count_tracks(run.store).values()) - tracks.num_rows
        if without > 0:
            session.progress.warn(
                f"tracks without {feature_set.name} features, which get no prediction: {without}"
            )
        _warn_of_unknown_labels(run.store.storage.root, tracks, described, session.progress)
        change = commit.Change()
        commit.stage_replacement(run.store, change, PREDICTED_TRACKS, [tracks], tracks.schema)
        recordings = recording_groups(run.store, tracks["track_id"], session.progress)
        suspects = suspect_rows(tracks, described.classes, recordings)
        commit.stage_replacement(run.store, change, SUSPECTS, [suspects], SUSPECT)
        if long or run.store.parts(PREDICTED_LONG):
            rows = _long_rows(tracks, described) if long else iter(())
            commit.stage_replacement(run.store, change, PREDICTED_LONG, rows, PREDICTION_LONG)
        storage = run.store.storage
        names = [entry.name for entry in storage.list(run.work) if ".segments." in entry.name]
        if segments or run.store.parts(PREDICTED_SEGMENTS):
            schema = predictions(described.classes, segments=True)
            commit.stage_replacement(
                run.store, change, PREDICTED_SEGMENTS, map(storage.read_table, names), schema
            )
        written = sum(map(storage.count_rows, names))
        counts = pc.value_counts(tracks["predicted"]).to_pylist()
        run.commit(change, message=f"by {described.version}", workers=pool.most_workers)
        return StoreOutcome(
            model=described.version,
            tracks=tracks.num_rows,
            segments=written,
            labels={row["values"]: row["counts"] for row in counts},
            learnt=pc.sum(tracks["learnt"]).as_py() or 0,
            suspects=suspects.num_rows,
            seconds=time.time() - run.started,
        )


def _long_rows(tracks: pa.Table, described: Description) -> Iterator[pa.Table]:
    """Yield the rows of ``predictions-long``, some tracks at a time."""
    classes = pa.array(described.classes, pa.string())
    for batch in tracks.to_batches(max_chunksize=max(1, commit.PART_ROWS // len(classes))):
        found = np.column_stack([batch[PROBABILITY + name] for name in described.classes])
        index = np.arange(found.size)
        columns = [
            batch["track_id"].take(pa.array(index // len(classes))),
            classes.take(pa.array(index % len(classes))),
            pa.array(found.ravel(), pa.float32()),
        ]
        yield pa.table(columns, schema=PREDICTION_LONG)


def _warn_of_unknown_labels(
    root: str, tracks: pa.Table, described: Description, progress: Progress
) -> None:
    labels = tracks["label"]
    classes = pa.array(described.classes, pa.string())
    unknown = labels.filter(pc.and_(pc.is_valid(labels), pc.invert(pc.is_in(labels, classes))))
    if len(unknown):
        names = ", ".join(sorted(pc.unique(unknown).to_pylist())[:MAX_NAMED_LABELS])
        progress.warn(
            f"tracks of labels that the model does not know ({names}): {len(unknown)}. To learn "
            f"them, run `{command_for(root, 'train')}`"
        )


def _predict_tracks(
    pool: WorkerPool, run: Stage, described: Description, features: FeatureSet, *, write: bool
) -> pa.Table:
    """Predict on the workers; return the rows of ``predictions/level=track``."""
    labels: dict[str, str | None] = {}
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}

    def add(found: Iterator[_TrackSum]) -> None:
        # A track's rows may lie in several parts.
        for track_id, label, total, count in found:
            labels.setdefault(track_id, label)
            sums[track_id] = sums.get(track_id, 0.0) + total
            counts[track_id] = counts.get(track_id, 0) + count

    of_tracks = features_folder(features.name, "track")
    if described.level == "segment":
        segments = features_folder(features.name, "segment")
        add(_predict_parts(pool, run, described, features, segments, write=write))
        # The run's name makes it unique: workers outlive the run and cache what they read.
        excluded = f"{run.work}/{run.run_id}-predicted.parquet"
        run.store.storage.write_table(
            excluded, pa.table({"track_id": pa.array(list(sums), pa.string())})
        )
        segmented = len(sums)
        add(_predict_parts(pool, run, described, features, of_tracks, excluded=excluded))
        if len(sums) > segmented:
            run.session.progress.warn(
                f"tracks without a segment, which are predicted as a whole: {len(sums) - segmented}"
            )
    else:
        add(_predict_parts(pool, run, described, features, of_tracks))
    columns = {
        "track_id": pa.array(list(sums), pa.string()),
        "label": pa.array([labels[track_id] for track_id in sums], pa.string()),
    }
    totals = np.array(list(sums.values())).reshape(-1, len(described.classes))
    means = totals / np.array(list(counts.values()), float).reshape(-1, 1)
    learnt = read_learnt(run.store, described)
    return _rows(described, learnt, columns, means.astype(np.float32), segments=False)


@dataclass(frozen=True)
class _Piece:
    """Rows ``start`` to ``stop`` of a part, without the tracks that the file ``excluded`` lists.

    The part is of the feature set ``features``.

    Predictions of segments are written to the file ``output``.
    """

    root: str
    version: str
    features: str
    name: str
    start: int
    stop: int
    excluded: str | None
    output: str | None


def _predict_parts(
    pool: WorkerPool,
    run: Stage,
    described: Description,
    features: FeatureSet,
    table: str,
    *,
    excluded: str | None = None,
    write: bool = False,
) -> Iterator[_TrackSum]:
    """Yield the sums of each piece of a table, in the order of the pieces."""
    storage, progress = run.store.storage, run.session.progress
    pieces: list[_Piece] = []
    size = rows_at_a_time(features.name)
    for name in run.store.parts(table):
        raise_if_interrupted()
        rows = run.store.read_part(name, []).num_rows
        for start in range(0, rows, size):
            stop = min(start + size, rows)
            output = f"{run.work}/{len(pieces):08d}.segments.parquet" if write else None
            where = (storage.root, described.version, features.name, name)
            pieces.append(_Piece(*where, start, stop, excluded, output))
    for found in map_ordered(
        pool,
        _predict,
        ((piece,) for piece in pieces),
        purpose=f"predict {table}",
        tick=progress.workers,
        on_result=lambda done: progress.update(f"{done} of {len(pieces)} slices of {table}"),
    ):
        yield from zip(*found, strict=True)


def _predict(piece: _Piece) -> tuple[list[str], list[str | None], np.ndarray, list[int]]:
    """Predict a piece on a worker; return the columns of its :data:`_TrackSum` rows."""
    store = open_store(piece.root)
    model = _model(piece.root, piece.version)
    described = model.description
    position = ["segment", "start_s"] if piece.output else []
    columns = ["track_id", "label", *position, *described.columns]
    slices = store.storage.read_slice(piece.name, columns, piece.start, piece.stop)
    rows = pa.concat_tables(slices)
    if piece.excluded:
        excluded = _excluded_tracks(piece.root, piece.excluded)
        rows = rows.filter(pc.invert(pc.is_in(rows["track_id"], value_set=excluded)))
    probabilities = model.probabilities(feature_matrix(rows, piece.features), rows["track_id"])
    if piece.output:
        keys = {name: rows[name] for name in ("track_id", "label", *position)}
        predicted = _rows(described, model.learnt, keys, probabilities, segments=True)
        store.storage.write_table(piece.output, predicted)
    ids = rows["track_id"].combine_chunks().dictionary_encode()
    codes, sums, counts = sum_by_track(ids.indices.to_numpy(), probabilities)
    first = np.unique(ids.indices.to_numpy(), return_index=True)[1]
    return (
        ids.dictionary.take(pa.array(codes)).to_pylist(),
        rows["label"].take(pa.array(first)).to_pylist(),
        sums,
        counts.tolist(),
    )


@functools.lru_cache(maxsize=1)
def _model(root: str, version: str) -> FoldedModel:
    store = open_store(root)
    return FoldedModel(store, registry.describe(store, version))


@functools.lru_cache(maxsize=1)
def _excluded_tracks(root: str, name: str) -> pa.Array:
    return storage_of(root).read_table(name)["track_id"].combine_chunks()


def _rows(
    described: Description,
    learnt: Learnt,
    columns: dict[str, Any],
    probabilities: np.ndarray,
    *,
    segments: bool,
) -> pa.Table:
    """Return rows of ``predictions``."""
    schema = predictions(described.classes, segments=segments)
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, np.int64)
    columns = {
        **columns,
        "predicted": pa.array(described.classes, pa.string()).take(pa.array(best)),
        "probability": pa.array(probabilities[np.arange(len(best)), best], pa.float32()),
        "learnt": pa.array(learnt.choose(columns["track_id"])[1]),
        "model": pa.repeat(described.version, len(probabilities)),
    }
    known = schema.names[: len(schema) - len(described.classes)]
    arrays = [columns[name] for name in known]
    arrays += [pa.array(column, pa.float32()) for column in probabilities.T]
    return pa.table(arrays, schema=schema)
