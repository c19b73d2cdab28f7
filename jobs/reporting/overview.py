"""Data of a report: counts, and a random sample of tracks.

Tables are read in batches and large collections are sampled, so that memory is bounded.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import Column, FeatureSet, feature_set, feature_sets
from jobs.inputs.path_text import from_text
from jobs.interruption import raise_if_interrupted
from jobs.store.counts import add_counts, largest_table
from jobs.store.schemas import DUPLICATES, SIMILARITY, features_folder, features_schema
from jobs.store.tables import Store
from pages.page import Cell
from pages.style import MAX_LABELS, LabelStyles

SAMPLE_SIZE = 20_000
"""Number of tracks in a sample."""

MAX_FEATURE = 1e12
"""Upper bound of the features of any recording; imported tables may exceed it."""

_MAX_PAIRS = 50
"""Maximum number of duplicate pairs to show."""

MAX_PAIRS_READ = 2_000
"""Number of duplicate pairs whose labels are compared."""


@dataclass(frozen=True)
class Sample:
    """Random sample of the tracks that have a row in a feature set.

    Parameters
    ----------
    feature_set : FeatureSet
        The feature set.
    total : int
        Its tracks in the store.
    excluded : int
        Sampled tracks left out because no recording has such features.
    names : pa.Table
        ``track_id`` and ``label``, sorted by ``track_id``.
    lengths : np.ndarray [shape=(n,), float64]
        ``length`` in samples; NaN where it is unknown.
    features : np.ndarray [shape=(n, d), float64]
        The features.
    """

    feature_set: FeatureSet
    total: int
    excluded: int
    names: pa.Table
    lengths: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    @property
    def has_lengths(self) -> bool:
        """Whether the length of every track is known."""
        return not np.isnan(self.lengths).any()


def sample_sets(store: Store) -> list[Sample]:
    """Draw a sample of each feature set of the store that has rows, in order of their names."""
    found = [sample_tracks(store, name) for name in known_sets(store)]
    return [sample for sample in found if sample.total]


def known_sets(store: Store) -> list[str]:
    """Return the names of the store's feature sets that this songmill has, too."""
    return [name for name in feature_sets() if name in store.settings.feature_sets]


def sample_tracks(store: Store, name: str, size: int = SAMPLE_SIZE) -> Sample:
    """Draw a random sample of the tracks of a feature set, which depends on their names only.

    A set of up to ``size`` tracks is sampled completely.
    """
    described, table = feature_set(name), features_folder(name, "track")
    total = store.count_rows(table)
    max_hash = _max_hash(store, table, size) if total > size else None
    schema = features_schema(name, "track")
    names = [pa.schema([schema.field("track_id"), schema.field("label")]).empty_table()]
    columns = ["length", *described.names]
    rows = [np.empty((0, len(columns)))]
    for batch in store.read_batches(table, ["track_id", "label", *columns]):
        raise_if_interrupted()
        chosen = np.arange(batch.num_rows)
        if max_hash is not None:
            chosen = np.flatnonzero(_hashes(batch["track_id"]) <= max_hash)
        names.append(pa.table(batch.select(["track_id", "label"]).take(pa.array(chosen))))
        values = [batch[one].to_numpy(zero_copy_only=False)[chosen] for one in columns]
        rows.append(np.column_stack(values))
    sampled, matrix = pa.concat_tables(names), np.concatenate(rows)
    del rows  # as large as the matrix
    # NaN, of an unknown length, is not larger.
    is_large = (matrix >= MAX_FEATURE) | (matrix <= -MAX_FEATURE)
    too_large = np.asarray(is_large.any(axis=1))
    order = pc.sort_indices(sampled["track_id"]).to_numpy()
    order = order[~too_large[order]]
    return Sample(
        feature_set=described,
        total=total,
        excluded=len(matrix) - len(order),
        names=sampled.take(pa.array(order)),
        lengths=matrix[order, 0],
        features=matrix[order, 1:],
    )


def percentiles(sample: Sample, row: np.ndarray) -> np.ndarray:
    """Return where the features of a recording lie among those of a sample.

    Parameters
    ----------
    sample : Sample
        Sample of one track or more.
    row : np.ndarray [shape=(d,)]
        Features of the recording.

    Returns
    -------
    np.ndarray [shape=(d,), 0 … 100]
        Percentage of the tracks with a smaller value; of equal ones one half counts.
    """
    smaller, larger = sample.features < row, sample.features > row
    return np.asarray(50 + 50 * (smaller.mean(axis=0) - larger.mean(axis=0)))


def _hashes(tracks: pa.Array) -> np.ndarray:
    # Names are unique: to look for equal ones would only take time.
    return pd.util.hash_array(tracks.to_numpy(zero_copy_only=False), categorize=False)


def _max_hash(store: Store, table: str, size: int) -> np.uint64:
    """Return the hash of rank ``size``: the sample has all tracks up to it."""
    smallest = np.empty(0, np.uint64)
    for batch in store.read_batches(table, ["track_id"]):
        raise_if_interrupted()
        smallest = np.concatenate([smallest, _hashes(batch["track_id"])])
        if len(smallest) > size:
            smallest = np.partition(smallest, size - 1)[:size]
    return np.uint64(smallest.max())


@dataclass
class FileCounts:
    """Counts of the files of a store.

    Parameters
    ----------
    count, failed : int
        All files, and failed files.
    seconds : float
        Total duration of the files that did not fail.
    suffixes, rates, channels, failures : Counter
        Files by suffix, sample rate (Hz), channels and kind of failure. None stands for unknown.
    examples : dict of str to (str, str)
        Track and message of one file of each kind of failure.
    """

    count: int = 0
    failed: int = 0
    seconds: float = 0.0
    suffixes: Counter[Any] = field(default_factory=Counter)
    rates: Counter[Any] = field(default_factory=Counter)
    channels: Counter[Any] = field(default_factory=Counter)
    failures: Counter[Any] = field(default_factory=Counter)
    examples: dict[str, tuple[str, str]] = field(default_factory=dict)


def count_files(store: Store) -> FileCounts:
    """Count the files of a store."""
    counts = FileCounts()
    columns = ["track_id", "status", "error", "message", "duration_s", "sample_rate", "channels"]
    for part in store.read_batches("files", columns):
        raise_if_interrupted()
        counts.count += part.num_rows
        ok = part.filter(pc.equal(part["status"], "ok"))
        counts.seconds += pc.sum(ok["duration_s"]).as_py() or 0.0
        failures = part.filter(pc.equal(part["status"], "failed"))
        counts.failed += failures.num_rows
        suffix = pc.extract_regex(part["track_id"], r"(?P<suffix>\.[^./]{1,8})$")
        add_counts(counts.suffixes, pc.utf8_lower(pc.struct_field(suffix, "suffix")))
        add_counts(counts.rates, ok["sample_rate"])
        add_counts(counts.channels, ok["channels"])
        add_counts(counts.failures, failures["error"])
        for row in failures.select(["error", "track_id", "message"]).to_pylist():
            known = counts.examples.get(row["error"])
            if known is None or row["track_id"] < known[0]:
                counts.examples[row["error"]] = (row["track_id"], row["message"] or "")
    return counts


def label_styles(counts: list[tuple[str | None, int]]) -> LabelStyles:
    """Return the styles of the most frequent labels, the same on all pages of a store.

    ``counts`` is from :func:`jobs.store.counts.count_labels`.
    """
    return LabelStyles([label for label, _ in counts if label is not None][:MAX_LABELS])


def feature_cell(column: Column) -> Cell:
    """Return the name of a feature, with its meaning and unit below.

    Examples
    --------
    >>> feature_cell(feature_set("gtzan").columns[0]).subtext
    'mean of the strength of each pitch class of a frame, at most 1'
    >>> feature_cell(feature_set("rich").columns[-1]).subtext
    'std of the crest of 6400-10000 Hz (dB)'
    """
    unit = "" if column.unit == "1" else f" ({column.unit})"
    return Cell(column.name, subtext=f"{column.meaning}{unit}")


def read_neighbours(store: Store, tracks: list[str], k: int) -> dict[str, list[dict[str, Any]]]:
    """Return the first ``k`` rows of ``similarity`` for each track, nearest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for rows in _rows_of_tracks(store, SIMILARITY, tracks):
        for row in rows.filter(pc.less_equal(rows["rank"], k)).to_pylist():
            found.setdefault(row["track_id"], []).append(row)
    for rows_of_track in found.values():
        rows_of_track.sort(key=lambda row: (row.get("segment", 0), row["rank"]))
    return {track: found[track] for track in tracks if track in found}


def read_labels(store: Store, tracks: Iterable[str]) -> dict[str, str | None]:
    """Return the labels of some tracks."""
    found: dict[str, str | None] = {}
    for rows in _rows_of_tracks(store, largest_table(store), tracks, ["track_id", "label"]):
        found |= dict(zip(rows["track_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    return found


def recording_path(uri: str, source: str) -> str | None:
    r"""Return the path or address of a recording.

    Parameters
    ----------
    uri, source : str
        As in ``files``.

    Returns
    -------
    str or None
        None if the track was imported without its recording.

    Examples
    --------
    >>> recording_path(r"/music/caf\xe9.wav", "/music"), recording_path("/t.csv#a.wav", "/t.csv")
    ('/music/caf\udce9.wav', None)
    """
    if uri.startswith(f"{source}#"):
        return None
    # In a store of an older songmill, what looks like an escape may be a part of the name.
    return uri if "://" in uri or os.path.isfile(uri) else from_text(uri)


def read_paths(store: Store, tracks: Sequence[str]) -> dict[str, str]:
    """Return the path or address of the recording of each track that has one, in this order."""
    found = {}
    for rows in _rows_of_tracks(store, "files", tracks, ["track_id", "uri", "source"]):
        for row in rows.to_pylist():
            path = recording_path(row["uri"], row["source"])
            if path is not None:
                found[row["track_id"]] = path
    return {track: found[track] for track in tracks if track in found}


def _rows_of_tracks(
    store: Store, table: str, tracks: Iterable[str], columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    wanted = pa.array(sorted(set(tracks)), pa.string())
    for batch in store.read_batches(table, columns):
        raise_if_interrupted()
        mask = pc.is_in(batch["track_id"], value_set=wanted)
        if pc.any(mask).as_py():
            yield batch.filter(mask)


@dataclass(frozen=True)
class Duplicates:
    """Pairs that are probably the same recording.

    Parameters
    ----------
    total : int
        Number of pairs.
    with_two_labels : int
        Those with two different labels, among the first :data:`MAX_PAIRS_READ` pairs.
    rows : list of dict
        Some rows of ``duplicates``, with ``label`` and ``duplicate_label``. Pairs with different
        labels come first.
    """

    total: int
    with_two_labels: int
    rows: list[dict[str, Any]]


def read_duplicates(store: Store) -> Duplicates:
    """Return the pairs of duplicates of a store."""
    total = 0
    found: list[dict[str, Any]] = []
    for batch in store.read_batches(DUPLICATES):
        raise_if_interrupted()
        total += batch.num_rows
        found += batch.slice(0, MAX_PAIRS_READ - len(found)).to_pylist()
    labels = read_labels(store, [row[end] for row in found for end in ("track_id", "duplicate_id")])
    for row in found:
        row["label"] = labels.get(row["track_id"])
        row["duplicate_label"] = labels.get(row["duplicate_id"])
    found.sort(key=lambda row: row["label"] == row["duplicate_label"])
    with_two_labels = sum(row["label"] != row["duplicate_label"] for row in found)
    return Duplicates(total, with_two_labels, found[:_MAX_PAIRS])
