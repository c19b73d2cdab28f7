"""Rows of a batch, collected in memory and written when the batch is finished."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from featurizer.columns import SAMPLE_RATE
from featurizer.errors import FailureKind
from featurizer.feature_set import Level
from jobs.extraction.attempts import Batch, Summary, finished_metadata, result_file
from jobs.inputs.sources import SourceFile
from jobs.redaction import redact
from jobs.store.schemas import FILES, TAG, TAGS, feature_tables, features_folder
from jobs.store.storage import Storage

if TYPE_CHECKING:
    from featurizer.extract import Features
    from featurizer.tags import Tags


class Rows:
    """Rows and counts of a batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._schemas = feature_tables(batch.sets)
        # Rows of each table: the features as matrices, and the other columns as lists.
        self._features: dict[str, list[np.ndarray]] = {table: [] for table in self._schemas}
        self._columns: dict[str, dict[str, list[Any]]] = {table: {} for table in self._schemas}
        self._tags: list[dict[str, Any]] = []
        self._files: list[dict[str, Any]] = []
        self.summary = Summary("done")

    def add_features(
        self, recording: SourceFile, label: str | None, features: "Features", tags: "Tags"
    ) -> None:
        """Add the rows of a recording, of which at least one feature set has some."""
        self._tags.append({"track_id": recording.track_id, **asdict(tags)})
        for name, rows in features.rows.items():
            if rows.track is None:
                continue
            values, length = rows.track[np.newaxis], [features.length]
            self._add(name, "track", recording, label, values, length=length)
            count = len(rows.segments)
            if count:
                self._add(
                    name,
                    "segment",
                    recording,
                    label,
                    rows.segments,
                    segment=list(range(count)),
                    start_s=[i * features.segment_step / SAMPLE_RATE for i in range(count)],
                    length=[features.segment_length] * count,
                )
            self.summary.segments += count
        self.summary.extracted += 1
        self.summary.audio_s += features.duration_s

    def _add(
        self,
        name: str,
        level: Level,
        recording: SourceFile,
        label: str | None,
        values: np.ndarray,
        **columns: list[Any],
    ) -> None:
        columns["track_id"] = [recording.track_id] * len(values)
        columns["label"] = [label] * len(values)
        table = features_folder(name, level)
        for column, rows in columns.items():
            self._columns[table].setdefault(column, []).extend(rows)
        self._features[table].append(values)

    def add_file(
        self,
        recording: SourceFile,
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
                "run_id": self._batch.run_id,
            }
        )

    def write(self, storage: Storage) -> Summary:
        """Write the files of the attempt, which finishes it, and return its summary."""
        attempt = self._batch.attempt
        for table, schema in self._schemas.items():
            storage.write_table(result_file(attempt, table), self._table(table, schema))
        tags = pa.Table.from_pylist(self._tags, schema=TAG)
        storage.write_table(result_file(attempt, TAGS), tags)
        files = pa.Table.from_pylist(self._files, schema=FILES)
        files = files.replace_schema_metadata(finished_metadata(self.summary, self._batch))
        storage.write_table(result_file(attempt, "files"), files)
        return self.summary

    def _table(self, table: str, schema: pa.Schema) -> pa.Table:
        if not self._features[table]:
            return schema.empty_table()
        columns: dict[str, Any] = dict(self._columns[table])
        names = [name for name in schema.names if name not in columns]
        columns.update(zip(names, np.concatenate(self._features[table]).T, strict=True))
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)
