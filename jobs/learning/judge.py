"""Scores, feature importance and data fingerprint of a model, computed on the cluster.

Workers read the model's file of trees or numbers, and their slices of the store. Only numbers are
sent back. The name of the model's file must be unique, because workers cache what they read.
``tick`` is called about every second with the number of the cluster's threads.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurizer.feature_set import feature_set
from jobs.defaults import FOLDS
from jobs.learning.dataset import Labelled, Rows, load
from jobs.learning.ordered import map_ordered
from jobs.store.address import storage_of
from jobs.store.levels import hash_rows
from training.evaluate import Scores, score, score_predicted, sum_by_track
from training.importance import REPEATS, permutation_importance
from training.predictor import Predictor, read_predictor

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

MIN_BLOCK_COLUMNS = 100
"""Columns of a feature set from which on its blocks are shuffled too, not only single columns."""

Tick = Callable[[int], None]

_PURPOSE = "judge the model"


@dataclass(frozen=True)
class TrackPredictions:
    """Predictions for the tracks of the test part, with their scores.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        Indices of the tracks among the labelled ones, ascending.
    truth, predicted : np.ndarray [shape=(n,), int]
        True and predicted class of each.
    scores : Scores
        Scores by track.
    """

    tracks: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    scores: Scores


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of labelled tracks, each by a model that has not learnt the track.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        Indices of the tracks among the labelled ones, ascending.
    truth : np.ndarray [shape=(n,), int]
        True class of each.
    probabilities : np.ndarray [shape=(n, n_classes), range=[0, 1], float64]
        Mean probabilities of each track's rows.
    """

    tracks: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each track [shape=(n,), int]."""
        return np.asarray(self.probabilities.argmax(axis=1))


def evaluate(
    pool: "WorkerPool",
    pieces: Iterable[Rows],
    labelled: Labelled,
    model: str,
    outputs: np.ndarray,
    *,
    groups: np.ndarray,
    tick: Tick,
) -> tuple[Scores, TrackPredictions]:
    """Score the model in the file ``model`` by row, and by the mean probabilities of each track.

    ``groups`` [shape=(n_tracks,), int] has the group of each labelled track, for the intervals.
    ``outputs`` [shape=(n_classes,), int] has the index of the model's output for each current
    class, followed by classes that no longer exist; -1 for a class that the model does not know.
    """
    arguments = ((rows, model, outputs) for rows in pieces)
    found = list(map_ordered(pool, _predict, arguments, purpose=_PURPOSE, tick=tick))
    tracks, means = _mean_by_track((of_tracks for _, of_tracks in found), labelled, len(outputs))
    truth = labelled.tracks.labels[tracks]
    tracks_of_rows, classes, predicted, true_probability = map(
        np.concatenate, zip(*(rows for rows, _ in found), strict=True)
    )
    of_rows = groups[tracks_of_rows]
    by_row = score_predicted(classes, predicted, true_probability, len(outputs), of_rows)
    by_track = score(truth, means, groups[tracks])
    return by_row, TrackPredictions(tracks, truth, means.argmax(axis=1), by_track)


def out_of_fold(
    pool: "WorkerPool",
    pieces: Iterable[Rows],
    labelled: Labelled,
    models: Sequence[str],
    outputs: np.ndarray,
    *,
    tick: Tick,
) -> OutOfFold:
    """Predict tracks by several models: those of part ``i`` by the model in the file ``models[i]``.

    ``outputs`` is that of :func:`evaluate`.
    """
    arguments = ((rows, tuple(models), outputs) for rows in pieces)
    found = map_ordered(pool, _predict_by_part, arguments, purpose=_PURPOSE, tick=tick)
    tracks, means = _mean_by_track(found, labelled, len(outputs))
    return OutOfFold(tracks, labelled.tracks.labels[tracks], means)


def _mean_by_track(
    found: Iterable["_Arrays"], labelled: Labelled, n_outputs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tracks that have rows, ascending, and their mean probabilities."""
    sums = np.zeros((len(labelled.tracks.ids), n_outputs))
    counts = np.zeros(len(sums), np.int64)
    for tracks, sums_of_piece, counts_of_piece in found:
        sums[tracks] += sums_of_piece
        counts[tracks] += counts_of_piece
    tracks = np.flatnonzero(counts)
    return tracks, sums[tracks] / counts[tracks, np.newaxis]


def importance(
    pool: "WorkerPool",
    rows: Rows,
    model: str,
    on_result: Callable[[int, int], None],
    *,
    tick: Tick,
) -> list[dict[str, Any]]:
    """Return the permutation importance of each feature for the model in the file ``model``.

    The result is rows of :data:`jobs.store.schemas.IMPORTANCE`, the most important feature first.
    ``on_result`` is called after each of the shuffles with their number, finished and in all.
    """
    shuffled = shuffled_columns(rows.features)
    arguments = [(rows, model, columns) for columns in shuffled.values()]
    found = map_ordered(
        pool,
        _importance_of,
        arguments,
        purpose=_PURPOSE,
        tick=tick,
        on_result=lambda done: on_result(done, len(arguments)),
    )
    listed = [
        {"feature": name, "mean": mean, "std": std, "repeats": REPEATS}
        for name, (mean, std) in zip(shuffled, found, strict=True)
    ]
    return sorted(listed, key=lambda row: -row["mean"])


def shuffled_columns(features: str) -> dict[str, list[int]]:
    """Return the indices of the columns that are shuffled together, by the name of the shuffle.

    Each column is shuffled alone; of sets with many columns, each block too.

    Examples
    --------
    >>> found = shuffled_columns("rich")
    >>> found["texture_mfcc01_logstd_of_means"], len(found["texture_*"])
    ([1], 90)
    """
    columns = feature_set(features).columns
    found = {column.name: [i] for i, column in enumerate(columns)}
    if len(columns) >= MIN_BLOCK_COLUMNS:
        for i, column in enumerate(columns):
            found.setdefault(f"{column.block}_*", []).append(i)
    return found


def digests_of_tracks(
    pool: "WorkerPool", pieces: Iterable[Rows], labelled: Labelled, *, tick: Tick
) -> np.ndarray:
    """Return a digest of the rows of each labelled track [shape=(n_tracks,), uint64].

    It does not depend on the order of the rows, or on the parts that hold them: it is the sum of
    :func:`jobs.store.levels.hash_rows`.
    """
    found = np.zeros(len(labelled.tracks.ids), np.uint64)
    arguments = ((rows,) for rows in pieces)
    for tracks, hashes in map_ordered(pool, _hash, arguments, purpose=_PURPOSE, tick=tick):
        np.add.at(found, tracks, hashes)
    return found


def fingerprint(digests: np.ndarray, labelled: Labelled) -> str:
    """Return a SHA-256 of the digests of tracks and their labels, in hexadecimal."""
    tracks = labelled.tracks
    hashed = [digests.tolist(), tracks.classes, tracks.ids.tolist(), tracks.labels.tolist()]
    return hashlib.sha256(json.dumps(hashed).encode()).hexdigest()


# On workers


@functools.lru_cache(maxsize=2 * FOLDS)
def _predictor(root: str, name: str) -> Predictor:
    return read_predictor(name, storage_of(root).read(name))


_Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def _predict(rows: Rows, model: str, outputs: np.ndarray) -> tuple[tuple[np.ndarray, ...], _Arrays]:
    """Return each row's track, class, prediction and probability of its class; sums by track."""
    loaded = load(rows)
    found = _probabilities(rows.root, model, loaded.features, outputs)
    of_classes = found[np.arange(len(found)), loaded.classes]
    of_rows = loaded.tracks, loaded.classes, found.argmax(axis=1), of_classes
    return of_rows, sum_by_track(loaded.tracks, found)


def _predict_by_part(rows: Rows, models: tuple[str, ...], outputs: np.ndarray) -> _Arrays:
    """Return the sums by track of the probabilities by the model of each track's part."""
    loaded = load(rows)
    found = np.zeros((len(loaded.tracks), len(outputs)), np.float32)
    for part in np.unique(loaded.parts).tolist():
        chosen = loaded.parts == part
        found[chosen] = _probabilities(rows.root, models[part], loaded.features[chosen], outputs)
    return sum_by_track(loaded.tracks, found)


def _probabilities(root: str, model: str, features: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the probability of each current class [shape=(n, n_classes), float32]."""
    known = outputs >= 0
    given = _predictor(root, model).probabilities(features)
    found = np.zeros((len(given), len(outputs)), np.float32)
    found[:, known] = given[:, outputs[known]]
    return found


_load_once = functools.lru_cache(maxsize=1)(load)


def _importance_of(rows: Rows, model: str, columns: Sequence[int]) -> tuple[float, float]:
    loaded = _load_once(rows)
    # An order that does not depend on the parts of the store, so that the shuffles do not either.
    order = np.lexsort((loaded.features[:, 0], loaded.tracks))
    return permutation_importance(
        _predictor(rows.root, model).probabilities,
        loaded.features[order],
        loaded.classes[order],
        columns,
    )


def _hash(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the tracks of rows, and the sum of the hashes of each track's rows."""
    loaded = load(rows)
    tracks, index = np.unique(loaded.tracks, return_inverse=True)
    sums = np.zeros(len(tracks), np.uint64)
    np.add.at(sums, index, hash_rows(loaded.features))
    return tracks, sums
