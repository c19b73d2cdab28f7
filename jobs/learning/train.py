"""Training: an evaluated model, a final model of all rows, and the choice of the champion.

Of two kinds of models, the one that predicts the validation part better is evaluated. Tracks keep
their part of the split from one training to the next. The champion and the new model are thus
compared on current rows of tracks that neither was trained on. Both are compared by the model of
their training part, not by the one of all rows.
"""

import functools
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from featurizer.feature_set import Level, feature_set
from jobs import defaults
from jobs.cluster.failures import translate_errors
from jobs.cluster.fitness import songmill_version
from jobs.errors import ClusterError, StoreError, UsageError, command_for
from jobs.inputs.labels import warn_of_few_tracks
from jobs.learning import registry
from jobs.learning.dataset import RowPlan, choose_rows, labelled_tracks, load_share
from jobs.learning.folds import MAX_TASK_ROWS, fit_side_by_side
from jobs.learning.groups import count_duplicates, group_duplicates
from jobs.learning.judge import (
    OutOfFold,
    TrackPredictions,
    digests_of_tracks,
    evaluate,
    fingerprint,
    importance,
    out_of_fold,
)
from jobs.learning.promotion import Answers, Earlier, Verdict, decide, read_earlier
from jobs.learning.score_tables import confusion_table, metrics_table, overall_scores
from jobs.learning.split_option import OUTSIDE, choose_parts
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.schemas import FOLDS, IMPORTANCE, PUBLISHED, SPLIT
from training import splits
from training.evaluate import Scores
from training.lda import Lda
from training.model import Description, digest
from training.predictor import KINDS, SUFFIXES, Kind, Predictor, Trees, kind_of, to_bytes
from training.splits import NO_FOLD, PARTS, TEST, TRAIN, VALID, Part

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

ModelChoice = Literal["auto", "lda", "xgboost"]

MIN_SHARE_ROWS = 20_000
"""Minimum rows per worker. With fewer, communication takes longer than training."""

MAX_IMPORTANCE_VALUES = 285_000
"""Test rows times columns for the feature importance: 5,000 rows of the 57 published features.

Of more rows, whole tracks are sampled. The time grows with both.
"""

ALL_FOLDS = tuple(range(defaults.FOLDS + 1))
"""Codes of the folds, and of the tracks without a fold."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Parameters
    ----------
    predictor : Predictor
        Its trees or numbers.
    rounds : int
        Boosting rounds; 0 without trees.
    workers : int
        Number of workers that fitted it.
    """

    predictor: Predictor
    rounds: int
    workers: int


@dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Parameters
    ----------
    description : Description
        The model's ``model.json``.
    per_class : dict of str to dict
        Scores of each class by track: ``precision``, ``recall``, ``f1``, ``support``.
    importance : list of dict
        Rows of ``importance.parquet``, the most important feature first.
    """

    description: Description
    verdict: Verdict
    per_class: dict[str, dict[str, float]]
    importance: list[dict[str, Any]]
    seconds: float


def train(
    *,
    store: str | Session,
    split: str = defaults.SPLIT,
    features: str | None = None,
    level: Level | None = None,
    model: ModelChoice = "auto",
    tolerance: float = defaults.TOLERANCE,
    promote: bool | None = None,
    keep_models: int = defaults.KEEP_MODELS,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Train a model, evaluate it, and promote it unless it is worse than the champion.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    split : str
        How to divide the tracks into training, validation and test part: ``by-track``,
        ``by-group:COLUMN``, or the path of a CSV with the columns ``track_id`` and ``set``.
    features : str, optional
        Name of the feature set to learn from; by default ``rich``, if nearly all tracks of the
        store have it, else ``gtzan``.
    level : {"segment", "track"}, optional
        Rows to learn from; by default segments, if the feature set describes any.
    model : {"auto", "lda", "xgboost"}
        Linear discriminant analysis, boosted trees, or by default the better on the validation
        part.
    tolerance : float [range=[0, 1]]
        Loss of macro F1 by track, beyond its confidence interval, with which the new model still
        becomes the champion.
    promote : bool, optional
        Whether the new model becomes the champion; by default if its score is not worse
        (:mod:`training.promotion`).
    keep_models : int
        Models kept besides the champion, the newest ones. Older ones are removed.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Raises
    ------
    SongmillError
        Training failed. The models of the store are unchanged.
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    with session.stage("train") as stage:
        session.progress.step("reading names and labels")
        name, level = choose_rows(stage.store, features, level)
        training = _Training(stage, split, name, level, model, tolerance, promote)
        outcome = training.work(stage.pool())
        try:
            removed = registry.remove_old(stage.store, keep_models, outcome.description.version)
        except OSError as error:  # the new model is committed
            session.progress.warn(f"old models cannot be removed: {error}")
            removed = []
        if removed:
            session.progress.write("info", f"old models removed: {len(removed)}")
        return outcome


@dataclass
class _Training:
    """A running training."""

    stage: Stage
    split: str
    features: str
    level: Level
    model: ModelChoice
    tolerance: float
    promote: bool | None

    def __post_init__(self) -> None:
        self.store = self.stage.store
        self.progress = self.stage.session.progress
        labelled = labelled_tracks(self.store, self.features, self.level)
        tracks = group_duplicates(self.store, labelled.tracks, self.progress)
        self.labelled = replace(labelled, tracks=tracks)
        self.champion, known, self.no_comparison = self._read_champion()
        self.record, self.best = self._read_best()
        chosen = choose_parts(self.split, self.store, tracks, known)
        self.parts, self.groups = chosen.of_track, chosen.groups
        outside = int((self.parts == OUTSIDE).sum()) - chosen.copies
        copies = (
            f"tracks left out until the final model, because --split {self.split} has the same "
            "recording in the test or validation part"
        )
        for what, count in (
            ("tracks without a label, which are left out", labelled.unlabelled),
            (
                f"labelled tracks that --split {self.split} leaves out until the final model",
                outside,
            ),
            (copies, chosen.copies),
            ("tracks without a group, each treated as a group of its own", chosen.ungrouped),
        ):
            if count:
                self.progress.warn(f"{what}: {count}")
        warn_of_few_tracks(self.labelled.counts(), self.progress.warn, defaults.FOLDS)
        self.plan = self._plan("roster", self.parts)
        self.has_validation = bool(self.plan.count((VALID,)))
        grouped = replace(tracks, groups=chosen.groups)
        self.folds = splits.cross_validation_folds(grouped, defaults.FOLDS)
        self.kinds: tuple[Kind, ...] = KINDS if self.model == "auto" else (self.model,)
        self.candidates: dict[str, float] = {}
        self._warn_without_validation()

    def _warn_without_validation(self) -> None:
        """Say what a training without a validation part does, and choose a kind of model for it."""
        from training.boosting import FIXED_ROUNDS

        if self.has_validation:
            return
        without = "no track is left for the part 'valid'"
        if self.model == "auto":
            # The published features are few, and no lines divide their classes well.
            self.kinds = KINDS[::-1] if self.features == PUBLISHED else KINDS
            self.progress.warn(f"{without} to choose a kind of model by: --model {self.kinds[0]}")
        if self.kinds[0] == "xgboost":
            self.progress.warn(f"{without}: {FIXED_ROUNDS} rounds, without early stopping")

    def _read_champion(self) -> tuple[Earlier | None, dict[str, Part] | None, str]:
        """Return the champion, or None and the reason; and its parts, if it has the same split.

        Tracks keep these parts.
        """
        reason = "it is the first"
        if self.promote is False:
            reason = "--no-promote"
        elif registry.versions(self.store):
            reason = "the store has no champion"
        try:
            version = registry.champion(self.store)
            if version is None:
                return None, None, reason
            described = registry.describe(self.store, version)
            try:
                registry.check_fit(described, self.store.settings, self.store.storage.root)
            except StoreError as error:
                return None, None, f"the champion cannot be judged: {error}"
            same_split = described.split["name"] == self.split
            parts = registry.read_split(self.store, version) if same_split else None
            return read_earlier(self.store, described, self.labelled.tracks), parts, ""
        except StoreError as error:
            if not self.promote:
                command = command_for(self.store.storage.root, "train --promote")
                raise StoreError(f"{error}; or replace it by `{command}`") from None
            self.progress.warn(str(error))
            return None, None, reason

    def _read_best(self) -> tuple[registry.Best | None, Earlier | None]:
        """Return the best champion so far on this split; the champion, if none is known."""
        if self.champion is None:
            return None, None
        record = registry.best(self.store)
        described = self.champion.described
        if record is None or record.split != self.split:
            same_split = described.split["name"] == self.split
            record = registry.Best(described.version, self.split) if same_split else None
        if record is None or record.version == described.version:
            return record, self.champion if record else None
        try:
            of_record = registry.describe(self.store, record.version)
            return record, read_earlier(self.store, of_record, self.labelled.tracks)
        except StoreError as error:
            self.progress.warn(f"the best champion so far cannot be judged: {error}")
            return registry.Best(described.version, self.split), self.champion

    def _plan(self, roster: str, parts: np.ndarray, **rows: Any) -> RowPlan:
        """Return the rows of ``parts``; ``rows`` may name another feature set and level."""
        labelled = replace(self.labelled, **rows)
        return RowPlan(self.store, labelled, self._work_file(f"{roster}.parquet"), parts)

    def _work_file(self, name: str) -> str:
        # The run's name makes it unique: workers outlive the run and cache what they read.
        return f"{self.stage.work}/{self.stage.run_id}-{name}"

    def work(self, pool: "WorkerPool") -> Outcome:
        """Train, evaluate, decide, train again on all rows, commit."""
        with translate_errors(pool.client):
            pool.wait(self.progress.workers)
        newcomer = self._learn(pool)
        kind = kind_of(newcomer.predictor)
        of_folds = self._fit_folds(pool, kind, newcomer)
        classes = self.labelled.tracks.classes
        with translate_errors(pool.client):
            self.progress.step("judging")
            file = self._write_model("newcomer", newcomer.predictor)
            outputs = np.arange(len(classes))
            by_row, tracks = self._evaluate(pool, file, outputs, self.plan, TEST)
            found = None
            if of_folds:
                found = self._out_of_fold(pool, "folds", of_folds, self.folds, outputs)
                right = np.mean(found.truth == found.predicted)
                count = len(found.truth)
                self.progress.write(
                    "info", f"right out of fold: {right:.1%} of {count:,} labelled tracks"
                )
            verdict, record = self._decide(pool, tracks, found)
            self.progress.step("shuffling features, one after the other")
            feature_importance = self._importance(pool, file)
            pieces = self.plan_of_all.pieces(ALL_FOLDS)
            digests = digests_of_tracks(pool, pieces, self.labelled, tick=self.progress.workers)
        final = self._fit(
            pool, kind, "learning from all rows", self.plan_of_all, ALL_FOLDS, like=newcomer
        )
        scores = {"track": tracks.scores} | ({"segment": by_row} if self.level == "segment" else {})
        files = {
            f"{stem}{SUFFIXES[kind]}": to_bytes(fitted.predictor)
            for stem, fitted in ((registry.FINAL, final), (registry.JUDGED, newcomer))
        }
        for fold, predictor in enumerate(of_folds):
            files[f"{registry.fold_stem(fold)}{SUFFIXES[kind]}"] = to_bytes(predictor)
        data = fingerprint(digests, self.labelled)
        description = self._describe(final, files, scores, data)
        files[registry.MODEL_JSON] = description.to_json()
        takes_part = self.parts != OUTSIDE
        ids = pa.array(self.labelled.tracks.ids[takes_part], pa.string())
        sets = pa.array([PARTS[code] for code in self.parts[takes_part]], pa.string())
        folds = pa.array(self.folds, pa.int32(), mask=self.folds == NO_FOLD)
        all_tracks = pa.array(self.labelled.tracks.ids, pa.string())
        labels = pa.array(np.array(classes, object)[self.labelled.tracks.labels], pa.string())
        learnt = [all_tracks, folds, labels, pa.array(self.labelled.rows), pa.array(digests)]
        tables = {
            registry.SPLIT: pa.table([ids, sets], schema=SPLIT),
            registry.FOLDS: pa.table(learnt, schema=FOLDS),
            "metrics.parquet": metrics_table(scores, classes, verdict),
            "confusion.parquet": confusion_table(scores, classes),
            "importance.parquet": pa.Table.from_pylist(feature_importance, schema=IMPORTANCE),
        }
        change = commit.Change()
        registry.stage_model(self.store, change, description.version, files, tables)
        record = record or registry.Best(description.version, self.split)
        if verdict.promoted:
            registry.stage_champion(self.store, change, description.version, record)
        elif self.best:
            registry.stage_best(self.store, change, record)
        promoted = "promoted" if verdict.promoted else "not promoted"
        self.stage.commit(change, message=f"{promoted}: {verdict.reason}", workers=final.workers)
        return Outcome(
            description=description,
            verdict=verdict,
            per_class=dict(zip(classes, map(asdict, tracks.scores.classes), strict=True)),
            importance=feature_importance,
            seconds=time.time() - self.stage.started,
        )

    def _learn(self, pool: "WorkerPool") -> Fitted:
        """Fit the kinds of models to the training part; return the one that is to be judged."""
        found: dict[Kind, Fitted] = {}
        for kind in self.kinds:
            try:
                found[kind] = self._fit(pool, kind, "learning", self.plan, (TRAIN,))
            except UsageError as error:  # rows that one kind cannot learn from
                if self.model != "auto":
                    raise
                self.progress.warn(str(error))
            if found and not self.has_validation:
                break
        if len(found) > 1:
            self.progress.step("choosing the kind of model by the validation part")
            outputs = np.arange(len(self.labelled.tracks.classes))
            for kind, fitted in found.items():
                file = self._write_model(kind, fitted.predictor)
                _, tracks = self._evaluate(pool, file, outputs, self.plan, VALID)
                self.candidates[kind] = tracks.scores.macro_f1
            shown = ", ".join(f"{kind} {score:.3f}" for kind, score in self.candidates.items())
            self.progress.write("info", f"macro F1 by track of the validation part: {shown}")
        return max(found.items(), key=lambda item: self.candidates.get(item[0], 0.0))[1]

    def _fit_folds(self, pool: "WorkerPool", kind: Kind, like: Fitted) -> list[Predictor]:
        """Fit a model for each fold, to all tracks but those of the fold.

        The rounds of trees or the temperature of an analysis are those of the model ``like``. If
        the kind of model cannot learn from the rows, there are no folds.
        """
        count, plan, what = self.n_folds, self.plan_of_all, "learning without each fold"
        others = [tuple(code for code in ALL_FOLDS if code != fold) for fold in range(count)]
        self.progress.step(what)
        try:
            if max(map(plan.count, others), default=0) > MAX_TASK_ROWS:
                return [
                    self._fit(pool, kind, what, plan, wanted, like=like, fold=fold).predictor
                    for fold, wanted in enumerate(others)
                ]
            with translate_errors(pool.client):
                found = fit_side_by_side(
                    pool,
                    (plan.shares(wanted, 1)[0] for wanted in others),
                    kind,
                    self.labelled.tracks.classes,
                    like.rounds,
                    tick=self.progress.workers,
                    on_result=lambda done: self.progress.update(f"{what}: {done} of {count}"),
                )
            return [_tempered(one, like) for one in found]
        except UsageError as error:
            self.progress.warn(f"no track can be predicted out of fold: {error}")
            self.folds = np.full(len(self.folds), NO_FOLD)
            return []

    def _out_of_fold(
        self,
        pool: "WorkerPool",
        name: str,
        models: Sequence[Predictor],
        model_of: np.ndarray,
        outputs: np.ndarray,
        **rows: Any,
    ) -> OutOfFold:
        """Predict each labelled track by the model with its index ``model_of``; -1 for none.

        ``name`` is unique among the predictions of this training, and ``rows`` may name another
        feature set and level.
        """
        files = [self._write_model(f"{name}-{i}", model) for i, model in enumerate(models)]
        pieces = self._plan(name, model_of, **rows).pieces(tuple(range(len(files))))
        tick = self.progress.workers
        return out_of_fold(pool, pieces, self.labelled, files, outputs, tick=tick)

    @property
    def n_folds(self) -> int:
        """Number of folds with tracks."""
        return int(self.folds.max()) + 1

    def _fit(
        self,
        pool: "WorkerPool",
        kind: Kind,
        what: str,
        plan: RowPlan,
        wanted: tuple[int, ...],
        *,
        like: Fitted | None = None,
        fold: int = 0,
    ) -> Fitted:
        """Fit a model to parts of a plan.

        The rounds of trees or the temperature of an analysis are those of the model ``like``; by
        default those that suit the validation part. An analysis of segments has the temperature 1.
        The seed of trees is that of a ``fold``.
        """
        if kind == "xgboost":
            rounds = like.rounds if like else None
            return self._boost(pool, what, plan, wanted, rounds=rounds, fold=fold)
        from jobs.learning.distributed_lda import calibrate, fit_lda

        self.progress.step(f"{what}: linear discriminant analysis")
        pieces, tick = functools.partial(plan.pieces, wanted), self.progress.workers
        predictor = fit_lda(pool, pieces, self.labelled, tick=tick)
        # Of segments, the mean of their probabilities is less extreme already.
        if like is None and self.has_validation and self.level == "track":
            predictor = calibrate(pool, plan.pieces((VALID,)), predictor, tick=tick)
        return Fitted(_tempered(predictor, like), 0, pool.most_workers)

    def _boost(
        self,
        pool: "WorkerPool",
        what: str,
        plan: RowPlan,
        wanted: tuple[int, ...],
        *,
        rounds: int | None,
        fold: int,
    ) -> Fitted:
        from jobs.learning.distributed_boosting import TrainingError, boost
        from training.boosting import FIXED_ROUNDS, MAX_ROUNDS, Share, seed_of_fold

        stop = rounds is None and self.has_validation
        rounds = rounds or (MAX_ROUNDS if stop else FIXED_ROUNDS)
        n_classes = len(self.labelled.tracks.classes)
        max_shares = max(1, plan.count(wanted) // MIN_SHARE_ROWS)
        if stop:
            max_shares = min(max_shares, plan.count((VALID,)))

        def divide(workers: int) -> list[Share]:
            n = min(workers, max_shares)
            train = plan.shares(wanted, n)
            valid = plan.shares((VALID,), n) if stop else [None] * n
            return [Share(*both) for both in zip(train, valid, strict=True)]

        def on_round(round_: int, loss: float | None) -> None:
            ending = "" if loss is None else f", log loss of the validation part {loss:.4f}"
            limit = f"of at most {rounds}" if stop else f"of {rounds}"
            self.progress.update(f"{what}: round {round_} {limit}{ending}")

        self.progress.step(what)
        try:
            with translate_errors(pool.client):
                trained = boost(
                    pool,
                    divide,
                    load_share,
                    n_classes=n_classes,
                    rounds=rounds,
                    seed=seed_of_fold(fold),
                    on_round=on_round,
                    on_worker_lost=lambda workers: self.progress.warn(
                        f"a worker was lost: {what} starts again, with {workers} left"
                    ),
                    on_wait=lambda: self.progress.step(
                        f"{what}: waiting for another job that trains on these workers"
                    ),
                )
        except TrainingError as error:
            raise ClusterError(f"{error}. The models of the store are unchanged") from None
        made = trained.booster.num_boosted_rounds()
        return Fitted(Trees(trained.booster, n_classes), made, trained.workers)

    @functools.cached_property
    def plan_of_all(self) -> RowPlan:
        """The rows of all labelled tracks by fold; those without a fold are the last part."""
        return self._plan("all", np.where(self.folds == NO_FOLD, self.n_folds, self.folds))

    def _write_model(self, name: str, predictor: Predictor) -> str:
        """Write a model for the workers; return the name of its file."""
        file = self._work_file(name + SUFFIXES[kind_of(predictor)])
        self.store.storage.write(file, to_bytes(predictor))
        return file

    def _evaluate(
        self, pool: "WorkerPool", file: str, outputs: np.ndarray, plan: RowPlan, part: int
    ) -> tuple[Scores, TrackPredictions]:
        pieces, tick = plan.pieces((part,)), self.progress.workers
        return evaluate(pool, pieces, self.labelled, file, outputs, groups=self.groups, tick=tick)

    def _decide(
        self, pool: "WorkerPool", tested: TrackPredictions, found: OutOfFold | None
    ) -> tuple[Verdict, registry.Best | None]:
        """Decide by the predictions of the test tracks, or those out of fold of all tracks.

        Return the record of the best champion, too; None if the new model is the best.
        """
        if self.champion is None:
            return Verdict(self.promote is not False, self.no_comparison), None
        champion = self._compare(pool, "champion", tested, found, self.champion)
        if champion is None:
            reason = (
                f"the champion {self.champion.described.version} has learnt from every test track "
                "of this split, so the models cannot be compared. Use the champion's split, or "
                "--promote"
            )
            return Verdict(self.promote is True, reason), None if self.promote else self.record
        best: Answers | None = champion
        if self.best is not self.champion:
            best = self._compare(pool, "best", tested, found, self.best) if self.best else None
        return decide(
            champion,
            best,
            self.record,
            earlier_score=self.champion.described.scores["track"]["macro_f1"],
            tolerance=self.tolerance,
            promote=self.promote,
        )

    def _compare(
        self,
        pool: "WorkerPool",
        name: str,
        tested: TrackPredictions,
        found: OutOfFold | None,
        earlier: Earlier,
    ) -> Answers | None:
        """Predict tracks by an earlier model; None if it has learnt them all.

        Tracks out of fold are compared if both models have folds, else those of the test part: a
        model of a fold has learnt more tracks than one of the training part. An earlier model gets
        rows of its own feature set and level; a track without any is predicted as -1.
        """
        newcomer: TrackPredictions | OutOfFold = tested
        held_out = earlier.judged
        if found is not None and earlier.folds is not None:
            newcomer, held_out = found, earlier.folds
        tracks, labelled = newcomer.tracks, self.labelled.tracks
        model_of = np.full(len(labelled.ids), -1)
        model_of[tracks] = held_out.model_of[tracks]
        compared = model_of[tracks] >= 0
        if not compared.any():
            return None
        described = earlier.described
        output_of = {name: index for index, name in enumerate(described.classes)}
        gone = [name for name in described.classes if name not in labelled.classes]
        outputs = np.array([output_of.get(name, -1) for name in (*labelled.classes, *gone)])
        rows = {"features": earlier.features, "level": described.level}
        answers = self._out_of_fold(pool, name, held_out.models, model_of, outputs, **rows)
        predicted = np.full(len(labelled.ids), -1)
        predicted[answers.tracks] = answers.predicted
        return Answers(
            described.version,
            newcomer.truth[compared],
            newcomer.predicted[compared],
            predicted[tracks[compared]],
            self.groups[tracks[compared]],
        )

    def _importance(self, pool: "WorkerPool", file: str) -> list[dict[str, Any]]:
        """Return the importance of each feature for the new model, the most important first."""
        parts = np.where(self.parts == TEST, TEST, OUTSIDE)
        order = np.random.default_rng(splits.SEED).permutation(np.flatnonzero(parts == TEST))
        total = self.labelled.rows[order].cumsum()
        total[0] = 0  # however long the first track is, it stays
        columns = len(feature_set(self.features).names)
        parts[order[total * columns > MAX_IMPORTANCE_VALUES]] = OUTSIDE
        (rows,) = self._plan("importance", parts).shares((TEST,), 1)
        return importance(
            pool,
            rows,
            file,
            lambda done, count: self.progress.update(f"shuffling features: {done} of {count}"),
            tick=self.progress.workers,
        )

    def _describe(
        self, final: Fitted, files: dict[str, bytes], scores: dict[str, Scores], data: str
    ) -> Description:
        import xgboost

        from jobs.learning import distributed_lda
        from training import boosting

        tracks, kind = self.labelled.tracks, kind_of(final.predictor)
        parameters = {**boosting.PARAMETERS, "num_class": len(tracks.classes)}
        if isinstance(final.predictor, Lda):
            parameters = distributed_lda.PARAMETERS | {"temperature": final.predictor.temperature}
        per_part = np.bincount(self.parts[self.parts != OUTSIDE], minlength=len(PARTS))
        per_class = np.bincount(tracks.labels, minlength=len(tracks.classes))
        return Description(
            version=self.stage.run_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            classes=list(tracks.classes),
            columns=list(feature_set(self.features).names),
            level=self.level,
            feature_set=self.store.settings.feature_sets[self.features],
            segment_seconds=self.store.settings.segment_seconds,
            parameters=parameters,
            rounds=final.rounds,
            stopped_early=self.has_validation and kind == "xgboost",
            split={
                "name": self.split,
                "tracks": dict(zip(PARTS, per_part.tolist(), strict=True)),
                "duplicates": count_duplicates(tracks),
            },
            data={
                "fingerprint": data,
                "rows": int(self.labelled.rows.sum()),
                "tracks": len(tracks.ids),
                "labels": dict(zip(tracks.classes, per_class.tolist(), strict=True)),
            },
            scores={level: overall_scores(found) for level, found in scores.items()},
            digests={name: digest(content) for name, content in files.items()},
            libraries={
                "songmill": songmill_version(),
                "python": platform.python_version(),
                "xgboost": xgboost.__version__,
                **{name: metadata.version(name) for name in ("dask", "distributed", "numpy")},
            },
            workers=final.workers,
            kind=kind,
            candidates=self.candidates,
            folds=self.n_folds,
        )


def _tempered(predictor: Predictor, like: Fitted | None) -> Predictor:
    """Return an analysis at the temperature of another one; trees, and without one, as they are."""
    if isinstance(predictor, Lda) and like and isinstance(like.predictor, Lda):
        return replace(predictor, temperature=like.predictor.temperature)
    return predictor


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON output."""
    return {
        "version": outcome.description.version,
        **asdict(outcome.verdict),
        "scores": outcome.description.scores,
        "per_class": outcome.per_class,
        "importance": outcome.importance,
        **{
            name: getattr(outcome.description, name)
            for name in ("kind", "feature_set", "candidates", "rounds", "split", "data")
        },
        "workers": outcome.description.workers,
        "seconds": outcome.seconds,
    }
