"""Status of a store: counts, labels, failures, remarks, the last runs."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from featurizer.recording import SILENT
from jobs.errors import StoreError
from jobs.extraction.attempts import finished_attempts
from jobs.learning.registry import champion, versions
from jobs.store.counts import count_labels, count_tracks, most_first
from jobs.store.schemas import SEGMENTS
from jobs.store.tables import Store, open_store

LAST_RUNS = 5
"""Number of runs in a status."""


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
    runs = store.read("runs").sort_by([("started_at", "descending")]).slice(0, LAST_RUNS)
    try:
        model = champion(store)
        if model is None and versions(store):
            model = "no champion: run `songmill promote VERSION`"
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
        runs=runs.to_pylist(),
        model=model,
        waiting=sum(1 for _ in finished_attempts(store.storage)),
        tracks_of=tracks_of,
        silent=pc.sum(pc.match_substring(files["message"], SILENT)).as_py() or 0,
        warned_files=remarked.select(["track_id", "message", "uri"]).to_pylist(),
    )
