"""Scores, feature importance and data fingerprint of a booster, computed on the cluster.

Workers read the booster's file and their slices of the store. Only numbers are sent back. The name
of the booster's file must be unique, because workers cache what they read. ``tick`` is called about
every second with the number of the cluster's threads.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurizer.feature_set import feature_set
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError
from jobs.learning.dataset import Labelled, Rows, load
from jobs.store.address import storage_of
from training.evaluate import Scores, score, score_predicted, sum_by_track
from training.importance import REPEATS, permutation_importance
from training.model import predict

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

_FEATURES = feature_set("gtzan").names

Tick = Callable[[int], None]


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


def evaluate(
    pool: "WorkerPool",
    pieces: Iterable[Rows],
    labelled: Labelled,
    trees: str,
    outputs: np.ndarray,
    *,
    tick: Tick,
) -> tuple[Scores, TrackPredictions]:
    """Score the booster in the file ``trees`` by row, and by the mean probabilities of each track.

    ``outputs`` [shape=(n_classes,), int] has the index of the booster's output for each current
    class, followed by classes that no longer exist; -1 for a class that the booster does not know.
    """
    arguments = ((rows, trees, outputs) for rows in pieces)
    found = _in_order(map_unordered(pool, _predict, arguments, tick=tick))
    sums = np.zeros((len(labelled.tracks.ids), len(outputs)))
    counts = np.zeros(len(sums), np.int64)
    for _, (tracks, sums_of_piece, counts_of_piece) in found:
        sums[tracks] += sums_of_piece
        counts[tracks] += counts_of_piece
    tracks = np.flatnonzero(counts)
    means = sums[tracks] / counts[tracks, np.newaxis]
    truth = labelled.tracks.labels[tracks]
    classes, predicted, true_probability = map(
        np.concatenate, zip(*(rows for rows, _ in found), strict=True)
    )
    by_row = score_predicted(classes, predicted, true_probability, len(outputs))
    return by_row, TrackPredictions(tracks, truth, means.argmax(axis=1), score(truth, means))


def importance(
    pool: "WorkerPool",
    rows: Rows,
    trees: str,
    n_classes: int,
    on_feature: Callable[[int], None],
    *,
    tick: Tick,
) -> list[dict[str, Any]]:
    """Return the permutation importance of each feature for the booster in the file ``trees``.

    The result is rows of :data:`jobs.store.schemas.IMPORTANCE`, the most important feature first.
    ``on_feature`` is called after each feature with the number of finished features.
    """
    arguments = [(rows, trees, n_classes, i) for i in range(len(_FEATURES))]
    found = _in_order(map_unordered(pool, _importance_of, arguments, tick=tick), on_feature)
    listed = [
        {"feature": name, "mean": mean, "std": std, "repeats": REPEATS}
        for name, (mean, std) in zip(_FEATURES, found, strict=True)
    ]
    return sorted(listed, key=lambda row: -row["mean"])


def fingerprint(
    pool: "WorkerPool", pieces: Iterable[Rows], labelled: Labelled, *, tick: Tick
) -> str:
    """Return a SHA-256 of rows and labels, in hexadecimal.

    It does not depend on the order of the rows, or on the parts that hold them.
    """
    hashes = _in_order(map_unordered(pool, _hash, ((rows,) for rows in pieces), tick=tick))
    tracks = labelled.tracks
    hashed = [sum(hashes) % 2**64, tracks.classes, tracks.ids.tolist(), tracks.labels.tolist()]
    return hashlib.sha256(json.dumps(hashed).encode()).hexdigest()


def _in_order(
    found: Iterable[tuple[int, Any]], on_result: Callable[[int], None] = lambda count: None
) -> list[Any]:
    """Return the results in the order of the tasks, because floating-point sums depend on it."""
    results: dict[int, Any] = {}
    for index, result in found:
        if isinstance(result, BaseException):
            raise ClusterError(f"the workers could not judge the model: {result!r}")
        results[index] = result
        on_result(len(results))
    return [results[index] for index in sorted(results)]


# On workers


@functools.lru_cache(maxsize=4)
def _booster(root: str, name: str) -> Any:
    import xgboost

    # Each thread of a worker has its own rows. More threads would only compete for the cores.
    trees = bytearray(storage_of(root).read(name))
    return xgboost.Booster({"nthread": 1}, model_file=trees)


_Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def _predict(rows: Rows, trees: str, outputs: np.ndarray) -> tuple[_Arrays, _Arrays]:
    """Return each row's class, prediction and probability of its class; and the sums by track."""
    loaded = load(rows)
    known = outputs >= 0
    given = predict(_booster(rows.root, trees), loaded.features, int(known.sum()))
    found = np.zeros((len(given), len(outputs)), np.float32)
    found[:, known] = given[:, outputs[known]]
    of_rows = loaded.classes, found.argmax(axis=1), found[np.arange(len(found)), loaded.classes]
    return of_rows, sum_by_track(loaded.tracks, found)


_load_once = functools.lru_cache(maxsize=1)(load)


def _importance_of(rows: Rows, trees: str, n_classes: int, column: int) -> tuple[float, float]:
    loaded = _load_once(rows)
    booster = _booster(rows.root, trees)
    # An order that does not depend on the parts of the store, so that the shuffles do not either.
    order = np.lexsort((loaded.features[:, 0], loaded.tracks))
    return permutation_importance(
        lambda features: predict(booster, features, n_classes),
        loaded.features[order],
        loaded.classes[order],
        column,
    )


def _hash(rows: Rows) -> int:
    import pandas as pd

    loaded = load(rows)
    frame = pd.DataFrame(loaded.features)
    frame["track"] = loaded.tracks
    return int(pd.util.hash_pandas_object(frame, index=False).to_numpy().sum(dtype=np.uint64))
