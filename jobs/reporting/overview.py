"""What a report reads of a store: counts, and a sample of tracks.

Tables are gone through some rows at a time, and of many tracks a sample is kept, so that a million
need no more memory than fifty thousand.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS
from jobs.interruption import raise_if_interrupted
from jobs.store.counts import add_counts, most_first
from jobs.store.schemas import DUPLICATES, SIMILARITY, TRACK, TRACKS
from jobs.store.tables import Store
from pages.style import MAX_LABELS, LabelStyles

SAMPLE = 20_000
"""Of more tracks than that, so many are looked at, drawn at random."""

BEYOND = 1e12
"""No feature of a recording is as large; of an imported table one may be."""

MOST_PAIRS = 50
"""So many pairs of duplicates are shown."""

_MOST_LOOKED_AT = 2_000


@dataclass(frozen=True)
class Sample:
    """Tracks to look at.

    Parameters
    ----------
    total : int
        Tracks that the store has.
    beyond : int
        Tracks that were drawn and are left out, as they have numbers that no recording gives.
    names : pa.Table
        ``track_id`` and ``label`` of those that were drawn, in the order of their names.
    rows : np.ndarray [shape=(n, 58), float64]
        Their ``length`` and their features.
    """

    total: int
    beyond: int
    names: pa.Table
    rows: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """Their features [shape=(n, 57)]."""
        return self.rows[:, 1:]


def sample_tracks(store: Store, size: int = SAMPLE) -> Sample:
    """Draw tracks at random: the same ones, in however many parts the store holds them.

    Parameters
    ----------
    store : Store
        The store.
    size : int
        How many, or all where they are fewer.
    """
    total = store.count_rows(TRACKS)
    largest = _largest_hash(store, size) if total > size else None
    names = [pa.schema([TRACK.field("track_id"), TRACK.field("label")]).empty_table()]
    columns = ["length", *FEATURE_COLUMNS]
    rows = [np.empty((0, len(columns)))]
    for batch in store.read_batches(TRACKS, ["track_id", "label", *columns]):
        raise_if_interrupted()
        chosen = np.arange(batch.num_rows)
        if largest is not None:
            chosen = np.flatnonzero(_hashes(batch["track_id"]) <= largest)
        names.append(pa.table(batch.select(["track_id", "label"]).take(pa.array(chosen))))
        rows.append(np.column_stack([batch[name].to_numpy()[chosen] for name in columns]))
    table, matrix = pa.concat_tables(names), np.concatenate(rows)
    order = pc.sort_indices(table["track_id"]).to_numpy()
    order = order[(np.abs(matrix[order]) < BEYOND).all(axis=1)]
    return Sample(total, len(matrix) - len(order), table.take(pa.array(order)), matrix[order])


def _hashes(tracks: pa.Array) -> np.ndarray:
    return pd.util.hash_array(tracks.to_numpy(zero_copy_only=False))


def _largest_hash(store: Store, size: int) -> np.uint64:
    """Return the hash that ``size`` tracks are not above."""
    smallest = np.empty(0, np.uint64)
    for batch in store.read_batches(TRACKS, ["track_id"]):
        raise_if_interrupted()
        smallest = np.concatenate([smallest, _hashes(batch["track_id"])])
        if len(smallest) > size:
            smallest = np.partition(smallest, size - 1)[:size]
    return np.uint64(smallest.max())


@dataclass(frozen=True)
class Files:
    """What is known of the files of a store.

    Parameters
    ----------
    count, failed : int
        All, and those that failed.
    hours : float
        Of those that did not.
    suffixes, rates, channels, failures : list of (Any, int)
        How many files there are of each, most first; None where it is not known.
    examples : dict of str to (str, str)
        Of each kind of failure, a track and the message.
    """

    count: int
    failed: int
    hours: float
    suffixes: list[tuple[Any, int]]
    rates: list[tuple[Any, int]]
    channels: list[tuple[Any, int]]
    failures: list[tuple[Any, int]]
    examples: dict[str, tuple[str, str]]


def count_files(store: Store) -> Files:
    """Count the files of a store."""
    counts = {name: Counter[Any]() for name in ("suffix", "sample_rate", "channels", "error")}
    examples: dict[str, tuple[str, str]] = {}
    count = failed = 0
    seconds = 0.0
    columns = ["track_id", "status", "error", "message", "duration_s", "sample_rate", "channels"]
    for part in store.read_batches("files", columns):
        raise_if_interrupted()
        count += part.num_rows
        ok = part.filter(pc.equal(part["status"], "ok"))
        seconds += pc.sum(ok["duration_s"]).as_py() or 0.0
        wrong = part.filter(pc.equal(part["status"], "failed"))
        failed += wrong.num_rows
        suffix = pc.extract_regex(part["track_id"], r"(?P<suffix>\.[^./]{1,8})$")
        suffix = pc.utf8_lower(pc.struct_field(suffix, "suffix"))
        add_counts(counts["suffix"], suffix)
        add_counts(counts["sample_rate"], ok["sample_rate"])
        add_counts(counts["channels"], ok["channels"])
        add_counts(counts["error"], wrong["error"])
        for row in wrong.select(["error", "track_id", "message"]).to_pylist():
            known = examples.get(row["error"])
            if known is None or row["track_id"] < known[0]:
                examples[row["error"]] = (row["track_id"], row["message"] or "")
    return Files(
        count=count,
        failed=failed,
        hours=seconds / 3600,
        suffixes=most_first(counts["suffix"]),
        rates=most_first(counts["sample_rate"]),
        channels=most_first(counts["channels"]),
        failures=most_first(counts["error"]),
        examples=examples,
    )


def label_styles(counts: list[tuple[str | None, int]]) -> LabelStyles:
    """Return the colours of a store's labels, on all its pages: the most frequent are told apart.

    Parameters
    ----------
    counts : list of (str or None, int)
        From :func:`count_labels`.
    """
    return LabelStyles([label for label, _ in counts if label is not None][:MAX_LABELS])


def neighbours_of(store: Store, tracks: list[str], k: int) -> dict[str, list[dict[str, Any]]]:
    """Return the first rows of ``similarity`` of some tracks, the nearest first.

    Parameters
    ----------
    store : Store
        The store.
    tracks : list of str
        The tracks.
    k : int
        How many of each.
    """
    wanted = pa.array(tracks, pa.string())
    found: dict[str, list[dict[str, Any]]] = {}
    for rows in _matching(store, SIMILARITY, wanted):
        for row in rows.filter(pc.less_equal(rows["rank"], k)).to_pylist():
            found.setdefault(row["track_id"], []).append(row)
    for some in found.values():
        some.sort(key=lambda row: (row.get("segment", 0), row["rank"]))
    return {track: found[track] for track in tracks if track in found}


def labels_of(store: Store, tracks: Iterable[str]) -> dict[str, str | None]:
    """Return the labels of some tracks."""
    wanted = pa.array(sorted(set(tracks)), pa.string())
    found: dict[str, str | None] = {}
    for rows in _matching(store, TRACKS, wanted, ["track_id", "label"]):
        found |= dict(zip(rows["track_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    return found


def _matching(
    store: Store, table: str, wanted: pa.Array, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some tracks."""
    for batch in store.read_batches(table, columns):
        raise_if_interrupted()
        mask = pc.is_in(batch["track_id"], value_set=wanted)
        if pc.any(mask).as_py():
            yield batch.filter(mask)


def duplicate_pairs(store: Store) -> tuple[int, list[dict[str, Any]]]:
    """Return how many pairs of duplicates there are, and some of them.

    Returns
    -------
    int
        All pairs.
    list of dict
        Rows of ``duplicates`` with ``label`` and ``duplicate_label``: those with two labels first.
    """
    total = 0
    found: list[dict[str, Any]] = []
    for batch in store.read_batches(DUPLICATES):
        raise_if_interrupted()
        total += batch.num_rows
        found += batch.slice(0, _MOST_LOOKED_AT - len(found)).to_pylist()
    labels = labels_of(store, [row[end] for row in found for end in ("track_id", "duplicate_id")])
    for row in found:
        row["label"] = labels.get(row["track_id"])
        row["duplicate_label"] = labels.get(row["duplicate_id"])
    found.sort(key=lambda row: row["label"] == row["duplicate_label"])
    return total, found[:MOST_PAIRS]
