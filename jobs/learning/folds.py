"""Models of folds: each predicts the tracks of its fold, and has learnt all other labelled tracks.

A training assigns its labelled tracks to folds and fits such a model for each. They are kept with
the model that has learnt all tracks, so that a prediction of a labelled track is out of fold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.learning import registry
from jobs.learning.dataset import Rows, load_share
from jobs.learning.ordered import map_ordered
from jobs.store.tables import Store
from training.model import Description, Model
from training.predictor import SUFFIXES, Kind, Predictor, Trees, read_predictor, to_bytes
from training.splits import NO_FOLD

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

MAX_TASK_ROWS = 40_000
"""Rows up to which one task fits the model of a fold.

Then the models of the folds are fitted side by side. Of more rows, all workers together fit one
model after the other.
"""


def fit_side_by_side(
    pool: "WorkerPool",
    shares: Iterable[Rows],
    kind: Kind,
    classes: tuple[str, ...],
    rounds: int,
    *,
    tick: Callable[[int], None],
    on_result: Callable[[int], None],
) -> list[Predictor]:
    """Fit a model to each of some shares of rows, one task and one thread for each.

    The models are the same for any number of workers. ``rounds`` are boosting rounds. ``tick`` is
    called about every second with the number of threads, and ``on_result`` after each model with
    the number of fitted ones.

    Raises
    ------
    UsageError
        Rows that this kind of model cannot learn from.
    ClusterError
        A task failed.
    """
    found = map_ordered(
        pool,
        _fit,
        ((rows, kind, classes, rounds, fold) for fold, rows in enumerate(shares)),
        purpose="learn from the folds",
        tick=tick,
        on_result=on_result,
    )
    return [read_predictor(f"fold{SUFFIXES[kind]}", content) for content in found]


def _fit(rows: Rows, kind: Kind, classes: tuple[str, ...], rounds: int, fold: int) -> bytes:
    """Fit a model on a worker; return the content of its file."""
    if kind == "lda":
        from jobs.learning.distributed_lda import fit_lda_alone

        return to_bytes(fit_lda_alone(rows, classes))
    from jobs.learning.distributed_boosting import train_alone
    from training.boosting import PARAMETERS, Share, seed_of_fold

    parameters = {**PARAMETERS, "num_class": len(classes), "seed": seed_of_fold(fold)}
    trained = train_alone(load_share, Share(rows), parameters, rounds, threads=1)
    return to_bytes(Trees(trained["booster"], len(classes)))


@dataclass(frozen=True)
class Learnt:
    """The tracks that a version's models have learnt.

    Parameters
    ----------
    ids : pa.Array [shape=(n_tracks,), string]
        Names of the tracks.
    folds : np.ndarray [shape=(n_tracks,), range=[-1, n_folds), int]
        Fold of each; :data:`training.splits.NO_FOLD` if every model has learnt the track.
    n_folds : int
        Number of folds.
    is_complete : bool
        Whether all tracks that were learnt are listed.
    """

    ids: pa.Array
    folds: np.ndarray
    n_folds: int
    is_complete: bool = True

    def choose(self, track_ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Return the model that predicts each track, and whether it has learnt the track.

        Parameters
        ----------
        track_ids : pa.Array or pa.ChunkedArray [shape=(n,), string]
            Names of tracks; null for a recording that is no track of the store.

        Returns
        -------
        model : np.ndarray [shape=(n,), range=[0, n_folds], int]
            The track's fold, whose model has not learnt it; ``n_folds``, which stands for the model
            of all tracks, if it has none.
        learnt : np.ndarray [shape=(n,), bool]
            Whether that model has learnt the track, or may have.

        Examples
        --------
        >>> learnt = Learnt(pa.array(["a.wav", "b.wav", "c.wav"]), np.array([1, 0, -1]), 2)
        >>> learnt.choose(pa.array(["a.wav", "c.wav", "new.wav"]))
        (array([1, 2, 2]), array([False,  True, False]))
        """
        index = pc.fill_null(pc.index_in(track_ids, value_set=self.ids), -1).to_numpy()
        fold = np.append(self.folds, NO_FOLD)[index]
        may_be_learnt = index >= 0
        if not self.is_complete:
            may_be_learnt = pc.is_valid(track_ids).to_numpy(zero_copy_only=False)
        learnt = (fold == NO_FOLD) & may_be_learnt
        return np.where(fold == NO_FOLD, self.n_folds, fold), learnt


def read_learnt(store: Store, described: Description) -> Learnt:
    """Return the tracks that a version's models have learnt; StoreError if its files are damaged.

    An older songmill fitted no models of folds. Its model has learnt the tracks of its split, and
    those that the split left out, which are not listed.
    """
    if described.folds is None:
        table = registry.read_table(store, described.version, registry.SPLIT)
        folds, n_folds = np.full(table.num_rows, NO_FOLD), 0
        is_complete = table.num_rows == described.data["tracks"]
    else:
        table = registry.read_folds(store, described)
        folds = table["fold"].fill_null(NO_FOLD).to_numpy().astype(np.int64)
        n_folds, is_complete = described.folds, True
    return Learnt(table["track_id"].combine_chunks(), folds, n_folds, is_complete)


class FoldedModel:
    """A version's model and those of its folds, each loaded when it is first needed.

    Parameters
    ----------
    store : Store
        The store.
    described : Description
        The version's description.

    Raises
    ------
    StoreError
        A file of the version is damaged; also from the methods.
    """

    def __init__(self, store: Store, described: Description) -> None:
        self.description = described
        self.learnt = read_learnt(store, described)
        self._store = store
        self._loaded: dict[int, Model] = {}

    def __getitem__(self, index: int) -> Model:
        """Return the model with an index of :meth:`Learnt.choose`."""
        if index not in self._loaded:
            stem = model_stems(self.learnt.n_folds)[index]
            self._loaded[index] = registry.load(self._store, self.description.version, stem)
        return self._loaded[index]

    def probabilities(self, features: np.ndarray, track_ids: pa.ChunkedArray) -> np.ndarray:
        """Return the probability of each class, by the model that predicts the row's track.

        Parameters
        ----------
        features : np.ndarray [shape=(n, n_columns), float]
            As for :meth:`training.model.Model.probabilities`.
        track_ids : pa.ChunkedArray [shape=(n,), string]
            Track of each row.

        Returns
        -------
        np.ndarray [shape=(n, n_classes), range=[0, 1], float32]
        """
        model_of, _ = self.learnt.choose(track_ids)
        found = np.zeros((len(features), len(self.description.classes)), np.float32)
        for index in np.unique(model_of).tolist():
            found[model_of == index] = self[index].probabilities(features[model_of == index])
        return found


def held_out_models(
    store: Store, described: Description, ids: np.ndarray
) -> tuple[list[Predictor], np.ndarray]:
    """Return models of a version, and for each track one of them that has not learnt it.

    Parameters
    ----------
    store : Store
        The store.
    described : Description
        The version's description.
    ids : np.ndarray [shape=(n_tracks,), str]
        Names of tracks.

    Returns
    -------
    models : list of Predictor
        Those of the folds and of all tracks.
    model_of : np.ndarray [shape=(n_tracks,), range=[-1, n_models), int]
        Index of each track's model; -1 if all models have learnt it.

    Raises
    ------
    StoreError
        A file of the version is damaged.
    """
    folded = FoldedModel(store, described)
    model_of, is_learnt = folded.learnt.choose(pa.array(ids, pa.string()))
    models = [folded[i].predictor for i in range(folded.learnt.n_folds + 1)]
    return models, np.where(is_learnt, -1, model_of)


def judged_model(
    store: Store, described: Description, ids: np.ndarray
) -> tuple[list[Predictor], np.ndarray]:
    """Return what :func:`held_out_models` does, with the model of the training part alone."""
    judged = registry.load(store, described.version, registry.JUDGED).predictor
    parts = registry.read_split(store, described.version)
    is_learnt = np.array([parts.get(i) in ("train", "valid") for i in ids.tolist()], bool)
    return [judged], np.where(is_learnt, -1, 0)


def model_stems(n_folds: int) -> list[str]:
    """Return the stems of the files of the models of :meth:`Learnt.choose`, in their order.

    Examples
    --------
    >>> model_stems(2)
    ['fold-0', 'fold-1', 'model']
    """
    return [*(registry.fold_stem(fold) for fold in range(n_folds)), registry.FINAL]
