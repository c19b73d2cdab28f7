"""The metrics of a store: chosen, fitted to its rows, and kept for files that are compared later.

A metric is fitted in one process, to rows in one order and in blocks of one size. So the parts of
the tables and the workers make no difference to it, to the last bit.
"""

import functools
import hashlib
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import Level, feature_set
from jobs.errors import UsageError, command_for
from jobs.interruption import raise_if_interrupted
from jobs.neighbours.rows import Rows
from jobs.store import commit
from jobs.store.damage import damage_error
from jobs.store.levels import choose_level, levels_with_rows
from jobs.store.schemas import NEIGHBOUR_METRIC, NEIGHBOUR_METRICS
from jobs.store.tables import Store
from recommend.metric import Metric, Name, VectorSums, fit_learned, fit_rich
from training.lda import ClassSums
from training.scaling import ColumnSums

FEATURES: dict[Name, str] = {"cosine": "gtzan", "rich": "rich", "learned": "rich"}
"""Name of the feature set that each metric compares."""

DESCRIPTIONS: dict[Name, str] = {
    "cosine": "the cosine of z-scored features",
    "rich": "the cosine of principal components of the rich features, corrected for tracks that "
    "are near to nearly all others",
    "learned": "the cosine of rich features that tell the labels apart, corrected for tracks that "
    "are near to nearly all others",
}
"""Description of each metric, for people."""

Sums = TypeVar("Sums", ColumnSums, ClassSums, VectorSums)

MAX_DRIFT = 0.01
"""Drift above which a metric is fitted anew."""

_BLOCK_ROWS = 8192
"""Rows of a block. Another number would change the last bits of every metric."""


@dataclass(frozen=True)
class FittedMetric:
    """A metric, and what it was fitted to.

    Parameters
    ----------
    metric : Metric
        The numbers.
    version : str
        Version of the feature set that it compares.
    tracks, labelled : int
        Number of rows, and of rows with labels, that it was fitted to.
    fingerprint : str
        Digest of these rows and labels.
    """

    metric: Metric
    version: str
    tracks: int
    labelled: int
    fingerprint: str


def choose_metric(store: Store, requested: Name | None, level: Level) -> Name:
    """Return the ``requested`` metric; by default rich for tracks with rich features, else cosine.

    Raises
    ------
    UsageError
        The store has no rows that the metric could compare.
    """
    root = store.storage.root
    has_rich = level == "track" and bool(levels_with_rows(store, "rich"))
    name: Name = requested or ("rich" if has_rich else "cosine")
    if name == "cosine":
        if levels_with_rows(store, "rich") and FEATURES[name] not in store.settings.feature_sets:
            raise UsageError(
                f"the store {root} has no {FEATURES[name]} features, which --metric cosine and "
                "--level segment need: leave out both"
            )
        choose_level(store, level)
    elif level == "segment":
        raise UsageError(
            f"--metric {name} compares whole tracks: leave out --level segment, or use --metric "
            "cosine"
        )
    elif not has_rich:
        raise UsageError(
            f"the store {root} has no rich features, which --metric {name} compares: use --metric "
            f"cosine, or run `{command_for(root, 'extract SOURCE --features gtzan,rich')}`"
        )
    return name


def fit(name: Name, rows: Rows, version: str) -> FittedMetric:
    """Fit a metric to rows, and for ``learned`` to their labels.

    Parameters
    ----------
    name : {"cosine", "rich", "learned"}
        Name of the metric.
    rows : Rows
        One row or more, of the metric's feature set.
    version : str
        Version of the feature set.

    Returns
    -------
    FittedMetric
        Its metric is not yet :meth:`recommend.metric.Metric.corrected`.

    Raises
    ------
    ValueError
        ``learned`` lacks labels, or a value is not finite.
    """
    columns = feature_set(FEATURES[name]).names
    classes = _classes(rows.names["label"]) if name == "learned" else ()
    classes_of_rows = pc.index_in(rows.names["label"], pa.array(classes, pa.string()))
    numbers = classes_of_rows.fill_null(-1).to_numpy()
    features = rows.features
    scaling = total(ColumnSums.of(features[x], columns) for x in blocks(len(features))).scaling()

    def z_scores() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for block in blocks(len(features)):
            yield scaling.clipped(features[block]), numbers[block]

    if name == "cosine":
        metric = Metric("cosine", scaling)
    else:
        every = total(ClassSums.of_all(scores) for scores, _ in z_scores())
        if name == "rich":
            metric = fit_rich(scaling, every)
        else:
            labelled = total(ClassSums.of(*block, len(classes)) for block in z_scores())
            metric = fit_learned(scaling, every, labelled, classes)
    return FittedMetric(
        metric=metric,
        version=version,
        tracks=len(features),
        labelled=int((numbers >= 0).sum()),
        fingerprint=fingerprint(name, rows, version),
    )


def drift(fitted: FittedMetric, features: np.ndarray) -> float:
    """Return how far features have moved away from those that a metric was fitted to.

    Returns
    -------
    float [range=[0, inf)]
        Greatest change of a column's mean, or of its standard deviation, in standard deviations
        that the metric was fitted to. Infinite if a column that was constant varies.

    Raises
    ------
    ValueError
        A value is not finite.
    """
    before = fitted.metric.scaling
    sums = total(ColumnSums.of(features[x], before.columns) for x in blocks(len(features)))
    now = sums.scaling()
    changes = np.maximum(abs(now.mean - before.mean), abs(now.deviation - before.deviation))
    with np.errstate(divide="ignore"):
        return float(np.divide(changes, before.deviation, where=changes > 0, out=changes).max())


def _classes(labels: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the labels that occur; ValueError if they are fewer than two."""
    classes = tuple(sorted(pc.unique(labels.drop_null()).to_pylist()))
    if len(classes) > 1:
        return classes
    found = f"the only label is {classes[0]!r}" if classes else "no track has a label"
    raise ValueError(
        f"{found}, and it needs two or more. Use --metric rich, or give --labels to `songmill "
        "extract` or `songmill import-features`"
    )


def total(sums: Iterable[Sums]) -> Sums:
    """Return the total of the sums of all blocks, added in order."""
    return functools.reduce(operator.add, sums)


def blocks(count: int) -> Iterator[slice]:
    """Yield the blocks of a number of rows.

    Examples
    --------
    >>> list(blocks(10_000))
    [slice(0, 8192, None), slice(8192, 16384, None)]
    """
    for start in range(0, count, _BLOCK_ROWS):
        raise_if_interrupted()
        yield slice(start, start + _BLOCK_ROWS)


def fingerprint(name: Name, rows: Rows, version: str) -> str:
    """Return a digest of everything that a metric is fitted to."""
    digest = hashlib.sha256(version.encode())
    for column in ["track_id", "segment"] + ["label"] * (name == "learned"):
        if column in rows.names.column_names:
            digest.update(repr(rows.names[column].to_pylist()).encode())
    for block in blocks(len(rows.features)):
        digest.update(rows.features[block].tobytes())
    return digest.hexdigest()[:16]


# The table


def stage(store: Store, change: commit.Change, fitted: list[FittedMetric], run_id: str) -> None:
    """Stage rows of the table ``metrics``, which replace those of the same metrics."""
    rows = pa.Table.from_pylist([_to_row(one, run_id) for one in fitted], schema=NEIGHBOUR_METRIC)

    def without_replaced(known: pa.Table) -> pa.Table:
        return known.filter(pc.invert(pc.is_in(known["metric"], rows["metric"])))

    commit.stage_table(store, change, NEIGHBOUR_METRICS, [rows], edit=without_replaced)


def read(store: Store) -> dict[str, FittedMetric]:
    """Return the metrics that a store has kept, by name; DamageError if one is damaged."""
    found = {}
    for row in store.read(NEIGHBOUR_METRICS).to_pylist():
        try:
            found[row["metric"]] = from_row(row)
        except ValueError as error:
            problem = f"has a damaged metric {row['metric']!r} ({error})"
            raise damage_error(store.storage.root, NEIGHBOUR_METRICS, problem) from None
    return found


def _to_row(fitted: FittedMetric, run_id: str) -> dict[str, Any]:
    arrays = fitted.metric.to_arrays()
    return {
        "metric": fitted.metric.name,
        "feature_set": fitted.version,
        "tracks": fitted.tracks,
        "labelled": fitted.labelled,
        "fingerprint": fitted.fingerprint,
        "run_id": run_id,
        **{
            name: array.ravel().tolist()
            for name, array in arrays.items()
            if name in NEIGHBOUR_METRIC.names
        },
    }


def from_row(row: dict[str, Any]) -> FittedMetric:
    """Return the metric in a row of the table ``metrics``; ValueError if it is damaged."""
    missing = [
        name
        for name in NEIGHBOUR_METRIC.names[: NEIGHBOUR_METRIC.names.index("matrix")]
        if row[name] is None
    ]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    c = len(row["shift"] or ())
    shapes = {"matrix": (len(row["columns"]), c), "products": (c, c)}
    arrays = {"name": np.array(row["metric"]), "count": np.array(row["tracks"])}
    for column in NEIGHBOUR_METRIC.names[NEIGHBOUR_METRIC.names.index("columns") :]:
        if row[column] is not None:
            array: np.ndarray = np.array(row[column], _type_of(column))
            arrays[column] = array.reshape(shapes.get(column, (-1,)))
    metric = Metric.from_arrays(arrays)
    features = feature_set(FEATURES[metric.name])
    if row["feature_set"] == features.version and metric.scaling.columns != features.names:
        raise ValueError(f"its columns are not those of {features.version}")
    return FittedMetric(
        metric=metric,
        version=row["feature_set"],
        tracks=row["tracks"],
        labelled=row["labelled"],
        fingerprint=row["fingerprint"],
    )


def _type_of(column: str) -> type:
    """Return the NumPy type of the values in a column of lists."""
    values = NEIGHBOUR_METRIC.field(column).type.value_type
    return np.str_ if pa.types.is_string(values) else values.to_pandas_dtype()
