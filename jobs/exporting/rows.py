"""The rows of a table of the store as a stream of Arrow batches."""

import json
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from jobs.interruption import raise_if_interrupted
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
    plain : bool
        Whether lists and unsigned integers become JSON texts, for databases that lack them.

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
        plain: bool = False,
    ) -> None:
        self._replaced = [
            one
            for one in schema
            if plain and (pa.types.is_list(one.type) or one.type == pa.uint64())
        ]
        for one in self._replaced:
            schema = schema.set(schema.get_field_index(one.name), one.with_type(pa.string()))
        self.schema = schema
        self.count = sum(store.storage.count_rows(part) for part in parts)
        self.failure: BaseException | None = None
        self._store = store
        self._parts = parts
        self._progress = progress

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
        for name in self.schema.names:
            yield name, pa.array([name])
        replaced = [one.name for one in self._replaced]
        columns = [
            field.name
            for field in self.schema
            if pa.types.is_string(field.type) and field.name not in replaced
        ]
        for part in self._parts:
            rows = self._store.read_part(part, columns)
            for name in columns:
                yield name, pc.unique(rows[name])

    def reader(self) -> pa.RecordBatchReader:
        """Return a stream of the rows."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        done = 0
        try:
            for part in self._parts:
                rows = self._store.read_part(part).replace_schema_metadata(None)
                for one in self._replaced:
                    values = rows[one.name].to_pylist()
                    texts = [None if value is None else json.dumps(value) for value in values]
                    index = rows.schema.get_field_index(one.name)
                    rows = rows.set_column(index, one.name, pa.array(texts, pa.string()))
                for batch in rows.cast(self.schema).to_batches(max_chunksize=_BATCH_ROWS):
                    yield batch
                    done += batch.num_rows
                    self._progress.update(f"{done:,} of {self.count:,} rows")
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise
