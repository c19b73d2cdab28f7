"""The rows of a table of the store on their way out, for whatever takes a stream of Arrow."""

from collections.abc import Iterator

import pyarrow as pa

from jobs.progress import Progress
from jobs.store.tables import Store

BATCH_ROWS = 50_000


class Rows:
    """The rows of a table of the store, on their way out.

    Parameters
    ----------
    store : Store
        The store, which is held.
    parts : list of str
        The table's parts.
    schema : pa.Schema
        Its columns.
    progress : Progress
        Is told how far it is.
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
        """Return a stream of the rows. What it fails of is kept in ``failure``."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        done = 0
        try:
            for part in self._parts:
                rows = self._store.read_part(part).replace_schema_metadata(None)
                for batch in rows.cast(self.schema).to_batches(max_chunksize=BATCH_ROWS):
                    yield batch
                    done += batch.num_rows
                    self._progress.now(f"{done:,} of {self.count:,} rows")
        except GeneratorExit:
            raise
        except BaseException as error:
            # Drivers tell of it in words of their own.
            self.failure = error
            raise
