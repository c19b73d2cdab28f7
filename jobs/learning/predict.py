"""Predictions by the champion: of new recordings, or of every track in the store.

Of a new recording they are printed; of the store's tracks they are written to ``predictions``.
A model of segments judges a track by the mean of its segments' probabilities, and where it is
shorter than one segment, by its track row.
"""

import functools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET, SAMPLE_RATE
from featurizer.errors import RecordingError
from featurizer.process import single_thread
from jobs.cluster.failures import count_workers
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError, UsageError
from jobs.inputs.recordings import opened
from jobs.inputs.sources import list_sources
from jobs.interruption import raise_if_interrupted
from jobs.learning import registry
from jobs.learning.dataset import READ_ROWS
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.address import storage_of
from jobs.store.levels import TABLE_OF, Level, feature_matrix
from jobs.store.schemas import PREDICTED_SEGMENTS, PREDICTED_TRACKS, TRACKS, predictions
from jobs.store.tables import Store, open_store
from training.evaluate import sum_by_track
from training.model import Description, Model

if TYPE_CHECKING:
    from featurizer.extract import Features


def champion(store: Store) -> Model:
    """Return the model that predicts.

    Raises
    ------
    UsageError
        There is none.
    StoreError
        It is damaged.
    """
    version = registry.champion(store)
    if version is None:
        kept = registry.versions(store)
        remedy = "`songmill promote` names one" if kept else "`songmill train` makes one"
        raise UsageError(f"the store {store.storage.root} has no model that predicts: {remedy}")
    return registry.load(store, version)


# New recordings


def champion_for_files(store: Store) -> Model:
    """Return the model that predicts, fit for what this songmill makes of files.

    Raises
    ------
    UsageError
        There is none.
    StoreError
        It is damaged, or knows other features.
    """
    model = champion(store)
    described = model.description
    registry.check_fit(
        described, feature_set=FEATURE_SET, segment_seconds=described.segment_seconds
    )
    return model


MOST_NAMED = 5
"""So many labels does a warning name."""


@dataclass(frozen=True)
class SegmentPrediction:
    """What a stretch of a recording sounds like.

    Parameters
    ----------
    start_s, end_s : float
        Where it lies, in seconds.
    predicted : str
        The most probable class.
    probabilities : dict of str to float
        Of each class.
    """

    start_s: float
    end_s: float
    predicted: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class FilePrediction:
    """What a recording sounds like.

    Parameters
    ----------
    file : str
        As it was found.
    predicted : str or None
        The most probable class; None where the file gave no features.
    probabilities : dict of str to float
        Of each class, the most probable first.
    segments : list of SegmentPrediction
        Empty where the model is one of whole tracks, or the recording is shorter than a segment.
    error, message : str or None
        Why there is no prediction: a :data:`featurizer.errors.FailureKind`, and a sentence.
    """

    file: str
    predicted: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    segments: list[SegmentPrediction] = field(default_factory=list)
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class FilesOutcome:
    """What was predicted of new recordings.

    Parameters
    ----------
    model : str
        The version that predicted.
    files : list of FilePrediction
        In order of the files.
    """

    model: str
    files: list[FilePrediction]

    @property
    def failed(self) -> int:
        """Number of files without a prediction."""
        return sum(one.error is not None for one in self.files)


def predict_files(
    files: list[str], *, store: str | Store, progress: Progress | None = None
) -> FilesOutcome:
    """Predict recordings that need not be in the store, one after the other.

    Parameters
    ----------
    files : list of str
        Files, folders, globs or list files, as for an extraction.
    store : str or Store
        The store with the model, or its address.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    FilesOutcome

    Raises
    ------
    SongmillError
        There is no such file, no model, or one of another feature set.
    """
    progress = progress or Progress()
    model = champion_for_files(open_store(store))
    listing = list_sources(files)
    found: list[FilePrediction] = []
    with single_thread():
        for recording in listing.recordings:
            progress.now(f"{len(found)} of {len(listing.recordings)} files")
            found.append(_predict_file(model, recording.uri, recording.path))
    return FilesOutcome(model.description.version, found)


def _predict_file(model: Model, uri: str, path: str) -> FilePrediction:
    from featurizer.extract import extract

    try:
        with opened(path) as source:
            features = extract(source, segment_seconds=model.description.segment_seconds)
    except RecordingError as error:
        return FilePrediction(uri, error=error.kind, message=error.message)
    return predict_features(model, uri, features)


def predict_features(model: Model, file: str, features: "Features") -> FilePrediction:
    """Predict a recording from its features, with segments of the model's length.

    Parameters
    ----------
    model : Model
        One that :func:`jobs.learning.registry.check_fit` has let pass.
    file : str
        Its name.
    features : Features
        Of the recording.
    """
    described = model.description
    rows = features.track[np.newaxis]
    if described.level == "segment" and len(features.segments):
        rows = features.segments
    given = model.probabilities(rows)
    mean = given.mean(axis=0, dtype=np.float64)
    segments = []
    if rows is features.segments:
        step, length = features.segment_step / SAMPLE_RATE, features.segment_length / SAMPLE_RATE
        segments = [
            SegmentPrediction(
                i * step, i * step + length, _best(described, one), _named(described, one)
            )
            for i, one in enumerate(given)
        ]
    return FilePrediction(file, _best(described, mean), _named(described, mean), segments)


def _best(described: Description, probabilities: np.ndarray) -> str:
    return described.classes[int(probabilities.argmax())]


def _named(described: Description, probabilities: np.ndarray) -> dict[str, float]:
    order = np.argsort(-probabilities, kind="stable")
    return {described.classes[i]: float(probabilities[i]) for i in order}


# Every track of the store


@dataclass(frozen=True)
class StoreOutcome:
    """What was predicted of the store's tracks.

    Parameters
    ----------
    model : str
        The version that predicted.
    tracks, segments : int
        Rows that were written; no segments where they were not asked for.
    labels : dict of str to int
        Tracks that were taken for each class.
    """

    model: str
    tracks: int
    segments: int
    labels: dict[str, int]
    seconds: float


def predict_all(
    *,
    store: str | Session,
    segments: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> StoreOutcome:
    """Predict every track of the store, and write ``predictions``.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    segments : bool
        Whether a row for each segment is written too.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Returns
    -------
    StoreOutcome

    Raises
    ------
    SongmillError
        There is no model, or one of other features than the store's.
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    with session.stage("predict") as run:
        described = champion(run.store).description
        settings = run.store.settings
        registry.check_fit(
            described,
            feature_set=settings.feature_set,
            segment_seconds=settings.segment_seconds,
        )
        if segments and described.level == "track":
            raise UsageError(
                f"the model {described.version} knows whole tracks, and no segments: leave out "
                "--segments, or train with --level segment"
            )
        client = run.client()
        used = count_workers(client)
        tracks = _predict_level(client, run, described, write=segments).table(described)
        _say_what_it_does_not_know(tracks, described, session.progress)
        change = commit.Change()
        commit.stage_replacement(run.store, change, PREDICTED_TRACKS, [tracks], tracks.schema)
        schema = predictions(described.classes, segments=True)
        storage = run.store.storage
        names = [entry.name for entry in storage.list(run.work) if ".segments." in entry.name]
        if segments or run.store.parts(PREDICTED_SEGMENTS):
            commit.stage_replacement(
                run.store, change, PREDICTED_SEGMENTS, map(storage.read_table, names), schema
            )
        written = sum(map(storage.count_rows, names))
        counts = pc.value_counts(tracks["predicted"]).to_pylist()
        run.commit(change, message=f"by {described.version}", workers=used)
        return StoreOutcome(
            model=described.version,
            tracks=tracks.num_rows,
            segments=written,
            labels={row["values"]: row["counts"] for row in counts},
            seconds=time.time() - run.started,
        )


def _say_what_it_does_not_know(
    tracks: pa.Table, described: Description, progress: Progress
) -> None:
    labels = tracks["label"]
    classes = pa.array(described.classes, pa.string())
    unknown = labels.filter(pc.and_(pc.is_valid(labels), pc.invert(pc.is_in(labels, classes))))
    if len(unknown):
        names = ", ".join(sorted(pc.unique(unknown).to_pylist())[:MOST_NAMED])
        progress.warn(
            f"tracks of labels that the model does not know ({names}): {len(unknown)}; `songmill "
            "train` makes one that does"
        )


class _Sums:
    """The sums of the probabilities of each track's rows, which may lie in several parts."""

    def __init__(self, n_classes: int) -> None:
        self.place: dict[str, int] = {}
        self.labels: list[str | None] = []
        self._sums: list[np.ndarray] = []
        self._counts: list[int] = []
        self._n_classes = n_classes

    def add(self, found: "_Predicted") -> None:
        """Add the rows of a piece."""
        for track_id, label, total, count in zip(
            found.track_ids, found.labels, found.sums, found.counts, strict=True
        ):
            place = self.place.setdefault(track_id, len(self.place))
            if place == len(self._sums):
                self.labels.append(label)
                self._sums.append(total)
                self._counts.append(count)
            else:
                self._sums[place] = self._sums[place] + total
                self._counts[place] += count

    def table(self, described: Description) -> pa.Table:
        """Return the rows of ``predictions/level=track``."""
        counts = np.array(self._counts, float).reshape(-1, 1)
        sums = np.array(self._sums).reshape(-1, self._n_classes)
        return _rows(
            described,
            predictions(described.classes, segments=False),
            {
                "track_id": pa.array(list(self.place), pa.string()),
                "label": pa.array(self.labels, pa.string()),
            },
            (sums / counts).astype(np.float32),
        )


@dataclass(frozen=True)
class _Predicted:
    """What a worker says of some rows: of each of their tracks, the sums of the probabilities."""

    track_ids: list[str]
    labels: list[str | None]
    sums: np.ndarray
    counts: list[int]


@dataclass(frozen=True)
class _Piece:
    """Rows ``start`` to ``stop`` of a part; ``leave`` names a file with tracks to leave out."""

    root: str
    version: str
    name: str
    start: int
    stop: int
    leave: str | None = None
    write: str | None = None


def _predict_level(client: Any, run: Stage, described: Description, *, write: bool) -> _Sums:
    """Have the workers predict all rows, and return what they say of the tracks."""
    sums = _Sums(len(described.classes))
    level: Level = "segment" if described.level == "segment" else "track"
    table = TABLE_OF[level]
    for found in _predict_parts(client, run, described, table, write=write):
        sums.add(found)
    if level == "segment":
        # Workers that outlive this run keep what they have read, by its name.
        leave = f"{run.work}/{run.run_id}-predicted.parquet"
        run.store.storage.write_table(
            leave, pa.table({"track_id": pa.array(list(sums.place), pa.string())})
        )
        segmented = len(sums.place)
        for found in _predict_parts(client, run, described, TRACKS, leave=leave):
            sums.add(found)
        if len(sums.place) > segmented:
            run.session.progress.warn(
                "tracks without a segment, which are judged by their whole: "
                f"{len(sums.place) - segmented}"
            )
    return sums


def _predict_parts(
    client: Any,
    run: Stage,
    described: Description,
    table: str,
    *,
    leave: str | None = None,
    write: bool = False,
) -> Iterator[_Predicted]:
    """Yield what the workers say of the pieces of a table, in order."""
    storage, progress = run.store.storage, run.session.progress
    pieces: list[_Piece] = []
    for name in run.store.parts(table):
        raise_if_interrupted()
        rows = run.store.read_part(name, []).num_rows
        for start in range(0, rows, READ_ROWS):
            path = f"{run.work}/{len(pieces):08d}.segments.parquet" if write else None
            stop = min(start + READ_ROWS, rows)
            pieces.append(_Piece(storage.root, described.version, name, start, stop, leave, path))
    found: dict[int, _Predicted] = {}
    following = 0
    for place, result in map_unordered(
        client, _predict, ((piece,) for piece in pieces), tick=progress.workers
    ):
        if isinstance(result, BaseException):
            raise ClusterError(f"the workers could not predict {pieces[place].name}: {result!r}")
        found[place] = result
        progress.now(f"{len(found) + following} of {len(pieces)} slices of {table}")
        # Sums depend on their order, and pieces are finished in any.
        while following in found:
            yield found.pop(following)
            following += 1


def _predict(piece: _Piece) -> _Predicted:
    """Predict rows on a worker, and leave those of segments in a file where that is asked for."""
    store = open_store(piece.root)
    model = _model(piece.root, piece.version)
    segments = piece.write is not None
    place = ["segment", "start_s"] if segments else []
    rows = store.read_part(piece.name, ["track_id", "label", *place, *FEATURE_COLUMNS])
    rows = rows.slice(piece.start, piece.stop - piece.start)
    if piece.leave is not None:
        left = _left_out(piece.root, piece.leave)
        rows = rows.filter(pc.invert(pc.is_in(rows["track_id"], value_set=left)))
    given = model.probabilities(feature_matrix(rows))
    if piece.write is not None:
        columns = {name: rows[name] for name in ("track_id", "label", *place)}
        schema = predictions(model.description.classes, segments=True)
        store.storage.write_table(piece.write, _rows(model.description, schema, columns, given))
    ids = rows["track_id"].combine_chunks().dictionary_encode()
    codes, sums, counts = sum_by_track(ids.indices.to_numpy(), given)
    first = np.unique(ids.indices.to_numpy(), return_index=True)[1]
    return _Predicted(
        track_ids=ids.dictionary.take(pa.array(codes)).to_pylist(),
        labels=rows["label"].take(pa.array(first)).to_pylist(),
        sums=sums,
        counts=counts.tolist(),
    )


@functools.lru_cache(maxsize=1)
def _model(root: str, version: str) -> Model:
    return registry.load(open_store(root), version)


@functools.lru_cache(maxsize=1)
def _left_out(root: str, name: str) -> pa.Array:
    return storage_of(root).read_table(name)["track_id"].combine_chunks()


def _rows(
    described: Description, schema: pa.Schema, columns: dict[str, Any], given: np.ndarray
) -> pa.Table:
    """Return rows of predictions."""
    names = pa.array(described.classes, pa.string())
    best = given.argmax(axis=1) if len(given) else np.zeros(0, np.int64)
    columns = {
        **columns,
        "predicted": names.take(pa.array(best)),
        "model": pa.repeat(described.version, len(given)),
    }
    n_known = len(schema) - len(described.classes)
    arrays = [columns[field.name] for field in list(schema)[:n_known]]
    arrays += [pa.array(given[:, i], pa.float32()) for i in range(given.shape[1])]
    return pa.table(arrays, schema=schema)


def as_json(outcome: FilesOutcome | StoreOutcome, *, segments: bool) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    said = asdict(outcome)
    for one in said.get("files", []):
        if not segments:
            del one["segments"]
    return said
