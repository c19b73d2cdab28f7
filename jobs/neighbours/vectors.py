"""The rows of a store as vectors of a metric."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from featurizer.feature_set import Level
from jobs.errors import DamageError, UsageError, command_for
from jobs.neighbours import metrics
from jobs.neighbours.metrics import FEATURES, FittedMetric, blocks, total
from jobs.neighbours.rows import Rows, read_rows, read_segment_means
from jobs.progress import Progress
from jobs.store.levels import levels_with_rows
from jobs.store.tables import Store
from recommend.metric import Name, VectorSums


@dataclass(frozen=True)
class Space:
    """All rows of a level that a metric compares, sorted by ``track_id`` and ``segment``.

    Parameters
    ----------
    level : {"segment", "track"}
        Level of the rows.
    names : pa.Table
        ``track_id`` and ``label`` of each row; for segments also ``segment``.
    fitted : FittedMetric
        The metric.
    vectors : np.ndarray [shape=(n, c), float64]
        Vectors of length one.
    offsets : np.ndarray [shape=(n,), float64] or None
        Offset of each row as a neighbour; None if the score is the cosine.
    """

    level: Level
    names: pa.Table
    fitted: FittedMetric
    vectors: np.ndarray
    offsets: np.ndarray | None

    def index_of(self, other: "Space") -> np.ndarray:
        """Return the index of each track of another space [shape=(n,), int]; -1 if it has none."""
        tracks = self.names["track_id"].combine_chunks()
        found = pc.index_in(other.names["track_id"], value_set=tracks)
        return np.asarray(found.fill_null(-1).to_numpy(), np.int64)

    def vectors_of(self, other: "Space") -> np.ndarray:
        """Return the vectors of another space's rows, in its order; zeros where there is none."""
        if other is self:
            return self.vectors
        index = self.index_of(other)
        return np.where((index >= 0)[:, np.newaxis], self.vectors[index], 0.0)

    def scores(self, cosines: np.ndarray, neighbours: np.ndarray | slice) -> np.ndarray:
        """Return the scores of neighbours by their cosines, both of the same shape."""
        return cosines if self.offsets is None else cosines - self.offsets[neighbours]


def fit_space(store: Store, name: Name, level: Level, progress: Progress) -> Space:
    """Fit a metric to the rows of a store, and return their vectors.

    Raises
    ------
    UsageError
        ``learned`` lacks labels, or a value is not finite.
    """
    rows = read_rows(store, FEATURES[name], level, progress)
    return _make_space(store, name, rows, None, progress)


def updated_space(store: Store, name: Name, progress: Progress) -> Space:
    """Return the tracks of a store as vectors of the metric that the store has kept.

    The metric is fitted anew, and a line says so, if the features have drifted by more than
    :data:`jobs.neighbours.metrics.MAX_DRIFT`. ``learned`` is always fitted anew. Errors are those
    of :func:`fit_space`.
    """
    rows, version = read_rows(store, FEATURES[name], "track", progress), _version(store, name)
    try:
        kept = metrics.read(store).get(name)
    except DamageError:
        kept = None  # the new metric replaces it
    if kept is None or kept.version != version or name == "learned":
        return _make_space(store, name, rows, None, progress)
    try:
        drift = metrics.drift(kept, rows.features)
    except ValueError:
        drift = np.inf  # the fit reports it
    if drift <= metrics.MAX_DRIFT:
        return _make_space(store, name, rows, kept, progress)
    progress.write(
        "info",
        f"the features have drifted by {drift:.3f} standard deviations since the metric {name} was "
        f"fitted, more than {metrics.MAX_DRIFT}: it is fitted anew, and all tracks are compared",
    )
    return _make_space(store, name, rows, None, progress)


def recordings_space(store: Store, progress: Progress) -> Space | None:
    """Return the tracks of a store as the vectors by which duplicates are found.

    In a store of segments alone, they are those of the means of each track's segments. None if the
    store has no rows.

    Raises
    ------
    UsageError
        A value is not finite.
    """
    name = duplicates_metric(store)
    levels = levels_with_rows(store, FEATURES[name])
    if "track" in levels:
        return replace(fit_space(store, name, "track", progress), offsets=None)
    if "segment" in levels_with_rows(store, FEATURES["cosine"]):
        return _make_space(store, "cosine", read_segment_means(store), None, progress)
    return None


def kept_space(store: Store, name: Name, progress: Progress) -> Space:
    """Return the tracks of a store as vectors of the metric that the store has kept.

    The metric is fitted if the store has kept none. A warning says if tracks have changed since it
    was fitted. Errors are those of :func:`fit_space`.
    """
    rows, version = read_rows(store, FEATURES[name], "track", progress), _version(store, name)
    kept = metrics.read(store).get(name)
    if kept and kept.version != version:
        kept = None
    if kept and kept.fingerprint != metrics.fingerprint(name, rows, version):
        progress.warn(
            f"the metric {name} was fitted to {kept.tracks:,} tracks, and tracks or labels have "
            f"changed since. `{command_for(store.storage.root, 'similarity')}` fits it to the "
            "present ones"
        )
    return _make_space(store, name, rows, kept, progress)


def _make_space(
    store: Store, name: Name, rows: Rows, kept: FittedMetric | None, progress: Progress
) -> Space:
    """Return rows as vectors of a metric, which is fitted to them unless it is ``kept``."""
    features = rows.features
    try:
        if not kept:
            progress.step(f"fitting the metric {name}")
        with threadpool_limits(limits=1):  # more threads may add in another order
            fitted = kept or metrics.fit(name, rows, _version(store, name))
            metric = fitted.metric
            vectors = features  # of the same type: z-scores take the place of the features
            if metric.projection:
                vectors = np.empty((len(features), len(metric.projection.shift)))
            for block in blocks(len(features)):
                vectors[block] = metric.vectors(features[block])
                progress.update(f"{min(block.stop, len(features)):,} of {len(features):,} vectors")
            if metric.projection and not kept:
                sums = total(VectorSums.of(vectors[block]) for block in blocks(len(vectors)))
                fitted = replace(fitted, metric=metric.corrected(sums))
            offsets = fitted.metric.offsets(vectors)
    except ValueError as error:
        root = store.storage.root
        raise UsageError(f"--metric {name} cannot compare the rows of {root}: {error}") from None
    return Space(rows.level, rows.names, fitted, vectors, offsets)


def _version(store: Store, name: Name) -> str:
    return store.settings.feature_sets[FEATURES[name]]


def duplicates_metric(store: Store) -> Name:
    """Return the metric by which duplicates are found: ``cosine``, or ``rich`` without its rows."""
    return "cosine" if "track" in levels_with_rows(store, FEATURES["cosine"]) else "rich"
