"""How the tables of a store change: all at once, whatever is killed in between.

A commit has parts of the tables to take out and parts to put in. The new parts are first written
under ``_work/commit``, where no reader looks. Then the journal is written, and with it the commit
is decided: :func:`recover` completes it if this process does not. The old parts are emptied (each
replaced by a part without rows, so that a reader that has just listed the folder still finds it),
then the new ones are moved in. In between a reader sees fewer rows, never a row twice and never
half a file. Emptied parts get the next new rows, or are removed a while later. A part that alone
changes is replaced under its name.

What belongs into the tables is not decided here: see :mod:`jobs.extraction.extract`.
"""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import StoreError
from jobs.store.folder import Storage
from jobs.store.schemas import FOLDERS
from jobs.store.storage import Entry, as_json
from jobs.store.tables import Store, is_part

JOURNAL = "_journal.json"
STAGE = "_work/commit"

PART_ROWS = 100_000
"""Rows of a full part: some 40 MB of features, which readers like and a merge holds in memory."""

SMALL_PARTS = 8
"""So many parts of less than half of that may a table have; one more, and they are merged."""

GRACE_S = 3600.0
"""For so long an emptied part stays, for readers that listed the folder before."""

_ORDER = [("track_id", "ascending"), ("segment", "ascending"), ("rank", "ascending")]

EMPTIED_BYTES = 65536
"""An emptied part, which is all footer, is smaller."""

_COMPACT = 32
"""So many tables wait to be written before they are put together."""


@dataclass
class Change:
    """What a commit does.

    Parameters
    ----------
    remove : list of str
        Parts to take out.
    add : list of (str, str)
        Files under :data:`STAGE` and the names that they get.
    forget : list of str
        Files outside the tables that are not needed once the commit is done.
    """

    remove: list[str] = field(default_factory=list)
    add: list[tuple[str, str]] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)


Edit = Callable[[pa.Table], pa.Table]
"""Takes the rows of a part and returns those to keep, as they shall be; the same object if all."""


def stage_table(
    store: Store,
    change: Change,
    table: str,
    additions: Iterable[pa.Table],
    *,
    edit: Edit | None = None,
    tidy: bool = False,
) -> None:
    """Write what ``table`` shall have instead, and note it in ``change``.

    Parameters
    ----------
    store : Store
        The store; its tables do not change yet.
    change : Change
        Gets the parts to remove and to add.
    table : str
        The table's folder.
    additions : iterable of pa.Table
        New rows.
    edit : callable, optional
        What is to become of the rows that are there; by default all stay as they are.
    tidy : bool
        Whether small parts are merged when they have become many.
    """
    rewritten: list[str] = []
    merged: list[str] = []
    rows = _rows_to_write(
        store, table, additions, edit, (rewritten, merged) if tidy else (rewritten,)
    )
    staged = _write_parts(store.storage, rows, PART_ROWS)
    names = [f"{table}/{os.path.basename(name)}" for name in staged]
    # A reader that has listed the folder and read some of it may still open any name that was
    # there: it must find no row there that it has read elsewhere, and would rather find a file.
    if not merged and len(rewritten) == 1:
        names[:1] = rewritten[: len(names)]
    elif not merged and not rewritten:
        emptied = [entry.name for entry in _emptied(store.storage, table)]
        names[: len(emptied)] = emptied[: len(names)]
    change.remove += [name for name in rewritten + merged if name not in names]
    change.add += zip(staged, names, strict=True)


def _rows_to_write(
    store: Store,
    table: str,
    additions: Iterable[pa.Table],
    edit: Edit | None,
    leaving: tuple[list[str], ...],
) -> Iterator[pa.Table]:
    """Yield the new rows and those of every part that is not to stay as it is.

    The names of these parts are appended to ``leaving``: of those with rows that change to the
    first list, and of small ones that are merged to the second, if there is one.
    """
    kept: list[str] = []
    for name in store.parts(table):
        if edit is not None:
            rows = store.read_part(name)
            edited = edit(rows)
            if rows.num_rows and edited is not rows:
                leaving[0].append(name)
                yield edited
                continue
        kept.append(name)
    for merged in leaving[1:]:
        counts = {name: store.storage.count_rows(name) for name in kept}
        small = [name for name, rows in counts.items() if 0 < rows < PART_ROWS // 2]
        if len(small) >= SMALL_PARTS:
            for name in small:
                merged.append(name)
                yield store.read_part(name)
    yield from additions


def stage_replacement(
    store: Store,
    change: Change,
    table: str,
    rows: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    part_rows: int | None = None,
) -> None:
    """Write what ``table`` shall have instead of all that it has, with columns of its own.

    Parameters
    ----------
    store : Store
        The store; its tables do not change yet.
    change : Change
        Gets what becomes of the parts.
    table : str
        The table's folder.
    rows : iterable of pa.Table
        All its rows.
    schema : pa.Schema
        Its columns. Parts that stay empty get them too: readers want the same in all parts.
    part_rows : int, optional
        Rows of a full part; by default :data:`PART_ROWS`, which suit rows of features.
    """
    before = store.parts(table)
    staged = _write_parts(store.storage, rows, part_rows or PART_ROWS)
    if not staged and not before:
        # That nothing was found can be read too.
        staged = [_write_part(store.storage, schema.empty_table())]
    names = [f"{table}/{os.path.basename(name)}" for name in staged]
    names[: len(before)] = before[: len(names)]
    # A row must not be in an old part and in a new one at a time: the old ones are emptied first.
    for name in before:
        empty = f"{STAGE}/{uuid.uuid4().hex}"
        store.storage.write_table(empty, schema.empty_table(), durable=True)
        change.add.append((empty, name))
    change.add += zip(staged, names, strict=True)


def stage_file(store: Store, change: Change, name: str, data: bytes) -> None:
    """Write ``data``, to become the file ``name`` with the commit."""
    staged = f"{STAGE}/{uuid.uuid4().hex}"
    store.storage.write(staged, data, durable=True)
    change.add.append((staged, name))


def commit(store: Store, change: Change) -> None:
    """Carry ``change`` out, as a whole."""
    if not (change.remove or change.add or change.forget):
        return
    assert not store.storage.exists(JOURNAL), "a commit was decided and not completed"
    journal = {"remove": change.remove, "add": change.add, "forget": change.forget}
    store.storage.write(JOURNAL, as_json(journal), durable=True)
    _roll_on(store.storage, change)


def recover(storage: Storage) -> bool:
    """Complete a commit that was decided and not completed; tell whether there was one.

    Also clears away what a killed commit had written before it was decided, and parts emptied a
    while ago.
    """
    unfinished = storage.exists(JOURNAL)
    if unfinished:
        try:
            found = json.loads(storage.read(JOURNAL))
            add = [(staged, name) for staged, name in found["add"]]
            change = Change(found["remove"], add, found["forget"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{storage.path(JOURNAL)} is damaged ({error}): it says what a commit was to "
                "change. Put a copy of the store in its place, or extract into another store"
            ) from None
        _roll_on(storage, change)
    storage.remove_folder(STAGE)
    _clear_emptied(storage)
    return unfinished


def _write_parts(storage: Storage, tables: Iterable[pa.Table], part_rows: int) -> list[str]:
    """Write rows as few parts, each in order of the track; return where they are staged."""
    written: list[str] = []
    waiting: list[pa.Table] = []
    count = 0
    for rows in tables:
        waiting.append(rows)
        count += rows.num_rows
        if len(waiting) > _COMPACT:
            # A column of a small table takes far more memory than its values.
            waiting = [pa.concat_tables(waiting).combine_chunks()]
        while count >= part_rows:
            together = pa.concat_tables(waiting)
            written.append(_write_part(storage, together.slice(0, part_rows)))
            waiting = [together.slice(part_rows)]
            count -= part_rows
    if count:
        written.append(_write_part(storage, pa.concat_tables(waiting)))
    return written


def _write_part(storage: Storage, rows: pa.Table) -> str:
    part = f"part-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"
    staged = f"{STAGE}/{part}.parquet"
    keys = [key for key in _ORDER if key[0] in rows.schema.names]
    storage.write_table(staged, rows.sort_by(keys) if keys else rows, durable=True)
    return staged


def _roll_on(storage: Storage, change: Change) -> None:
    """Do what the journal says. Every step may have been done before."""
    for name in change.remove:
        if storage.exists(name):
            storage.write_table(name, storage.read_schema(name).empty_table(), durable=True)
    for staged, name in change.add:
        with contextlib.suppress(FileNotFoundError):
            storage.move(staged, name)  # a file, or the folder of a model
    for folder in sorted({name.rpartition("/")[0] for _, name in change.add}):
        storage.sync(folder or ".")
    for name in change.forget:
        storage.remove(name)
    storage.remove(JOURNAL)


def _clear_emptied(storage: Storage) -> None:
    long_ago = time.time() - GRACE_S
    for table in FOLDERS:
        emptied = _emptied(storage, table)
        # A table without rows is still one: its last part stays.
        spare = sum(is_part(entry.name) for entry in storage.list(table)) == len(emptied)
        for entry in emptied[1:] if spare else emptied:
            if entry.modified < long_ago:
                storage.remove(entry.name)


def _emptied(storage: Storage, table: str) -> list[Entry]:
    """Return the parts of ``table`` without rows."""
    # Reading the footers of large parts would be waste.
    return [
        entry
        for entry in storage.list(table)
        if is_part(entry.name)
        and entry.size < EMPTIED_BYTES
        and storage.count_rows(entry.name) == 0
    ]


def without_any(rows: pa.Table) -> pa.Table:
    """Edit: drops every row."""
    return rows.slice(0, 0)


def without_tracks(tracks: pa.Array, *columns: str) -> Edit:
    """Return an edit that drops the rows that name any of ``tracks``.

    Parameters
    ----------
    tracks : pa.Array
        The tracks.
    *columns : str
        Where a row names tracks; by default in ``track_id``.
    """

    def edit(rows: pa.Table) -> pa.Table:
        for column in columns or ("track_id",):
            found = pc.is_in(rows[column], value_set=tracks)
            if pc.any(found).as_py():
                rows = rows.filter(pc.invert(found))
        return rows

    return edit


def with_labels(tracks: pa.Array, labels: pa.Array) -> Edit:
    """Return an edit that gives each of ``tracks`` the label beside it."""

    def edit(rows: pa.Table) -> pa.Table:
        position = pc.index_in(rows["track_id"], value_set=tracks)
        found = pc.is_valid(position)
        if not pc.any(found).as_py():
            return rows
        column = pc.if_else(found, pc.take(labels, position), rows["label"])
        return rows.set_column(rows.schema.get_field_index("label"), "label", column)

    return edit


def edits(*steps: Edit) -> Edit:
    """Return an edit that does one after the other."""

    def edit(rows: pa.Table) -> pa.Table:
        for step in steps:
            rows = step(rows)
        return rows

    return edit
