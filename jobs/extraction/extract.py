"""The extraction job: from sources to rows in the store.

Finished batches stay under ``_work/done`` until they are committed. New files are committed in
parts during a long run. Everything that replaces rows (changed, forced, relabelled or gone files)
is committed at the end at once, so readers have the old rows until the new ones are there.
"""

import functools
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_SET, SEGMENT_SECONDS
from featurizer.errors import FailureKind
from jobs import defaults
from jobs.cluster.failures import translate_errors
from jobs.cluster.fitness import songmill_version
from jobs.extraction.attempts import (
    DONE,
    EXTRACTED,
    RUN_JSON,
    STARTED,
    Batch,
    Summary,
    finished_attempts,
    read_finished,
    result_file,
    result_files,
)
from jobs.extraction.batch import unfit_reason
from jobs.extraction.losses import knows_source, too_many_gone
from jobs.extraction.plan import Plan, make_batches, make_plan, with_public_sources
from jobs.extraction.rows import Rows
from jobs.inputs import labels as label_table
from jobs.inputs.recordings import check_segment_seconds
from jobs.inputs.sources import Listing, Paths, SourceFile, is_missing, list_sources
from jobs.progress import Progress, clock
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.schemas import (
    DERIVED,
    DUPLICATES,
    MATRIX,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SEGMENTS,
    SIMILARITY,
    TRACKS,
)
from jobs.store.tables import STORE_JSON, Settings, read_settings

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
    relabelled : int
        Unchanged files with a new label.
    kept : int
        Files that an interrupted run had finished.
    failures : dict of str to int
        Files that failed in this run, by kind.
    failed_in_all : int
        Listed files that failed in this run or before.
    audio_s, compute_s : float
        Seconds of extracted audio, and seconds of work summed over all workers.
    """

    run_id: str
    outcome: Literal["done", "too-many-failed", "too-many-gone", "failed", "interrupted"] = "done"
    message: str | None = None
    listed: int = 0
    new: int = 0
    changed: int = 0
    retried: int = 0
    unchanged: int = 0
    gone: int = 0
    relabelled: int = 0
    kept: int = 0
    extracted: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    failed_in_all: int = 0
    segments: int = 0
    audio_s: float = 0.0
    compute_s: float = 0.0
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
        return (
            f"{self.listed} files: {self.new} new, {self.changed} changed, "
            f"{self.retried} to retry, {self.unchanged} unchanged, {self.gone} gone{more}"
        )

    def progress(self, files: int, seconds: float, threads: int) -> str:
        """Return the progress as text: ``files`` are to be extracted, and ``seconds`` have passed.

        ``threads`` is the number of the workers' threads.
        """
        done = self.extracted + self.failed
        text = f"{done} of {files} files, {self.failed} failed"
        if not threads:
            return f"{text}; the cluster has no worker, waiting for one"
        if done:
            seconds = max(seconds, 1e-9)
            left = clock(seconds / done * (files - done))
            text += f", {self.audio_s / seconds:.0f} x realtime, {left} left"
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


def extract(
    sources: Paths,
    *,
    store: str | Session,
    labels: str = defaults.LABELS,
    segment_seconds: float = SEGMENT_SECONDS,
    force: bool = False,
    retry_failed: bool = False,
    max_failed: float = defaults.MAX_FAILED,
    max_gone: float = defaults.MAX_GONE,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Bring a store up to date with its sources.

    Only new and changed files are extracted; files that are gone leave the tables. After an
    interruption, the same call resumes without redoing finished work.

    Parameters
    ----------
    sources : str, path, or sequence of them
        Folders (searched recursively), files, globs, list files (``.txt``, ``.lst``, ``.m3u``: one
        path per line), or addresses that fsspec reads.
    store : str or Session
        Address of the store, a folder or ``s3://BUCKET/PREFIX``, created if it does not exist; or
        the session of a run.
    labels : str
        ``parent`` (the name of a track's folder), ``none``, or the path of a CSV with the columns
        ``track_id``, ``label`` and further ones.
    segment_seconds : float [range=(0.1, 600)]
        Length of a segment in seconds.
    force : bool
        Whether unchanged files are extracted again.
    retry_failed : bool
        Whether unchanged files that failed before are tried again.
    max_failed : float [range=(0, 1)]
        Share of failed files, of those that this run tries, above which the outcome is
        ``too-many-failed``. Files that failed before do not count.
    max_gone : float [range=(0, 1)]
        Share of gone files, of the known ones of a source, above which the outcome is
        ``too-many-gone`` (see :func:`jobs.extraction.losses.too_many_gone`).
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
    settings = Settings(FEATURE_SET, check_segment_seconds(segment_seconds))
    progress.step("listing the sources")
    listing = list_sources(sources, functools.partial(knows_source, session.storage))
    for folder in listing.unlisted:
        progress.warn(f"the folder {folder} cannot be read; its known files stay as they are")
    labelling = label_table.label_tracks(labels, listing.recordings)
    if read_settings(session.storage) is None:  # the stage would create the store
        label_table.check_matches(labelling, labels)
    with session.stage("extract", settings=settings, force=force) as stage:
        known = with_public_sources(stage.store.read("files"))
        refusal = too_many_gone(listing, known, max_gone)
        if refusal:
            refused = Outcome(stage.run_id, "too-many-gone", refusal, len(listing.recordings))
            stage.columns = refused.columns
            stage.commit(commit.Change())
            refused.seconds = time.time() - stage.started
            return refused
        # After the check of gone files: they may be those that the CSV names.
        label_table.check_matches(labelling, labels)
        label_table.warn_of_unmatched(labelling, labels, progress.warn)
        command = {
            "sources": listing.sources,
            "segment_seconds": segment_seconds,
            "force": force,
            "retry_failed": retry_failed,
            "feature_set": FEATURE_SET,
        }
        for table in (*EXTRACTED, *DERIVED):
            stage.store.parts(table)  # a damaged one would end the run at its commit
        label_table.read(stage.store)
        stage.run_id = _resume(stage, command)
        plan = make_plan(
            listing,
            known,
            stage.store.read(TRACKS, ["track_id", "label"]),
            labelling.by_track,
            run_id=stage.run_id,
            force=force,
            retry_failed=retry_failed,
            replace_all=stage.store.settings != settings,
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


@dataclass
class _Extraction:
    """A running extraction.

    ``ready`` and ``held`` are the tracks of each finished attempt to commit: ``ready`` ones at any
    time, ``held`` ones at the end, because they replace rows.
    """

    stage: Stage
    settings: Settings
    plan: Plan
    listing: Listing
    labelling: label_table.Labels
    force: bool
    retry_failed: bool
    max_failed: float
    finished: set[str] = field(default_factory=set)  # tracks that are ready, held or committed
    ready: dict[str, list[str]] = field(default_factory=dict)
    ready_rows: int = 0
    held: dict[str, list[str]] = field(default_factory=dict)
    logged_failures: int = 0
    others: set[str] = field(default_factory=set)  # attempts of interrupted runs of other sources

    def __post_init__(self) -> None:
        plan = self.plan
        self.store = self.stage.store
        self.replace_all = self.store.settings != self.settings
        self.repeated = {recording.track_id for recording in plan.repeat}
        self.outcome = Outcome(
            self.stage.run_id,
            listed=len(self.listing.recordings),
            new=len(plan.new),
            changed=plan.changed,
            retried=plan.retried,
            unchanged=plan.unchanged,
            gone=len(plan.gone),
            relabelled=len(plan.relabelled),
        )
        self.stage.columns = self._columns

    def _columns(self) -> dict[str, Any]:
        """Return the columns of ``runs`` that are known so far."""
        self.outcome.seconds = time.time() - self.stage.started
        return {**self.outcome.columns(), "feature_set": self.settings.feature_set}

    def adopt_finished(self) -> None:
        """Adopt the batches that a killed run finished, if they are still valid."""
        planned = {recording.track_id: recording for recording in self.plan.new + self.plan.repeat}
        for attempt in list(finished_attempts(self.store.storage)):
            found = read_finished(self.store.storage, attempt)
            if found is None or found[1] != self.settings:
                continue
            summary, _, files = found
            sources = set(files["source"].to_pylist())
            if sources.isdisjoint(self.listing.sources) and not self.replace_all:
                self.others.add(attempt)
                continue
            valid = [
                row["track_id"]
                for row in files.to_pylist()
                if self._is_valid(row, planned.get(row["track_id"]))
            ]
            if valid:
                self._add_finished(attempt, valid, summary)
                self.outcome.kept += len(valid)

    def _is_valid(self, row: dict[str, Any], recording: SourceFile | None) -> bool:
        """Tell whether a finished row of ``files`` makes extracting ``recording`` unnecessary."""
        if recording is None or recording.track_id in self.finished:
            return False
        modified = row["modified"] and round(row["modified"].timestamp() * 1e6)
        if (row["bytes"], modified) != (recording.size, recording.modified):
            return False
        if row["run_id"] == self.outcome.run_id:
            return True
        retried = row["status"] == "failed" and self.retry_failed
        return not (self.force or retried)

    def extract(self) -> None:
        """Extract every planned file that is not finished yet."""
        from jobs.extraction.dispatch import dispatch

        new, repeat = (
            [recording for recording in files if recording.track_id not in self.finished]
            for files in (self.plan.new, self.plan.repeat)
        )
        progress = self.stage.session.progress
        progress.write("info", self.outcome.planned)
        if not new and not repeat:
            return
        progress.step("starting the cluster")
        sample = {recording.source: recording for recording in [*new, *repeat]}
        check = functools.partial(unfit_reason, self._batch(list(sample.values())))
        pool = self.stage.pool(check)
        with translate_errors(pool.client):
            threads = pool.poll()
        began = time.monotonic()

        def tick(threads: int) -> None:
            self.outcome.workers = pool.most_workers
            seconds = time.monotonic() - began
            progress.update(self.outcome.progress(len(new) + len(repeat), seconds, threads))

        files = chain(make_batches(new, threads), make_batches(repeat, threads))
        for batch, result in dispatch(pool, map(self._batch, files), tick=tick):
            summary = self._write_failure(batch, result) if result.outcome == "died" else result
            self._add_finished(batch.attempt, [r.track_id for r in batch.files], summary)
            self.outcome.add(summary)
            self._log_failures(summary)
            if self.ready_rows >= commit.PART_ROWS:
                self._commit_ready()

    def _batch(self, files: list[SourceFile]) -> Batch:
        from jobs.extraction.dispatch import new_attempt

        return Batch(
            attempt=new_attempt(),
            run_id=self.outcome.run_id,
            root=self.store.storage.root,
            songmill=songmill_version(),
            settings=self.settings,
            files=files,
            labels=[self.labelling.by_track[recording.track_id] for recording in files],
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
        rows = Rows()
        [recording] = batch.files
        rows.add_file(recording, batch.run_id, error=error, message=message)
        return rows.write(self.store.storage, batch)

    def _log_failures(self, summary: Summary) -> None:
        """Write a line for each failed file, up to :data:`MAX_LOGGED_FAILURES`."""
        for track_id, error, message in summary.failed_files:
            self.logged_failures += 1
            if self.logged_failures <= MAX_LOGGED_FAILURES:
                self.stage.session.progress.warn(f"{track_id}: {error}: {message}")
            elif self.logged_failures == MAX_LOGGED_FAILURES + 1:
                self.stage.session.progress.warn(
                    "further failed files are not logged: `songmill status --failed` lists them"
                )

    def _add_finished(self, attempt: str, tracks: list[str], summary: Summary) -> None:
        self.finished.update(tracks)
        if self.replace_all or not self.repeated.isdisjoint(tracks):
            self.held[attempt] = tracks
        else:
            self.ready[attempt] = tracks
            self.ready_rows += summary.extracted + summary.segments

    def _commit_ready(self) -> None:
        """Commit the rows of new files."""
        change = commit.Change()
        for table in EXTRACTED:
            commit.stage_table(self.store, change, table, self._rows(self.ready, table))
        change.forget += result_files(*self.ready)
        commit.commit(self.stage.lock, change)
        self.ready, self.ready_rows = {}, 0

    def finish(self) -> None:
        """Commit all other changes, and the row of ``runs``."""
        change = commit.Change()
        pending = self.ready | self.held
        plan = self.plan
        replaced = pa.array([*plan.gone, *sorted(self.repeated)], pa.string())
        drop, relabel = commit.without_tracks(replaced), commit.with_labels(plan.relabelled)
        moved = pa.concat_arrays([replaced, plan.moved["track_id"].combine_chunks()])
        # A file that failed before has no rows but that in `files`.
        tracks = self.store.read(TRACKS, ["track_id"])["track_id"]
        stale = bool(pc.any(pc.is_in(tracks, value_set=replaced)).as_py()) or self.replace_all
        features = (lambda rows: relabel(drop(rows)), stale or bool(plan.relabelled))
        for table, (edit, needed) in {
            TRACKS: features,
            SEGMENTS: features,
            # Results of features that are replaced, or of tracks that are gone, become stale.
            PREDICTED_TRACKS: features,
            PREDICTED_SEGMENTS: features,
            SIMILARITY: (commit.without_tracks(replaced, "track_id", "neighbour_id"), stale),
            DUPLICATES: (commit.without_tracks(replaced, "track_id", "duplicate_id"), stale),
            MATRIX: (commit.without_any, stale),
            "files": (commit.without_tracks(moved), bool(len(moved)) or self.replace_all),
        }.items():
            rows = self._rows(pending, table) if table in EXTRACTED else []
            commit.stage_table(
                self.store,
                change,
                table,
                chain(rows, [plan.moved] if table == "files" else []),
                edit=(commit.without_any if self.replace_all else edit) if needed else None,
                tidy=table in EXTRACTED,
            )
        label_table.stage(self.store, change, self.labelling, plan.gone)
        if self.replace_all:
            commit.stage_file(self.store, change, STORE_JSON, self.settings.to_json())
        change.forget += result_files(*pending)
        self._check_failures(pending)
        if self._is_recorded():
            commit.commit(self.stage.lock, change)
        else:
            self.stage.commit(change)
        self.store.settings = self.settings
        self._clear()

    def _rows(self, attempts: dict[str, list[str]], table: str) -> Iterator[pa.Table]:
        """Yield the rows of finished attempts for ``table``, with current labels."""
        for attempt, tracks in attempts.items():
            rows = self.store.storage.read_table(result_file(attempt, table))
            is_wanted = pc.is_in(rows["track_id"], pa.array(tracks, pa.string()))
            rows = rows.replace_schema_metadata(None).filter(is_wanted)
            if "label" in rows.column_names:
                labels = {track: self.labelling.by_track[track] for track in tracks}
                rows = commit.with_labels(labels)(rows)
            yield rows

    def _check_failures(self, pending: dict[str, list[str]]) -> None:
        """Count the listed files that failed, and compare the share of new ones with the limit."""
        failed, tried = set[str](), set(self.finished)
        for table in chain([self.store.read("files")], self._rows(pending, "files")):
            is_failed = pc.equal(table["status"], "failed")
            failed |= set(table.filter(is_failed)["track_id"].to_pylist())
            if failed:
                failed -= set(table.filter(pc.invert(is_failed))["track_id"].to_pylist())
            # This run may have committed rows before it was killed.
            by_this_run = pc.equal(table["run_id"], self.outcome.run_id)
            tried |= set(table.filter(by_this_run)["track_id"].to_pylist())
        listed = self.labelling.by_track.keys()
        failed &= listed
        tried = (tried & listed) - self.plan.failed_before
        # A known file that is gone now is judged by --max-gone.
        tried -= {one.track_id for one in self.plan.repeat if is_missing(one)}
        new = failed & tried
        outcome, limit = self.outcome, self.max_failed
        outcome.failed_in_all = len(failed)
        messages = []
        # A night may try only a few files: its share of all files is small then.
        if len(new) > max(limit * len(tried), min(defaults.FEW_FILES, limit * len(listed))):
            outcome.outcome = "too-many-failed"
            messages.append(
                f"{len(new)} of {len(tried)} files that this run tried failed "
                f"({len(new) / len(tried):.1%}), more than --max-failed {limit:g} allows"
            )
        if len(failed) > len(new):
            messages.append(f"{len(failed) - len(new)} of {len(listed)} files failed before")
        outcome.message = "; ".join(messages) or None

    def _is_recorded(self) -> bool:
        """Return whether the resumed run was killed after its last commit, before it cleared up."""
        rows = self.store.read("runs", ["run_id", "stage", "outcome"]).to_pylist()
        row = {"run_id": self.stage.run_id, "stage": "extract"}
        return any({**row, "outcome": outcome} in rows for outcome in ("done", "too-many-failed"))

    def _clear(self) -> None:
        """Remove the files of all attempts but those of other sources; RUN_JSON is the last."""
        storage = self.store.storage
        kept = set(result_files(*self.others))
        found = [entry.name for folder in (DONE, STARTED) for entry in storage.list(folder)]
        self.stage.lock.describe()  # fails if another run has taken over
        for name in found:
            if name not in kept:
                storage.remove(name)
        storage.remove(RUN_JSON)
