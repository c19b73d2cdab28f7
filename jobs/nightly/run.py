"""The nightly run: every stage that something has changed for, one after the other.

extract -> train (which judges, and promotes or keeps) -> similarity -> predict -> export -> report.
The store is held throughout. A stage is skipped where what it reads is as it was when it was done
last (:mod:`jobs.nightly.freshness`); each leaves a row in ``runs``, all under one name.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from jobs.cluster.connect import kept_cluster
from jobs.errors import RunInterruptedError, SongmillError, UsageError
from jobs.exporting.export import MADE_BY, Name
from jobs.exporting.target import parse_target
from jobs.interruption import interruption_heard, interruption_prevails
from jobs.learning import registry
from jobs.nightly.freshness import State, read_stages, state, write_stage
from jobs.progress import JsonLog, Progress, clock
from jobs.reporting.report import PAGE
from jobs.stage import one_run, stage
from jobs.store import commit
from jobs.store.counts import count_labels
from jobs.store.levels import Level
from jobs.store.lock import held_throughout
from jobs.store.schemas import PREDICTED_TRACKS, SIMILARITY
from jobs.store.tables import Store, open_store, storage_to_write

StageName = Literal["extract", "train", "similarity", "predict", "export", "report"]

STAGES: tuple[StageName, ...] = get_args(StageName)


@dataclass(frozen=True)
class Request:
    """What is asked of ``songmill run``: its options, which explain them."""

    sources: list[str]
    store: str
    labels: str = "parent"
    segment_seconds: float = 3.0
    retry_failed: bool = False
    max_failed: float = 0.1
    split: str = "by-track"
    level: Level | None = None
    tolerance: float = 0.01
    neighbours: int = 20
    exports: list[str] = field(default_factory=list)
    schema: str | None = None
    scheduler: str | None = None
    workers: int | None = None
    only: StageName | None = None
    first: StageName | None = None


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


def run(request: Request, progress: Progress) -> Outcome:
    """Bring everything in a store up to date.

    Parameters
    ----------
    request : Request
        What is asked for.
    progress : Progress
        Is told how far it is.

    Returns
    -------
    Outcome
        Also of a run that failed or was interrupted: what was finished is kept.

    Raises
    ------
    UsageError
        Two options do not fit together. Nothing is begun.
    """
    if request.only and request.first:
        raise UsageError("--only and --from do not go together: say one of them")
    exports = [_parse_export(text) for text in request.exports]
    started = time.time()
    storage = storage_to_write(request.store)
    with one_run() as run_id:
        outcome = Outcome(run_id, storage.root)
        if isinstance(progress, JsonLog):
            progress.run_id = run_id
        running = _Running(request, exports, progress, outcome)
        try:
            with interruption_prevails(), held_throughout(storage), kept_cluster():
                running.work()
        except SongmillError as error:
            running.end("failed", error, error.exit_code)
        except OSError as error:
            running.end("failed", error, 1)
        except RunInterruptedError as error:
            interruption_heard()
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
class _Step:
    """A stage of this run, or one of its exports.

    Parameters
    ----------
    stage : str
        Of :data:`STAGES`.
    label : str
        Names it in what is said and remembered.
    work : callable
        Does it, and returns what it did in a few words, and what its own command says as JSON.
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
    work: Callable[[], tuple[str, dict[str, Any]]]
    reads: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    is_made: Callable[[Store], bool] = lambda _: True
    why_not: Callable[[Store], str] = lambda _: ""


class _Running:
    """A run under way, with the store held."""

    def __init__(
        self,
        request: Request,
        exports: list[tuple[Name, str]],
        progress: Progress,
        outcome: Outcome,
    ) -> None:
        self._request = request
        self._progress = progress
        self._outcome = outcome
        self._cluster: dict[str, Any] = {
            "scheduler": request.scheduler,
            "workers": request.workers,
        }
        self._state: State | None = None
        self._now: StageOutcome | None = None
        self._began = 0.0
        self._steps = self._plan(exports)
        outcome.stages += [StageOutcome(step.label) for step in self._steps]

    def _plan(self, exports: list[tuple[Name, str]]) -> list[_Step]:
        request = self._request
        learnt = {name: getattr(request, name) for name in ("split", "level", "tolerance")}
        return [
            _Step("extract", "extract", self._extract),
            _Step(
                "train",
                "train",
                self._train,
                reads=("features", "labels"),
                options=learnt,
                is_made=lambda store: registry.champion(store) is not None,
                why_not=_too_few_labels,
            ),
            _Step(
                "similarity",
                "similarity",
                self._similarity,
                reads=("features",),
                options={"neighbours": request.neighbours},
                is_made=lambda store: bool(store.parts(SIMILARITY)),
            ),
            _Step(
                "predict",
                "predict",
                self._predict,
                reads=("features", "champion"),
                is_made=lambda store: bool(store.parts(PREDICTED_TRACKS)),
                why_not=_no_model,
            ),
            *(
                _Step(
                    "export",
                    f"export {table} {parse_target(to).shown}",
                    functools.partial(self._export, table, to),
                    # What is found from features goes with those that change.
                    reads=("features", *_FOUND_FROM.get(table, ())),
                    options={"schema": request.schema},
                    why_not=_no_predictions if table == "predictions" else lambda _: "",
                )
                for table, to in exports
            ),
            _Step(
                "report",
                "report",
                self._report,
                reads=(
                    *("features", "labels", "similarity", "predictions", "comparison"),
                    *("models", "champion"),
                ),
                is_made=lambda store: store.storage.exists(f"report/{PAGE}"),
            ),
        ]

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
            message, one.details = step.work()
            self._state = None
            # What the stage itself has changed is no reason to do it again.
            self._remember(step)
            self._finish(one, message)
            if self._outcome.outcome == "too-many-failed":
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
        request = self._request
        if request.only:
            return "in any case" if name == request.only else "no"
        if request.first:
            place, first = STAGES.index(name), STAGES.index(request.first)
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
        with stage(self._request.store, step.stage) as under_way:
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
        store = open_store(self._request.store)
        why_not = step.why_not(store)
        if why_not or in_any_case or not step.is_made(store):
            return why_not
        fresh = read_stages(store).get(step.label) == self._seen_by(step, store)
        return "nothing that it reads has changed" if fresh else ""

    def _remember(self, step: _Step) -> None:
        if step.reads:
            store = open_store(self._request.store)
            write_stage(store, step.label, self._seen_by(step, store))

    def _seen_by(self, step: _Step, store: Store) -> str:
        """Return the fingerprint of what a stage reads. The store, which is held, is read once."""
        if self._state is None:
            self._state = state(store)
        return self._state.fingerprint(step.reads, step.options)

    # What the stages are

    def _extract(self) -> tuple[str, dict[str, Any]]:
        from jobs.extraction.extract import Request as Extraction
        from jobs.extraction.extract import extract

        request = self._request
        found = extract(
            Extraction(
                sources=request.sources,
                store=request.store,
                labels=request.labels,
                segment_seconds=request.segment_seconds,
                retry_failed=request.retry_failed,
                max_failed=request.max_failed,
                **self._cluster,
            ),
            self._progress,
        )
        counts = {
            "extracted": found.extracted + found.kept,
            "failed": found.failed,
            "gone": found.gone,
            "relabelled": found.relabelled,
        }
        said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if found.outcome == "too-many-failed":
            self._outcome.outcome, self._outcome.exit_code = "too-many-failed", 3
            self._outcome.message = found.message or ""
        return (
            said or f"nothing new, changed or gone among {found.listed} files",
            {**asdict(found), "failed": found.failed},
        )

    def _train(self) -> tuple[str, dict[str, Any]]:
        from jobs.learning.train import Request as Training
        from jobs.learning.train import as_json, train

        request = self._request
        found = train(
            Training(
                store=request.store,
                split=request.split,
                level=request.level,
                tolerance=request.tolerance,
                **self._cluster,
            ),
            self._progress,
        )
        said = "predicts from now on" if found.verdict.promoted else "is kept, and does not predict"
        version = found.description.version
        return f"{version} {said}: {found.verdict.reason}", as_json(found)

    def _similarity(self) -> tuple[str, dict[str, Any]]:
        from jobs.neighbours.similarity import Request as Similarity
        from jobs.neighbours.similarity import find_similar

        request = Similarity(store=self._request.store, k=self._request.neighbours, **self._cluster)
        found = find_similar(request, self._progress)
        said = f"the {found.k} nearest of {found.rows} tracks, {found.duplicates} duplicates"
        return said, asdict(found)

    def _predict(self) -> tuple[str, dict[str, Any]]:
        from jobs.learning.predict import Request as Prediction
        from jobs.learning.predict import as_json, predict_all

        found = predict_all(Prediction(store=self._request.store, **self._cluster), self._progress)
        return f"{found.tracks} tracks by {found.model}", as_json(found, segments=False)

    def _export(self, table: Name, to: str) -> tuple[str, dict[str, Any]]:
        from jobs.exporting.export import Request as Export
        from jobs.exporting.export import export

        found = export(
            Export(name=table, store=self._request.store, to=to, schema=self._request.schema),
            self._progress,
        )
        return f"{found.rows} rows to {found.to}", asdict(found)

    def _report(self) -> tuple[str, dict[str, Any]]:
        from jobs.reporting.report import report

        with stage(self._request.store, "report") as under_way:
            found = report(self._request.store, None, self._progress)
            under_way.commit(commit.Change(), message=found.page)
        return found.page, asdict(found)


def _too_few_labels(store: Store) -> str:
    count = sum(label is not None for label, _ in count_labels(store))
    if count > 1:
        return ""
    return f"the tracks have {count} labels, and a model needs two to tell apart"


def _no_model(store: Store) -> str:
    return "" if registry.champion(store) else "there is no model that predicts"


def _no_predictions(store: Store) -> str:
    return "" if store.parts(PREDICTED_TRACKS) else "there are no predictions"
