"""The extraction job: from sources to rows in the store.

Finished batches stay under ``_work/done`` until they are committed. New files are committed in
parts during a long run. Everything that replaces rows (changed, forced, relabelled or gone files)
is committed at the end at once, so readers have the old rows until the new ones are there.
"""

import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import featurizer
from featurizer.columns import SEGMENT_SECONDS
from featurizer.errors import FailureKind
from featurizer.feature_set import DEFAULT_SETS, feature_set
from jobs import defaults
from jobs.cluster.failures import translate_errors
from jobs.cluster.fitness import songmill_version
from jobs.errors import command_for
from jobs.extraction.attempts import (
    DONE,
    RUN_JSON,
    STARTED,
    Batch,
    Finished,
    Summary,
    extracted_tables,
    finished_attempts,
    read_finished,
    result_file,
    result_files,
)
from jobs.extraction.batch import unfit_reason
from jobs.extraction.losses import too_many_gone
from jobs.extraction.plan import Plan, load_files, make_groups
from jobs.extraction.remarks import is_long_enough, with_remarks
from jobs.extraction.rows import Rows
from jobs.extraction.survey import plan_work, survey
from jobs.inputs import labels as label_table
from jobs.inputs.database import explain_full_disk, insert
from jobs.inputs.listing import Listing
from jobs.inputs.patterns import Patterns
from jobs.inputs.recordings import check_feature_sets, check_segment_seconds
from jobs.inputs.sources import Paths, SourceFile
from jobs.progress import Progress, clock, counted
from jobs.stage import Session, Stage, has_run, open_session
from jobs.store import commit
from jobs.store.schemas import (
    COMPARED,
    DERIVED,
    DUPLICATES,
    FILES,
    MATRIX,
    NEIGHBOUR_METRICS,
    PREDICTED_LONG,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SIMILARITY,
    SUSPECTS,
    TAGS,
    features_folder,
)
from jobs.store.tables import STORE_JSON, Settings, current_settings, read_settings

FEATURIZER = Path(featurizer.__file__).parent
"""Package of the kernels, which the first run of a machine compiles."""

MAX_LOGGED_FAILURES = 1000
"""Failed files that a run logs one by one."""


@dataclass
class Outcome:
    """Result of an extraction: its row of ``runs``, and the numbers that the command prints.

    Parameters
    ----------
    outcome : {"done", "too-many-failed", "too-many-gone", "failed", "interrupted"}
        ``too-many-failed``: the rows are committed, but more files failed than ``max_failed``
        allows. ``too-many-gone``: nothing was changed, since more files are gone than ``max_gone``
        allows.
    incomplete : int
        Unchanged files that lack a feature set, which alone is extracted.
    relabelled : int
        Unchanged files with a new label, or with none now.
    unlabelled : int
        Those of them that lost their label.
    kept : int
        Files with rows that an interrupted run had finished.
    failures : dict of str to int
        Files that failed in this run, or in the interrupted run that it completes, by kind.
    failed_in_all : int
        Listed files that failed in this run or before.
    audio_s, compute_s : float
        Seconds of extracted audio, and seconds of work summed over all workers.
    compile_s : float
        Seconds until the first result, if workers of this machine had to compile the kernels.
    """

    run_id: str
    outcome: Literal["done", "too-many-failed", "too-many-gone", "failed", "interrupted"] = "done"
    message: str | None = None
    listed: int = 0
    new: int = 0
    changed: int = 0
    retried: int = 0
    unchanged: int = 0
    incomplete: int = 0
    gone: int = 0
    relabelled: int = 0
    unlabelled: int = 0
    kept: int = 0
    extracted: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    failed_in_all: int = 0
    segments: int = 0
    audio_s: float = 0.0
    compute_s: float = 0.0
    compile_s: float = 0.0
    workers: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Number of files that failed in this run."""
        return sum(self.failures.values())

    @property
    def planned(self) -> str:
        """The plan in one line."""
        more = f", {self.kept} finished by an earlier run" if self.kept else ""
        more += f"; {self.relabelled} relabelled" if self.relabelled else ""
        more += f" ({self.unlabelled} without a label now)" if self.unlabelled else ""
        lacking = f" ({self.incomplete} lack features)" if self.incomplete else ""
        return (
            f"{counted(self.listed, 'file')}: {self.new} new, {self.changed} changed, "
            f"{self.retried} to retry, {self.unchanged} unchanged{lacking}, {self.gone} gone{more}"
        )

    def progress(
        self, files: int, seconds: float, threads: int, before: tuple[int, float] = (0, 0.0)
    ) -> str:
        """Return the progress as text: ``files`` are to be extracted, and ``seconds`` have passed.

        ``threads`` is the number of the workers' threads. ``before`` are the files and the seconds
        of audio that were finished when the time began.
        """
        done = self.extracted + self.failed
        text = f"{done} of {files} files, {self.failed} failed"
        if not threads:
            return f"{text}; the cluster has no worker, waiting for one"
        measured = done - before[0]
        if measured:
            seconds = max(seconds, 1e-9)
            left = clock(seconds / measured * (files - done))
            text += f", {(self.audio_s - before[1]) / seconds:.0f} x realtime, {left} left"
        return text

    def columns(self) -> dict[str, Any]:
        """Return the columns of ``runs``."""
        columns = {**asdict(self), "failed": self.failed}
        del columns["run_id"], columns["seconds"]
        return columns

    def add(self, summary: Summary) -> None:
        """Add the counts of a batch."""
        self.extracted += summary.extracted
        self.segments += summary.segments
        self.audio_s += summary.audio_s
        self.compute_s += summary.compute_s
        for kind, count in summary.failures.items():
            self.failures[kind] = self.failures.get(kind, 0) + count


@explain_full_disk()
def extract(
    sources: Paths,
    *,
    store: str | Session,
    labels: str = defaults.LABELS,
    features: str | Sequence[str] = DEFAULT_SETS,
    segment_seconds: float = SEGMENT_SECONDS,
    force: bool = False,
    retry_failed: bool = False,
    max_failed: float = defaults.MAX_FAILED,
    max_gone: float = defaults.MAX_GONE,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Bring a store up to date with its sources.

    Only new and changed files are extracted; files that are gone leave the tables. Of files that
    lack a feature set, that set alone is extracted. After an interruption, the same call resumes
    without redoing finished work.

    Parameters
    ----------
    sources : str, path, or sequence of them
        Folders (searched recursively), files, globs, list files (``.txt``, ``.lst``, ``.m3u``: one
        path per line), or addresses that fsspec reads.
    store : str or Session
        Address of the store, a folder or ``s3://BUCKET/PREFIX``, created if it does not exist; or
        the session of a run.
    labels : str
        ``parent`` (the name of a track's folder), ``folder:N`` (of the N-th folder below the
        source), ``tag:NAME`` (one of :data:`featurizer.tags.TEXT_TAGS`), ``none``, or the path of a
        CSV with the columns ``track_id``, ``label`` and further ones.
    features : sequence of str
        Names of feature sets, or one text with commas between them; unless ``force`` is set, they
        must include all that the store has.
    segment_seconds : float [range=(0.1, 600)]
        Length of a segment in seconds.
    force : bool
        Whether unchanged files are extracted again. Feature sets that are left out are dropped.
    retry_failed : bool
        Whether unchanged files that failed before are tried again.
    max_failed : float [range=(0, 1)]
        Share of failed files, of those that this run tries, above which the outcome is
        ``too-many-failed``. Files that failed before do not count.
    max_gone : float [range=(0, 1)]
        Share of gone files, of the known ones of a source, above which the outcome is
        ``too-many-gone`` (see :func:`jobs.extraction.losses.too_many_gone`).
    include, exclude : sequence of str
        As for :class:`jobs.inputs.patterns.Patterns`. Known files that are left out count as gone.
    scheduler : str, optional
        Address of a Dask scheduler, or path of its scheduler file. By default a cluster is started
        on this machine.
    workers : int, optional
        Processes of the local cluster; by default one per core.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Raises
    ------
    UsageError
        The sources, the labels or the settings of the store do not fit. Nothing was written.
    SongmillError
        The extraction cannot continue. Finished work is kept.
    """
    session = open_session(
        store, create=True, scheduler=scheduler, workers=workers, progress=progress
    )
    progress = session.progress
    segment_seconds = check_segment_seconds(segment_seconds)
    settings = current_settings(check_feature_sets(features), segment_seconds)
    listing, labelling = survey(
        sources,
        session.storage,
        settings,
        labels=labels,
        patterns=Patterns(include, exclude),
        progress=progress,
    )
    first = listing.first_track()
    if read_settings(session.storage) is None:  # the stage would create the store
        label_table.check_matches(labelling, labels, first)
    with listing.database, session.stage("extract", settings=settings, force=force) as stage:
        load_files(listing, stage.store.read_batches("files", FILES.names), settings.feature_sets)
        refusal = too_many_gone(listing, max_gone)
        if refusal:
            refused = Outcome(stage.run_id, "too-many-gone", refusal, len(listing))
            stage.columns = refused.columns
            stage.commit(commit.Change())
            refused.seconds = time.time() - stage.started
            return refused
        # After the check of gone files: they may be those that the CSV names.
        label_table.check_matches(labelling, labels, first)
        label_table.warn_of_unmatched(labelling, labels, listing.tracks(), progress.warn)
        if labelling.tag:
            label_table.add_tags(labelling, listing, stage.store)
        label_table.warn_of_few_tracks(label_table.count_labels(listing), progress.warn)
        command = {
            "sources": listing.sources,
            "segment_seconds": segment_seconds,
            "force": force,
            "retry_failed": retry_failed,
            "feature_sets": settings.feature_sets,
        }
        for table in (*extracted_tables(stage.store.settings.feature_sets), *DERIVED):
            stage.store.parts(table)  # a damaged one would end the run at its commit
        label_table.read(stage.store)
        stage.run_id = _resume(stage, command)
        plan = plan_work(
            stage.store,
            settings,
            listing,
            run_id=stage.run_id,
            force=force,
            retry_failed=retry_failed,
        )
        run = _Extraction(
            stage, settings, plan, listing, labelling, force, retry_failed, max_failed
        )
        run.adopt_finished()
        run.extract()
        run.finish()
    return run.outcome


def _resume(stage: Stage, command: dict[str, Any]) -> str:
    """Return the id of an unfinished run of the same command, or the id of this run."""
    storage = stage.store.storage
    # A damaged file costs only the resumption: finished batches are checked one by one.
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        unfinished = storage.read_json(RUN_JSON)
        if unfinished["command"] == command and isinstance(unfinished["run_id"], str):
            return str(unfinished["run_id"])
    storage.write_json(RUN_JSON, {"run_id": stage.run_id, "command": command})
    return stage.run_id


@dataclass(frozen=True)
class _Share:
    """Tracks of a finished attempt, and the feature sets that it computed for them."""

    attempt: str
    sets: tuple[str, ...]
    tracks: list[str]


@dataclass
class _Extraction:
    """A running extraction.

    ``ready``, ``held`` and ``additions`` are the shares of finished attempts to commit: ``ready``
    ones at any time; ``held`` ones at the end, because they replace rows or add a feature set to
    the store; ``additions`` at the end, too, because they add a feature set to tracks that keep
    their row of ``files``.
    """

    stage: Stage
    settings: Settings
    plan: Plan
    listing: Listing
    labelling: label_table.Labels
    force: bool
    retry_failed: bool
    max_failed: float
    finished: set[str] = field(default_factory=set)  # tracks of finished attempts
    ready: list[_Share] = field(default_factory=list)
    ready_rows: int = 0
    held: list[_Share] = field(default_factory=list)
    additions: list[_Share] = field(default_factory=list)
    logged_failures: int = 0
    others: list[_Share] = field(default_factory=list)  # of interrupted runs of other sources

    def __post_init__(self) -> None:
        plan = self.plan
        self.store = self.stage.store
        self.replace_all = not self.settings.extends(self.store.settings)
        self.new_settings = self.settings != self.store.settings
        self.repeated = {recording.track_id for recording in plan.repeat}
        self.every = tuple(self.settings.feature_sets)
        # Planned files that are not extracted yet, with the feature sets to compute.
        self.open = {recording.track_id: (recording, self.every) for recording in plan.new}
        self.open |= {recording.track_id: (recording, self.every) for recording in plan.repeat}
        for sets, files in plan.incomplete.items():
            self.open |= {recording.track_id: (recording, sets) for recording in files}
        # Those of them that keep their row of `files`.
        self.described = {one.track_id for files in plan.incomplete.values() for one in files}
        # Files that the interrupted run found to fail, by kind. They are counted at the end: the
        # progress is that of this process.
        self.kept_failures: dict[str, int] = {}
        self.outcome = Outcome(
            self.stage.run_id,
            listed=len(self.listing),
            new=len(plan.new),
            changed=len(plan.changed),
            retried=len(plan.retried),
            unchanged=plan.unchanged,
            incomplete=len(self.described),
            gone=len(plan.gone),
            relabelled=len(plan.relabelled),
            unlabelled=sum(label is None for label in plan.relabelled.values()),
        )
        self.stage.columns = self._columns

    def _columns(self) -> dict[str, Any]:
        """Return the columns of ``runs`` that are known so far."""
        self.outcome.seconds = time.time() - self.stage.started
        return {**self.outcome.columns(), "feature_set": self.settings.versions}

    def adopt_finished(self) -> None:
        """Adopt the batches that a killed run finished, if they are still valid."""
        for attempt in list(finished_attempts(self.store.storage)):
            found = read_finished(self.store.storage, attempt)
            if found is None or not self.settings.extends(found.settings):
                continue
            sources = set(found.files["source"].to_pylist())
            if sources.isdisjoint(self.listing.sources) and not self.replace_all:
                self.others.append(_Share(attempt, found.sets, []))
                continue
            valid = [row for row in found.files.to_pylist() if self._is_valid(row, found)]
            if valid:
                tracks = [row["track_id"] for row in valid]
                self._add_finished(attempt, found.sets, tracks, found.summary)
                for row in valid:
                    self._close(row, found)
                self.outcome.kept += len(valid)
                self._keep_failures([row for row in valid if row["status"] == "failed"])

    def _keep_failures(self, rows: list[dict[str, Any]]) -> None:
        """Log files that failed in the interrupted run, which may have ended before it did."""
        for row in rows:
            kind = row["error"]
            self.kept_failures[kind] = self.kept_failures.get(kind, 0) + 1
        self._log_failures([[row["track_id"], row["error"], row["message"] or ""] for row in rows])

    def _is_valid(self, row: dict[str, Any], found: Finished) -> bool:
        """Tell whether a row of ``files`` of a finished attempt makes work unnecessary."""
        recording, sets = self.open.get(row["track_id"], (None, ()))
        if recording is None or not set(found.sets) <= set(sets):
            return False
        # Other feature sets might not fail.
        if row["status"] == "failed" and set(found.sets) != set(sets):
            return False
        modified = row["modified"] and round(row["modified"].timestamp() * 1e6)
        if (row["bytes"], modified) != (recording.size, recording.modified):
            return False
        if row["run_id"] == self.outcome.run_id:
            return True
        retried = row["status"] == "failed" and self.retry_failed
        return not (self.force or retried)

    def _close(self, row: dict[str, Any], found: Finished) -> None:
        """Remove the feature sets of a finished attempt from what is still to be computed."""
        recording, sets = self.open.pop(row["track_id"])
        seconds, rate = (np.array([row[name]], float) for name in ("duration_s", "sample_rate"))
        missing = (name for name in sets if name not in found.sets)
        left = tuple(name for name in missing if is_long_enough(name, seconds, rate)[0])
        if left:
            self.open[recording.track_id] = recording, left
            self.described.add(recording.track_id)

    def extract(self) -> None:
        """Extract every planned file that is not finished yet."""
        from compiling.machine_code import has_code
        from jobs.extraction.dispatch import dispatch

        progress = self.stage.session.progress
        progress.write("info", self.outcome.planned)
        count = len(self.open)
        if not count:
            return
        progress.step("starting the cluster")
        sample = {recording.source: recording for recording, _ in self.open.values()}
        check = functools.partial(unfit_reason, self._batch(self.every, list(sample.values())))
        pool = self.stage.pool(check)
        with translate_errors(pool.client):
            threads = pool.poll()
        outcome = self.outcome
        is_compiling = self.stage.session.has_own_cluster and not has_code(FEATURIZER)
        if is_compiling:
            progress.step("Compiling kernels (once per machine, about 20 s)")
        started = began = time.monotonic()
        before = (0, 0.0)

        def tick(threads: int) -> None:
            nonlocal began, before, is_compiling
            outcome.workers = pool.most_workers
            if is_compiling and threads:
                # The first batch compiles, which says nothing about the speed.
                began = time.monotonic()
                before = (outcome.extracted + outcome.failed, outcome.audio_s)
                is_compiling = not before[0]
                outcome.compile_s = began - started
                if is_compiling:
                    return
            seconds = time.monotonic() - began
            progress.update(outcome.progress(count, seconds, threads, before))

        for batch, result in dispatch(pool, self._batches(threads), tick=tick):
            summary = self._write_failure(batch, result) if result.outcome == "died" else result
            tracks = [recording.track_id for recording in batch.files]
            self._add_finished(batch.attempt, batch.sets, tracks, summary)
            self.outcome.add(summary)
            self._log_failures(summary.failed_files)
            if self.ready_rows >= commit.PART_ROWS:
                self._commit_ready()

    def _batches(self, threads: int) -> Iterator[Batch]:
        """Yield the batches, long ones first.

        New files, files to repeat and files that lack feature sets have batches of their own.
        """
        kinds: dict[tuple[bool, bool, tuple[str, ...]], list[SourceFile]] = {}
        for track, (recording, sets) in self.open.items():
            kind = (track in self.described, track in self.repeated, sets)
            kinds.setdefault(kind, []).append(recording)
        self.open = {}
        groups = [
            (sets, group)
            for (_, _, sets), files in sorted(kinds.items())
            for group in make_groups(files, threads)
        ]
        groups.sort(key=lambda one: one[1].seconds, reverse=True)
        for sets, group in groups:
            has_segments = any("segment" in feature_set(name).levels for name in sets)
            yield self._batch(sets, group.files, by_level=group.is_long and has_segments)

    def _batch(
        self, sets: tuple[str, ...], files: list[SourceFile], *, by_level: bool = False
    ) -> Batch:
        from jobs.extraction.dispatch import new_attempt

        return Batch(
            attempt=new_attempt(),
            run_id=self.outcome.run_id,
            root=self.store.storage.root,
            songmill=songmill_version(),
            settings=self.settings,
            sets=sets,
            files=files,
            labels=[self.plan.labels[recording.track_id] for recording in files],
            by_level=by_level,
        )

    def _write_failure(self, batch: Batch, summary: Summary) -> Summary:
        """Record the file of a batch that killed two workers as failed."""
        error: FailureKind = "timeout" if summary.hung else "worker-killed"
        message = (
            "the extraction hung twice, and its workers were ended"
            if summary.hung
            else "two workers died while extracting it (killed, out of memory or crashed); "
            "--retry-failed retries it"
        )
        rows = Rows(batch)
        [recording] = batch.files
        rows.add_file(recording, error=error, message=message)
        return rows.write(self.store.storage)

    def _log_failures(self, failed_files: list[list[str]]) -> None:
        """Write a line for each failed file, up to :data:`MAX_LOGGED_FAILURES`."""
        for track_id, error, message in failed_files:
            self.logged_failures += 1
            if self.logged_failures <= MAX_LOGGED_FAILURES:
                self.stage.session.progress.warn(f"{track_id}: {error}: {message}")
            elif self.logged_failures == MAX_LOGGED_FAILURES + 1:
                self.stage.session.progress.warn(
                    "further failed files are not logged. To list them: "
                    f"{command_for(self.store.storage.root, 'status --failed')}"
                )

    def _add_finished(
        self, attempt: str, sets: tuple[str, ...], tracks: list[str], summary: Summary
    ) -> None:
        self.finished.update(tracks)
        added = [track for track in tracks if track in self.described]
        others = [track for track in tracks if track not in self.described]
        if added:
            self.additions.append(_Share(attempt, sets, added))
        if not others:
            return
        if self.labelling.tag:
            columns = ["track_id", self.labelling.tag]
            tags = self.store.storage.read_table(result_file(attempt, TAGS), columns)
            found = dict(zip(*(tags[name].to_pylist() for name in columns), strict=True))
            self.plan.labels.update({track: found.get(track) for track in others})
        share = _Share(attempt, sets, others)
        # Before its rows are complete, a feature set does not belong to the store.
        is_partial = self.new_settings or sets != self.every
        if is_partial or not self.repeated.isdisjoint(others):
            self.held.append(share)
        else:
            self.ready.append(share)
            self.ready_rows += summary.extracted + summary.segments

    def _commit_ready(self) -> None:
        """Commit the rows of new files."""
        change = commit.Change()
        for table in extracted_tables(self.every):
            commit.stage_table(self.store, change, table, self._rows(self.ready, table))
        change.forget += self._files_of(self.ready)
        commit.commit(self.stage.lock, change)
        self.ready, self.ready_rows = [], 0

    def finish(self) -> None:
        """Commit all other changes, and the row of ``runs``."""
        change = commit.Change()
        plan = self.plan
        failed = self._failed_additions()
        lost = failed["track_id"].combine_chunks()
        drop_lost = commit.without_tracks(lost)
        pending = [*self.ready, *self.held]

        def new_rows(table: str) -> Iterator[pa.Table]:
            # Additions keep their other rows.
            added = [] if table in (TAGS, "files") else self.additions
            rows = map(drop_lost, self._rows([*pending, *added], table))
            return chain(rows, [failed]) if table == "files" else rows

        replaced = [*plan.gone, *sorted(self.repeated)]
        replaced = pa.concat_arrays([pa.array(replaced, pa.string()), lost])
        drop, relabel = commit.without_tracks(replaced), commit.with_labels(plan.relabelled)
        move = commit.with_values(plan.moved)
        # A file that failed before has no rows but that in `files`.
        stale = self.replace_all or self._have_features(replaced)
        relabelled = pa.concat_arrays([replaced, pa.array([*plan.relabelled], pa.string())])
        features = (lambda rows: relabel(drop(rows)), stale or bool(plan.relabelled))
        tables = extracted_tables(self.store.settings.feature_sets | self.settings.feature_sets)
        for table, schema in tables.items():
            rows = new_rows(table)
            if self.replace_all:
                commit.stage_replacement(self.store, change, table, rows, schema)
                continue
            edit, needed = features
            if table == "files":
                edit, needed = (
                    lambda rows: move(drop(rows)),
                    bool(len(replaced) or plan.moved.num_rows),
                )
            elif table == TAGS:
                edit, needed = drop, stale
            commit.stage_table(
                self.store, change, table, rows, edit=edit if needed else None, tidy=True
            )
        for table, (edit, needed) in {
            # Results of features that are replaced, or of tracks that are gone, become stale.
            PREDICTED_TRACKS: features,
            PREDICTED_SEGMENTS: features,
            PREDICTED_LONG: (drop, stale),
            SUSPECTS: (commit.without_tracks(relabelled), bool(len(relabelled))),
            SIMILARITY: (commit.without_tracks(replaced, "track_id", "neighbour_id"), stale),
            DUPLICATES: (commit.without_tracks(replaced, "track_id", "duplicate_id"), stale),
            COMPARED: (drop, stale),
            MATRIX: (commit.without_any, stale),
            # A metric remains useful when some tracks change.
            NEIGHBOUR_METRICS: (commit.without_any, self.replace_all),
        }.items():
            chosen = commit.without_any if self.replace_all else edit
            commit.stage_table(self.store, change, table, [], edit=chosen if needed else None)
        gone = pa.array(plan.gone, pa.string())
        label_table.stage(
            self.store,
            change,
            self.labelling,
            lambda tracks: pc.or_(self.listing.contains(tracks), pc.is_in(tracks, gone)),
        )
        if self.new_settings:
            commit.stage_file(self.store, change, STORE_JSON, self.settings.to_json())
        change.forget += self._files_of([*pending, *self.additions])
        for kind, count in self.kept_failures.items():
            self.outcome.failures[kind] = self.outcome.failures.get(kind, 0) + count
            self.outcome.kept -= count
        failed_tracks = self._check_failures(new_rows("files"))
        self._warn_of_unlabelled(failed_tracks)
        if self._is_recorded():
            commit.commit(self.stage.lock, change)
        else:
            self.stage.commit(change)
        self.store.settings = self.settings
        self._clear()

    def _have_features(self, tracks: pa.Array) -> bool:
        """Tell whether the store has features of any of the tracks."""
        return bool(len(tracks)) and any(
            pc.any(pc.is_in(batch["track_id"], value_set=tracks)).as_py()
            for name in self.settings.feature_sets
            for batch in self.store.read_batches(features_folder(name, "track"), ["track_id"])
        )

    def _failed_additions(self) -> pa.Table:
        """Return the rows of ``files`` that failed when a feature set was to be added to them."""
        found = [FILES.empty_table()]
        for rows in self._rows(self.additions, "files"):
            found.append(rows.filter(pc.equal(rows["status"], "failed")))
        return pa.concat_tables(found)

    def _rows(self, shares: list[_Share], table: str) -> Iterator[pa.Table]:
        """Yield the rows of finished attempts for ``table``, with current labels."""
        for share in shares:
            if table not in extracted_tables(share.sets):
                continue
            rows = self.store.storage.read_table(result_file(share.attempt, table))
            is_wanted = pc.is_in(rows["track_id"], pa.array(share.tracks, pa.string()))
            rows = rows.replace_schema_metadata(None).filter(is_wanted)
            if table == "files":
                # The attempt may have been at other feature sets.
                rows = with_remarks(rows, self.every)
            if "label" in rows.column_names:
                labels = {track: self.plan.labels[track] for track in share.tracks}
                rows = commit.with_labels(labels)(rows)
            yield rows

    def _files_of(self, shares: list[_Share]) -> list[str]:
        """Return the names of the files of finished attempts, each once."""
        names = (name for share in shares for name in result_files(share.attempt, share.sets))
        return list(dict.fromkeys(names))

    def _warn_of_unlabelled(self, failed: set[str]) -> None:
        """Warn of tracks whose path or tags give no label."""
        choice = self.labelling.choice
        if not choice:
            return
        database, warn = self.listing.database, self.stage.session.progress.warn
        labels = {track: self.plan.labels[track] for track in self.finished}
        for name, tracks in (("finished", labels), ("failed", dict.fromkeys(failed))):
            columns = {"track_id": list(tracks), "label": list(tracks.values())}
            rows = pa.table({k: pa.array(v, pa.string()) for k, v in columns.items()})
            insert(database, name, [rows])
        database.execute(
            """
            CREATE TABLE unlabelled AS
            SELECT now.track_id, finished.track_id IS NOT NULL AS is_finished
            FROM labelled AS now LEFT JOIN finished ON finished.track_id = now.track_id
            WHERE now.track_id NOT IN (SELECT track_id FROM failed)
            AND (CASE WHEN is_finished THEN finished.label ELSE now.label END) IS NULL
            """
        )
        count = "SELECT count(*), min(track_id) FROM unlabelled"
        without, first = self.listing.row(count)
        if not without:
            return
        text = f"tracks to which --labels {choice} gives no label: {without} of "
        warn(f"{text}{len(self.listing)}, such as {first!r}")
        if self.labelling.tag:
            unread, first = self.listing.row(
                f"{count} ANTI JOIN given USING (track_id) WHERE NOT is_finished"
            )
            if unread:
                warn(
                    f"tracks extracted by an older songmill, which read no tags: {unread}, "
                    f"such as {first!r}. Read them: "
                    f"{command_for(self.store.storage.root, 'extract SOURCE --force')}"
                )

    def _check_failures(self, new_files: Iterable[pa.Table]) -> set[str]:
        """Count the listed files that failed, and compare the share of new ones with the limit.

        ``new_files`` are the new rows of ``files``. Return the listed files that failed.
        """
        failed, tried = set[str](), set(self.finished)
        columns = ["track_id", "status", "run_id"]
        for table in chain([self.store.read("files", columns)], new_files):
            is_failed = pc.equal(table["status"], "failed")
            failed |= set(table.filter(is_failed)["track_id"].to_pylist())
            # A later row of a track replaces an earlier one.
            is_now_ok = pc.and_(
                pc.invert(is_failed), pc.is_in(table["track_id"], pa.array(failed, pa.string()))
            )
            failed -= set(table.filter(is_now_ok)["track_id"].to_pylist())
            # This run may have committed rows before it was killed.
            by_this_run = pc.equal(table["run_id"], self.outcome.run_id)
            tried |= set(table.filter(by_this_run)["track_id"].to_pylist())
        listed = len(self.listing)
        failed, tried = self._listed(failed), self._listed(tried) - self.plan.failed_before
        # A known file that is gone now is judged by --max-gone.
        tried -= self.plan.missing
        new = failed & tried
        outcome, limit = self.outcome, self.max_failed
        outcome.failed_in_all = len(failed)
        messages = []
        # A night may try only a few files: its share of all files is small then.
        if len(new) > max(limit * len(tried), min(defaults.FEW_FILES, limit * listed)):
            outcome.outcome = "too-many-failed"
            messages.append(
                f"{len(new)} of {len(tried)} files that this run tried failed "
                f"({len(new) / len(tried):.1%}), more than --max-failed {limit:g} allows"
            )
        if len(failed) > len(new):
            messages.append(f"{len(failed) - len(new)} of {listed} files failed before")
        outcome.message = "; ".join(messages) or None
        return failed

    def _listed(self, tracks: set[str]) -> set[str]:
        """Return those of some tracks that are listed."""
        column = pa.chunked_array([pa.array(tracks, pa.string())])
        return set(column.filter(self.listing.contains(column)).to_pylist())

    def _is_recorded(self) -> bool:
        """Return whether the resumed run was killed after its last commit, before it cleared up."""
        runs = self.store.read("runs", ["run_id", "stage", "outcome"])
        row = {"run_id": self.stage.run_id, "stage": "extract"}
        outcomes = ("done", "too-many-failed")
        return any(has_run(runs, {**row, "outcome": outcome}) for outcome in outcomes)

    def _clear(self) -> None:
        """Remove the files of all attempts but those of other sources; RUN_JSON is the last."""
        storage = self.store.storage
        kept = set(self._files_of(self.others))
        found = [entry.name for folder in (DONE, STARTED) for entry in storage.list(folder)]
        self.stage.lock.describe()  # fails if another run has taken over
        for name in found:
            if name not in kept:
                storage.remove(name)
        storage.remove(RUN_JSON)
