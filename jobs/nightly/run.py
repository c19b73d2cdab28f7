"""The nightly run: extract, train, compare (if asked for), similarity, predict, export, report.

The store is locked throughout. The targets of exports are checked before the first stage. A stage
is skipped if its inputs are unchanged since its last run (:mod:`jobs.nightly.freshness`). A stage
that fails ends the run, except a comparison and an export, on which no other stage depends. Each
stage adds a row to ``runs``, all with the same ``run_id``.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import SEGMENT_SECONDS
from featurizer.feature_set import DEFAULT_SETS, Level
from jobs import defaults
from jobs.errors import RunInterruptedError, SongmillError, UsageError
from jobs.exporting.export import MADE_BY, check_target, resolve_target
from jobs.exporting.table_names import TableName
from jobs.exporting.target import STDOUT, Target
from jobs.inputs.sources import Paths
from jobs.learning import registry
from jobs.learning.compare import TUTORIAL, choose_models
from jobs.nightly.freshness import fingerprint, read_fingerprints, read_state, write_fingerprint
from jobs.progress import Progress, clock, counted
from jobs.redaction import redact
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.counts import count_labels, count_tracks
from jobs.store.schemas import (
    PREDICTED_LONG,
    PREDICTED_TRACKS,
    REPORT,
    SIMILARITY,
    comparison_table,
    features_folder,
)
from jobs.store.tables import Store, read_settings
from recommend.metric import Name

StageName = Literal["extract", "train", "compare", "similarity", "predict", "export", "report"]

STAGES: tuple[StageName, ...] = get_args(StageName)

INDEPENDENT: tuple[StageName, ...] = ("compare", "export")
"""Stages on which no other depends."""


@dataclass
class StageOutcome:
    """Outcome of a stage.

    Parameters
    ----------
    stage : str
        One of :data:`STAGES`; for exports, with table and target.
    outcome : {"done", "skipped", "failed", "interrupted", "not run"}
        ``not run``: not requested, or an earlier stage ended the run.
    message : str
        Summary of the work, or why it was not done.
    seconds : float
        Duration.
    details : dict
        JSON output of the stage's own command.
    """

    stage: str
    outcome: Literal["done", "skipped", "failed", "interrupted", "not run"] = "not run"
    message: str = ""
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """Outcome of a run.

    Parameters
    ----------
    run_id : str
        Identifies the run in ``runs`` and in every line of the log.
    outcome : {"done", "failed", "interrupted", "too-many-failed", "too-many-gone"}
        Outcome of the whole run.
    exit_code : int
        Exit code of the command.
    message : str
        Reason for a failure.
    stages : list of StageOutcome
        All stages, in order.
    """

    run_id: str
    store: str
    outcome: Literal["done", "failed", "interrupted", "too-many-failed", "too-many-gone"] = "done"
    exit_code: int = 0
    message: str = ""
    seconds: float = 0.0
    stages: list[StageOutcome] = field(default_factory=list)


def run(
    sources: Paths,
    *,
    store: str,
    labels: str = defaults.LABELS,
    features: str | Sequence[str] = DEFAULT_SETS,
    segment_seconds: float = SEGMENT_SECONDS,
    retry_failed: bool = False,
    max_failed: float = defaults.MAX_FAILED,
    max_gone: float = defaults.MAX_GONE,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    split: str = defaults.SPLIT,
    train_features: str | None = None,
    level: Level | None = None,
    model: Literal["auto", "lda", "xgboost"] = "auto",
    tolerance: float = defaults.TOLERANCE,
    retrain_above: float = defaults.RETRAIN_ABOVE,
    keep_models: int = defaults.KEEP_MODELS,
    compare: bool = False,
    models: str | Sequence[str] = TUTORIAL,
    neighbours: int = defaults.NEIGHBOURS,
    metric: Name | None = None,
    exports: Sequence[str] = (),
    schema: str | None = None,
    only: StageName | None = None,
    first: StageName | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Update everything in a store: run each stage with changed inputs.

    Parameters
    ----------
    sources, labels, features, segment_seconds, retry_failed, max_failed, max_gone
        As for :func:`jobs.extraction.extract.extract`.
    include, exclude, scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.
    store : str
        Address of the store, which is created if it does not exist.
    split, level, model, tolerance, keep_models
        As for :func:`jobs.learning.train.train`.
    train_features : str, optional
        Name of the feature set to learn from: ``features`` of :func:`jobs.learning.train.train`.
    retrain_above : float [range=[0, 1]]
        Share of the labelled rows that may be new, gone, changed or relabelled since the last
        training with the same options; of more, a model is trained. 0: after any change.
    compare : bool
        Whether to compare models, by the same ``split``, features and ``level``.
    models : str or sequence of str
        Models to compare, as for :func:`jobs.learning.compare.compare`.
    neighbours : int
        Neighbours of each track: ``k`` of :func:`jobs.neighbours.similarity.similarity`.
    metric : {"cosine", "rich", "learned"}, optional
        As for :func:`jobs.neighbours.similarity.similarity`.
    exports : sequence of str
        ``TABLE=URL`` of each export, as for :func:`jobs.exporting.export.export`.
    schema : str, optional
        Schema of the databases.
    only : str, optional
        The only stage to run, one of :data:`STAGES`, even if its inputs are unchanged.
    first : str, optional
        The stage to start with, even if its inputs are unchanged.

    Returns
    -------
    Outcome
        Also returned if the run fails or is interrupted; finished work is kept.

    Raises
    ------
    UsageError
        Two options exclude each other, or a target is not valid. Nothing has been written.
    """
    if only and first:
        raise UsageError("--only and --from exclude each other: use one of them")
    exported = [_parse_export(text, schema) for text in exports]
    compared = choose_models(models)
    started = time.time()
    session = open_session(
        store, create=True, scheduler=scheduler, workers=workers, progress=progress
    )
    extraction = {
        "labels": labels,
        "features": features,
        "segment_seconds": segment_seconds,
        "retry_failed": retry_failed,
        "max_failed": max_failed,
        "max_gone": max_gone,
        "include": include,
        "exclude": exclude,
    }
    training = {
        "split": split,
        "features": train_features,
        "level": level,
        "model": model,
        "tolerance": tolerance,
    }
    comparison = {
        "split": [split],
        "features": train_features,
        "level": level,
        "models": compared,
    }
    long = any(table == "predictions-long" for table, *_ in exported)
    steps = [
        _Step("extract", "extract", lambda: _extract(session, sources, extraction)),
        _Step(
            "train",
            "train",
            lambda: _train(session, keep_models, training),
            inputs=("features", "labels"),
            options=training,
            few_changes=functools.partial(_few_changes, training, retrain_above),
            is_current=functools.partial(_few_changes, training, retrain_above),
            has_result=lambda store: registry.champion(store) is not None,
            obstacle=_too_few_labels,
        ),
        *(
            [
                _Step(
                    "compare",
                    "compare",
                    lambda: _compare(session, comparison),
                    inputs=("features", "labels"),
                    options=comparison,
                    has_result=_has_comparison,
                    obstacle=_too_few_labels,
                )
            ]
            if compare or "compare" in (only, first)
            else []
        ),
        _Step(
            "similarity",
            "similarity",
            lambda: _similarity(session, neighbours, metric),
            inputs=("features",),
            options={"neighbours": neighbours, "metric": metric},
            has_result=lambda store: bool(store.parts(SIMILARITY)),
            obstacle=functools.partial(_no_neighbours, metric=metric),
        ),
        _Step(
            "predict",
            "predict",
            lambda: _predict(session, long=long),
            inputs=("features", "champion", "predictions"),  # others may have replaced them
            options={"long": long},
            is_current=functools.partial(_predictions_are_current, long=long),
            has_result=lambda store: bool(store.parts(PREDICTED_TRACKS)),
            obstacle=lambda store: "" if registry.champion(store) else "there is no champion yet",
        ),
        *(
            _Step(
                "export",
                f"export {table} {target.shown}",
                functools.partial(_export, session, table, to, schema),
                check=functools.partial(check_target, table, target, schema, in_database),
                inputs=("features", *_EXPORT_INPUTS.get(table, ())),
                options={"schema": schema},
                # Every run changes the table `runs`.
                has_result=(lambda _: False) if table == "runs" else (lambda _: True),
                obstacle=_no_predictions if table in _PREDICTED else lambda _: "",
            )
            for table, to, target, in_database in exported
        ),
        _Step(
            "report",
            "report",
            lambda: _report(session),
            inputs=(
                *("features", "files", "labels", "similarity", "predictions", "comparison"),
                *("models", "champion"),
            ),
            has_result=lambda store: store.storage.exists(REPORT),
        ),
    ]
    stages = [StageOutcome(step.label) for step in steps]
    outcome = Outcome(session.run_id, session.storage.root, stages=stages)
    running = _Running(session, outcome)
    try:
        with session.held("run"):
            running.check_exports(steps, only, first)
            running.run_steps(steps, only, first)
    except (SongmillError, OSError, RunInterruptedError) as error:
        running.abort(error)
    outcome.seconds = time.time() - started
    return outcome


def _parse_export(text: str, schema: str | None) -> tuple[TableName, str, Target, str]:
    """Return table and URL of ``TABLE=URL``, the target, and the table's name in a database."""
    name, separator, to = text.partition("=")
    if not separator or name not in MADE_BY or not to:
        names = ", ".join(MADE_BY)
        given = name if name.isidentifier() else "…"  # a target without a table may hold a password
        raise UsageError(
            f"--export {given}{'=…' if separator else ''}: use TABLE=URL, such as "
            f"similarity=postgresql://me@host/music, with one of the tables {names}"
        )
    if to == STDOUT:
        raise UsageError(f"--export {text}: stdout has the summary of the run. Name a file")
    return name, to, *resolve_target(name, to, schema=schema)


_PREDICTED: tuple[TableName, ...] = ("predictions", "predictions-long", "suspects")
"""Tables of the stage predict."""

_EXPORT_INPUTS: dict[TableName, tuple[str, ...]] = {
    "similarity": ("similarity",),
    "duplicates": ("similarity",),
    **dict.fromkeys(_PREDICTED, ("predictions",)),
    "files": ("files",),
    "tags": ("tags",),
    "labels": ("labels",),
    **dict.fromkeys(("comparison", "comparison-rich"), ("comparison",)),
    **dict.fromkeys(("similarity-matrix", "metrics", "compared"), ("similarity",)),
}
"""Inputs of an export besides the features."""


_Result = tuple[str, dict[str, Any]]
"""Summary of a stage, and the JSON output of its own command."""


@dataclass(frozen=True)
class _Step:
    """A stage of this run, or one of its exports.

    ``inputs`` are keys of the store's state; none for the extraction, which detects changes itself.
    ``obstacle`` returns why a store does not allow the stage yet, or "". ``few_changes``
    returns why changed inputs are no reason to repeat the stage with the same options, or "".
    ``is_current`` returns why a result of another command makes the stage unnecessary, or "".
    ``check`` raises an error if the target of an export is of no use.
    """

    stage: StageName
    label: str
    work: Callable[[], _Result]
    inputs: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    has_result: Callable[[Store], bool] = lambda _: True
    obstacle: Callable[[Store], str] = lambda _: ""
    few_changes: Callable[[Store], str] | None = None
    is_current: Callable[[Store], str] = lambda _: ""
    check: Callable[[], None] = lambda: None

    def options_fingerprint(self) -> tuple[str, str]:
        """Return a name and a digest of the options alone."""
        return f"{self.label} options", fingerprint({}, (), self.options)

    def is_requested(self, only: StageName | None, first: StageName | None) -> bool:
        """Tell whether ``--only`` and ``--from`` include the stage."""
        return only in (None, self.stage) and STAGES.index(self.stage) >= STAGES.index(
            first or "extract"
        )


@dataclass
class _Running:
    """A run in progress. The store is locked, so its state is read once."""

    session: Session
    outcome: Outcome
    state: dict[str, Any] | None = None
    current: StageOutcome | None = None
    started: float = 0.0

    def check_exports(
        self, steps: list[_Step], only: StageName | None, first: StageName | None
    ) -> None:
        """Check the targets of the requested exports before any work."""
        exists = read_settings(self.session.storage) is not None
        for step, one in zip(steps, self.outcome.stages, strict=True):
            if step.stage == "export" and step.is_requested(only, first):
                self._start(one)
                # The stage adds a row to `runs` only if the check fails.
                with self.session.stage("export") if exists else contextlib.nullcontext():
                    step.check()
        self.current = None

    def run_steps(
        self, steps: list[_Step], only: StageName | None, first: StageName | None
    ) -> None:
        """Run every requested step with changed inputs; ``only`` and ``first`` run in any case."""
        progress = self.session.progress
        for step, one in zip(steps, self.outcome.stages, strict=True):
            if not step.is_requested(only, first):
                continue
            self._start(one)
            progress.step(f"stage {one.stage}")
            reason = self._reason_to_skip(step, forced=step.stage in (only, first))
            if reason:
                with self.session.stage(step.stage) as stage:
                    stage.commit(commit.Change(), outcome="skipped", message=reason)
                self._finish("skipped", reason)
                progress.write("info", f"{one.stage}: skipped, {reason}")
                continue
            try:
                message, one.details = step.work()
            except (SongmillError, OSError) as error:
                if step.stage not in INDEPENDENT:
                    raise
                self.abort(error)
                progress.write("info", f"{one.stage}: failed")  # the command shows why at its end
                continue
            # Read after the stage: its own changes are no reason to repeat it.
            self.state = None
            if step.inputs:
                write_fingerprint(self.session.store, step.label, self._fingerprint(step))
            if step.few_changes:
                write_fingerprint(self.session.store, *step.options_fingerprint())
            ended = one.details.get("outcome")
            self._finish("failed" if ended == "too-many-gone" else "done", message)
            if ended in ("too-many-failed", "too-many-gone"):
                self.outcome.outcome, self.outcome.exit_code = ended, 3
                self.outcome.message = one.details["message"]
                return
            progress.write("info", f"{one.stage}: {message} ({clock(one.seconds)})")

    def abort(self, error: SongmillError | OSError | RunInterruptedError) -> None:
        """Record an exception that ended the run, or one of :data:`INDEPENDENT`."""
        outcome, message = self.outcome, redact(str(error))
        outcome.outcome = "interrupted" if isinstance(error, RunInterruptedError) else "failed"
        outcome.exit_code = 1 if isinstance(error, OSError) else error.exit_code
        outcome.message = "; ".join(filter(None, [outcome.message, message]))
        self._finish(outcome.outcome, message)

    def _start(self, one: StageOutcome) -> None:
        self.current, self.started = one, time.time()
        self.session.progress.stage = one.stage

    def _finish(
        self, outcome: Literal["done", "skipped", "failed", "interrupted"], message: str
    ) -> None:
        if self.current:
            self.current.outcome, self.current.message = outcome, message
            self.current.seconds = time.time() - self.started
            self.current = None

    def _reason_to_skip(self, step: _Step, *, forced: bool) -> str:
        """Return why a step is skipped; "" if it is to run."""
        if step.stage == "extract":
            return ""
        store = self.session.store
        obstacle = step.obstacle(store)
        if obstacle or forced or not step.has_result(store):
            return obstacle
        known = read_fingerprints(store)
        if known.get(step.label) == self._fingerprint(step):
            return "its inputs are unchanged"
        if step.label not in known:
            return step.is_current(store)
        if step.few_changes:
            name, options = step.options_fingerprint()
            if known.get(name) == options:
                return step.few_changes(store)
        return ""

    def _fingerprint(self, step: _Step) -> str:
        if self.state is None:
            self.state = read_state(self.session.store)
        return fingerprint(self.state, step.inputs, step.options)


# Stages


def _extract(session: Session, sources: Paths, options: dict[str, Any]) -> _Result:
    from jobs.extraction.extract import extract

    found = extract(sources, store=session, **options)
    counts = {
        "extracted": found.extracted + found.kept,
        "failed": found.failed,
        "gone": found.gone,
        "relabelled": found.relabelled,
    }
    summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if not summary and found.outcome != "too-many-gone":
        summary = f"nothing new, changed or gone among {counted(found.listed, 'file')}"
    summary = "; ".join(filter(None, [summary, found.message]))
    return summary, {**asdict(found), "failed": found.failed}


def _train(session: Session, keep_models: int, options: dict[str, Any]) -> _Result:
    from jobs.learning.train import as_json, train

    found = train(store=session, keep_models=keep_models, **options)
    verdict = "is the new champion" if found.verdict.promoted else "is kept, but not promoted"
    version = found.description.version
    return f"{version} {verdict}: {found.verdict.reason}", as_json(found)


def _few_changes(options: dict[str, Any], retrain_above: float, store: Store) -> str:
    """Return why changed rows are too few to train again; "" if they are enough, or unknown."""
    from jobs.learning.changes import read_changes

    if retrain_above == 0:
        return ""
    try:
        found = read_changes(
            store,
            split=options["split"],
            features=options["features"],
            level=options["level"],
            model=options["model"],
        )
    except SongmillError:
        return ""  # a new model replaces a damaged one; the training reports other errors
    if found is None or found.changed > retrain_above * found.learnt:
        return ""
    return (
        f"labelled rows changed since {found.version} was trained: {found.changed:,} of "
        f"{found.learnt:,}, no more than --retrain-above {retrain_above:g}"
    )


def _compare(session: Session, options: dict[str, Any]) -> _Result:
    from jobs.learning.compare import as_json, compare

    found = compare(store=session, **options)
    scored = [row for row in found.rows if row["macro_f1"] is not None]
    if not scored:
        raise SongmillError("no model could be fitted")
    best = max(scored, key=lambda row: row["macro_f1"])
    failed = f", {found.failed} failed" if found.failed else ""
    summary = f"{counted(len(found.rows), 'model')}{failed}; the best is {best['model']}"
    return f"{summary}, macro F1 {best['macro_f1']:.3f}", as_json(found)


def _similarity(session: Session, neighbours: int, metric: Name | None) -> _Result:
    from jobs.neighbours.similarity import similarity

    found = similarity(store=session, k=neighbours, metric=metric, update=True)
    summary = (
        f"the {found.k} nearest of {counted(found.rows, 'track')} by the metric {found.metric}, "
    )
    summary += counted(found.duplicates, "duplicate")
    return summary, asdict(found)


def _predict(session: Session, *, long: bool) -> _Result:
    from jobs.learning.predict_store import predict_all

    found = predict_all(store=session, long=long)
    return f"{counted(found.tracks, 'track')} by {found.model}", asdict(found)


def _predictions_are_current(store: Store, *, long: bool) -> str:
    """Return that the champion has predicted all tracks as they are now; "" if it has not."""
    champion = registry.champion(store)
    if champion is None or (long and not store.parts(PREDICTED_LONG)):
        return ""
    version = registry.describe(store, champion).feature_set
    names = {of_set: name for name, of_set in store.settings.feature_sets.items()}
    if version not in names:
        return ""
    labelled = ["track_id", "label"]
    tracks = store.read(features_folder(names[version], "track"), labelled).sort_by("track_id")
    parts = store.parts(PREDICTED_TRACKS)
    predicted = pa.concat_tables(store.read_part(part, [*labelled, "model"]) for part in parts)
    is_by_champion = pc.unique(predicted["model"]).to_pylist() == [champion]
    if is_by_champion and predicted.select(labelled).sort_by("track_id").equals(tracks):
        return f"all tracks have predictions by {champion}"
    return ""


def _export(session: Session, table: TableName, to: str, schema: str | None) -> _Result:
    from jobs.exporting.export import export

    found = export(table, store=session, to=to, schema=schema)
    return f"{counted(found.rows, 'row')} to {found.to}", asdict(found)


def _report(session: Session) -> _Result:
    from jobs.reporting.report import report

    with session.stage("report") as stage:
        found = report(store=stage.store, progress=session.progress)
        stage.commit(commit.Change(), message=found.page)
    return found.page, asdict(found)


# Results and obstacles


def _has_comparison(store: Store) -> bool:
    return any(store.parts(comparison_table(name)) for name in store.settings.feature_sets)


def _too_few_labels(store: Store, learner: str = "a model") -> str:
    count = sum(label is not None for label, _ in count_labels(store))
    if count > 1:
        return ""
    return f"labels of the tracks: {count}; {learner} needs at least two"


def _no_neighbours(store: Store, metric: Name | None) -> str:
    if not max(count_tracks(store).values()):
        return "there are no tracks"
    return _too_few_labels(store, "the metric learned") if metric == "learned" else ""


def _no_predictions(store: Store) -> str:
    return "" if store.parts(PREDICTED_TRACKS) else "there are no predictions"
