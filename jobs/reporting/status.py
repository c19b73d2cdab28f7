"""Status of a store: counts, labels, failures, remarks, the last runs."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.recording import SILENT
from jobs.errors import StoreError, command_for
from jobs.extraction.attempts import finished_attempts
from jobs.learning.registry import champion, versions
from jobs.store.counts import count_labels, count_tracks, most_first
from jobs.store.schemas import SEGMENTS
from jobs.store.tables import Store, open_store

LAST_RUNS = 5
"""Number of runs in a status."""

_COUNTS = ("extracted", "failed", "unchanged", "gone")


@dataclass(frozen=True)
class Run:
    """The stages of a run.

    Parameters
    ----------
    run_id : str
        The run.
    started_at : datetime
        Start of its first stage.
    outcome : str
        The first outcome of a stage that is neither ``done`` nor ``skipped``; otherwise ``done``.
    seconds : float
        Duration of all stages.
    stages : list of str
        Stages that did something, in order.
    counts : dict of str to int
        ``extracted``, ``failed``, ``unchanged`` and ``gone`` files, if it extracted.
    """

    run_id: str
    started_at: datetime
    outcome: str
    seconds: float
    stages: list[str]
    counts: dict[str, int]


@dataclass(frozen=True)
class Status:
    """Contents of a store.

    Parameters
    ----------
    feature_set : str
        Versions of the feature sets.
    tracks : int
        Tracks with features.
    segments : int
        Rows of segments.
    hours : float
        Total duration of the files.
    labels : dict of (str or None) to int
        Tracks of each label in descending order; None counts tracks without a label.
    failures : dict of str to int
        Failed files of each kind in descending order.
    failed_files : list of dict
        ``track_id``, ``error``, ``message`` and ``uri`` of each failed file.
    runs : list of dict
        The last rows of ``runs``, the newest first.
    last_runs : list of Run
        The last runs, the newest first. If none of them did anything, the last one that did
        follows.
    model : str or None
        Version of the champion, or what is wrong with it; None if there is no model.
    waiting : int
        Finished batches of an interrupted run, which the next run takes over.
    tracks_of : dict of str to int
        Tracks that have a row in each feature set.
    silent : int
        Files with no sample other than 0, whose features have no meaning.
    warned_files : list of dict
        ``track_id``, ``message`` and ``uri`` of each file that has rows, and a remark.
    """

    store: str
    feature_set: str
    segment_seconds: float
    files: int
    tracks: int
    segments: int
    hours: float
    labels: dict[str | None, int]
    failures: dict[str, int]
    failed_files: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    last_runs: list[Run]
    model: str | None
    waiting: int
    tracks_of: dict[str, int]
    silent: int
    warned_files: list[dict[str, Any]]


def read_status(store: str | Store) -> Status:
    """Return the status of a store, given as such or by address; UsageError if there is none.

    Examples
    --------
    >>> status = read_status("tables")
    >>> status.files, status.labels
    (6, {'blues': 3, 'rock': 3})
    """
    store = open_store(store)
    files = store.read("files", ["track_id", "uri", "status", "error", "message", "duration_s"])
    failed = files.filter(pc.equal(files["status"], "failed")).sort_by("track_id")
    is_remarked = pc.and_(pc.equal(files["status"], "ok"), pc.is_valid(files["message"]))
    remarked = files.filter(is_remarked).sort_by("track_id")
    runs = store.read("runs").sort_by([("started_at", "descending")])
    try:
        model = champion(store)
        if model is None and versions(store):
            model = f"no champion; run: {command_for(store.storage.root, 'promote VERSION')}"
    except StoreError as error:
        model = f"damaged: {error}"
    tracks_of = count_tracks(store)
    return Status(
        store=store.storage.root,
        feature_set=store.settings.versions,
        segment_seconds=store.settings.segment_seconds,
        files=files.num_rows,
        tracks=max(tracks_of.values()),
        segments=store.count_rows(SEGMENTS),
        hours=(pc.sum(files["duration_s"]).as_py() or 0.0) / 3600,
        labels=dict(count_labels(store)),
        failures=dict(most_first(Counter(failed["error"].to_pylist()))),
        failed_files=failed.select(["track_id", "error", "message", "uri"]).to_pylist(),
        runs=runs.slice(0, LAST_RUNS).to_pylist(),
        last_runs=_last_runs(runs),
        model=model,
        waiting=sum(1 for _ in finished_attempts(store.storage)),
        tracks_of=tracks_of,
        silent=pc.sum(pc.match_substring(files["message"], SILENT)).as_py() or 0,
        warned_files=remarked.select(["track_id", "message", "uri"]).to_pylist(),
    )


def _last_runs(rows: pa.Table) -> list[Run]:
    """Return the last runs of rows of ``runs``, the newest first."""
    stages: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        stages.setdefault(row["run_id"], []).insert(0, row)
    runs = list(map(_summarise, stages.values()))
    last, earlier = runs[:LAST_RUNS], runs[LAST_RUNS:]
    if not any(run.stages for run in last):
        last += [run for run in earlier if run.stages][:1]
    return last


def _summarise(rows: list[dict[str, Any]]) -> Run:
    """Summarise the stages of a run."""
    outcomes = [row["outcome"] for row in rows if row["outcome"] not in ("done", "skipped")]
    counts = next((row for row in rows if row["extracted"] is not None), {})
    return Run(
        run_id=rows[0]["run_id"],
        started_at=rows[0]["started_at"],
        outcome=outcomes[0] if outcomes else "done",
        seconds=sum(row["seconds"] for row in rows),
        stages=[row["stage"] or "" for row in rows if _did_something(row)],
        counts={name: counts[name] for name in _COUNTS if name in counts},
    )


def _did_something(row: dict[str, Any]) -> bool:
    """Tell whether a stage changed something, or failed."""
    if row["stage"] == "extract" and row["outcome"] == "done":
        return any(row[name] for name in ("extracted", "failed", "gone", "relabelled"))
    return bool(row["outcome"] != "skipped")
