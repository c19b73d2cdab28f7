"""Commits: atomic changes of several tables, which survive a kill at any moment.

A commit removes parts of tables and adds new ones. The new parts are first written to
``_work/commit``, out of readers' sight. Writing the journal decides the commit: from then on
:func:`recover` completes it if this process does not. The old parts are emptied, which means
replaced by a part without rows, so that readers that have just listed the folder still find them;
they are removed after :data:`GRACE_S`. Then the new parts are moved in. Meanwhile a reader may see
fewer rows, but never a row twice and never half a file.

Each step is a move of a staged file. Part names are never reused. So a step that comes late, or a
second time, finds its staged file gone and changes nothing.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import DamageError, StoreError
from jobs.store import manifest
from jobs.store.lock import ENTRIES, JOURNAL, Lock, has_entries
from jobs.store.manifest import MANIFEST
from jobs.store.schemas import MODELS, table_folders, table_schemas
from jobs.store.storage import Entry, Part, Storage, as_json, parse_json
from jobs.store.tables import STORE_JSON, Store, is_part

WORK = "_work"
STAGE = f"{WORK}/commit"

PART_ROWS = 100_000
"""Rows of a full part: about 40 MB of features, which fits readers and the memory of a merge."""

SMALL_PARTS = 8
"""Number of small parts, less than half full, from which on they are merged."""

GRACE_S = 3600.0
"""Seconds that an emptied part stays, for readers that listed the folder before."""

_ORDER = [("track_id", "ascending"), ("segment", "ascending"), ("rank", "ascending")]

_MIN_EMPTIED_BYTES = 65_536
_COLUMN_BYTES = 1024
"""Bytes of a footer per column, with the unit and the description of a feature."""

_MAX_PENDING = 32
"""Number of pending tables above which they are concatenated."""


@dataclass
class Change:
    """The changes that a commit makes.

    Files to add are in :data:`STAGE`; each comes with its final name. The name is a part of a
    table, ``store.json``, the manifest, or a file or folder in ``models``.
    """

    remove: list[str] = field(default_factory=list)  # parts of tables
    add: list[tuple[str, str]] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)  # obsolete files below WORK
    token: str = ""  # of the run that completes it
    old: bool = False  # whether an older songmill decided it
    written: dict[str, Part] = field(default_factory=dict)  # staged parts that are described

    def to_json(self) -> bytes:
        """Return the content of the journal."""
        content = asdict(self)
        del content["written"]
        return as_json(content)

    def check(self) -> None:
        """Raise ValueError if it names other files, as a journal of unknown origin may."""
        for entry, names, is_valid in (
            ("remove", self.remove, _is_table_part),
            ("add", [staged for staged, _ in self.add], _is_staged),
            ("add", [name for _, name in self.add], _is_target),
            ("forget", self.forget, _is_temporary),
        ):
            for name in names:
                if not isinstance(name, str) or not is_valid(name):
                    raise ValueError(f"{entry!r} may not name {name!r}")


def _is_table_part(name: str) -> bool:
    folder, base = os.path.split(name)
    return folder in table_folders() and is_part(base) and _is_relative(name)


def _is_staged(name: str) -> bool:
    return os.path.dirname(name) == STAGE and _is_relative(name)


def _is_target(name: str) -> bool:
    is_model = os.path.dirname(name) == MODELS and _is_relative(name)
    return name in (STORE_JSON, MANIFEST) or is_model or _is_table_part(name)


def _is_temporary(name: str) -> bool:
    return name.startswith(f"{WORK}/") and _is_relative(name)


def _is_relative(name: str) -> bool:
    """Return whether ``name`` stays below the root, and has one spelling only."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


Edit = Callable[[pa.Table], pa.Table]
"""A function from a part's rows to its new rows. It returns the same object if nothing changes."""


def stage_table(
    store: Store,
    change: Change,
    table: str,
    additions: Iterable[pa.Table],
    *,
    edit: Edit | None = None,
    tidy: bool = False,
) -> None:
    """Stage new and edited rows of ``table``, and record its parts in ``change``.

    ``edit`` applies to the rows of the existing parts. ``tidy`` merges small parts once there are
    :data:`SMALL_PARTS`.
    """
    rewritten: list[str] = []
    merged: list[str] = []

    def rows_to_write() -> Iterator[pa.Table]:
        kept: list[str] = []
        for name in store.parts(table):
            if edit is not None:
                rows = store.read_part(name)
                edited = edit(rows)
                if rows.num_rows and edited is not rows:
                    rewritten.append(name)
                    yield edited
                    continue
            kept.append(name)
        if tidy:
            listed = _parts_with_rows(store.storage)
            counts = {
                name: listed[name].rows if name in listed else store.storage.count_rows(name)
                for name in kept
            }
            small = [name for name, rows in counts.items() if 0 < rows < PART_ROWS // 2]
            if len(small) >= SMALL_PARTS:
                merged.extend(small)
                yield from map(store.read_part, small)
        yield from additions

    staged = _write_parts(store.storage, rows_to_write(), PART_ROWS)
    change.written |= staged
    change.remove += rewritten + merged
    change.add += [(name, f"{table}/{os.path.basename(name)}") for name in staged]


def stage_replacement(
    store: Store,
    change: Change,
    table: str,
    rows: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    part_rows: int | None = None,
) -> None:
    """Stage a replacement of all rows of ``table``, and record its parts in ``change``.

    The ``schema`` of the rows may differ from the old one. Emptied parts get it too: readers expect
    the same in all parts. A full part has ``part_rows``, by default :data:`PART_ROWS`, which suits
    rows of features.
    """
    before = store.parts(table)
    emptied = {
        entry.name
        for entry in _emptied_parts(
            store.storage,
            table,
            [entry for entry in store.storage.list(table) if is_part(entry.name)],
            _parts_with_rows(store.storage),
        )
        if store.storage.read_schema(entry.name) == schema
    }
    staged = _write_parts(store.storage, rows, part_rows or PART_ROWS)
    if not staged and not before:
        # Readers expect a part even if the table has no rows.
        staged = dict([_write_part(store.storage, schema.empty_table())])
    change.written |= staged
    # No row may be in an old part and in a new one at once: the old parts are emptied first.
    change.add += [
        (write_empty(store.storage, schema), name) for name in before if name not in emptied
    ]
    change.add += [(name, f"{table}/{os.path.basename(name)}") for name in staged]


def stage_file(store: Store, change: Change, name: str, data: bytes) -> None:
    """Stage ``data`` as the file ``name``."""
    change.add.append((_write_file(store.storage, data), name))


def _write_file(storage: Storage, data: bytes) -> str:
    """Stage a file; return its name."""
    # The target may exist already, so the digest tells whether this file was moved there.
    staged = f"{STAGE}/{uuid.uuid4().hex}-{_digest(data)}"
    storage.write(staged, data)
    return staged


def _stage_manifest(storage: Storage, change: Change) -> list[tuple[str, str]]:
    """Stage the manifest after ``change``; return what to add to the commit, as its last file."""
    added = [(staged, name) for staged, name in change.add if _is_table_part(name)]
    before = manifest.read(storage)
    if before is None:
        changed = {*change.remove, *(name for _, name in added)}
        listed = {entry.name for table in table_folders() for entry in storage.list(table)}
        before = manifest.describe(storage, sorted(filter(is_part, listed - changed)))
    elif not added and not change.remove:
        return []
    parts = {
        name: change.written.get(staged) or storage.describe_part(staged) for staged, name in added
    }
    after = manifest.updated(before, change.remove, parts)
    return [(_write_file(storage, manifest.to_json(after)), MANIFEST)]


def commit(lock: Lock, change: Change) -> None:
    """Apply ``change`` atomically.

    Raises
    ------
    StoreError
        Another run has taken over, or staged files are missing. Unless the commit was decided
        before, nothing was changed.
    """
    if not (change.remove or change.add or change.forget):
        return
    storage = lock.storage
    change.check()  # because recover() would refuse the journal
    lock.check()
    emptied = [(write_empty(storage, storage.read_schema(name)), name) for name in change.remove]
    add = emptied + change.add
    try:
        add += _stage_manifest(storage, change)
        for staged, _ in add:
            storage.sync(staged)
        if add:
            storage.sync(STAGE)
    except FileNotFoundError:
        lock.describe()  # fails if a run that has taken over has removed the files
        _check_staged(storage, change)
        raise
    change = Change(add=add, forget=change.forget, token=lock.token)
    if has_entries(lock.read_journal()):
        raise StoreError(
            f"a commit to the store {storage.root} was decided and not completed: run the same "
            "command again"
        )
    lock.write_journal(change.to_json())
    try:
        _check_staged(storage, change)
    except StoreError:
        lock.remove_journal()
        lock.describe()  # fails if a run that has taken over has removed the files
        raise
    _apply(lock, change)


def recover(lock: Lock) -> bool:
    """Complete a commit that was decided and not completed; return whether there was one.

    Files staged by an undecided commit, and parts emptied more than :data:`GRACE_S` ago, are
    removed.

    Raises
    ------
    StoreError
        The journal is damaged, or names files that no commit changes, or staged files are missing.
        Nothing was changed.
    """
    storage = lock.storage
    while True:
        journal = lock.read_journal()
        change = _parse_journal(storage, journal) if journal is not None else Change()
        unfinished = has_entries(journal)
        if unfinished:
            _check_staged(storage, change)
        change.token = lock.token
        if lock.claim_journal(change.to_json()):
            break
    if unfinished:
        _apply(lock, change)
    left = [entry.name for entry in storage.list(STAGE)]
    folders = [f"{STAGE}/{name}" for name in storage.folders(STAGE)]
    lock.describe()  # fails if a run that has taken over has staged files by now
    for name in left:
        storage.remove(name)
    for name in folders:
        storage.remove_folder(name)
    _remove_emptied_parts(storage)
    return unfinished


def check_journal(storage: Storage) -> None:
    """Raise StoreError if the journal is damaged, or staged files are missing."""
    text = storage.read(JOURNAL)
    try:
        _check_staged(storage, _parse_journal(storage, text))
    except StoreError:
        if storage.read(JOURNAL) == text:  # else a run is at work
            raise


def _parse_journal(storage: Storage, journal: bytes) -> Change:
    """Return the checked content of the journal."""
    try:
        found = parse_json(journal)
        for entry in ENTRIES:
            if not isinstance(found[entry], list):
                raise TypeError(f"{entry!r} is not a list")
        add = [(staged, name) for staged, name in found["add"]]
        old = "token" not in found or found.get("old") is True
        change = Change(found["remove"], add, found["forget"], old=old)
        change.check()
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{storage.path(JOURNAL)} is damaged ({error}), and a commit cannot be completed "
            "without it. Restore the store from a copy, or extract into another store"
        ) from None
    return change


def _write_parts(storage: Storage, tables: Iterable[pa.Table], part_rows: int) -> dict[str, Part]:
    """Write rows as few sorted parts; return them by their staged names."""
    written: list[tuple[str, Part]] = []
    pending: list[pa.Table] = []
    count = 0
    for rows in tables:
        pending.append(rows)
        count += rows.num_rows
        if len(pending) > _MAX_PENDING:
            # Many small columns take far more memory than their values.
            pending = [pa.concat_tables(pending).combine_chunks()]
        while count >= part_rows:
            together = pa.concat_tables(pending)
            written.append(_write_part(storage, together.slice(0, part_rows)))
            pending = [together.slice(part_rows)]
            count -= part_rows
    if count:
        written.append(_write_part(storage, pa.concat_tables(pending)))
    return dict(written)


def _write_part(storage: Storage, rows: pa.Table) -> tuple[str, Part]:
    part = f"part-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"
    staged = f"{STAGE}/{part}.parquet"
    keys = [key for key in _ORDER if key[0] in rows.schema.names]
    return staged, storage.write_table(staged, rows.sort_by(keys) if keys else rows)


def write_empty(storage: Storage, schema: pa.Schema) -> str:
    """Stage a part without rows; return its name."""
    staged = f"{STAGE}/{uuid.uuid4().hex}"
    storage.write_table(staged, schema.empty_table())
    return staged


def _check_staged(storage: Storage, change: Change) -> None:
    """Raise StoreError if a staged file is missing that has not been moved."""
    staged = {entry.name for entry in storage.list(STAGE)}
    staged |= {f"{STAGE}/{name}" for name in storage.folders(STAGE)}
    for source, name in change.add:
        if source not in staged and not _is_moved(storage, source, name, old=change.old):
            raise StoreError(
                f"{storage.path(source)} is missing, and without it a commit of {name} cannot be "
                "completed: restore it or the store from a copy, or extract into another store"
            )


def _is_moved(storage: Storage, source: str, name: str, *, old: bool = False) -> bool:
    """Return whether the staged file ``source``, which is missing, was moved to ``name``.

    An ``old`` commit gave names to other rows again, so it is unknown: the answer is True.
    """
    if os.path.basename(source) == os.path.basename(name):
        return storage.exists(name) or storage.exists(f"{name}/model.json")
    if old:
        return True
    if not storage.exists(name):
        return is_part(name)  # an old part, emptied and removed since
    if source.endswith(_digest(storage.read(name))):
        return True
    return is_part(name) and _is_empty(storage, name)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _apply(lock: Lock, change: Change) -> None:
    """Apply the journal; every step is idempotent."""
    storage = lock.storage
    for name in change.remove:  # in a journal of an older songmill
        if storage.exists(name):
            storage.write_table(name, storage.read_schema(name).empty_table(), durable=True)
    for staged, name in change.add:
        try:
            storage.move(staged, name)  # a file, or the folder of a model
        except FileNotFoundError:
            if not _is_moved(storage, staged, name, old=change.old):
                lock.describe()  # fails if another run has taken over
                raise
    for folder in sorted({name.rpartition("/")[0] for _, name in change.add}):
        storage.sync(folder or ".")
    for name in change.forget:
        storage.remove(name)
    lock.remove_journal()


def _remove_emptied_parts(storage: Storage) -> None:
    expired = time.time() - GRACE_S
    with_rows = _parts_with_rows(storage)
    for table in table_folders():
        parts = [entry for entry in storage.list(table) if is_part(entry.name)]
        old = [entry for entry in parts if entry.modified < expired]
        emptied = _emptied_parts(storage, table, old, with_rows)
        # A table without rows remains a table: one part stays.
        for entry in emptied[1:] if len(emptied) == len(parts) else emptied:
            storage.remove(entry.name)


def _emptied_parts(
    storage: Storage, table: str, parts: Iterable[Entry], with_rows: Container[str]
) -> list[Entry]:
    """Return those of the ``parts`` of ``table`` that have no rows."""
    # The manifest and the size save reading most footers.
    limit = max_emptied_bytes(table)
    return [
        entry
        for entry in parts
        if entry.name not in with_rows and entry.size < limit and _is_empty(storage, entry.name)
    ]


def _parts_with_rows(storage: Storage) -> Mapping[str, Part]:
    """Return the parts that the manifest lists; none if there is no manifest or it is damaged."""
    try:
        return manifest.read(storage) or {}
    except DamageError:
        return {}  # its readers name it


def max_emptied_bytes(table: str) -> int:
    """Return an upper bound of the size of an emptied part of ``table``, which is all footer.

    Examples
    --------
    >>> max_emptied_bytes("files"), max_emptied_bytes("features-rich/level=track")
    (65536, 472064)
    """
    schema = table_schemas().get(table)
    return max(_MIN_EMPTIED_BYTES, _COLUMN_BYTES * len(schema.names) if schema else 0)


def _is_empty(storage: Storage, name: str) -> bool:
    try:
        return storage.count_rows(name) == 0
    except DamageError:
        return False  # its readers name it


def without_any(rows: pa.Table) -> pa.Table:
    """Edit that drops every row."""
    return rows.slice(0, 0)


def without_tracks(tracks: pa.Array, *columns: str) -> Edit:
    """Return an edit that drops the rows of ``tracks``.

    A row is dropped if any of ``columns``, by default ``track_id``, is one of the tracks.

    Examples
    --------
    >>> rows = pa.table({"track_id": ["a", "b", "c"]})
    >>> without_tracks(pa.array(["b"]))(rows)["track_id"].to_pylist()
    ['a', 'c']
    """

    def edit(rows: pa.Table) -> pa.Table:
        for column in columns or ("track_id",):
            found = pc.is_in(rows[column], value_set=tracks)
            if pc.any(found).as_py():
                rows = rows.filter(pc.invert(found))
        return rows

    return edit


def with_labels(labels: Mapping[str, str | None]) -> Edit:
    """Return an edit that sets the label of each track in ``labels``.

    Examples
    --------
    >>> rows = pa.table({"track_id": ["a", "b"], "label": ["pop", "pop"]})
    >>> with_labels({"b": "rock"})(rows)["label"].to_pylist()
    ['pop', 'rock']
    """
    columns = {"track_id": list(labels), "label": list(labels.values())}
    return with_values(pa.table({k: pa.array(v, pa.string()) for k, v in columns.items()}))


def with_values(values: pa.Table) -> Edit:
    """Return an edit that sets the other columns of ``values`` in the rows of its tracks.

    Examples
    --------
    >>> rows = pa.table({"track_id": ["a", "b"], "uri": ["/a", "/b"]})
    >>> with_values(pa.table({"track_id": ["b"], "uri": ["/c"]}))(rows)["uri"].to_pylist()
    ['/a', '/c']
    """
    tracks = values["track_id"].combine_chunks()

    def edit(rows: pa.Table) -> pa.Table:
        position = pc.index_in(rows["track_id"], value_set=tracks)
        found = pc.is_valid(position)
        if not pc.any(found).as_py():
            return rows
        for name in values.column_names:
            if name != "track_id":
                column = pc.if_else(found, pc.take(values[name], position), rows[name])
                rows = rows.set_column(rows.schema.get_field_index(name), name, column)
        return rows

    return edit
