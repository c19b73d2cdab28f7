"""The columns of the store's tables: facts, no code that computes.

Docs for those who read the tables: ``docs/store.md``.
"""

import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS

_TIME = pa.timestamp("us", tz="UTC")
_FEATURES = [("length", pa.int64()), *((name, pa.float64()) for name in FEATURE_COLUMNS)]

TRACK = pa.schema([("track_id", pa.string()), ("label", pa.string()), *_FEATURES])

SEGMENT = pa.schema(
    [
        ("track_id", pa.string()),
        ("label", pa.string()),
        ("segment", pa.int32()),
        ("start_s", pa.float64()),
        *_FEATURES,
    ]
)

FILES = pa.schema(
    [
        ("track_id", pa.string()),
        ("uri", pa.string()),
        ("source", pa.string()),  # the SOURCE that listed it: what else that listed and is gone
        ("bytes", pa.int64()),
        ("modified", _TIME),
        ("status", pa.string()),  # ok | failed
        ("error", pa.string()),  # a featurizer.errors.FailureKind, null where ok
        ("message", pa.string()),  # for a person: of a failure, or a remark on an ok file
        ("duration_s", pa.float64()),
        ("sample_rate", pa.int32()),
        ("channels", pa.int32()),
        ("extracted_at", _TIME),
        ("run_id", pa.string()),  # the run that looked at it
    ]
)

RUNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("stage", pa.string()),
        (
            "outcome",
            pa.string(),
        ),  # done | too-many-failed | skipped | failed | interrupted | killed
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
        ("kept", pa.int64()),  # files that a killed run had finished, taken over
        ("extracted", pa.int64()),  # files that this run worked on and that gave rows
        ("failed", pa.int64()),  # files that this run worked on and that did not
        ("segments", pa.int64()),
        ("audio_s", pa.float64()),
        ("compute_s", pa.float64()),  # summed over workers: inside the featurizer
        ("workers", pa.int32()),
        ("songmill", pa.string()),
        ("feature_set", pa.string()),
        ("distributed", pa.string()),
    ]
)

COMPARISON = pa.schema(
    [
        ("run_id", pa.string()),
        ("compared_at", _TIME),
        ("level", pa.string()),  # segment | track: the rows that were learnt from
        ("split", pa.string()),  # as given: random, by-track, by-group:COLUMN or a file
        ("leaky", pa.bool_()),  # segments of one track fall on both sides: the score flatters
        ("model", pa.string()),  # of training.classifiers.CLASSIFIERS
        ("folds", pa.int32()),
        ("rows", pa.int64()),
        ("tracks", pa.int64()),
        ("accuracy", pa.float64()),  # of rows: mean over folds, and their standard deviation
        ("accuracy_std", pa.float64()),
        ("macro_f1", pa.float64()),
        ("macro_f1_std", pa.float64()),
        ("vote_accuracy", pa.float64()),  # of tracks, by the majority of their segments
        ("vote_accuracy_std", pa.float64()),
        ("vote_macro_f1", pa.float64()),
        ("vote_macro_f1_std", pa.float64()),
        ("seconds", pa.float64()),  # to fit, mean over folds
        ("message", pa.string()),  # why it has no scores, or what its library remarked
    ]
)

# Of models/<version>/. A label that is null stands for all of them.
METRICS = pa.schema(
    [
        ("level", pa.string()),  # segment | track, of the test part
        ("label", pa.string()),
        ("metric", pa.string()),  # accuracy, macro_f1, log_loss, chance, precision, recall, f1
        ("value", pa.float64()),
        ("count", pa.int64()),  # rows or tracks that it is of
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
        ("mean", pa.float64()),  # accuracy of rows lost when the column is shuffled
        ("std", pa.float64()),
        ("repeats", pa.int32()),
    ]
)
SPLIT = pa.schema([("track_id", pa.string()), ("set", pa.string())])

TRACKS = "features/level=track"
SEGMENTS = "features/level=segment"

TABLES: dict[str, pa.Schema] = {
    TRACKS: TRACK,
    SEGMENTS: SEGMENT,
    "files": FILES,
    "runs": RUNS,
    "comparison": COMPARISON,
}
"""The folder of each table in the store, and its columns."""

PREDICTED_TRACKS = "predictions/level=track"
PREDICTED_SEGMENTS = "predictions/level=segment"

PROBABILITY = "p_"
"""Before a class's name, the column of its probability."""


def predictions(classes: list[str], *, segments: bool) -> pa.Schema:
    """Return the columns of predictions; there is one for the probability of each class."""
    place = [("segment", pa.int32()), ("start_s", pa.float64())] if segments else []
    return pa.schema(
        [
            ("track_id", pa.string()),
            ("label", pa.string()),
            *place,
            ("predicted", pa.string()),
            ("model", pa.string()),  # the version that predicted
            *((PROBABILITY + name, pa.float32()) for name in classes),
        ]
    )


SIMILARITY = "similarity"
DUPLICATES = "duplicates"
MATRIX = "similarity-matrix"
"""One row and one column a track: ``track_id``, and the cosine with each track, in one order."""


def similarity(level: str) -> pa.Schema:
    """Return the columns of the nearest neighbours of rows of a level."""
    segments = level == "segment"
    return pa.schema(
        [
            ("track_id", pa.string()),
            *([("segment", pa.int32())] if segments else []),
            ("rank", pa.int32()),  # from 1
            ("neighbour_id", pa.string()),
            *([("neighbour_segment", pa.int32())] if segments else []),
            ("cosine", pa.float64()),
            ("duplicate", pa.bool_()),  # so near that it is the same recording
        ]
    )


def duplicates(level: str) -> pa.Schema:
    """Return the columns of pairs of rows of a level that are the same recording."""
    segments = level == "segment"
    return pa.schema(
        [
            ("track_id", pa.string()),
            *([("segment", pa.int32())] if segments else []),
            ("duplicate_id", pa.string()),
            *([("duplicate_segment", pa.int32())] if segments else []),
            ("cosine", pa.float64()),
        ]
    )


DERIVED = (PREDICTED_TRACKS, PREDICTED_SEGMENTS, SIMILARITY, DUPLICATES, MATRIX)
"""The folders of what is found from the features, and goes with them."""

FOLDERS = (*TABLES, "labels", *DERIVED)
"""The folders of all tables. ``labels`` has the columns of its owner's CSV, all text."""
