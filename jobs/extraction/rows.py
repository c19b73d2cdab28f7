"""Rows of a batch, collected in memory and written when the batch is finished."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS, SAMPLE_RATE
from featurizer.errors import FailureKind
from jobs.extraction.attempts import _SUFFIX, Batch, Summary, piece
from jobs.inputs.sources import Listed
from jobs.store.schemas import FILES, SEGMENT, SEGMENTS, TABLES, TRACK, TRACKS
from jobs.store.storage import Storage

if TYPE_CHECKING:
    from featurizer.extract import Features


class Rows:
    """The rows of a batch, as they come to be."""

    def __init__(self) -> None:
        self._rows: dict[str, list[pa.RecordBatch]] = {name: [] for name in _SUFFIX}
        self._files: list[dict[str, Any]] = []
        self.summary = Summary("done")

    def add_features(self, recording: Listed, label: str | None, features: "Features") -> None:
        """Add the track row and the segment rows of a recording."""
        count = len(features.segments)
        self._rows[TRACKS].append(
            _record(
                TRACK,
                {
                    "track_id": [recording.track_id],
                    "label": [label],
                    "length": [features.length],
                    **_by_column(features.track[np.newaxis]),
                },
            )
        )
        step = features.segment_step
        self._rows[SEGMENTS].append(
            _record(
                SEGMENT,
                {
                    "track_id": [recording.track_id] * count,
                    "label": [label] * count,
                    "segment": list(range(count)),
                    "start_s": [i * step / SAMPLE_RATE for i in range(count)],
                    "length": [features.segment_length] * count,
                    **_by_column(features.segments),
                },
            )
        )
        self.summary.extracted += 1
        self.summary.segments += count
        self.summary.audio_s += features.duration_s

    def add_file(
        self,
        recording: Listed,
        run_id: str,
        *,
        error: FailureKind | None = None,
        message: str | None = None,
        features: "Features | None" = None,
    ) -> None:
        """Add the ``files`` row of a recording: failed where there is an ``error``."""
        if error is not None:
            self.summary.failures[error] = self.summary.failures.get(error, 0) + 1
        self._files.append(
            {
                "track_id": recording.track_id,
                "uri": recording.uri,
                "source": recording.source,
                "bytes": recording.size,
                "modified": recording.modified,
                "status": "ok" if error is None else "failed",
                "error": error,
                "message": message,
                "duration_s": features and features.duration_s,
                "sample_rate": features and features.sample_rate,
                "channels": features and features.channels,
                "extracted_at": datetime.now(UTC),
                "run_id": run_id,
            }
        )

    def write(self, storage: Storage, batch: Batch) -> Summary:
        """Write what a finished batch leaves; from then on it counts as finished."""
        attempt = batch.attempt
        for table, records in self._rows.items():
            if table != "files":
                storage.write_table(
                    piece(attempt, table), pa.Table.from_batches(records, TABLES[table])
                )
        files = pa.Table.from_pylist(self._files, schema=FILES)
        stated = {"summary": asdict(self.summary), "settings": asdict(batch.settings)}
        files = files.replace_schema_metadata({"songmill": json.dumps(stated)})
        storage.write_table(piece(attempt, "files"), files)
        return self.summary


def _by_column(values: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[:, i] for i, name in enumerate(FEATURE_COLUMNS)}


def _record(schema: pa.Schema, columns: dict[str, Any]) -> pa.RecordBatch:
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
