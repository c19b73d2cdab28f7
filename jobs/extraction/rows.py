"""Rows of a batch, collected in memory and written when the batch is finished."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featurizer.columns import FEATURE_COLUMNS, SAMPLE_RATE
from featurizer.errors import FailureKind
from jobs.extraction.attempts import Batch, Summary, result_file
from jobs.inputs.sources import SourceFile
from jobs.redaction import redact
from jobs.store.schemas import FILES, SEGMENTS, TABLES, TRACKS
from jobs.store.storage import Storage

if TYPE_CHECKING:
    from featurizer.extract import Features


class Rows:
    """Rows and counts of a batch."""

    def __init__(self) -> None:
        self._features: dict[str, list[pa.RecordBatch]] = {TRACKS: [], SEGMENTS: []}
        self._files: list[dict[str, Any]] = []
        self.summary = Summary("done")

    def add_features(self, recording: SourceFile, label: str | None, features: "Features") -> None:
        """Add the track row and the segment rows of a recording."""
        rows = features.rows["gtzan"]
        assert rows.track is not None
        count = len(rows.segments)
        self._add(TRACKS, recording, label, rows.track[np.newaxis], length=[features.length])
        self._add(
            SEGMENTS,
            recording,
            label,
            rows.segments,
            segment=list(range(count)),
            start_s=[i * features.segment_step / SAMPLE_RATE for i in range(count)],
            length=[features.segment_length] * count,
        )
        self.summary.extracted += 1
        self.summary.segments += count
        self.summary.audio_s += features.duration_s

    def _add(
        self,
        table: str,
        recording: SourceFile,
        label: str | None,
        values: np.ndarray,
        **columns: list[Any],
    ) -> None:
        columns["track_id"] = [recording.track_id] * len(values)
        columns["label"] = [label] * len(values)
        columns.update(zip(FEATURE_COLUMNS, values.T, strict=True))
        schema = TABLES[table]
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
        self._features[table].append(pa.RecordBatch.from_arrays(arrays, schema=schema))

    def add_file(
        self,
        recording: SourceFile,
        run_id: str,
        *,
        error: FailureKind | None = None,
        message: str | None = None,
        features: "Features | None" = None,
    ) -> None:
        """Add the ``files`` row of a recording, which failed if there is an ``error``."""
        message = message and redact(message, recording.path)
        if error is not None:
            self.summary.failures[error] = self.summary.failures.get(error, 0) + 1
            self.summary.failed_files.append([recording.track_id, error, message or ""])
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
        """Write the files of the attempt, which finishes it, and return its summary."""
        for table, records in self._features.items():
            rows = pa.Table.from_batches(records, TABLES[table])
            storage.write_table(result_file(batch.attempt, table), rows)
        files = pa.Table.from_pylist(self._files, schema=FILES)
        metadata = {"summary": asdict(self.summary), "settings": asdict(batch.settings)}
        files = files.replace_schema_metadata({"songmill": json.dumps(metadata)})
        storage.write_table(result_file(batch.attempt, "files"), files)
        return self.summary
