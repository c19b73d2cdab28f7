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
        ("outcome", pa.string()),  # done | too-many-failed | failed | interrupted
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

TRACKS = "features/level=track"
SEGMENTS = "features/level=segment"

TABLES: dict[str, pa.Schema] = {
    TRACKS: TRACK,
    SEGMENTS: SEGMENT,
    "files": FILES,
    "runs": RUNS,
}
"""The folder of each table in the store, and its columns."""

FOLDERS = (*TABLES, "labels")
"""The folders of all tables. ``labels`` has the columns of its owner's CSV, all text."""
