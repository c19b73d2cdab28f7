"""Predictions of recordings, by the champion unless another model is chosen.

A file of the store that the model has learnt is predicted by the model of its fold, which has not.

A model of segments predicts a recording by the mean of its segments' probabilities; a recording
shorter than one segment by the features of the whole. A recording that is too short for the model's
feature set has no prediction.
"""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import SAMPLE_RATE
from featurizer.errors import RecordingError
from featurizer.feature_set import FeatureSet, feature_sets
from featurizer.process import single_thread
from jobs.inputs.database import explain_full_disk
from jobs.inputs.listing import list_sources
from jobs.inputs.recordings import open_recording
from jobs.inputs.sources import Paths
from jobs.learning import registry
from jobs.learning.folds import FoldedModel
from jobs.progress import Progress
from jobs.store.schemas import PUBLISHED
from jobs.store.tables import Store, current_settings, open_store
from training.model import Description, Model
from training.predictor import Kind

if TYPE_CHECKING:
    from featurizer.extract import Features

LEARNT = "The model has learnt this recording, so its probabilities are too high."
"""Caution for a prediction that is not out of fold."""


@dataclass(frozen=True)
class SegmentPrediction:
    """The prediction of a segment.

    Parameters
    ----------
    start_s, end_s : float
        Start and end in the recording, in seconds.
    predicted : str
        The most probable class.
    probabilities : dict of str to float
        Probability of each class.
    """

    start_s: float
    end_s: float
    predicted: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class FilePrediction:
    """The prediction of a recording.

    Parameters
    ----------
    file : str
        Path or address.
    predicted : str or None
        The most probable class; None if the file gave no features.
    learnt : bool
        Whether the model has learnt this recording, so that the probabilities say little.
    probabilities : dict of str to float
        Probability of each class, the most probable first.
    segments : list of SegmentPrediction
        Empty for a model of tracks, or if the recording is shorter than a segment.
    error, message : str or None
        Why there is no prediction: a :data:`featurizer.errors.FailureKind`, and a sentence.
    """

    file: str
    predicted: str | None = None
    learnt: bool = False
    probabilities: dict[str, float] = field(default_factory=dict)
    segments: list[SegmentPrediction] = field(default_factory=list)
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class FilesOutcome:
    """The predictions of recordings.

    Parameters
    ----------
    model : str
        Version of the model.
    files : list of FilePrediction
        In the order of the files.
    """

    model: str
    files: list[FilePrediction]

    @property
    def failed(self) -> int:
        """Number of files without a prediction."""
        return sum(one.error is not None for one in self.files)


@explain_full_disk()
def predict_files(
    files: Paths,
    *,
    store: str | Store,
    features: str | None = None,
    model: Kind | None = None,
    progress: Progress | None = None,
) -> FilesOutcome:
    """Predict recordings, which need not be in the store, one after another.

    Parameters
    ----------
    files : str, path, or sequence of them
        Files, folders, globs or list files, as for an extraction.
    store : str or Store
        The store with the model, or its address.
    features : str, optional
        Name of the feature set that the model was trained on. If the champion was trained on
        another one, the newest such model predicts.
    model : {"lda", "xgboost"}, optional
        Kind of the model, in the same way.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Raises
    ------
    SongmillError
        A file does not exist, or the store has no such model for this songmill's features.

    Examples
    --------
    >>> predict_files(["music/rock/0.wav"], store="trained").failed
    0
    """
    progress = progress or Progress()
    store = open_store(store)
    described = registry.choose(store, progress, features=features, kind=model)
    recordings = list(list_sources(files).recordings())
    chosen = ChosenModel(store, described, [recording.uri for recording in recordings])
    predictions: list[FilePrediction] = []
    with single_thread():
        for recording in recordings:
            progress.update(f"{len(predictions)} of {len(recordings)} files")
            found = _predict_file(chosen, recording.uri, recording.path)
            if found.error:
                progress.warn(f"{found.file}: {found.error}: {found.message}")
            predictions.append(found)
    return FilesOutcome(described.version, predictions)


class ChosenModel:
    """A model of a store, to predict recordings.

    Parameters
    ----------
    store : Store
        The store.
    described : Description
        The model's description.
    uris : list of str
        Absolute paths or public addresses of the recordings, as in the table ``files``.

    Raises
    ------
    StoreError
        The model is damaged, or needs other features than this songmill has.
    """

    def __init__(self, store: Store, described: Description, uris: list[str]) -> None:
        self.description = described
        settings = current_settings(feature_sets(), self.description.segment_seconds)
        self.features: FeatureSet = registry.check_fit(
            self.description, settings, store.storage.root
        )
        self._models = FoldedModel(store, self.description)
        self._track_of: dict[str, str] = {}
        wanted = pa.array(uris, pa.string())
        for batch in store.read_batches("files", ["uri", "track_id"]):
            known = pa.table(batch).filter(pc.is_in(batch["uri"], value_set=wanted))
            self._track_of.update(zip(*(column.to_pylist() for column in known), strict=True))

    def predict(self, file: str, uri: str, found: "Features") -> FilePrediction:
        """Predict the recording ``file`` from its features, with segments of the model's length."""
        track = pa.array([self._track_of.get(uri)], pa.string())
        [index], [learnt] = self._models.learnt.choose(track)
        model = self._models[index]
        return _predict_features(model, self.features, file, found, learnt=bool(learnt))


def _predict_file(model: ChosenModel, uri: str, path: str) -> FilePrediction:
    from featurizer.extract import extract

    sets, seconds = (model.features.name,), model.description.segment_seconds
    try:
        with open_recording(path) as source:
            found = extract(source, sets=sets, segment_seconds=seconds)
    except RecordingError as error:
        return FilePrediction(uri, error=error.kind, message=error.message)
    return model.predict(uri, uri, found)


def _predict_features(
    model: Model, features: FeatureSet, file: str, found: "Features", *, learnt: bool
) -> FilePrediction:
    described = model.description
    of_set = found.rows[features.name]
    by_segment = described.level == "segment" and len(of_set.segments) > 0
    if of_set.track is None:
        message = of_set.too_short
        if features.name != PUBLISHED:
            message = f"{message} `predict --features {PUBLISHED}` takes shorter ones."
        return FilePrediction(file, error="too-short", message=message)
    rows = of_set.segments if by_segment else of_set.track[np.newaxis]
    probabilities = model.probabilities(rows)
    mean = probabilities.mean(axis=0, dtype=np.float64)
    segments = []
    if by_segment:
        step, length = found.segment_step / SAMPLE_RATE, found.segment_length / SAMPLE_RATE
        segments = [
            SegmentPrediction(i * step, i * step + length, *_by_class(described, row))
            for i, row in enumerate(probabilities)
        ]
    predicted, by_class = _by_class(described, mean)
    return FilePrediction(file, predicted, learnt, by_class, segments)


def _by_class(described: Description, probabilities: np.ndarray) -> tuple[str, dict[str, float]]:
    """Return the most probable class, and the probability of each, the most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    by_class = {described.classes[i]: float(probabilities[i]) for i in order}
    return next(iter(by_class)), by_class


def as_json(outcome: FilesOutcome, *, segments: bool) -> dict[str, Any]:
    """Return the JSON output, with or without the segments of each file."""
    found = asdict(outcome)
    for one in found["files"] if not segments else []:
        del one["segments"]
    return found
