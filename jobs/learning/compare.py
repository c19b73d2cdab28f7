"""The comparison: the tutorial's ten models, fitted side by side on the cluster.

The job writes the rows once, under ``_work``, and each worker reads them from there. A piece of
work is one model on one fold.
"""

import functools
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS
from jobs import defaults
from jobs.cluster.failures import count_workers
from jobs.cluster.window import map_unordered
from jobs.interruption import raise_if_interrupted
from jobs.learning.dataset import Labelled, labelled_tracks
from jobs.learning.split_option import OUTSIDE, Folds, choose_folds
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.address import storage_of
from jobs.store.levels import TABLE_OF, Level, choose_level, feature_matrix
from jobs.store.schemas import COMPARISON
from jobs.store.tables import Store
from training import splits
from training.classifiers import CLASSIFIERS, SLOWEST_FIRST
from training.evaluate import macro_f1, majority_vote

MOST_ROWS = 100_000
"""Of more rows a sample of whole tracks is compared: an SVM's time grows with their square."""

_SCORES = ("accuracy", "macro_f1", "vote_accuracy", "vote_macro_f1")


@dataclass(frozen=True)
class Outcome:
    """What a comparison found.

    Parameters
    ----------
    rows : list of dict
        Rows of :data:`jobs.store.schemas.COMPARISON`, a model after the other, each for
        every split.
    """

    run_id: str
    level: Level
    seconds: float
    rows: list[dict[str, Any]]

    @property
    def failed(self) -> int:
        """Number of rows that have no scores."""
        return sum(row["accuracy"] is None for row in self.rows)


@dataclass(frozen=True)
class Assignment:
    """One model on one fold.

    Parameters
    ----------
    root : str
        The store's.
    name : str
        The file of the store with the rows.
    split : int
        Which split: the number in the name of its column of folds.
    fold : int
        The fold to test with.
    model : str
        Of :data:`training.classifiers.CLASSIFIERS`.
    leaky : bool
        Whether it is the tutorial's split, of rows, with its scaling over all rows.
    """

    root: str
    name: str
    split: int
    fold: int
    model: str
    leaky: bool


@dataclass(frozen=True)
class Assessment:
    """How a model did on a fold.

    Parameters
    ----------
    scores : dict of str to (float or None)
        Accuracy and macro F1, of rows and of tracks by vote; the latter None where every track
        has but one row.
    seconds : float
        To fit.
    remark : str
        What its library said about the fit.
    """

    scores: dict[str, float | None]
    seconds: float
    remark: str


def compare(
    *,
    store: str | Session,
    split: Sequence[str] = (defaults.SPLIT,),
    folds: int = defaults.FOLDS,
    level: Level | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Compare the ten models and write the ``comparison`` table.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    split : sequence of str
        One or more splits: as for :func:`jobs.learning.train.train`, and ``random``, the
        tutorial's, which is leaky.
    folds : int [range=(2, inf)]
        Folds of a split by track or by group.
    level : {"segment", "track"}, optional
        Rows to learn from; by default segments, where there are any.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Returns
    -------
    Outcome

    Raises
    ------
    SongmillError
        The comparison cannot go on. A model that fails does not end it: its row says why.
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    progress = session.progress
    with session.stage("compare") as run:
        progress.say("reading the rows")
        level = choose_level(run.store, level)
        labelled = labelled_tracks(run.store, level)
        if labelled.unlabelled:
            progress.warn(f"tracks without a label, which are left out: {labelled.unlabelled}")
        labelled = _sample(labelled, progress)
        chosen = [
            choose_folds(one, run.store, labelled.tracks, folds) for one in dict.fromkeys(split)
        ]
        for one in chosen:
            left_out = 0 if one.of_track is None else int((one.of_track == OUTSIDE).sum())
            if left_out:
                progress.warn(
                    f"labelled tracks that --split {one.name} does not name, which take no "
                    f"part: {left_out}"
                )
            if one.ungrouped:
                progress.warn(
                    f"tracks without a group in --split {one.name}, each of which is taken for "
                    f"one by itself: {one.ungrouped}"
                )
        # Workers of a cluster that stays keep the rows that they have read, by this name.
        name = f"{run.work}/{run.run_id}.parquet"
        sizes = _write_rows(run.store, labelled, chosen, name)
        client = run.client()
        assignments = [
            Assignment(run.store.storage.root, name, i, fold, model, one.leaky)
            for model in SLOWEST_FIRST
            for i, one in enumerate(chosen)
            for fold in one.tested
        ]
        found = _assess_all(client, assignments, progress)
        rows = _rows(run, level, chosen, sizes, found)
        change = commit.Change()
        commit.stage_table(
            run.store,
            change,
            "comparison",
            [pa.Table.from_pylist(rows, schema=COMPARISON)],
            edit=_without(level, [one.name for one in chosen]),
            tidy=True,
        )
        run.commit(change, workers=count_workers(client))
        return Outcome(run.run_id, level, time.time() - run.started, rows)


def _sample(labelled: Labelled, progress: Progress) -> Labelled:
    """Return the tracks that are compared."""
    rows = labelled.rows
    if rows.sum() <= MOST_ROWS:
        return labelled
    chosen = np.zeros(len(rows), bool)
    total = 0
    for track in np.random.default_rng(splits.SEED).permutation(len(rows)).tolist():
        # A track that is longer than the room that is left must not keep out the others.
        if total + rows[track] <= MOST_ROWS:
            chosen[track] = True
            total += int(rows[track])
    progress.warn(
        f"{int(rows.sum()):,} rows are more than ten models can be compared with: {total:,} rows "
        f"of {int(chosen.sum()):,} tracks, drawn at random, are"
    )
    tracks = labelled.tracks
    return replace(
        labelled,
        tracks=replace(tracks, ids=tracks.ids[chosen], labels=tracks.labels[chosen]),
        rows=rows[chosen],
    )


def _write_rows(
    store: Store, labelled: Labelled, chosen: list[Folds], name: str
) -> list[tuple[int, int]]:
    """Write what workers need; return how many rows and tracks each split has."""
    tracks = labelled.tracks
    ids = pa.array(tracks.ids, pa.string())
    found: list[pa.Table] = []
    order = ["track_id", *(["segment"] if labelled.level == "segment" else [])]
    for part in store.parts(TABLE_OF[labelled.level]):
        raise_if_interrupted()
        rows = store.read_part(part, [*order, *FEATURE_COLUMNS])
        place = pc.index_in(rows["track_id"], value_set=ids)
        found.append(rows.append_column("track", place).filter(pc.is_valid(place)))
    # The order of the published table, on which the tutorial's split depends.
    rows = pa.concat_tables(found).sort_by([(name, "ascending") for name in order])
    place = rows["track"].to_numpy()
    columns: dict[str, Any] = {"track": place, "class": tracks.labels[place]}
    sizes = []
    for i, folds in enumerate(chosen):
        fold = np.zeros(len(place), int) if folds.of_track is None else folds.of_track[place]
        columns[f"fold {i}"] = fold
        taken = fold != OUTSIDE
        sizes.append((int(taken.sum()), len(np.unique(place[taken]))))
    columns |= {name: rows[name] for name in FEATURE_COLUMNS}
    store.storage.write_table(name, pa.table(columns))
    return sizes


@functools.lru_cache(maxsize=1)
def _read_rows(root: str, name: str) -> tuple[pa.Table, np.ndarray]:
    table = storage_of(root).read_table(name)
    return table, feature_matrix(table, np.float64)


def assess(assignment: Assignment) -> Assessment:
    """Fit one model to all folds but one, and judge it by that: on a worker.

    Classes that the training rows lack are never predicted. Scaling and encoding see the training
    rows only, but for the leaky split, where the scaling sees all rows as in the tutorial.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import LabelEncoder, MinMaxScaler
    from threadpoolctl import threadpool_limits

    from training.classifiers import make_classifier

    table, features = _read_rows(assignment.root, assignment.name)
    classes, tracks = table["class"].to_numpy(), table["track"].to_numpy()
    model = make_classifier(assignment.model)
    if assignment.leaky:
        features = MinMaxScaler().fit_transform(features)
        learn, test = splits.random_rows(len(classes))
    else:
        model = make_pipeline(MinMaxScaler(), model)
        fold = table[f"fold {assignment.split}"].to_numpy()
        test = np.flatnonzero(fold == assignment.fold)
        learn = np.flatnonzero((fold != assignment.fold) & (fold != OUTSIDE))
    encoder = LabelEncoder().fit(classes[learn])
    # With more threads sums come in another order, and a worker would take more than its core.
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.perf_counter()
        model.fit(features[learn], encoder.transform(classes[learn]))
        seconds = time.perf_counter() - began
        predicted = encoder.inverse_transform(model.predict(features[test]))
    remarks = {str(warning.message).splitlines()[0] for warning in caught}
    truth = classes[test]
    scores: dict[str, float | None] = dict.fromkeys(_SCORES)
    scores["accuracy"] = float(np.mean(predicted == truth))
    scores["macro_f1"] = macro_f1(truth, predicted)
    if len(np.unique(tracks)) < len(tracks):
        _, first = np.unique(tracks[test], return_index=True)
        voted = majority_vote(tracks[test], predicted, int(classes.max()) + 1)
        scores["vote_accuracy"] = float(np.mean(voted == truth[first]))
        scores["vote_macro_f1"] = macro_f1(truth[first], voted)
    return Assessment(scores, seconds, "; ".join(sorted(remarks)))


def _assess_all(
    client: Any, assignments: list[Assignment], progress: Progress
) -> dict[tuple[int, str], list[Assessment | BaseException]]:
    """Return what became of every fold of a split and a model."""
    from distributed.scheduler import KilledWorker

    found: dict[tuple[int, str], list[Assessment | BaseException]] = defaultdict(list)
    again: list[Assignment] = []
    done = 0

    def tick(threads: int) -> None:
        progress.workers(threads)
        progress.now(f"{done} of {len(assignments)} fits, {threads} at a time")

    for place, result in map_unordered(client, assess, ((one,) for one in assignments), tick=tick):
        assignment = assignments[place]
        if isinstance(result, KilledWorker):
            again.append(assignment)
            continue
        done += 1
        found[assignment.split, assignment.model].append(result)
    # Dask blames whatever was with a worker that died: alone, each dies of itself only.
    for assignment in again:
        for _, result in map_unordered(client, assess, [(assignment,)], tick=tick):
            done += 1
            found[assignment.split, assignment.model].append(result)
    return found


def _rows(
    run: Stage,
    level: Level,
    chosen: list[Folds],
    sizes: list[tuple[int, int]],
    found: dict[tuple[int, str], list[Assessment | BaseException]],
) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    rows = []
    for model in CLASSIFIERS:
        for i, folds in enumerate(chosen):
            results = found[i, model]
            row: dict[str, Any] = dict.fromkeys(COMPARISON.names)
            row |= {
                "run_id": run.run_id,
                "compared_at": datetime.now(UTC),
                "level": level,
                "split": folds.name,
                "leaky": folds.leaky,
                "model": model,
                "folds": len(folds.tested),
                "rows": sizes[i][0],
                "tracks": sizes[i][1],
            }
            row |= _summary(results)
            rows.append(row)
    return rows


def _summary(results: Iterable[Assessment | BaseException]) -> dict[str, Any]:
    """Return the mean and the spread over folds, or why there are none."""
    done, failed = [], []
    for result in results:
        if isinstance(result, BaseException):
            failed.append(_reason(result))
        else:
            done.append(result)
    if failed:
        return {"message": min(failed)}
    found: dict[str, Any] = {}
    for name in _SCORES:
        values = [score for one in done if (score := one.scores[name]) is not None]
        if values:
            # Folds are finished in any order, and exact sums do not depend on it.
            mean = math.fsum(values) / len(values)
            spread = math.fsum((value - mean) ** 2 for value in values) / len(values)
            found |= {name: mean, f"{name}_std": math.sqrt(spread)}
    found["seconds"] = sum(one.seconds for one in done) / len(done)
    found["message"] = "; ".join(sorted({one.remark for one in done} - {""})) or None
    return found


def _reason(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "its worker died of it, again and again: too little memory?"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _without(level: Level, names: list[str]) -> commit.Edit:
    """Return an edit that drops what earlier comparisons said of the same rows and splits."""

    def edit(rows: pa.Table) -> pa.Table:
        same = pc.and_(
            pc.equal(rows["level"], level), pc.is_in(rows["split"], value_set=pa.array(names))
        )
        return rows.filter(pc.invert(same)) if pc.any(same).as_py() else rows

    return edit


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {**asdict(outcome), "failed": outcome.failed}
