"""The nightly run: every stage that something has changed for, one after the other.

extract -> train (which judges, and promotes or keeps) -> similarity -> predict -> export -> report.
The store is held throughout. A stage is skipped where what it reads is as it was when it was done
last (:mod:`jobs.nightly.freshness`); each leaves a row in ``runs``, all under one name.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from featurizer.columns import SEGMENT_SECONDS
from jobs import defaults
from jobs.errors import RunInterruptedError, SongmillError, UsageError
from jobs.exporting.export import MADE_BY, Name
from jobs.exporting.target import parse_target
from jobs.learning import registry
from jobs.nightly.freshness import State, read_stages, state, write_stage
from jobs.progress import JsonLog, Progress, clock
from jobs.reporting.report import PAGE
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.counts import count_labels
from jobs.store.levels import Level
from jobs.store.schemas import PREDICTED_TRACKS, SIMILARITY
from jobs.store.tables import Store

StageName = Literal["extract", "train", "similarity", "predict", "export", "report"]

STAGES: tuple[StageName, ...] = get_args(StageName)


@dataclass
class StageOutcome:
    """How a stage ended.

    Parameters
    ----------
    stage : str
        Of :data:`STAGES`; of an export, with its table and target.
    outcome : {"done", "skipped", "failed", "interrupted", "not run"}
        ``not run``: it was not asked for, or an earlier one ended the run.
    message : str
        Why, or what it did.
    seconds : float
        How long it took.
    details : dict
        What the stage's own command says with ``--json``.
    """

    stage: str
    outcome: Literal["done", "skipped", "failed", "interrupted", "not run"] = "not run"
    message: str = ""
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """How the run ended.

    Parameters
    ----------
    run_id : str
        Names it in ``runs`` and in every line of the log.
    outcome : {"done", "failed", "interrupted", "too-many-failed"}
        Of the whole.
    exit_code : int
        Of the command.
    message : str
        Why it failed.
    stages : list of StageOutcome
        In order.
    """

    run_id: str
    store: str
    outcome: Literal["done", "failed", "interrupted", "too-many-failed"] = "done"
    exit_code: int = 0
    message: str = ""
    seconds: float = 0.0
    stages: list[StageOutcome] = field(default_factory=list)


def run(
    sources: list[str],
    *,
    store: str,
    labels: str = defaults.LABELS,
    segment_seconds: float = SEGMENT_SECONDS,
    retry_failed: bool = False,
    max_failed: float = defaults.MAX_FAILED,
    split: str = defaults.SPLIT,
    level: Level | None = None,
    tolerance: float = defaults.TOLERANCE,
    neighbours: int = defaults.NEIGHBOURS,
    exports: Sequence[str] = (),
    schema: str | None = None,
    only: StageName | None = None,
    first: StageName | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Bring everything in a store up to date.

    Parameters
    ----------
    sources, labels, segment_seconds, retry_failed, max_failed, scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.
    store : str
        Address of the store, which is created where it does not exist.
    split, level, tolerance
        As for :func:`jobs.learning.train.train`.
    neighbours : int
        Neighbours of each track, as ``k`` of :func:`jobs.neighbours.similarity.similarity`.
    exports : sequence of str
        ``TABLE=URL`` of each export, as for :func:`jobs.exporting.export.export`.
    schema : str, optional
        Schema of the databases.
    only : str, optional
        The only stage to do, one of :data:`STAGES`, whether or not its inputs have changed.
    first : str, optional
        The stage to begin with, whether or not its inputs have changed.

    Returns
    -------
    Outcome
        Also of a run that failed or was interrupted: finished work is kept.

    Raises
    ------
    UsageError
        Two options do not fit together. Nothing has been written.
    """
    if only and first:
        raise UsageError("--only and --from do not go together: say one of them")
    targets = [_parse_export(text) for text in exports]
    started = time.time()
    session = open_session(
        store, create=True, scheduler=scheduler, workers=workers, progress=progress
    )
    if isinstance(session.progress, JsonLog):
        session.progress.run_id = session.run_id
    extraction = {
        "labels": labels,
        "segment_seconds": segment_seconds,
        "retry_failed": retry_failed,
        "max_failed": max_failed,
    }
    training = {"split": split, "level": level, "tolerance": tolerance}
    steps = [
        _Step("extract", "extract", lambda: _extract(session, sources, extraction)),
        _Step(
            "train",
            "train",
            lambda: _train(session, training),
            reads=("features", "labels"),
            options=training,
            is_made=lambda store: registry.champion(store) is not None,
            why_not=_too_few_labels,
        ),
        _Step(
            "similarity",
            "similarity",
            lambda: _similarity(session, neighbours),
            reads=("features",),
            options={"neighbours": neighbours},
            is_made=lambda store: bool(store.parts(SIMILARITY)),
        ),
        _Step(
            "predict",
            "predict",
            lambda: _predict(session),
            reads=("features", "champion"),
            is_made=lambda store: bool(store.parts(PREDICTED_TRACKS)),
            why_not=_no_model,
        ),
        *(
            _Step(
                "export",
                f"export {table} {parse_target(to).shown}",
                functools.partial(_export, session, table, to, schema),
                # What is found from features goes with those that change.
                reads=("features", *_FOUND_FROM.get(table, ())),
                options={"schema": schema},
                why_not=_no_predictions if table == "predictions" else lambda _: "",
            )
            for table, to in targets
        ),
        _Step(
            "report",
            "report",
            lambda: _report(session),
            reads=(
                *("features", "labels", "similarity", "predictions", "comparison"),
                *("models", "champion"),
            ),
            is_made=lambda store: store.storage.exists(f"report/{PAGE}"),
        ),
    ]
    outcome = Outcome(session.run_id, session.storage.root)
    running = _Running(session, steps, outcome, only=only, first=first)
    try:
        with session.held("run"):
            running.work()
    except SongmillError as error:
        running.end("failed", error, error.exit_code)
    except OSError as error:
        running.end("failed", error, 1)
    except RunInterruptedError as error:
        running.end("interrupted", error, error.exit_code)
    outcome.seconds = time.time() - started
    return outcome


def _parse_export(text: str) -> tuple[Name, str]:
    """Return the table and the target of ``NAME=URL``."""
    name, separator, to = text.partition("=")
    if not separator or name not in MADE_BY or not to:
        names = ", ".join(MADE_BY)
        raise UsageError(
            f"--export {name}{'=…' if separator else ''}: say TABLE=URL, such as "
            f"similarity=postgresql://me@host/music, with one of the tables {names}"
        )
    parse_target(to)
    return name, to


_FOUND_FROM: dict[Name, tuple[str, ...]] = {
    "similarity": ("similarity",),
    "duplicates": ("similarity",),
    "predictions": ("predictions",),
}
"""What else of a store's state an export reads."""


@dataclass(frozen=True)
class _Result:
    """Result of a stage: a few words, the JSON of its own command, and why it ends the run."""

    message: str
    details: dict[str, Any]
    too_many_failed: str = ""


@dataclass(frozen=True)
class _Step:
    """A stage of this run, or one of its exports.

    Parameters
    ----------
    stage : str
        Of :data:`STAGES`.
    label : str
        Names it in what is said and remembered.
    work : callable
        Does it; returns its result.
    reads : tuple of str
        What of a store's :class:`jobs.nightly.freshness.State` it reads; nothing of the
        extraction, which finds out by itself what has changed.
    options : dict
        What was asked of it.
    is_made : callable
        Whether a store has what it makes.
    why_not : callable
        Says why it cannot be done with what a store holds, where that is no mistake.
    """

    stage: StageName
    label: str
    work: Callable[[], _Result]
    reads: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    is_made: Callable[[Store], bool] = lambda _: True
    why_not: Callable[[Store], str] = lambda _: ""


class _Running:
    """A run under way, with the store held."""

    def __init__(
        self,
        session: Session,
        steps: list[_Step],
        outcome: Outcome,
        *,
        only: StageName | None,
        first: StageName | None,
    ) -> None:
        self._session = session
        self._progress = session.progress
        self._steps = steps
        self._outcome = outcome
        self._only = only
        self._first = first
        self._state: State | None = None
        self._now: StageOutcome | None = None
        self._began = 0.0
        outcome.stages += [StageOutcome(step.label) for step in steps]

    def work(self) -> None:
        """Do every stage that is wanted and that something has changed for."""
        for step, one in zip(self._steps, self._outcome.stages, strict=True):
            wanted = self._wanted(step.stage)
            if wanted == "no":
                continue
            self._begin(one)
            why_not = self._why_not(step, in_any_case=wanted == "in any case")
            if why_not:
                self._skip(step, one, why_not)
                continue
            result = step.work()
            one.details = result.details
            self._state = None
            # What the stage itself has changed is no reason to do it again.
            self._remember(step)
            self._finish(one, result.message)
            if result.too_many_failed:
                self._outcome.outcome, self._outcome.exit_code = "too-many-failed", 3
                self._outcome.message = result.too_many_failed
                return

    def end(
        self, kind: Literal["failed", "interrupted"], error: BaseException, exit_code: int
    ) -> None:
        """Write down that the run ended early."""
        outcome = self._outcome
        outcome.outcome, outcome.exit_code, outcome.message = kind, exit_code, str(error)
        if self._now:
            self._now.outcome, self._now.message = kind, str(error)
            self._now.seconds = time.time() - self._began

    def _wanted(self, name: StageName) -> Literal["no", "where needed", "in any case"]:
        if self._only:
            return "in any case" if name == self._only else "no"
        if self._first:
            place, first = STAGES.index(name), STAGES.index(self._first)
            return "no" if place < first else "in any case" if place == first else "where needed"
        return "where needed"

    def _begin(self, one: StageOutcome) -> None:
        self._now, self._began = one, time.time()
        if isinstance(self._progress, JsonLog):
            self._progress.stage = one.stage
        self._progress.say(f"stage {one.stage}")

    def _finish(self, one: StageOutcome, message: str) -> None:
        one.outcome, one.message = "done", message
        one.seconds = time.time() - self._began
        self._now = None
        self._progress.write("info", f"{one.stage}: {message} ({clock(one.seconds)})")

    def _skip(self, step: _Step, one: StageOutcome, why: str) -> None:
        with self._session.stage(step.stage) as under_way:
            under_way.commit(commit.Change(), outcome="skipped", message=why)
        one.outcome, one.message = "skipped", why
        one.seconds = time.time() - self._began
        self._now = None
        self._progress.write("info", f"{one.stage}: skipped, {why}")

    # Is it needed?

    def _why_not(self, step: _Step, *, in_any_case: bool) -> str:
        """Say why a stage is left out; nothing where it is to be done."""
        if step.stage == "extract":
            return ""
        store = self._session.store
        why_not = step.why_not(store)
        if why_not or in_any_case or not step.is_made(store):
            return why_not
        fresh = read_stages(store).get(step.label) == self._seen_by(step, store)
        return "nothing that it reads has changed" if fresh else ""

    def _remember(self, step: _Step) -> None:
        if step.reads:
            store = self._session.store
            write_stage(store, step.label, self._seen_by(step, store))

    def _seen_by(self, step: _Step, store: Store) -> str:
        """Return the fingerprint of what a stage reads. The store, which is held, is read once."""
        if self._state is None:
            self._state = state(store)
        return self._state.fingerprint(step.reads, step.options)


# Stages


def _extract(session: Session, sources: list[str], options: dict[str, Any]) -> _Result:
    from jobs.extraction.extract import extract

    found = extract(sources, store=session, **options)
    counts = {
        "extracted": found.extracted + found.kept,
        "failed": found.failed,
        "gone": found.gone,
        "relabelled": found.relabelled,
    }
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return _Result(
        said or f"nothing new, changed or gone among {found.listed} files",
        {**asdict(found), "failed": found.failed},
        found.message or "" if found.outcome == "too-many-failed" else "",
    )


def _train(session: Session, options: dict[str, Any]) -> _Result:
    from jobs.learning.train import as_json, train

    found = train(store=session, **options)
    said = "predicts from now on" if found.verdict.promoted else "is kept, and does not predict"
    version = found.description.version
    return _Result(f"{version} {said}: {found.verdict.reason}", as_json(found))


def _similarity(session: Session, neighbours: int) -> _Result:
    from jobs.neighbours.similarity import similarity

    found = similarity(store=session, k=neighbours)
    said = f"the {found.k} nearest of {found.rows} tracks, {found.duplicates} duplicates"
    return _Result(said, asdict(found))


def _predict(session: Session) -> _Result:
    from jobs.learning.predict_store import predict_all

    found = predict_all(store=session)
    return _Result(f"{found.tracks} tracks by {found.model}", asdict(found))


def _export(session: Session, table: Name, to: str, schema: str | None) -> _Result:
    from jobs.exporting.export import export

    found = export(table, store=session, to=to, schema=schema)
    return _Result(f"{found.rows} rows to {found.to}", asdict(found))


def _report(session: Session) -> _Result:
    from jobs.reporting.report import report

    with session.stage("report") as stage:
        found = report(store=stage.store, progress=session.progress)
        stage.commit(commit.Change(), message=found.page)
    return _Result(found.page, asdict(found))


# Reasons to leave a stage out


def _too_few_labels(store: Store) -> str:
    count = sum(label is not None for label, _ in count_labels(store))
    if count > 1:
        return ""
    return f"the tracks have {count} labels, and a model needs two to tell apart"


def _no_model(store: Store) -> str:
    return "" if registry.champion(store) else "there is no model that predicts"


def _no_predictions(store: Store) -> str:
    return "" if store.parts(PREDICTED_TRACKS) else "there are no predictions"
