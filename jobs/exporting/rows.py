"""The rows of a table of the store as a stream of Arrow batches."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.interruption import raise_if_interrupted
from jobs.progress import Progress
from jobs.store.schemas import PROBABILITY
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
    by_class : bool
        Whether a row of predictions becomes a row for each class, with its probability.

    Attributes
    ----------
    schema : pa.Schema
        Columns of the stream.
    count : int
        Number of rows.
    failure : BaseException or None
        Exception raised while reading; drivers replace it with their own.
    """

    def __init__(
        self,
        store: Store,
        parts: list[str],
        schema: pa.Schema,
        progress: Progress,
        *,
        by_class: bool = False,
    ) -> None:
        self.schema = _by_class_schema(schema) if by_class else schema
        rows = sum(store.storage.count_rows(part) for part in parts)
        self.count = rows * (len(_classes(schema)) if by_class else 1)
        self.failure: BaseException | None = None
        self._store = store
        self._parts = parts
        self._stored_schema = schema
        self._progress = progress
        self._by_class = by_class

    def find_characters(self, pattern: str) -> dict[str, tuple[str, str]]:
        """Return the characters that match a pattern, in all texts and names of columns.

        Parameters
        ----------
        pattern : str
            A regular expression for one character, in the syntax that Python and RE2 share.

        Returns
        -------
        uses : dict of str to (str, str)
            For each character, a column and a text in it (or its name) that has the character.
        """
        uses: dict[str, tuple[str, str]] = {}
        for column, texts in self._texts():
            raise_if_interrupted()
            for text in texts.filter(pc.match_substring_regex(texts, pattern)).to_pylist():
                for character in re.findall(pattern, text):
                    uses.setdefault(character, (column, text))
        return uses

    def _texts(self) -> Iterator[tuple[str, pa.Array]]:
        """Yield the name and the distinct texts of each column, for each part."""
        for name in self._stored_schema.names:
            yield name, pa.array([name])
        columns = [field.name for field in self._stored_schema if pa.types.is_string(field.type)]
        for part in self._parts:
            rows = self._store.read_part(part, columns)
            for name in columns:
                yield name, pc.unique(rows[name])

    def reader(self) -> pa.RecordBatchReader:
        """Return a stream of the rows."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        done = 0
        size = _BATCH_ROWS
        if self._by_class:
            size = max(1, size // len(_classes(self._stored_schema)))
        try:
            for part in self._parts:
                rows = self._store.read_part(part).replace_schema_metadata(None)
                for batch in rows.cast(self._stored_schema).to_batches(max_chunksize=size):
                    exported = _with_row_for_each_class(batch) if self._by_class else batch
                    yield exported
                    done += exported.num_rows
                    self._progress.update(f"{done:,} of {self.count:,} rows")
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise


def _classes(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name.startswith(PROBABILITY)]


def _by_class_schema(schema: pa.Schema) -> pa.Schema:
    others = [field for field in schema if not field.name.startswith(PROBABILITY)]
    return pa.schema([*others, ("class", pa.string()), ("probability", pa.float32())])


def _with_row_for_each_class(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows of predictions with a row for each class, in the order of the columns."""
    classes = _classes(batch.schema)
    schema = _by_class_schema(batch.schema)
    rows = np.repeat(np.arange(batch.num_rows), len(classes))
    others = batch.select(schema.names[:-2]).take(pa.array(rows))
    names = pa.array([name.removeprefix(PROBABILITY) for name in classes], pa.string())
    positions = np.tile(np.arange(len(classes)), batch.num_rows)
    probabilities = np.column_stack([batch[name].to_numpy() for name in classes]).ravel()
    columns = [*others.columns, names.take(pa.array(positions)), pa.array(probabilities)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
