"""The rows of a table of the store as a stream of Arrow batches."""

from collections.abc import Iterator

import pyarrow as pa

from jobs.progress import Progress
from jobs.store.tables import Store

_BATCH_ROWS = 50_000


class Rows:
    """Rows of a table, to be streamed.

    Parameters
    ----------
    store : Store
        The store.
    parts : list of str
        Parts of the table.
    schema : pa.Schema
        Columns of the table.
    progress : Progress
        Shows how many rows have been read.

    Attributes
    ----------
    count : int
        Number of rows.
    failure : BaseException or None
        Exception raised while reading; drivers replace it with their own.
    """

    def __init__(
        self, store: Store, parts: list[str], schema: pa.Schema, progress: Progress
    ) -> None:
        self.schema = schema
        self.count = sum(store.storage.count_rows(part) for part in parts)
        self.failure: BaseException | None = None
        self._store = store
        self._parts = parts
        self._progress = progress

    def reader(self) -> pa.RecordBatchReader:
        """Return a stream of the rows."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        done = 0
        try:
            for part in self._parts:
                rows = self._store.read_part(part).replace_schema_metadata(None)
                for batch in rows.cast(self.schema).to_batches(max_chunksize=_BATCH_ROWS):
                    yield batch
                    done += batch.num_rows
                    self._progress.update(f"{done:,} of {self.count:,} rows")
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise
