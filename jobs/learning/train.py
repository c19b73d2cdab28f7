"""The training job: a model that is judged, then one of all rows, and whether it predicts.

A split outlives its training: tracks that the champion was judged by are those that the newcomer
is judged by, and neither has learnt from them. So both can be compared on today's rows; of the
champion, as of the newcomer, that is done with the model of the training part only.
"""

import functools
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS
from jobs import defaults
from jobs.cluster.failures import translate_errors
from jobs.cluster.fitness import songmill_version
from jobs.errors import ClusterError, StoreError
from jobs.interruption import in_thread, wait_for
from jobs.learning import registry
from jobs.learning.dataset import RowPlan, Rows, labelled_tracks, load_share, write_roster
from jobs.learning.judge import OfTracks, fingerprint, importance, judge
from jobs.learning.split_option import OUTSIDE, choose_parts
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.levels import Level, choose_level
from jobs.store.schemas import CONFUSION, IMPORTANCE, METRICS, SPLIT
from training import splits
from training.evaluate import Scores, chance, macro_f1
from training.model import Description, Model, digest
from training.splits import PARTS, TEST, TRAIN, VALID, Part

if TYPE_CHECKING:
    from distributed import Client

    from training.boosting import Share, TrainedBooster

SHARE_ROWS = 20_000
"""Fewer rows are no share: workers would take longer to agree on each tree than to grow it."""

IMPORTANCE_ROWS = 5_000
"""Of more test rows a sample of whole tracks tells how much each feature matters."""

ALL_PARTS = (TRAIN, VALID, TEST)


@dataclass(frozen=True)
class Verdict:
    """Whether the newcomer predicts from now on, and why.

    Parameters
    ----------
    promoted : bool
        Whether it does.
    reason : str
        For a person.
    newcomer, champion : float or None [range=[0, 1]]
        Macro F1 of both on the same tracks of today; None where they were not compared.
    tracks : int
        How many tracks these are.
    """

    promoted: bool
    reason: str
    newcomer: float | None = None
    champion: float | None = None
    tracks: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a training made.

    Parameters
    ----------
    description : Description
        The model's ``model.json``.
    per_class : dict of str to dict
        Of each class, by track: ``precision``, ``recall``, ``f1``, ``support``.
    importance : list of dict
        Rows of ``importance.parquet``, the most important first.
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
    level: Level | None = None,
    tolerance: float = defaults.TOLERANCE,
    promote: bool | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Train a model, judge it, and promote it unless it is worse than the champion.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    split : str
        Which tracks are learnt from, stopped by and tested with: ``by-track``,
        ``by-group:COLUMN``, or the path of a CSV with the columns ``track_id`` and ``set``.
    level : {"segment", "track"}, optional
        Rows to learn from; by default segments, where there are any.
    tolerance : float [range=(0, 1)]
        Loss of macro F1 by track at which the new model still replaces the champion.
    promote : bool, optional
        Whether the new model becomes the champion, whatever its score.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Returns
    -------
    Outcome

    Raises
    ------
    SongmillError
        The training cannot go on. The models of the store are as they were.
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    with session.stage("train") as stage:
        session.progress.say("reading names and labels")
        training = _Training(stage, split=split, level=level, tolerance=tolerance, promote=promote)
        return training.work(stage.client())


@dataclass(frozen=True)
class _Champion:
    """The model that predicts: why it cannot be judged, or it as it was judged, and its split."""

    unfit: str
    judged: Model | None = None
    split: dict[str, Part] = field(default_factory=dict)


class _Training:
    """One training under way."""

    def __init__(
        self,
        stage: Stage,
        *,
        split: str,
        level: Level | None,
        tolerance: float,
        promote: bool | None,
    ) -> None:
        self.run = stage
        self.store = stage.store
        self.tolerance = tolerance
        self.promote = promote
        self.progress = progress = stage.session.progress
        self.level: Level = choose_level(stage.store, level)
        self.labelled = labelled_tracks(stage.store, self.level)
        if self.labelled.unlabelled:
            progress.warn(f"tracks without a label, which are left out: {self.labelled.unlabelled}")
        self.champion = self._read_champion()
        # Another split has its own parts; tracks that the champion has learnt from are left out
        # when both are compared.
        judged = self.champion and self.champion.judged
        same = judged and judged.description.split["name"] == split
        known = self.champion.split if self.champion and same else None
        self.parts = choose_parts(split, stage.store, self.labelled.tracks, known)
        left_out = int((self.parts.of_track == OUTSIDE).sum())
        if left_out:
            progress.warn(
                f"labelled tracks that --split {split} does not name, which are learnt "
                f"from only in the end: {left_out}"
            )
        if self.parts.ungrouped:
            progress.warn(
                "tracks without a group, each of which is taken for one by itself: "
                f"{self.parts.ungrouped}"
            )
        self.plan = self._plan("roster", self.parts.of_track)
        self.n_classes = len(self.labelled.tracks.classes)

    def _read_champion(self) -> "_Champion | None":
        """Return the champion as it was judged; StoreError where it is damaged."""
        try:
            version = registry.champion(self.store)
            if version is None:
                return None
            unfit = self._unfit(registry.describe(self.store, version))
            if unfit:
                return _Champion(unfit)
            judged = registry.load(self.store, version, registry.JUDGED_TREES)
            split = registry.read_split(self.store, version)
        except StoreError as error:
            if not self.promote:
                raise StoreError(f"{error}; or train with --promote, in its place") from None
            self.progress.warn(str(error))
            return None
        return _Champion("", judged, split)

    def _unfit(self, described: Description) -> str:
        """Say why the champion cannot be given the store's rows; nothing where it can."""
        settings = self.store.settings
        try:
            registry.check_fit(
                described,
                feature_set=settings.feature_set,
                segment_seconds=settings.segment_seconds,
            )
        except StoreError as error:
            return str(error)
        return ""

    def _plan(self, roster: str, parts: np.ndarray, level: Level | None = None) -> RowPlan:
        name = f"{self.run.work}/{self.run.run_id}-{roster}.parquet"
        write_roster(self.store.storage, name, self.labelled.tracks, parts)
        labelled = replace(self.labelled, level=level or self.level)
        return RowPlan(self.store, labelled, name, parts)

    def work(self, client: "Client") -> Outcome:
        """Train, judge, train again on everything, decide, commit."""
        from training.boosting import FIXED_ROUNDS, MAX_ROUNDS

        stops = bool(self.plan.count((VALID,)))
        if not stops:
            self.progress.warn(
                f"no track is left for the part 'valid': {FIXED_ROUNDS} rounds, unstopped"
            )
        judged = self._boost(
            client,
            "learning",
            (TRAIN,),
            stop=stops,
            rounds=MAX_ROUNDS if stops else FIXED_ROUNDS,
        )
        rounds = judged.booster.num_boosted_rounds()
        judged_trees = bytes(judged.booster.save_raw("ubj"))
        identity = np.arange(self.n_classes)
        with translate_errors(client):
            self.progress.say("judging")
            rows, tracks = self._judge(client, "newcomer", judged_trees, identity, self.plan)
            verdict = self._decide(client, tracks)
            self.progress.say("shuffling features, one after the other")
            matters = self._importance(client)
            seen = fingerprint(
                client,
                self.everything.pieces(ALL_PARTS),
                self.labelled,
                tick=self.progress.workers,
            )
        final = self._boost(client, "learning from all rows", ALL_PARTS, stop=False, rounds=rounds)
        scores = {"track": tracks.scores} | ({"segment": rows} if self.level == "segment" else {})
        files = {
            registry.TREES: bytes(final.booster.save_raw("ubj")),
            registry.JUDGED_TREES: judged_trees,
        }
        description = self._describe(
            files, scores, seen, rounds=rounds, stopped=stops, workers=final.workers
        )
        files[registry.MODEL_JSON] = description.to_json()
        self._commit(description, verdict, files, self._tables(scores, matters))
        return Outcome(
            description=description,
            verdict=verdict,
            per_class={
                name: asdict(of_class)
                for name, of_class in zip(
                    self.labelled.tracks.classes, tracks.scores.classes, strict=True
                )
            },
            importance=matters,
            seconds=time.time() - self.run.started,
        )

    # Learning

    def _boost(
        self, client: "Client", what: str, wanted: tuple[int, ...], *, stop: bool, rounds: int
    ) -> "TrainedBooster":
        from jobs.learning.distributed_boosting import TrainingError, boost

        plan = self.everything if wanted == ALL_PARTS else self.plan
        learn = plan.count(wanted)
        most = min(learn // SHARE_ROWS, *([plan.count((VALID,))] if stop else []), learn)

        def on_round(round_: int, loss: float | None) -> None:
            ending = "" if loss is None else f", log loss of the validation part {loss:.4f}"
            limit = f"of at most {rounds}" if stop else f"of {rounds}"
            self.progress.now(f"{what}: round {round_} {limit}{ending}")

        def on_worker_lost(workers: int) -> None:
            self.progress.warn(f"a worker was lost: {what} begins anew, with {workers}")

        def on_wait() -> None:
            self.progress.say(f"{what}: waiting for another job, which trains with these workers")

        self.progress.say(what)
        try:
            with translate_errors(client):
                boosting = in_thread(
                    boost,
                    client,
                    functools.partial(_divide, plan, wanted, stop=stop, most=max(1, most)),
                    load_share,
                    n_classes=self.n_classes,
                    rounds=rounds,
                    on_round=on_round,
                    on_worker_lost=on_worker_lost,
                    on_wait=on_wait,
                )
                return wait_for(boosting)
        except TrainingError as error:
            raise ClusterError(f"{error}. The models of the store are as they were") from None

    @functools.cached_property
    def everything(self) -> RowPlan:
        """The rows of all labelled tracks, also of those that a file of a split leaves out."""
        parts = np.where(self.parts.of_track == OUTSIDE, TRAIN, self.parts.of_track)
        return self._plan("all", parts)

    # Judging

    def _judge(
        self, client: "Client", name: str, trees: bytes, places: np.ndarray, plan: RowPlan
    ) -> tuple[Scores, OfTracks]:
        self.store.storage.write(self._trees(name), trees)
        return judge(
            client,
            plan.pieces((TEST,)),
            self.labelled,
            self._trees(name),
            places,
            tick=self.progress.workers,
        )

    def _trees(self, name: str) -> str:
        # Workers that outlive this run keep what they have read, by its name.
        return f"{self.run.work}/{self.run.run_id}-{name}.ubj"

    def _decide(self, client: "Client", newcomer: OfTracks) -> Verdict:
        """Compare the newcomer with the champion on the tracks that neither has learnt from."""
        forced = self.promote
        if self.champion is None:
            return Verdict(
                forced is not False, "it is the first" if forced is not False else "--no-promote"
            )
        if self.champion.judged is None:
            why = f"the champion cannot be judged: {self.champion.unfit}"
            return Verdict(forced is not False, why)
        described = self.champion.judged.description
        ids = self.labelled.tracks.ids
        fair = np.array(
            [
                self.champion.split.get(ids[track]) not in ("train", "valid")
                for track in newcomer.tracks
            ]
        )
        if not fair.any():
            unfair = (
                f"the champion {described.version} has learnt from every track of this split's "
                "test part, so that both cannot be compared: use its split, or say --promote"
            )
            return Verdict(forced is True, unfair)
        return self._compare(client, newcomer, fair, described)

    def _compare(
        self, client: "Client", newcomer: OfTracks, fair: np.ndarray, described: Description
    ) -> Verdict:
        forced = self.promote
        champion = self._judge_champion(client, newcomer)
        truth = newcomer.truth[fair]
        ours, theirs = macro_f1(truth, newcomer.predicted[fair]), macro_f1(truth, champion[fair])
        result = (
            f"macro F1 by track {ours:.3f}, the champion's {theirs:.3f}, on the same "
            f"{int(fair.sum())} tracks of today"
        )
        worse = ours < theirs - self.tolerance
        once = described.scores["track"]["macro_f1"]
        # Where the labels of today say nothing, no model is worse than another. Of too few tracks
        # that cannot be told: chance would reach what the champion once had.
        guessing = (
            ours <= chance(truth, newcomer.predicted[fair])
            and theirs <= chance(truth, champion[fair]) < once
        )
        promoted = not worse
        if worse:
            result += f": worse by more than {self.tolerance:g}"
        elif guessing:
            promoted = False
            result += (
                f": neither is better than chance, where the champion had {once:.3f} when it was "
                "trained: are today's labels right?"
            )
        if forced is not None and forced != promoted:
            promoted = forced
            result += "; --promote" if forced else "; --no-promote"
        return Verdict(promoted, result, ours, theirs, int(fair.sum()))

    def _judge_champion(self, client: "Client", newcomer: OfTracks) -> np.ndarray:
        """Return what the champion predicts for the newcomer's tracks, in classes of today.

        It is given rows of its own level; -1 stands for a track that has none.
        """
        assert self.champion is not None
        assert self.champion.judged is not None
        described = self.champion.judged.description
        its = {name: place for place, name in enumerate(described.classes)}
        today = list(self.labelled.tracks.classes)
        gone = [name for name in described.classes if name not in today]
        places = np.array([its.get(name, -1) for name in today + gone])
        trees = bytes(self.champion.judged.booster.save_raw("ubj"))
        plan = self.plan
        if described.level != self.level:
            plan = self._plan("champion", self.parts.of_track, described.level)
        predicted = np.full(len(self.labelled.tracks.ids), -1)
        if plan.count((TEST,)):
            _, found = self._judge(client, "champion", trees, places, plan)
            predicted[found.tracks] = found.predicted
        return np.asarray(predicted[newcomer.tracks])

    def _importance(self, client: "Client") -> list[dict[str, Any]]:
        """Return how much each feature matters to the newcomer, the most important first."""
        parts = np.where(self.parts.of_track == TEST, TEST, OUTSIDE)
        order = np.random.default_rng(splits.SEED).permutation(np.flatnonzero(parts == TEST))
        so_far = self.labelled.rows[order].cumsum()
        so_far[0] = 0  # however long the first track is, it stays
        parts[order[so_far > IMPORTANCE_ROWS]] = OUTSIDE
        (rows,) = self._plan("importance", parts).shares((TEST,), 1)
        return importance(
            client,
            rows,
            self._trees("newcomer"),
            self.n_classes,
            lambda done: self.progress.now(f"shuffling features: {done} of {len(FEATURE_COLUMNS)}"),
            tick=self.progress.workers,
        )

    # Writing it down

    def _describe(
        self,
        trees: dict[str, bytes],
        scores: dict[str, Scores],
        seen: str,
        *,
        rounds: int,
        stopped: bool,
        workers: int,
    ) -> Description:
        import xgboost

        from training.boosting import PARAMETERS

        tracks = self.labelled.tracks
        per_part = np.bincount(self.parts.of_track[self.parts.of_track >= 0], minlength=len(PARTS))
        per_class = np.bincount(tracks.labels, minlength=self.n_classes)
        return Description(
            version=self.run.run_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            classes=list(tracks.classes),
            columns=list(FEATURE_COLUMNS),
            feature_set=self.store.settings.feature_set,
            level=self.level,
            segment_seconds=self.store.settings.segment_seconds,
            parameters={**PARAMETERS, "num_class": self.n_classes},
            rounds=rounds,
            stopped_early=stopped,
            split={
                "name": self.parts.name,
                "tracks": dict(zip(PARTS, per_part.tolist(), strict=True)),
            },
            data={
                "fingerprint": seen,
                "rows": int(self.labelled.rows.sum()),
                "tracks": len(tracks.ids),
                "labels": dict(zip(tracks.classes, per_class.tolist(), strict=True)),
            },
            scores={
                level: {
                    "accuracy": found.accuracy,
                    "macro_f1": found.macro_f1,
                    "log_loss": found.log_loss,
                    "chance": found.chance,
                    "count": found.count,
                }
                for level, found in scores.items()
            },
            digests={name: digest(data) for name, data in trees.items()},
            libraries={
                "songmill": songmill_version(),
                "python": platform.python_version(),
                "xgboost": xgboost.__version__,
                **{name: metadata.version(name) for name in ("dask", "distributed", "numpy")},
            },
            workers=workers,
        )

    def _tables(
        self, scores: dict[str, Scores], matters: list[dict[str, Any]]
    ) -> dict[str, pa.Table]:
        tracks = self.labelled.tracks
        takes_part = self.parts.of_track != OUTSIDE
        ids = pa.array(tracks.ids[takes_part], pa.string())
        sets = pa.array([PARTS[code] for code in self.parts.of_track[takes_part]], pa.string())
        return {
            registry.SPLIT: pa.table([ids, sets], schema=SPLIT),
            "metrics.parquet": _metrics(scores, tracks.classes),
            "confusion.parquet": _confusion(scores, tracks.classes),
            "importance.parquet": pa.Table.from_pylist(matters, schema=IMPORTANCE),
        }

    def _commit(
        self,
        description: Description,
        verdict: Verdict,
        files: dict[str, bytes],
        tables: dict[str, pa.Table],
    ) -> None:
        change = commit.Change()
        registry.stage_model(self.store, change, description.version, files, tables)
        if verdict.promoted:
            registry.stage_champion(self.store, change, description.version)
        said = "promoted" if verdict.promoted else "not promoted"
        self.run.commit(change, message=f"{said}: {verdict.reason}", workers=description.workers)


def _divide(
    plan: RowPlan, wanted: tuple[int, ...], workers: int, *, stop: bool, most: int
) -> "list[Share]":
    """Cut the rows for so many workers, or for fewer where rows are few."""
    from training.boosting import Share

    n = min(workers, most)
    learn: Iterable[Rows] = plan.shares(wanted, n)
    stops: Iterable[Rows | None] = plan.shares((VALID,), n) if stop else [None] * n
    return [Share(*both) for both in zip(learn, stops, strict=True)]


def _metrics(scores: dict[str, Scores], classes: tuple[str, ...]) -> pa.Table:
    rows: list[tuple[Any, ...]] = []
    for level, found in scores.items():
        for metric in ("accuracy", "macro_f1", "log_loss", "chance"):
            rows.append((level, None, metric, getattr(found, metric), found.count))
        for name, of_class in zip(classes, found.classes, strict=True):
            for metric in ("precision", "recall", "f1"):
                rows.append((level, name, metric, getattr(of_class, metric), of_class.support))
    return _table(rows, METRICS)


def _confusion(scores: dict[str, Scores], classes: tuple[str, ...]) -> pa.Table:
    rows = [
        (level, label, predicted, int(found.confusion[i, j]))
        for level, found in scores.items()
        for i, label in enumerate(classes)
        for j, predicted in enumerate(classes)
    ]
    return _table(rows, CONFUSION)


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "version": outcome.description.version,
        **asdict(outcome.verdict),
        "scores": outcome.description.scores,
        "per_class": outcome.per_class,
        "importance": outcome.importance,
        "rounds": outcome.description.rounds,
        "split": outcome.description.split,
        "data": outcome.description.data,
        "workers": outcome.description.workers,
        "seconds": outcome.seconds,
    }
