"""Schemas of the store's tables, as documented in ``docs/store.md``."""

from collections.abc import Iterable
from functools import cache

import pyarrow as pa

from featurizer.feature_set import Level, feature_set, feature_sets
from featurizer.tags import TEXT_TAGS

_TIME = pa.timestamp("us", tz="UTC")
_LABELLED = [("track_id", pa.string()), ("label", pa.string())]
_POSITION = [("segment", pa.int32()), ("start_s", pa.float64())]
_NUMBERS = pa.list_(pa.field("element", pa.float64()))
_TEXTS = pa.list_(pa.field("element", pa.string()))

PUBLISHED = "gtzan"
"""The feature set in ``features``. Each other set is in ``features-NAME``."""


def features_folder(name: str, level: Level) -> str:
    """Return the folder of the rows of a feature set.

    Examples
    --------
    >>> features_folder("gtzan", "segment"), features_folder("rich", "track")
    ('features/level=segment', 'features-rich/level=track')
    """
    folder = "features" if name == PUBLISHED else f"features-{name}"
    return f"{folder}/level={level}"


def comparison_table(name: str) -> str:
    """Return the folder of comparisons of models of a feature set.

    Examples
    --------
    >>> comparison_table("gtzan"), comparison_table("rich")
    ('comparison', 'comparison-rich')
    """
    return "comparison" if name == PUBLISHED else f"comparison-{name}"


@cache
def features_schema(name: str, level: Level) -> pa.Schema:
    """Return the schema of the rows of a feature set.

    The metadata of a feature's field has its ``unit`` and its ``description``.

    Examples
    --------
    >>> features_schema("gtzan", "track").field("tempo").metadata[b"unit"]
    b'BPM'
    """
    found = feature_set(name)
    described = [(one, {"unit": one.unit, "description": one.meaning}) for one in found.columns]
    values = pa.from_numpy_dtype(found.dtype)
    return pa.schema(
        [
            *_LABELLED,
            *(_POSITION if level == "segment" else []),
            ("length", pa.int64()),
            *(pa.field(one.name, values, metadata=metadata) for one, metadata in described),
        ]
    )


def feature_tables(names: Iterable[str]) -> dict[str, pa.Schema]:
    """Return the schemas of the tables of some feature sets, by their folders.

    Examples
    --------
    >>> list(feature_tables(["gtzan", "rich"]))
    ['features/level=track', 'features/level=segment', 'features-rich/level=track']
    """
    return {
        features_folder(name, level): features_schema(name, level)
        for name in names
        for level in feature_set(name).levels
    }


TRACKS = features_folder(PUBLISHED, "track")
SEGMENTS = features_folder(PUBLISHED, "segment")

TRACK = features_schema(PUBLISHED, "track")
SEGMENT = features_schema(PUBLISHED, "segment")

FILES = pa.schema(
    [
        ("track_id", pa.string()),
        ("uri", pa.string()),
        ("source", pa.string()),  # the SOURCE that listed it
        ("bytes", pa.int64()),
        ("modified", _TIME),
        ("status", pa.string()),  # ok | failed
        ("error", pa.string()),  # a featurizer.errors.FailureKind, null where ok
        ("message", pa.string()),  # for people: why it failed, or a remark on an ok file
        ("duration_s", pa.float64()),
        ("sample_rate", pa.int32()),
        ("channels", pa.int32()),
        ("extracted_at", _TIME),
        ("run_id", pa.string()),  # the run that read it
    ]
)

TAGS = "tags"
TAG = pa.schema(
    [
        ("track_id", pa.string()),
        *((name, pa.string()) for name in TEXT_TAGS),
        ("year", pa.int16()),
        ("track_number", pa.int16()),
    ]
)
"""Tags of a recording (:mod:`featurizer.tags`); null where it has none of a kind."""

RUNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("stage", pa.string()),
        # done | too-many-failed | too-many-gone | skipped | failed | interrupted | killed
        ("outcome", pa.string()),
        ("message", pa.string()),
        ("started_at", _TIME),
        ("finished_at", _TIME),
        ("seconds", pa.float64()),
        ("listed", pa.int64()),  # files found in the sources
        ("new", pa.int64()),
        ("changed", pa.int64()),
        ("retried", pa.int64()),  # unchanged, but asked for by --force or --retry-failed
        ("unchanged", pa.int64()),
        ("gone", pa.int64()),
        ("relabelled", pa.int64()),
        ("kept", pa.int64()),  # files taken over from a killed run
        ("extracted", pa.int64()),  # files of this run with rows
        ("failed", pa.int64()),  # files of this run without rows
        ("segments", pa.int64()),
        ("audio_s", pa.float64()),
        ("compute_s", pa.float64()),  # inside the featurizer, summed over workers
        ("workers", pa.int32()),
        ("songmill", pa.string()),
        ("feature_set", pa.string()),  # versions of the store's feature sets
        ("distributed", pa.string()),
    ]
)

COMPARISON = pa.schema(
    [
        ("run_id", pa.string()),
        ("compared_at", _TIME),
        ("level", pa.string()),  # segment | track: the level of the training rows
        ("split", pa.string()),  # as given: random, by-track, by-group:COLUMN or a file
        ("leaky", pa.bool_()),  # segments of one track are on both sides: scores are too high
        ("model", pa.string()),  # of training.classifiers.CLASSIFIERS
        ("folds", pa.int32()),
        ("rows", pa.int64()),
        ("tracks", pa.int64()),
        # of rows: mean and standard deviation over folds, and ends of the mean's interval
        ("accuracy", pa.float64()),
        ("accuracy_std", pa.float64()),
        ("accuracy_lower", pa.float64()),
        ("accuracy_upper", pa.float64()),
        ("macro_f1", pa.float64()),
        ("macro_f1_std", pa.float64()),
        ("macro_f1_lower", pa.float64()),
        ("macro_f1_upper", pa.float64()),
        ("vote_accuracy", pa.float64()),  # of tracks, by majority vote of their segments
        ("vote_accuracy_std", pa.float64()),
        ("vote_accuracy_lower", pa.float64()),
        ("vote_accuracy_upper", pa.float64()),
        ("vote_macro_f1", pa.float64()),
        ("vote_macro_f1_std", pa.float64()),
        ("vote_macro_f1_lower", pa.float64()),
        ("vote_macro_f1_upper", pa.float64()),
        ("seconds", pa.float64()),  # of fitting, mean over folds
        ("message", pa.string()),  # why it has no scores, or its library's warning
    ]
)

# Of models/<version>/. A null label means all labels.
METRICS = pa.schema(
    [
        ("level", pa.string()),  # segment | track, of the test part
        ("label", pa.string()),
        # accuracy, macro_f1, log_loss, chance, precision, recall, f1; and changes of macro F1:
        # since_champion, since_best, and trend_since_best by a line through the nights
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("count", pa.int64()),  # rows or tracks; nights of trend_since_best
        ("lower", pa.float64()),  # ends of the confidence interval; null if there is none
        ("upper", pa.float64()),
    ]
)
CONFUSION = pa.schema(
    [
        ("level", pa.string()),
        ("label", pa.string()),
        ("predicted", pa.string()),
        ("count", pa.int64()),
    ]
)
IMPORTANCE = pa.schema(
    [
        ("feature", pa.string()),
        ("mean", pa.float64()),  # drop of the rows' accuracy when the column is shuffled
        ("std", pa.float64()),
        ("repeats", pa.int32()),
    ]
)
SPLIT = pa.schema([("track_id", pa.string()), ("set", pa.string())])
FOLDS = pa.schema(
    [
        ("track_id", pa.string()),  # every track that the final model has learnt
        ("fold", pa.int32()),  # null: the models of all folds have learnt it too
        # What was learnt of the track; an older songmill wrote none of this
        ("label", pa.string()),
        ("rows", pa.int64()),
        ("digest", pa.uint64()),  # of its rows, in any order
    ]
)
FOLDS_ALONE = pa.schema([FOLDS.field("track_id"), FOLDS.field("fold")])
"""Columns of the table of folds that an older songmill wrote."""


def of_older_songmill(schema: pa.Schema) -> pa.Schema:
    """Return the schema that an older songmill gave to a table of scores or to ``suspects``."""
    added = ("lower", "upper", "duplicate_id")
    return pa.schema([field for field in schema if not field.name.endswith(added)])


def complete(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows of a table with nulls for the columns that an older songmill lacks.

    Examples
    --------
    >>> rows = pa.table({"level": ["track"], "label": ["jazz"], "metric": ["f1"], "value": [0.5]})
    >>> rows = rows.append_column("count", pa.array([8]))
    >>> complete(rows, METRICS)["lower"].to_pylist()
    [None]
    """
    if rows.schema == schema or rows.schema != of_older_songmill(schema):
        return rows
    found = {field.name: pa.nulls(rows.num_rows, field.type) for field in schema}
    return pa.table(found | {name: rows[name] for name in rows.column_names}, schema=schema)


def table_schemas() -> dict[str, pa.Schema]:
    """Return the schema of each table with fixed columns, by its folder."""
    others = {"files": FILES, "runs": RUNS, NEIGHBOUR_METRICS: NEIGHBOUR_METRIC}
    others |= {TAGS: TAG, PREDICTED_LONG: PREDICTION_LONG, SUSPECTS: SUSPECT}
    others[COMPARED] = COMPARED_ROW
    comparisons = {comparison_table(name): COMPARISON for name in feature_sets()}
    return feature_tables(feature_sets()) | others | comparisons


PREDICTED_TRACKS = "predictions/level=track"
PREDICTED_SEGMENTS = "predictions/level=segment"

PROBABILITY = "p_"
"""Prefix of a probability's column; the class's name follows."""


def predictions(classes: list[str], *, segments: bool) -> pa.Schema:
    """Return the schema of predictions, with a column for the probability of each class."""
    return pa.schema(
        [
            *_LABELLED,
            *(_POSITION if segments else []),
            ("predicted", pa.string()),
            ("probability", pa.float32()),  # of the predicted class
            ("learnt", pa.bool_()),  # whether the predicting model has learnt the track
            ("model", pa.string()),  # the model's version
            *((PROBABILITY + name, pa.float32()) for name in classes),
        ]
    )


PREDICTED_LONG = "predictions-long"
PREDICTION_LONG = pa.schema(
    [
        ("track_id", pa.string()),
        ("class", pa.string()),
        ("probability", pa.float32()),
    ]
)

SUSPECTS = "suspects"
SUSPECT = pa.schema(
    [
        ("rank", pa.int32()),  # from 1
        ("track_id", pa.string()),
        ("label", pa.string()),
        ("duplicate_id", pa.string()),  # a track that is the same recording; else null
        ("suggested", pa.string()),  # null if all tracks of the recording have one label
        ("probability", pa.float32()),  # of the suggested label; this and the next two are null
        ("self_confidence", pa.float32()),  # of the track's own label; if there is a duplicate_id
        ("margin", pa.float32()),  # probability - self_confidence
        ("reason", pa.string()),  # for people
        ("model", pa.string()),
    ]
)

SIMILARITY = "similarity"
DUPLICATES = "duplicates"
MATRIX = "similarity-matrix"
"""Square matrix: ``track_id`` and the cosines with all tracks, rows and columns in one order."""
NEIGHBOUR_METRICS = "metrics"

COMPARED = "compared"
"""Rows from which the present neighbours and duplicates were computed."""

COMPARED_ROW = pa.schema(
    [
        ("metric", pa.string()),
        ("fingerprint", pa.string()),  # of the metric, as in `metrics`
        ("duplicate_from", pa.float64()),  # minimum cosine of duplicates; null: not sought
        ("track_id", pa.string()),
        ("digest", pa.uint64()),  # of the track's vector
    ]
)

NEIGHBOUR_METRIC = pa.schema(
    [
        ("metric", pa.string()),  # cosine | rich | learned
        ("feature_set", pa.string()),  # version of the features that it compares
        ("tracks", pa.int64()),  # that it was fitted to
        ("labelled", pa.int64()),  # tracks with labels that it was fitted to
        ("fingerprint", pa.string()),  # of these tracks and labels
        ("run_id", pa.string()),
        ("columns", _TEXTS),  # of the features: d
        ("mean", _NUMBERS),  # of each column
        ("deviation", _NUMBERS),
        ("matrix", _NUMBERS),  # d rows of c numbers; this and the following: null for cosine
        ("shift", _NUMBERS),  # c numbers
        ("widths", pa.list_(pa.field("element", pa.int64()))),  # columns of each group; sum: c
        ("classes", _TEXTS),  # labels that it was fitted to
        ("total", _NUMBERS),  # sum of the tracks' vectors: c numbers
        ("products", _NUMBERS),  # sum of their outer products: c rows of c numbers
    ]
)


def similarity(level: str) -> pa.Schema:
    """Return the schema of a level's nearest neighbours."""
    return pa.schema(
        [
            *_row_key(level),
            ("rank", pa.int32()),  # from 1
            *_row_key(level, "neighbour_id", "neighbour_segment"),
            ("score", pa.float64()),  # the cosine, corrected for hubs: the rank is by score
            ("cosine", pa.float64()),
            ("duplicate", pa.bool_()),  # whether it is the same recording
            ("metric", pa.string()),  # cosine | rich | learned: the same in all rows
        ]
    )


def duplicates(level: str) -> pa.Schema:
    """Return the schema of a level's pairs of equal recordings."""
    duplicate = _row_key(level, "duplicate_id", "duplicate_segment")
    return pa.schema([*_row_key(level), *duplicate, ("cosine", pa.float64())])


def _row_key(
    level: str, track: str = "track_id", segment: str = "segment"
) -> list[tuple[str, pa.DataType]]:
    key = [(track, pa.string())]
    return [*key, (segment, pa.int32())] if level == "segment" else key


DERIVED = (
    NEIGHBOUR_METRICS,
    COMPARED,
    PREDICTED_TRACKS,
    PREDICTED_SEGMENTS,
    PREDICTED_LONG,
    SUSPECTS,
    SIMILARITY,
    DUPLICATES,
    MATRIX,
)
"""Folders of tables that are computed from the features and become stale with them."""


def table_folders() -> list[str]:
    """Return the folders of all tables. ``labels`` has the columns of the user's CSV, all text."""
    return list(dict.fromkeys([*table_schemas(), "labels", *DERIVED]))


MODELS = "models"
"""Folder of the models: a folder for each version, and the file that names the champion."""

REPORT = "report/index.html"
"""Page of the report."""
