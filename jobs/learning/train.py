"""Training: an evaluated model, a final model of all rows, and the choice of the champion.

Of two kinds of models, the one that predicts the validation part better is evaluated. Tracks keep
their part of the split from one training to the next. The champion and the new model are thus
compared on current rows of tracks that neither was trained on. Both are compared by the model of
their training part, not by the one of all rows.
"""

import functools
import platform
import time
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
from jobs.errors import ClusterError, StoreError, UsageError
from jobs.learning import registry
from jobs.learning.dataset import RowPlan, choose_rows, labelled_tracks, load_share
from jobs.learning.judge import TrackPredictions, evaluate, fingerprint, importance
from jobs.learning.split_option import OUTSIDE, choose_parts
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.schemas import CONFUSION, IMPORTANCE, METRICS, PUBLISHED, SPLIT
from training import splits
from training.evaluate import Scores, chance, macro_f1
from training.lda import Lda
from training.model import Description, Model, digest
from training.predictor import KINDS, SUFFIXES, Kind, Predictor, Trees, kind_of, to_bytes
from training.splits import PARTS, TEST, TRAIN, VALID, Part

if TYPE_CHECKING:
    from jobs.cluster.pool import WorkerPool

ModelChoice = Literal["auto", "lda", "xgboost"]

MIN_SHARE_ROWS = 20_000
"""Minimum rows per worker. With fewer, communication takes longer than training."""

MAX_IMPORTANCE_VALUES = 285_000
"""Test rows times columns for the feature importance: 5,000 rows of the 57 published features.

Of more rows, whole tracks are sampled. The time grows with both.
"""

ALL_PARTS = (TRAIN, VALID, TEST)


@dataclass(frozen=True)
class Verdict:
    """Whether the new model becomes the champion, and why.

    Parameters
    ----------
    promoted : bool
        Whether it becomes the champion.
    reason : str
        Explanation for a person.
    newcomer, champion : float or None [range=[0, 1]]
        Macro F1 of both on the same test tracks; None if they were not compared.
    tracks : int
        Number of these tracks.
    """

    promoted: bool
    reason: str
    newcomer: float | None = None
    champion: float | None = None
    tracks: int = 0


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
    tolerance : float [range=(0, 1)]
        Loss of macro F1 by track at which the new model still replaces the champion.
    promote : bool, optional
        Whether the new model becomes the champion; by default its score decides.
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
        self.labelled = labelled_tracks(self.store, self.features, self.level)
        self.champion, self.champion_parts, self.no_comparison = self._read_champion()
        # Another split has its own parts. Tracks that the champion was trained on are left out
        # when both models are compared.
        same_split = self.champion and self.champion.description.split["name"] == self.split
        known = self.champion_parts if same_split else None
        self.parts, ungrouped = choose_parts(self.split, self.store, self.labelled.tracks, known)
        outside = f"labelled tracks that --split {self.split} leaves out until the final model"
        for what, count in (
            ("tracks without a label, which are left out", self.labelled.unlabelled),
            (outside, int((self.parts == OUTSIDE).sum())),
            ("tracks without a group, each treated as a group of its own", ungrouped),
        ):
            if count:
                self.progress.warn(f"{what}: {count}")
        self.plan = self._plan("roster", self.parts)
        self.has_validation = bool(self.plan.count((VALID,)))
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

    def _read_champion(self) -> tuple[Model | None, dict[str, Part], str]:
        """Return the champion's evaluated model and its split, or None and the reason."""
        reason = "it is the first"
        if self.promote is False:
            reason = "--no-promote"
        elif registry.versions(self.store):
            reason = "the store has no champion"
        try:
            version = registry.champion(self.store)
            if version is None:
                return None, {}, reason
            described = registry.describe(self.store, version)
            try:
                self.champion_features = registry.check_fit(described, self.store.settings).name
            except StoreError as error:
                return None, {}, f"the champion cannot be judged: {error}"
            evaluated = registry.load(self.store, version, registry.JUDGED)
            return evaluated, registry.read_split(self.store, version), ""
        except StoreError as error:
            if not self.promote:
                raise StoreError(f"{error}; or replace it by `songmill train --promote`") from None
            self.progress.warn(str(error))
            return None, {}, reason

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
        classes = self.labelled.tracks.classes
        with translate_errors(pool.client):
            self.progress.step("judging")
            file = self._write_model("newcomer", newcomer.predictor)
            outputs = np.arange(len(classes))
            by_row, tracks = self._evaluate(pool, file, outputs, self.plan, TEST)
            verdict = self._decide(pool, tracks)
            self.progress.step("shuffling features, one after the other")
            feature_importance = self._importance(pool, file)
            pieces = self.plan_of_all.pieces(ALL_PARTS)
            data = fingerprint(pool, pieces, self.labelled, tick=self.progress.workers)
        kind = kind_of(newcomer.predictor)
        final = self._fit(pool, kind, "learning from all rows", ALL_PARTS, like=newcomer)
        scores = {"track": tracks.scores} | ({"segment": by_row} if self.level == "segment" else {})
        files = {
            f"{stem}{SUFFIXES[kind]}": to_bytes(fitted.predictor)
            for stem, fitted in ((registry.FINAL, final), (registry.JUDGED, newcomer))
        }
        description = self._describe(final, files, scores, data)
        files[registry.MODEL_JSON] = description.to_json()
        takes_part = self.parts != OUTSIDE
        ids = pa.array(self.labelled.tracks.ids[takes_part], pa.string())
        sets = pa.array([PARTS[code] for code in self.parts[takes_part]], pa.string())
        tables = {
            registry.SPLIT: pa.table([ids, sets], schema=SPLIT),
            "metrics.parquet": pa.table(_metrics(scores, classes), schema=METRICS),
            "confusion.parquet": pa.table(_confusion(scores, classes), schema=CONFUSION),
            "importance.parquet": pa.Table.from_pylist(feature_importance, schema=IMPORTANCE),
        }
        change = commit.Change()
        registry.stage_model(self.store, change, description.version, files, tables)
        if verdict.promoted:
            registry.stage_champion(self.store, change, description.version)
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
                found[kind] = self._fit(pool, kind, "learning", (TRAIN,))
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

    def _fit(
        self,
        pool: "WorkerPool",
        kind: Kind,
        what: str,
        wanted: tuple[int, ...],
        *,
        like: Fitted | None = None,
    ) -> Fitted:
        """Fit a model to parts of the split.

        The rounds of trees or the temperature of an analysis are those of the model ``like``; by
        default those that suit the validation part.
        """
        plan = self.plan_of_all if wanted == ALL_PARTS else self.plan
        if kind == "xgboost":
            return self._boost(pool, what, plan, wanted, like.rounds if like else None)
        from jobs.learning.distributed_lda import calibrate, fit_lda

        self.progress.step(f"{what}: linear discriminant analysis")
        pieces, tick = functools.partial(plan.pieces, wanted), self.progress.workers
        predictor = fit_lda(pool, pieces, self.labelled, tick=tick)
        if like:
            assert isinstance(like.predictor, Lda)
            predictor = replace(predictor, temperature=like.predictor.temperature)
        elif self.has_validation:
            predictor = calibrate(pool, plan.pieces((VALID,)), predictor, tick=tick)
        return Fitted(predictor, 0, pool.most_workers)

    def _boost(
        self,
        pool: "WorkerPool",
        what: str,
        plan: RowPlan,
        wanted: tuple[int, ...],
        rounds: int | None,
    ) -> Fitted:
        from jobs.learning.distributed_boosting import TrainingError, boost
        from training.boosting import FIXED_ROUNDS, MAX_ROUNDS, Share

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
        """The rows of all labelled tracks, including those that the split leaves out."""
        return self._plan("all", np.where(self.parts == OUTSIDE, TRAIN, self.parts))

    def _write_model(self, name: str, predictor: Predictor) -> str:
        """Write a model for the workers; return the name of its file."""
        file = self._work_file(name + SUFFIXES[kind_of(predictor)])
        self.store.storage.write(file, to_bytes(predictor))
        return file

    def _evaluate(
        self, pool: "WorkerPool", file: str, outputs: np.ndarray, plan: RowPlan, part: int
    ) -> tuple[Scores, TrackPredictions]:
        tick = self.progress.workers
        return evaluate(pool, plan.pieces((part,)), self.labelled, file, outputs, tick=tick)

    def _decide(self, pool: "WorkerPool", newcomer: TrackPredictions) -> Verdict:
        """Compare the new model with the champion on tracks that neither was trained on."""
        if self.champion is None:
            return Verdict(self.promote is not False, self.no_comparison)
        ids = self.labelled.tracks.ids[newcomer.tracks]
        held_out = np.array([self.champion_parts.get(i) not in ("train", "valid") for i in ids])
        if not held_out.any():
            reason = (
                f"the champion {self.champion.description.version} has learnt from every "
                "test track of this split, so the models cannot be compared. Use the champion's "
                "split, or --promote"
            )
            return Verdict(self.promote is True, reason)
        champion = self._judge_champion(pool, newcomer, self.champion)[held_out]
        truth, predicted = newcomer.truth[held_out], newcomer.predicted[held_out]
        ours, theirs = macro_f1(truth, predicted), macro_f1(truth, champion)
        reason = (
            f"macro F1 by track {ours:.3f}, the champion's {theirs:.3f}, on the same {len(truth)} "
            "test tracks"
        )
        worse = ours < theirs - self.tolerance
        earlier = self.champion.description.scores["track"]["macro_f1"]
        # With random labels no model is worse than another. Too few tracks cannot show that:
        # chance might reach the champion's earlier score.
        guessing = ours <= chance(truth, predicted) and theirs <= chance(truth, champion) < earlier
        promoted = not worse and not guessing
        if worse:
            reason += f": worse by more than {self.tolerance:g}"
        elif guessing:
            reason += (
                f": neither is better than chance, but the champion had {earlier:.3f} when it was "
                "trained. Check the labels"
            )
        if self.promote is not None and self.promote != promoted:
            promoted = self.promote
            reason += "; --promote" if promoted else "; --no-promote"
        return Verdict(promoted, reason, ours, theirs, len(truth))

    def _judge_champion(
        self, pool: "WorkerPool", newcomer: TrackPredictions, champion: Model
    ) -> np.ndarray:
        """Return the champion's predictions for the new model's tracks, as current classes.

        The champion gets rows of its own feature set and level; a track without any is predicted
        as -1.
        """
        described = champion.description
        output_of = {name: index for index, name in enumerate(described.classes)}
        today = list(self.labelled.tracks.classes)
        gone = [name for name in described.classes if name not in today]
        outputs = np.array([output_of.get(name, -1) for name in today + gone])
        file = self._write_model("champion", champion.predictor)
        plan = self.plan
        if (self.champion_features, described.level) != (self.features, self.level):
            rows = {"features": self.champion_features, "level": described.level}
            plan = self._plan("champion", self.parts, **rows)
        predicted = np.full(len(self.labelled.tracks.ids), -1)
        if plan.count((TEST,)):
            _, found = self._evaluate(pool, file, outputs, plan, TEST)
            predicted[found.tracks] = found.predicted
        return np.asarray(predicted[newcomer.tracks])

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
            split={"name": self.split, "tracks": dict(zip(PARTS, per_part.tolist(), strict=True))},
            data={
                "fingerprint": data,
                "rows": int(self.labelled.rows.sum()),
                "tracks": len(tracks.ids),
                "labels": dict(zip(tracks.classes, per_class.tolist(), strict=True)),
            },
            scores={
                level: {name: getattr(found, name) for name in (*_OVERALL, "count")}
                for level, found in scores.items()
            },
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
        )


_OVERALL = ("accuracy", "macro_f1", "log_loss", "chance")


def _metrics(scores: dict[str, Scores], classes: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the columns of ``metrics.parquet``."""
    rows: list[tuple[Any, ...]] = []
    for level, found in scores.items():
        for metric in _OVERALL:
            rows.append((level, None, metric, getattr(found, metric), found.count))
        for name, of_class in zip(classes, found.classes, strict=True):
            for metric in ("precision", "recall", "f1"):
                rows.append((level, name, metric, getattr(of_class, metric), of_class.support))
    return list(zip(*rows, strict=True))


def _confusion(scores: dict[str, Scores], classes: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the columns of ``confusion.parquet``."""
    rows = [
        (level, label, predicted, int(found.confusion[i, j]))
        for level, found in scores.items()
        for i, label in enumerate(classes)
        for j, predicted in enumerate(classes)
    ]
    return list(zip(*rows, strict=True))


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
