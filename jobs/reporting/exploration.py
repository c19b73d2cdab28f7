"""Tracks of a store for the interactive part of its report.

Tables are read in batches, and only rows of the sampled tracks are kept, so that memory is bounded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import feature_set
from jobs.errors import StoreError
from jobs.interruption import raise_if_interrupted
from jobs.reporting.overview import MAX_FEATURE, Sample, read_labels
from jobs.store.schemas import PREDICTED_TRACKS, PROBABILITY, PUBLISHED, SEGMENTS, SIMILARITY
from jobs.store.tables import Store
from pages.explorer import Features, Map, Neighbours, Predictions, Segments, Tracks
from pages.statistics import Components
from pages.style import LabelStyles
from training.lda import SHRINKAGE, ClassSums, discriminants
from training.scaling import ColumnSums

Found = TypeVar("Found")

_MAX_NEIGHBOURS = 5
"""Neighbours of each track in a page."""

_MAX_PROBABILITIES = 5
"""Probabilities of each track in a page."""

_MAX_PERCENTILES = 4_000_000
"""Percentiles of a feature set in a page, one byte each."""

_MAX_SEGMENTS = 400_000
"""Segments in a page, nine bytes each before compression."""

_SEGMENT_FEATURES = ("rms_mean", "spectral_centroid_mean", "zero_crossing_rate_mean", "tempo")
"""Features shown over time: loudness, brightness, noisiness and tempo."""


def read_tracks(
    store: Store,
    samples: Sequence[Sample],
    *,
    components: Sequence[Components | None],
    addresses: Mapping[str, Sequence[str]],
    styles: LabelStyles,
) -> Tracks:
    """Read the tracks of the largest sample, as far as a page shows them.

    Parameters
    ----------
    store : Store
        The store.
    samples : sequence of Sample
        One or more samples of one track or more.
    components : sequence of (Components or None)
        Principal components of each sample.
    addresses : mapping of str to sequence of str
        Addresses of the recordings that can be played, by track.
    styles : LabelStyles
        Styles of the page.
    """
    largest = max(samples, key=lambda one: one.total)
    names = largest.names["track_id"].combine_chunks()
    maps, features = [], []
    for sample, found in zip(samples, components, strict=True):
        # A track may be in one sample only: another set may have no row of it.
        index = pc.index_in(sample.names["track_id"], value_set=names)
        known = index.is_valid().to_numpy()
        if not known.any():
            continue
        index = index.drop_null().to_numpy()
        maps += _maps(sample, found, known, index, len(names))
        of = sample.feature_set
        if len(names) * len(of.columns) <= _MAX_PERCENTILES:
            rows = sample.features[known]
            features.append(Features.of(of.name, of.columns, rows, index, len(names)))
    track_ids = names.to_pylist()
    return Tracks(
        names=track_ids,
        labels=largest.names["label"].to_pylist(),
        styles=styles,
        addresses=[addresses.get(track, ()) for track in track_ids],
        maps=maps,
        features=features,
        predictions=_unless_damaged(lambda: _predictions(store, names)),
        neighbours=_unless_damaged(lambda: _neighbours(store, names)),
        segments=_unless_damaged(lambda: _segments(store, names, largest.total)),
    )


def _unless_damaged(read: Callable[[], Found]) -> Found | None:
    """Return the data; None if a table is damaged, which other sections of the page report."""
    try:
        return read()
    except StoreError:
        return None


def _maps(
    sample: Sample, found: Components | None, known: np.ndarray, index: np.ndarray, n: int
) -> list[Map]:
    """Return the maps of a sample; ``index`` is the track of each of its ``known`` rows."""

    def placed(rows: np.ndarray) -> np.ndarray:
        points = np.full((n, 2), np.nan)
        points[index] = rows[known]
        return points

    name, maps = sample.feature_set.name, []
    if found:
        first, second = (
            f"component {i + 1} ({part:.1%})" for i, part in enumerate(found.explained)
        )
        maps.append(Map(f"principal components: {name}", (first, second), placed(found.points)))
    functions = _discriminants(sample)
    if functions is not None:
        axes = ("discriminant 1", "discriminant 2")
        maps.append(Map(f"discriminants of the labels: {name}", axes, placed(functions)))
    return maps


def _discriminants(sample: Sample) -> np.ndarray | None:
    """Return the two best discriminants of the labels [shape=(n, 2)], of three labels or more."""
    labels = sample.names["label"].combine_chunks().dictionary_encode()
    classes = labels.indices.fill_null(-1).to_numpy()
    if len(labels.dictionary) <= 2:  # noqa: PLR2004
        return None
    names = sample.feature_set.names
    rows = ColumnSums.of(sample.features, names).scaling().clipped(sample.features)
    try:
        functions = discriminants(ClassSums.of(rows, classes, len(labels.dictionary)), SHRINKAGE)
    except ValueError:  # no row differs from others of its label
        return None
    return np.asarray(rows @ functions[:, :2])


def _predictions(store: Store, names: pa.Array) -> Predictions | None:
    """Read the likeliest classes of each track; None without predictions."""
    found: Predictions | None = None
    for batch in store.read_batches(PREDICTED_TRACKS):
        raise_if_interrupted()
        if "learnt" not in batch.schema.names:  # of an older songmill
            return None
        columns = [name for name in batch.schema.names if name.startswith(PROBABILITY)]
        if found is None:
            k = min(len(columns), _MAX_PROBABILITIES)
            found = Predictions(
                classes=[name.removeprefix(PROBABILITY) for name in columns],
                likeliest=np.full((len(names), k), -1),
                probabilities=np.zeros((len(names), k), np.float32),
                learnt=np.zeros(len(names), bool),
            )
        tracks, rows = _rows_of(names, batch)
        probabilities = np.column_stack([rows[name].to_numpy() for name in columns])
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : found.likeliest.shape[1]]
        found.likeliest[tracks] = order
        found.probabilities[tracks] = np.take_along_axis(probabilities, order, axis=1)
        found.learnt[tracks] = rows["learnt"].to_numpy(zero_copy_only=False)
    return found


def _neighbours(store: Store, names: pa.Array) -> Neighbours | None:
    """Read the nearest tracks of each track; None without neighbours of tracks."""
    found: list[pa.Table] = []
    metric = "cosine"
    for batch in store.read_batches(SIMILARITY):
        raise_if_interrupted()
        if "neighbour_segment" in batch.schema.names:
            return None
        near = batch.filter(pc.less_equal(batch["rank"], _MAX_NEIGHBOURS))
        tracks, rows = _rows_of(names, near)
        # The table of an older songmill has the cosine only, which is the score.
        has_score = "score" in rows.schema.names
        columns: dict[str, Any] = {name: rows[name] for name in ("rank", "neighbour_id")}
        columns |= {"track": tracks, "score": rows["score" if has_score else "cosine"]}
        found.append(pa.table(columns))
        if has_score and rows.num_rows:
            metric = rows["metric"][0].as_py()
    if not found:
        return None
    rows = pa.concat_tables(found)
    index = pc.index_in(rows["neighbour_id"], value_set=names)
    others = pc.unique(rows["neighbour_id"].filter(index.is_null()))
    of_others = pc.index_in(rows["neighbour_id"], value_set=others)
    index = pc.coalesce(index, pc.add(of_others, len(names)))
    place = rows["track"].to_numpy(), rows["rank"].to_numpy() - 1
    indices = np.full((len(names), _MAX_NEIGHBOURS), -1)
    scores = np.zeros(indices.shape, np.float32)
    indices[place], scores[place] = index.to_numpy(), rows["score"].to_numpy()
    labels = read_labels(store, others.to_pylist()) if len(others) else {}
    other_names = others.to_pylist()
    return Neighbours(metric, indices, scores, other_names, [labels.get(i) for i in other_names])


def _segments(store: Store, names: pa.Array, total: int) -> Segments | None:
    """Read some features of the segments of each track; None without, or with too many."""
    expected = store.count_rows(SEGMENTS) * len(names) / total
    if not 0 < expected <= _MAX_SEGMENTS:
        return None
    columns = [one for one in feature_set(PUBLISHED).columns if one.name in _SEGMENT_FEATURES]
    read = [one.name for one in columns]
    owners, numbers = [np.empty(0, np.int64)], [np.empty((0, len(columns) + 1))]
    for batch in store.read_batches(SEGMENTS, ["track_id", "start_s", *read]):
        raise_if_interrupted()
        tracks, rows = _rows_of(names, batch)
        owners.append(tracks)
        numbers.append(np.column_stack([rows[name].to_numpy() for name in ("start_s", *read)]))
    owner, matrix = np.concatenate(owners), np.concatenate(numbers)
    if not len(owner):
        return None
    order = np.lexsort((matrix[:, 0], owner))
    ends = np.cumsum(np.bincount(owner, minlength=len(names)))
    # Imported numbers that no recording gives would hide the range of the others, or exceed floats.
    values = np.clip(matrix[order, 1:], -MAX_FEATURE, MAX_FEATURE)
    return Segments(columns, ends, matrix[order, 0], values)


def _rows_of(names: pa.Array, batch: pa.RecordBatch) -> tuple[np.ndarray, pa.RecordBatch]:
    """Return the rows of a batch that are of known tracks, and the number of each one's track."""
    index = pc.index_in(batch["track_id"], value_set=names)
    return index.drop_null().to_numpy(), batch.filter(index.is_valid())
