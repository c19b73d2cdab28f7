"""Judging a trained booster on the cluster: on test rows, feature by feature, and what it saw.

Workers read the booster's file and their slices of the store; only numbers come back.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurizer.columns import FEATURE_COLUMNS
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError
from jobs.learning.dataset import Labelled, Rows, load
from jobs.store.address import storage_of
from training.evaluate import Scores, score, score_predicted, sum_by_track
from training.importance import REPEATS, permutation_importance
from training.model import predict

if TYPE_CHECKING:
    from distributed import Client


Tick = Callable[[int], None]
"""Called about every second with the number of the cluster's threads."""


@dataclass(frozen=True)
class OfTracks:
    """How the tracks of the test part are judged.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        Their places among the labelled tracks, ascending.
    truth, predicted : np.ndarray [shape=(n,), int]
        Their classes.
    scores : Scores
        How good that is.
    """

    tracks: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    scores: Scores


@dataclass(frozen=True)
class _Judged:
    """What a worker says of some test rows.

    Of each row ``truth``, ``predicted`` and the probability ``of_truth``; of each track the sums
    of its rows' probabilities, and their counts.
    """

    truth: np.ndarray
    predicted: np.ndarray
    of_truth: np.ndarray
    tracks: np.ndarray
    sums: np.ndarray
    counts: np.ndarray


def judge(
    client: "Client",
    pieces: Iterable[Rows],
    labelled: Labelled,
    trees: str,
    places: np.ndarray,
    *,
    tick: Tick,
) -> tuple[Scores, OfTracks]:
    """Judge a booster by rows, and by the mean probabilities of tracks.

    Parameters
    ----------
    client : Client
        The cluster.
    pieces : iterable of Rows
        The test rows.
    labelled : Labelled
        The tracks that they are of.
    trees : str
        The booster's file in the store, by a name that no other has had: workers keep what they
        have read.
    places : np.ndarray [shape=(n,), int]
        Which of the booster's outputs stands for each class of today, and then, for classes that
        are no more, for these; -1 where it has none.

    Returns
    -------
    Scores, OfTracks
        Of the rows, and of the tracks.
    """
    judged = _in_order(
        map_unordered(client, _judge, ((rows, trees, places) for rows in pieces), tick=tick)
    )
    sums = np.zeros((len(labelled.tracks.ids), len(places)))
    counts = np.zeros(len(sums), np.int64)
    for one in judged:
        sums[one.tracks] += one.sums
        counts[one.tracks] += one.counts
    tracks = np.flatnonzero(counts)
    means = sums[tracks] / counts[tracks, np.newaxis]
    truth = labelled.tracks.labels[tracks]
    rows = score_predicted(
        np.concatenate([one.truth for one in judged]),
        np.concatenate([one.predicted for one in judged]),
        np.concatenate([one.of_truth for one in judged]),
        len(places),
    )
    return rows, OfTracks(tracks, truth, means.argmax(axis=1), score(truth, means))


def importance(
    client: "Client",
    rows: Rows,
    trees: str,
    n_classes: int,
    heard: Callable[[int], None],
    *,
    tick: Tick,
) -> list[dict[str, Any]]:
    """Tell how much each feature matters.

    Parameters
    ----------
    client : Client
        The cluster.
    rows : Rows
        Test rows.
    trees : str
        The booster's file, as for :func:`judge`.
    n_classes : int
        Number of its classes.
    heard : callable
        Called with the number of features that are done.

    Returns
    -------
    list of dict
        Rows of :data:`jobs.store.schemas.IMPORTANCE`, the most important feature first.
    """
    arguments = [(rows, trees, n_classes, i) for i in range(len(FEATURE_COLUMNS))]
    found = _in_order(map_unordered(client, _importance_of, arguments, tick=tick), heard)
    listed = [
        {"feature": name, "mean": mean, "std": std, "repeats": REPEATS}
        for name, (mean, std) in zip(FEATURE_COLUMNS, found, strict=True)
    ]
    return sorted(listed, key=lambda row: -row["mean"])


def fingerprint(client: "Client", pieces: Iterable[Rows], labelled: Labelled, *, tick: Tick) -> str:
    """Return what other rows, or other labels, would hardly give: a SHA-256, in hexadecimals.

    It depends neither on the order of the rows nor on how they are cut.
    """
    total = (
        sum(_in_order(map_unordered(client, _hash, ((rows,) for rows in pieces), tick=tick)))
        % 2**64
    )
    tracks = labelled.tracks
    said = [total, tracks.classes, tracks.ids.tolist(), tracks.labels.tolist()]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _in_order(
    found: Iterable[tuple[int, Any]], heard: Callable[[int], None] = lambda count: None
) -> list[Any]:
    """Return the results in the order of what was asked, on which sums depend."""
    results: dict[int, Any] = {}
    for place, result in found:
        if isinstance(result, BaseException):
            raise ClusterError(f"the workers could not judge the model: {result!r}")
        results[place] = result
        heard(len(results))
    return [results[place] for place in sorted(results)]


# On workers


@functools.lru_cache(maxsize=4)
def _booster(root: str, name: str) -> Any:
    import xgboost

    # Each of a worker's threads has its own rows: more of them would only wait for one another.
    trees = bytearray(storage_of(root).read(name))
    return xgboost.Booster({"nthread": 1}, model_file=trees)


def _judge(rows: Rows, trees: str, places: np.ndarray) -> _Judged:
    loaded = load(rows)
    has = places >= 0
    given = predict(_booster(rows.root, trees), loaded.features, int(has.sum()))
    found = np.zeros((len(given), len(places)), np.float32)
    found[:, has] = given[:, places[has]]
    tracks, sums, counts = sum_by_track(loaded.tracks, found)
    of_truth = found[np.arange(len(found)), loaded.classes]
    return _Judged(loaded.classes, found.argmax(axis=1), of_truth, tracks, sums, counts)


_load_once = functools.lru_cache(maxsize=1)(load)


def _importance_of(rows: Rows, trees: str, n_classes: int, column: int) -> tuple[float, float]:
    loaded = _load_once(rows)
    booster = _booster(rows.root, trees)
    # The shuffles are of rows in an order that does not depend on how the store is cut.
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
