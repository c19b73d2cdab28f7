"""The comparison of models, by default the tutorial's ten, fitted in parallel on the cluster.

The job writes the rows to one file under ``_work``, which each worker reads. A task is one model on
one fold. Its result is kept until the comparison is committed (:mod:`jobs.learning.finished_fits`).
"""

import functools
import hashlib
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import Level, feature_set
from jobs import defaults
from jobs.cluster.pool import WorkerPool
from jobs.cluster.window import map_unordered
from jobs.errors import UsageError
from jobs.inputs.labels import warn_of_few_tracks
from jobs.interruption import raise_if_interrupted
from jobs.learning import finished_fits
from jobs.learning.dataset import Labelled, choose_rows, labelled_tracks
from jobs.learning.groups import group_duplicates
from jobs.learning.split_option import OUTSIDE, Folds, choose_folds, learnt_for
from jobs.progress import Progress, clock
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.address import storage_of
from jobs.store.levels import feature_matrix
from jobs.store.schemas import COMPARISON, comparison_table, complete
from jobs.store.storage import Storage
from jobs.store.tables import Store
from training import splits
from training.bootstrap import LEVEL, resample
from training.classifiers import CLASSIFIERS, MORE_CLASSIFIERS, SLOWEST_FIRST
from training.evaluate import macro_f1, majority_vote

TUTORIAL = "tutorial"
"""The name of the tutorial's ten models together."""

MAX_ROWS = 100_000
"""Maximum rows to compare; of more, whole tracks are sampled. An SVM's time grows quadratically."""

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Half the width of a confidence interval, in standard deviations."""

_SCORES = ("accuracy", "macro_f1", "vote_accuracy", "vote_macro_f1")


@dataclass(frozen=True)
class Outcome:
    """The result of a comparison.

    Parameters
    ----------
    features : str
        Name of the feature set.
    kept : int
        Number of fits that an interrupted comparison had finished.
    rows : list of dict
        Rows of :data:`jobs.store.schemas.COMPARISON`: for each model, a row for each split.
    """

    run_id: str
    features: str
    level: Level
    seconds: float
    kept: int
    rows: list[dict[str, Any]]

    @property
    def failed(self) -> int:
        """Number of rows without scores."""
        return sum(row["accuracy"] is None for row in self.rows)


@dataclass(frozen=True)
class _Assignment:
    """One model on one fold, with the address of the store and its file of rows."""

    root: str
    name: str
    features: str
    split: int
    fold: int
    model: str
    leaky: bool


@dataclass(frozen=True)
class _Assessment:
    """Scores of a model on a fold (None: no votes), seconds to fit, and its library's warnings.

    ``deviations`` are the bootstrap's standard deviations of the scores, over recordings.
    """

    scores: dict[str, float | None]
    seconds: float
    warnings: str
    deviations: dict[str, float] = field(default_factory=dict)


def compare(
    *,
    store: str | Session,
    split: Sequence[str] = (defaults.SPLIT,),
    folds: int = defaults.FOLDS,
    features: str | None = None,
    level: Level | None = None,
    models: str | Sequence[str] = TUTORIAL,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Compare models and write the table ``comparison``.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    split : sequence of str
        One or more splits: as for :func:`jobs.learning.train.train`, and ``random``, the
        leaky split of the tutorial.
    folds : int [range=(2, inf)]
        Number of folds of a split by track or by group.
    features : str, optional
        Name of the feature set to learn from; by default ``rich``, if nearly all tracks of the
        store have it, else ``gtzan``. The table of other sets is ``comparison-NAME``.
    level : {"segment", "track"}, optional
        Rows to learn from; by default segments, if the feature set describes any.
    models : str or sequence of str
        Names of models, as for :func:`choose_models`.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Raises
    ------
    SongmillError
        The comparison failed. A model that fails does not end it: its row says why.
    """
    wanted = choose_models(models)
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    progress = session.progress
    with session.stage("compare") as run:
        progress.step("reading the rows")
        name, level = choose_rows(run.store, features, level)
        labelled = labelled_tracks(run.store, name, level)
        if labelled.unlabelled:
            progress.warn(f"tracks without a label, which are left out: {labelled.unlabelled}")
        labelled = _sample(labelled, progress)
        grouped = group_duplicates(run.store, labelled.tracks, progress)
        labelled = replace(labelled, tracks=grouped)
        chosen = [
            choose_folds(one, run.store, labelled.tracks, folds) for one in dict.fromkeys(split)
        ]
        most_folds = max(len(one.tested) for one in chosen)
        warn_of_few_tracks(labelled.counts(), progress.warn, most_folds)
        for one in chosen:
            left_out = 0 if one.of_track is None else int((one.of_track == OUTSIDE).sum())
            if left_out:
                progress.warn(f"labelled tracks that --split {one.name} leaves out: {left_out}")
            if one.copies:
                progress.warn(
                    f"tracks that are left out when --split {one.name} tests the same recording: "
                    f"{one.copies}"
                )
            if one.ungrouped:
                progress.warn(
                    f"tracks without a group in --split {one.name}, each treated as a group of "
                    f"its own: {one.ungrouped}"
                )
        # The run's name makes it unique: workers outlive the run and cache what they read.
        file = f"{run.work}/{run.run_id}.parquet"
        sizes, digests = _write_rows(run.store, labelled, chosen, file)
        pool = run.pool()
        assignments = [
            _Assignment(run.store.storage.root, file, name, i, fold, model, one.leaky)
            for model in SLOWEST_FIRST
            if model in wanted
            for i, one in enumerate(chosen)
            for fold in one.tested
        ]
        fits = _Fits(run.store.storage, chosen, digests, assignments, progress)
        fits.run(pool)
        rows = [
            {
                **dict.fromkeys(COMPARISON.names),
                "run_id": run.run_id,
                "compared_at": datetime.now(UTC),
                "level": level,
                "split": one.name,
                "leaky": one.leaky,
                "model": model,
                "folds": len(one.tested),
                "rows": sizes[i][0],
                "tracks": sizes[i][1],
                **_summary(fits.of(i, model)),
            }
            for model in wanted
            for i, one in enumerate(chosen)
        ]
        change = commit.Change()
        commit.stage_table(
            run.store,
            change,
            comparison_table(name),
            [pa.Table.from_pylist(rows, schema=COMPARISON)],
            edit=functools.partial(_drop_rows, level, [one.name for one in chosen]),
            tidy=True,
        )
        run.commit(change, workers=pool.most_workers)
        finished_fits.clear(run.store.storage)
        return Outcome(run.run_id, name, level, time.time() - run.started, fits.kept, rows)


def choose_models(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of models, in their fixed order.

    Parameters
    ----------
    names : str or sequence of str
        Names of :data:`training.classifiers.CLASSIFIERS` and ``MORE_CLASSIFIERS``, and
        :data:`TUTORIAL`. Text has commas between them. Spaces may be hyphens, XGB may be written
        as xgboost, and case does not matter.

    Raises
    ------
    UsageError
        A model does not exist; the message lists those that do.

    Examples
    --------
    >>> choose_models("lda,decision-tree")
    ('decision tree', 'LDA')
    """
    listed = (*CLASSIFIERS, *MORE_CLASSIFIERS)
    known = {_key(name): (name,) for name in listed} | {TUTORIAL: CLASSIFIERS}
    chosen: set[str] = set()
    for name in names.split(",") if isinstance(names, str) else names:
        if _key(name) not in known:
            hyphenated = ", ".join(name.replace(" ", "-") for name in (TUTORIAL, *listed))
            raise UsageError(f"there is no model {name.strip()!r} to compare: use {hyphenated}")
        chosen.update(known[_key(name)])
    return tuple(name for name in listed if name in chosen)


def _key(name: str) -> str:
    return name.strip().lower().replace("-", " ").replace("xgboost", "xgb")


def _sample(labelled: Labelled, progress: Progress) -> Labelled:
    """Return a random sample of the tracks, with MAX_ROWS rows at most."""
    rows = labelled.rows
    if rows.sum() <= MAX_ROWS:
        return labelled
    chosen = np.zeros(len(rows), bool)
    total = 0
    for track in np.random.default_rng(splits.SEED).permutation(len(rows)).tolist():
        # Skip a track that is too long, and go on: shorter ones may still fit.
        if total + rows[track] <= MAX_ROWS:
            chosen[track] = True
            total += int(rows[track])
    progress.warn(
        f"{int(rows.sum()):,} rows are too many to compare models. A random sample is used: "
        f"{total:,} rows of {int(chosen.sum()):,} tracks"
    )
    tracks = labelled.tracks
    return replace(
        labelled,
        tracks=replace(tracks, ids=tracks.ids[chosen], labels=tracks.labels[chosen]),
        rows=rows[chosen],
    )


def _write_rows(
    store: Store, labelled: Labelled, chosen: list[Folds], file: str
) -> tuple[list[tuple[int, int]], list[str]]:
    """Write the rows for the workers.

    Return the number of rows and tracks of each split, and a digest of its rows and folds.
    """
    tracks = labelled.tracks
    ids = pa.array(tracks.ids, pa.string())
    found: list[pa.Table] = []
    order = ["track_id", *(["segment"] if labelled.level == "segment" else [])]
    names = feature_set(labelled.features).names
    for part in store.parts(labelled.table):
        raise_if_interrupted()
        rows = store.read_part(part, [*order, *names])
        index = pc.index_in(rows["track_id"], value_set=ids)
        found.append(rows.append_column("track", index).filter(pc.is_valid(index)))
    # The order of the published table, on which the tutorial's split depends.
    rows = pa.concat_tables(found).sort_by([(name, "ascending") for name in order])
    index = rows["track"].to_numpy()
    columns: dict[str, Any] = {
        "track": index,
        "class": tracks.labels[index],
        "recording": tracks.group_of_track[index],
        **{name: rows[name].to_numpy() for name in names},
    }
    digest = hashlib.sha256(repr(names).encode())
    for values in columns.values():
        digest.update(np.ascontiguousarray(values).data)
    sizes, digests = [], []
    for i, folds in enumerate(chosen):
        fold = np.zeros(len(index), int) if folds.of_track is None else folds.of_track[index]
        columns[f"fold {i}"] = fold
        taken = fold != OUTSIDE
        sizes.append((int(taken.sum()), len(np.unique(index[taken]))))
        of_split = digest.copy()
        of_split.update(np.ascontiguousarray(fold, np.int64).data)
        digests.append(of_split.hexdigest())
    store.storage.write_table(file, pa.table(columns))
    return sizes, digests


@functools.lru_cache(maxsize=1)
def _read_rows(root: str, name: str, features: str) -> tuple[pa.Table, np.ndarray]:
    table = storage_of(root).read_table(name)
    return table, feature_matrix(table, features, np.float64)


def _assess(assignment: _Assignment) -> _Assessment:
    """Fit a model to all folds but one, and score it on that one. Runs on a worker.

    Tracks of other folds that are the same recording as a test track are left out. Classes without
    training rows are never predicted. Scaling and encoding see only training rows; with the leaky
    split, scaling sees all rows, as in the tutorial.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import LabelEncoder, MinMaxScaler
    from threadpoolctl import threadpool_limits

    from training.classifiers import make_classifier

    table, features = _read_rows(assignment.root, assignment.name, assignment.features)
    classes, tracks = table["class"].to_numpy(), table["track"].to_numpy()
    model = make_classifier(assignment.model)
    if assignment.leaky:
        features = MinMaxScaler().fit_transform(features)
        learn, test = splits.random_rows(len(classes))
    else:
        model = make_pipeline(MinMaxScaler(), model)
        fold = table[f"fold {assignment.split}"].to_numpy()
        test = np.flatnonzero(fold == assignment.fold)
        recordings = table["recording"].to_numpy()
        learn = np.flatnonzero(learnt_for(assignment.fold, fold, recordings))
    encoder = LabelEncoder().fit(classes[learn])
    # More threads would change the order of sums, and take more than the worker's core.
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.perf_counter()
        model.fit(features[learn], encoder.transform(classes[learn]))
        seconds = time.perf_counter() - began
        predicted = encoder.inverse_transform(model.predict(features[test]))
    messages = {str(warning.message).splitlines()[0] for warning in caught}
    truth, recordings = classes[test], table["recording"].to_numpy()[test]
    scores: dict[str, float | None] = dict.fromkeys(_SCORES)
    deviations: dict[str, float] = {}
    n_classes = int(classes.max()) + 1

    def assess(prefix: str, truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> None:
        (resampled,) = resample(truth, [predicted], n_classes, groups)
        scores[f"{prefix}accuracy"] = float(np.mean(predicted == truth))
        scores[f"{prefix}macro_f1"] = macro_f1(truth, predicted)
        deviations[f"{prefix}accuracy"] = float(resampled.accuracy.std())
        deviations[f"{prefix}macro_f1"] = float(resampled.macro_f1.std())

    assess("", truth, predicted, recordings)
    if len(np.unique(tracks)) < len(tracks):
        _, first = np.unique(tracks[test], return_index=True)
        voted = majority_vote(tracks[test], predicted, n_classes)
        assess("vote_", truth[first], voted, recordings[first])
    return _Assessment(scores, seconds, "; ".join(sorted(messages)), deviations)


@dataclass
class _Fits:
    """The fits of a comparison: those of an interrupted one, and the others as they finish.

    ``digests`` are those of :func:`_write_rows`, one for each of the ``splits``.
    """

    storage: Storage
    splits: list[Folds]
    digests: list[str]
    assignments: list[_Assignment]
    progress: Progress
    kept: int = 0
    results: dict[_Assignment, _Assessment | BaseException] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys = {self._key(one): one for one in self.assignments}
        for name, result in finished_fits.read(self.storage, keys).items():
            with suppress(TypeError):  # damaged, or of an older songmill
                self.results[keys[name]] = _Assessment(**result)
        self.kept = len(self.results)
        if self.kept:
            kept = f"{self.kept} of {len(self.assignments)}"
            self.progress.write("info", f"fits of an interrupted comparison: {kept}")

    def _key(self, one: _Assignment) -> str:
        digest = self.digests[one.split]
        return finished_fits.key(digest, one.features, one.leaky, one.fold, one.model)

    def of(self, split: int, model: str) -> list[_Assessment | BaseException]:
        """Return the results so far of a model on the folds of a split."""
        return [
            result
            for one, result in self.results.items()
            if (one.split, one.model) == (split, model)
        ]

    def run(self, pool: WorkerPool) -> None:
        """Do the fits that are left."""
        from distributed.scheduler import KilledWorker

        left = [one for one in self.assignments if one not in self.results]
        tasks = ((one,) for one in left)
        for index, result in map_unordered(pool, _assess, tasks, tick=self._tick):
            if not isinstance(result, KilledWorker):
                self._add(left[index], result)
        # Dask blames every task of a worker that died. A task that dies alone is to blame.
        for assignment in [one for one in left if one not in self.results]:
            for _, result in map_unordered(pool, _assess, [(assignment,)], tick=self._tick):
                self._add(assignment, result)

    def _tick(self, threads: int) -> None:
        self.progress.workers(threads)
        done, total = len(self.results), len(self.assignments)
        text = f"{done} of {total} fits, {threads} at a time"
        left = _seconds_left(self.results, self.assignments, threads)
        self.progress.update(text if left is None else f"{text}, at most about {clock(left)} left")

    def _add(self, assignment: _Assignment, result: _Assessment | BaseException) -> None:
        """Keep a result. Show the scores of a model that has them for all folds of a split."""
        self.results[assignment] = result
        if isinstance(result, _Assessment):
            finished_fits.write(self.storage, self._key(assignment), asdict(result))
        split = self.splits[assignment.split]
        results = self.of(assignment.split, assignment.model)
        if len(results) == len(split.tested):
            found = _summary(results)
            scores = f"no scores: {found['message']}"
            if "accuracy" in found:
                scores = f"accuracy {found['accuracy']:.3f}, macro F1 {found['macro_f1']:.3f}, "
                scores += f"{found['seconds']:.1f} s to fit"
            self.progress.write("info", f"{assignment.model}, {split.name}: {scores}")


def _seconds_left(
    results: Mapping[_Assignment, _Assessment | BaseException],
    assignments: Sequence[_Assignment],
    threads: int,
) -> float | None:
    """Return an estimate of the seconds until all fits are finished; None without results.

    It is an upper bound: slow models start first, and a model without results counts as the
    quickest of the others.
    """
    seconds: dict[str, list[float]] = {}
    for one, result in results.items():
        if isinstance(result, _Assessment):
            seconds.setdefault(one.model, []).append(result.seconds)
    means = {model: sum(found) / len(found) for model, found in seconds.items()}
    if not means:
        return None
    quickest = min(means.values())
    left = [means.get(one.model, quickest) for one in assignments if one not in results]
    return sum(left) / max(threads, 1)


def _summary(results: Sequence[_Assessment | BaseException]) -> dict[str, Any]:
    """Return means over folds with their spread and interval, or the reason for a failure."""
    failed = [_reason(result) for result in results if isinstance(result, BaseException)]
    if failed:
        return {"message": min(failed)}
    done = [result for result in results if isinstance(result, _Assessment)]
    found: dict[str, Any] = {}
    for name in _SCORES:
        values = [score for one in done if (score := one.scores[name]) is not None]
        if values:
            # Folds finish in any order, on which exact sums do not depend.
            mean = math.fsum(values) / len(values)
            variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
            found |= {name: mean, f"{name}_std": math.sqrt(variance)}
        if values and all(name in one.deviations for one in done):
            # Folds have different tracks, so the noise of their scores is independent.
            noise = math.fsum(one.deviations[name] ** 2 for one in done)
            margin = _Z * math.sqrt(noise) / len(done)
            found |= {f"{name}_lower": max(mean - margin, 0.0)}
            found |= {f"{name}_upper": min(mean + margin, 1.0)}
    found["seconds"] = sum(one.seconds for one in done) / len(done)
    found["message"] = "; ".join(sorted({one.warnings for one in done} - {""})) or None
    return found


def _reason(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "its workers died repeatedly: too little memory?"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _drop_rows(level: Level, names: list[str], rows: pa.Table) -> pa.Table:
    """Return the rows without those of earlier comparisons of the same level and splits."""
    of_splits = pc.is_in(rows["split"], value_set=pa.array(names))
    same = pc.and_(pc.equal(rows["level"], level), of_splits)
    rows = complete(rows, COMPARISON)
    return rows.filter(pc.invert(same)) if pc.any(same).as_py() else rows


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON output."""
    return {**asdict(outcome), "failed": outcome.failed}
