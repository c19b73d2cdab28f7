"""The extraction job: from sources to rows in the store.

Finished batches lie under ``_work/done`` until they are committed. Rows of files that the store
did not know are committed now and then during a long run; everything that takes the place of
other rows (changed, gone, forced, relabelled) is committed at the end, at once, so that a reader
has the old rows until the new ones are there.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_SET, SEGMENT_SECONDS
from jobs import defaults
from jobs.cluster.failures import check_workers, count_threads, count_workers
from jobs.cluster.fitness import songmill_version
from jobs.errors import UsageError
from jobs.extraction.attempts import (
    DONE,
    RUN_JSON,
    STARTED,
    Batch,
    Summary,
    finished_attempts,
    piece,
    pieces,
    read_finished,
)
from jobs.extraction.batch import unfit
from jobs.extraction.plan import Plan, batches, make_plan
from jobs.extraction.progress import ExtractionProgress
from jobs.extraction.rows import Rows
from jobs.inputs import labels as label_table
from jobs.inputs.sources import Listed, Listing, list_sources
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit
from jobs.store.schemas import (
    DUPLICATES,
    MATRIX,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SEGMENTS,
    SIMILARITY,
    TABLES,
    TRACKS,
)
from jobs.store.storage import TEMPORARY, as_json
from jobs.store.tables import STORE_JSON, Settings

EXTRACTED = (TRACKS, SEGMENTS, "files")
"""The tables of which a batch leaves rows."""


@dataclass
class Outcome:
    """What an extraction did: a row of ``runs``, and what is said at the end.

    Parameters
    ----------
    outcome : {"done", "too-many-failed", "failed", "interrupted"}
        ``too-many-failed``: the rows are there, and more files failed than were to.
    failures : dict of str to int
        Files that failed in this run, by kind.
    failed_in_all : int
        Listed files that are failed in the store, of this run or before.
    """

    run_id: str
    outcome: Literal["done", "too-many-failed", "failed", "interrupted"] = "done"
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
        """The plan as a line for people."""
        kept = f", {self.kept} finished by an earlier run" if self.kept else ""
        kept += f"; {self.relabelled} get another label" if self.relabelled else ""
        return (
            f"{self.listed} files: {self.new} new, {self.changed} changed, "
            f"{self.retried} to try again, {self.unchanged} unchanged, {self.gone} gone{kept}"
        )

    def add(self, summary: Summary) -> None:
        """Count what an attempt did."""
        self.extracted += summary.extracted
        self.segments += summary.segments
        self.audio_s += summary.audio_s
        self.compute_s += summary.compute_s
        for kind, count in summary.failures.items():
            self.failures[kind] = self.failures.get(kind, 0) + count


def extract(
    sources: list[str],
    *,
    store: str | Session,
    labels: str = defaults.LABELS,
    segment_seconds: float = SEGMENT_SECONDS,
    force: bool = False,
    retry_failed: bool = False,
    max_failed: float = defaults.MAX_FAILED,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Bring a store up to date with its sources.

    Only new and changed files are extracted; files that are gone leave the tables. After anything
    that stopped it, the same call resumes without redoing finished work.

    Parameters
    ----------
    sources : list of str
        Folders (walked), files, globs, list files (``.txt``, ``.lst``, ``.m3u``: a path a line),
        or addresses that fsspec reads.
    store : str or Session
        Address of the store, a folder or ``s3://BUCKET/PREFIX``, which is created where it does
        not exist; or the session of a run.
    labels : str
        ``parent`` (the name of a track's folder), ``none``, or the path of a CSV with the columns
        ``track_id``, ``label`` and further ones.
    segment_seconds : float [range=(0.1, 600)]
        Length of a segment in seconds.
    force : bool
        Whether every file is extracted, changed or not.
    retry_failed : bool
        Whether unchanged files that failed before are tried again.
    max_failed : float [range=(0, 1)]
        Share of failed files above which the outcome is ``too-many-failed``.
    scheduler : str, optional
        Address of a Dask scheduler, or path of its scheduler file. By default a cluster is started
        on this machine.
    workers : int, optional
        Processes of the local cluster; by default one a core.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        A source, the labels or the settings of the store do not fit. Nothing has been written.
    SongmillError
        The extraction cannot go on. Finished work is kept.
    """
    session = open_session(
        store, create=True, scheduler=scheduler, workers=workers, progress=progress
    )
    progress = session.progress
    wanted = Settings(FEATURE_SET, segment_seconds)
    progress.say("listing the sources")
    listing = list_sources(sources)
    for folder in listing.unlisted:
        progress.warn(f"the folder {folder} cannot be read; what is known of it stays as it is")
    labelling = label_table.label_tracks(labels, listing.recordings)
    _check_labels(labelling, labels, progress)
    with session.stage("extract", settings=wanted, force=force) as stage:
        command = {
            "sources": listing.sources,
            "segment_seconds": segment_seconds,
            "force": force,
            "retry_failed": retry_failed,
            "feature_set": FEATURE_SET,
        }
        stage.run_id = _resume(stage, command)
        plan = make_plan(
            listing,
            stage.store.read("files"),
            stage.store.read(TRACKS, ["track_id", "label"]),
            labelling.of_track,
            run_id=stage.run_id,
            force=force,
            retry_failed=retry_failed,
            replace_all=stage.store.settings != wanted,
        )
        run = _Extraction(
            stage,
            wanted=wanted,
            plan=plan,
            listing=listing,
            labelling=labelling,
            force=force,
            retry_failed=retry_failed,
            max_failed=max_failed,
        )
        run.adopt()
        run.work()
        run.finish()
    return run.outcome


def _check_labels(labelling: label_table.Labels, path: str, progress: Progress) -> None:
    """Warn of rows and files without a partner; UsageError if no row of the CSV has one."""
    if labelling.table is None:
        return
    files, rows = len(labelling.of_track), labelling.table.num_rows
    if not rows:
        raise UsageError(
            f"no row of {path} names a listed track, such as "
            f"{min(labelling.of_track)!r}: a track_id is a path below the source, or its end"
        )
    if labelling.unmatched:
        progress.warn(f"rows of {path} that name no listed track: {labelling.unmatched}")
    if rows < files:
        progress.warn(f"files without a row in {path}, and so a label: {files - rows}")


def _resume(stage: Stage, command: dict[str, Any]) -> str:
    """Return the id of an unfinished run of the same command, or else that of this run."""
    storage = stage.store.storage
    with suppress(FileNotFoundError):
        unfinished = json.loads(storage.read(RUN_JSON))
        if unfinished["command"] == command:
            return str(unfinished["run_id"])
    storage.write(RUN_JSON, as_json({"run_id": stage.run_id, "command": command}))
    return stage.run_id


@dataclass
class _Finished:
    """An attempt whose rows are to be committed: all of them, or those of some tracks."""

    attempt: str
    tracks: list[str]
    whole: bool


class _Extraction:
    """An extraction under way."""

    def __init__(
        self,
        stage: Stage,
        *,
        wanted: Settings,
        plan: Plan,
        listing: Listing,
        labelling: label_table.Labels,
        force: bool,
        retry_failed: bool,
        max_failed: float,
    ) -> None:
        self.stage = stage
        self.store = stage.store
        self.progress = stage.session.progress
        self.wanted = wanted
        self.plan = plan
        self.sources = set(listing.sources)
        self.others = set[str]()
        self.labelling = labelling
        self.force = force
        self.retry_failed = retry_failed
        self.max_failed = max_failed
        self.replace_all = self.store.settings != wanted
        self.again = {recording.track_id for recording in plan.again}
        self.finished: set[str] = set()
        self.ready: list[_Finished] = []
        self.ready_rows = 0
        self.held: list[_Finished] = []
        self.outcome = Outcome(
            stage.run_id,
            listed=len(listing.recordings),
            new=len(plan.new),
            changed=plan.changed,
            retried=plan.retried,
            unchanged=plan.unchanged,
            gone=len(plan.gone),
            relabelled=len(plan.relabelled),
        )
        stage.columns = self._columns

    def _columns(self) -> dict[str, Any]:
        """Return what is known for the row of ``runs``."""
        self.outcome.seconds = time.time() - self.stage.started
        known = {**asdict(self.outcome), "failed": self.outcome.failed}
        known["feature_set"] = self.wanted.feature_set
        del known["run_id"], known["seconds"]
        return known

    # What a killed run left

    def adopt(self) -> None:
        """Take over the batches that a killed run finished, as far as they are still wanted.

        Those of other sources wait for a run of these.
        """
        wanted = {
            recording.track_id: recording for recording in chain(self.plan.new, self.plan.again)
        }
        for attempt in list(finished_attempts(self.store.storage)):
            found = read_finished(self.store.storage, attempt)
            if found is None or found[1] != self.wanted:
                continue
            summary, _, files = found
            if not set(files["source"].to_pylist()) & self.sources and not self.replace_all:
                self.others.add(attempt)
                continue
            valid = [
                row["track_id"]
                for row in files.to_pylist()
                if self._is_wanted(row, wanted.get(row["track_id"]))
            ]
            if valid:
                self._take(attempt, valid, summary, whole=len(valid) == files.num_rows)
                self.outcome.kept += len(valid)

    def _is_wanted(self, row: dict[str, Any], recording: Listed | None) -> bool:
        if recording is None or recording.track_id in self.finished:
            return False
        modified = row["modified"] and round(row["modified"].timestamp() * 1e6)
        if (row["bytes"], modified) != (recording.size, recording.modified):
            return False
        if row["run_id"] == self.outcome.run_id:
            return True
        retried = row["status"] == "failed" and self.retry_failed
        return not (self.force or retried)

    # Work

    def work(self) -> None:
        """Extract everything that is not finished yet."""
        from jobs.extraction.dispatch import dispatch

        new = [r for r in self.plan.new if r.track_id not in self.finished]
        again = [r for r in self.plan.again if r.track_id not in self.finished]
        shown = ExtractionProgress(self.progress)
        shown.plan(self.outcome.planned, len(new) + len(again))
        if not new and not again:
            return
        self.progress.say("starting the cluster")
        client = self.stage.session.client()
        check_workers(client, unfit, self._batch((new or again)[:1]))
        threads = count_threads(client)
        self.outcome.workers = count_workers(client)
        shown.begin(client.dashboard_link)
        ours = chain(batches(new, threads), batches(again, threads))
        for batch, answer in dispatch(client, map(self._batch, ours), tick=shown.tick):
            summary = self._write_off(batch, answer) if answer.outcome == "died" else answer
            self._take(batch.attempt, [r.track_id for r in batch.files], summary)
            self.outcome.add(summary)
            shown.advance(summary)
            if self.ready_rows >= commit.PART_ROWS:
                self._commit_ready()

    def _batch(self, files: list[Listed]) -> Batch:
        from jobs.extraction.dispatch import new_attempt

        return Batch(
            attempt=new_attempt(),
            run_id=self.outcome.run_id,
            root=self.store.storage.root,
            songmill=songmill_version(),
            settings=self.wanted,
            files=files,
            labels=[self.labelling.of_track[recording.track_id] for recording in files],
        )

    def _write_off(self, batch: Batch, summary: Summary) -> Summary:
        """Write down as failed the file of a batch that has cost two workers."""
        rows = Rows()
        for recording in batch.files:
            rows.add_file(
                recording,
                batch.run_id,
                error="timeout" if summary.hung else "worker-killed",
                message=(
                    "its worker hung on it, twice, and was ended"
                    if summary.hung
                    else "its worker died of it twice (killed, out of memory or crashed); "
                    "--retry-failed tries it again"
                ),
            )
        return rows.write(self.store.storage, batch)

    def _take(
        self, attempt: str, tracks: list[str], summary: Summary, *, whole: bool = True
    ) -> None:
        self.finished.update(tracks)
        finished = _Finished(attempt, tracks, whole)
        if self.replace_all or not self.again.isdisjoint(tracks):
            self.held.append(finished)
        else:
            self.ready.append(finished)
            self.ready_rows += summary.extracted + summary.segments

    # Commits

    def _commit_ready(self) -> None:
        """Commit rows of files that the store did not know."""
        change = commit.Change()
        for table in EXTRACTED:
            commit.stage_table(self.store, change, table, self._rows(self.ready, table))
        change.forget += [name for done in self.ready for name in pieces(done.attempt)]
        self.stage.lock.check()
        commit.commit(self.store, change)
        self.ready, self.ready_rows = [], 0

    def finish(self) -> None:
        """Commit everything else, and what is known of the run."""
        change = commit.Change()
        pending = self.ready + self.held
        replaced = pa.array([*self.plan.gone, *sorted(self.again)], pa.string())
        relabelled = (
            pa.array(list(self.plan.relabelled.keys()), pa.string()),
            pa.array(list(self.plan.relabelled.values()), pa.string()),
        )
        readdressed = self.plan.readdressed
        features = commit.edits(commit.without_tracks(replaced), commit.with_labels(*relabelled))
        files = commit.without_tracks(
            pa.concat_arrays([replaced, readdressed["track_id"].combine_chunks()])
        )
        neighbours = commit.without_tracks(replaced, "track_id", "neighbour_id")
        duplicates = commit.without_tracks(replaced, "track_id", "duplicate_id")
        if self.replace_all:
            features = files = neighbours = duplicates = commit.without_any
        stale = bool(len(replaced)) or self.replace_all
        for table, edit, needed, extra in (
            (TRACKS, features, stale or len(self.plan.relabelled), []),
            (SEGMENTS, features, stale or len(self.plan.relabelled), []),
            # What was found from other features, or of tracks that are gone, goes with them.
            (PREDICTED_TRACKS, features, stale or len(self.plan.relabelled), []),
            (PREDICTED_SEGMENTS, features, stale or len(self.plan.relabelled), []),
            (SIMILARITY, neighbours, stale, []),
            (DUPLICATES, duplicates, stale, []),
            (MATRIX, commit.without_any, stale, []),
            ("files", files, stale or readdressed.num_rows, [readdressed]),
        ):
            commit.stage_table(
                self.store,
                change,
                table,
                chain(self._rows(pending, table) if table in EXTRACTED else [], extra),
                edit=edit if needed else None,
                tidy=table in EXTRACTED,
            )
        label_table.stage(self.store, change, self.labelling, self.plan.gone)
        if self.replace_all:
            commit.stage_file(self.store, change, STORE_JSON, self.wanted.to_json())
        # With the mark of this run goes its claim to be resumed.
        change.forget += [name for done in pending for name in pieces(done.attempt)] + [RUN_JSON]
        self._judge(pending)
        self.stage.commit(change)
        self.store.settings = self.wanted
        self._clear()

    def _rows(self, done: list[_Finished], table: str) -> Iterator[pa.Table]:
        """Yield what finished attempts left for ``table``, with the labels of today."""
        for finished in done:
            rows = self.store.storage.read_table(piece(finished.attempt, table))
            rows = rows.replace_schema_metadata(None)
            if not finished.whole:
                rows = rows.filter(pc.is_in(rows["track_id"], pa.array(finished.tracks)))
            if "label" in TABLES[table].names:
                today = [self.labelling.of_track[track] for track in finished.tracks]
                relabel = commit.with_labels(
                    pa.array(finished.tracks, pa.string()), pa.array(today, pa.string())
                )
                rows = relabel(rows)
            yield rows

    def _judge(self, pending: list[_Finished]) -> None:
        """Count the listed files that are failed, and compare their share with the bound."""
        failed = set[str]()
        for table in chain([self.store.read("files")], self._rows(pending, "files")):
            is_failed = pc.equal(table["status"], "failed")
            failed |= set(table.filter(is_failed)["track_id"].to_pylist())
            if failed:
                failed -= set(table.filter(pc.invert(is_failed))["track_id"].to_pylist())
        self.outcome.failed_in_all = len(failed & self.labelling.of_track.keys())
        share = self.outcome.failed_in_all / self.outcome.listed
        if share > self.max_failed:
            self.outcome.outcome = "too-many-failed"
            self.outcome.message = (
                f"{self.outcome.failed_in_all} of {self.outcome.listed} files are failed "
                f"({share:.1%}), more than --max-failed {self.max_failed:g}"
            )

    def _clear(self) -> None:
        """Remove what is left of attempts, but for those of other sources."""
        storage = self.store.storage
        waiting = {name for attempt in self.others for name in pieces(attempt)}
        for folder in (DONE, STARTED, TEMPORARY):
            for entry in storage.list(folder):
                if entry.name not in waiting:
                    storage.remove(entry.name)
