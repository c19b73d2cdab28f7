"""Import of tables of features into a store, as if they had been extracted.

A table is a CSV or Parquet file with the columns of a feature set, such as GTZAN's
``features_30_sec.csv`` and ``features_3_sec.csv``. The name in a row tells its level, if the set
describes segments: ``blues.00000.wav`` is a track, ``blues.00000.4.wav`` is its segment 4.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurizer.columns import SAMPLE_RATE, SEGMENT_SECONDS
from featurizer.feature_set import FeatureSet, Level, feature_sets
from jobs.errors import UsageError
from jobs.extraction.plan import find_row
from jobs.inputs import labels as label_table
from jobs.inputs.csv_file import Sheet, csv_rows, read_sheet
from jobs.progress import Progress
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.address import expand_home
from jobs.store.schemas import (
    DERIVED,
    FILES,
    PUBLISHED,
    SEGMENTS,
    TAGS,
    TRACKS,
    feature_tables,
    features_folder,
    features_schema,
)
from jobs.store.storage import Storage
from jobs.store.tables import STORE_JSON, Settings, Store, current_settings, read_settings

NAMES = ("track_id", "filename", "track", "file")
"""Columns with the name of a track or segment; a table has one of them."""

LABELS = ("label", "genre")
"""Columns with the label; a table has one of them at most."""

# A number with leading zeros belongs to the track: published names are like blues.00000.wav.
_SEGMENT_NAME = r"(?s)^(?P<track>.+)\.(?P<segment>0|[1-9][0-9]{0,3})\.(?P<suffix>[^./]+)$"

_ORIGIN = pa.schema([("name", pa.string()), ("source", pa.string()), ("line", pa.int64())])
"""Further columns of a row until it is staged: where it comes from."""

_FURTHER = "further: "
"""Prefix of further columns of a table while they are in one with the others."""

_CHUNK_ROWS = 20_000
"""Rows converted at a time: text takes eight times the memory of numbers."""

_MAX_LENGTH = 2.0**53
"""Largest length that is certain to be exact as a float64."""

_MAX_NAMED = 3
"""Maximum number of columns that an error names."""


@dataclass
class ImportOutcome:
    """Result of an import.

    Parameters
    ----------
    run_id : str
        Name of the run in ``runs``.
    listed : int
        Tracks of the tables, with a row of their own or only segments.
    tracks, segments : int
        Imported rows of each level.
    unlabelled : int
        Tracks among ``listed`` without a label.
    seconds : float
        Duration of the import.
    """

    run_id: str
    listed: int = 0
    tracks: int = 0
    segments: int = 0
    unlabelled: int = 0
    seconds: float = 0.0


def import_features(
    tables: list[str],
    *,
    store: str | Session,
    labels: str | None = None,
    progress: Progress | None = None,
) -> ImportOutcome:
    """Import tables of features, which replace the same feature set and level of the store.

    Parameters
    ----------
    tables : list of str
        Paths of CSV or Parquet files. Each has the columns of one feature set, a column with the
        names of tracks or segments (one of :data:`NAMES`), the labels (one of :data:`LABELS`) and
        ``length``, the number of samples at 22,050 Hz. Only tables of the published features must
        have the last two. Further columns, such as ``artist``, go to the table ``labels``.
    store : str or Session
        Address of the store, created if it does not exist; or the session of a run.
    labels : str, optional
        Path of a CSV with the column ``track_id`` and others, such as ``artist``; a column
        ``label`` replaces the labels of the tables.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Raises
    ------
    UsageError
        A table is invalid, or the store holds anything but imports. Nothing was written.
    StoreError
        Another run holds the store, or it is damaged.
    """
    started = time.time()
    session = open_session(store, create=True, progress=progress)
    progress = session.progress
    given = _read_tables(tables, progress)
    existing = _open_existing(session.storage, given.sets)
    sheet = None
    if labels is not None:
        expected = "a CSV with the column track_id and others, such as label and artist"
        sheet = read_sheet(labels, required=("track_id",), expected=expected)
    # The first plan finds errors before a folder is created. Under the lock the content of the
    # store is certain, and the plan is made again.
    _make_plan(given, existing, sheet, session.run_id)
    progress.step("writing the tables")
    with session.stage("import", settings=_settings(existing, given.sets)) as run:
        plan = _make_plan(given, run.store, sheet, run.run_id)
        if sheet:
            label_table.warn_of_unmatched(plan.labelling, sheet.path, plan.labels, progress.warn)
        outcome = ImportOutcome(
            run.run_id,
            listed=len(plan.listed),
            tracks=given.count_rows("track"),
            segments=given.count_rows("segment"),
            unlabelled=sum(plan.labels[track] is None for track in plan.listed),
        )
        change = commit.Change()
        for table, rows in plan.tables.items():
            commit.stage_table(run.store, change, table, [rows], edit=commit.without_any)
        commit.stage_table(
            run.store,
            change,
            TAGS,
            [],
            edit=commit.without_tracks(pa.array(plan.gone, pa.string())),
        )
        for table in DERIVED:
            commit.stage_table(run.store, change, table, [], edit=commit.without_any)
        replaced = pa.array([*plan.labels, *plan.gone], pa.string())
        label_table.stage(
            run.store, change, plan.labelling, lambda tracks: pc.is_in(tracks, replaced)
        )
        settings = _settings(run.store, given.sets)
        if settings != run.store.settings:
            commit.stage_file(run.store, change, STORE_JSON, settings.to_json())
        run.commit(
            change,
            listed=outcome.listed,
            unchanged=0,
            gone=len(plan.gone),
            extracted=outcome.listed,
            failed=0,
            segments=outcome.segments,
            feature_set=settings.versions,
        )
        run.store.settings = settings
    outcome.seconds = time.time() - started
    return outcome


# The tables


@dataclass(frozen=True)
class _Given:
    """Rows of the given tables.

    Parameters
    ----------
    rows : dict of str to pa.Table
        Rows of each table of the store, with :data:`_ORIGIN`.
    sets : set of str
        Their feature sets.
    further : pa.Table
        ``track_id`` and the further columns, all text, one row per track.
    """

    rows: dict[str, pa.Table]
    sets: set[str]
    further: pa.Table

    def count_rows(self, level: Level) -> int:
        """Return the number of rows of a level."""
        folders = [features_folder(name, level) for name in self.sets]
        return sum(self.rows[folder].num_rows for folder in folders if folder in self.rows)


@dataclass(frozen=True)
class _Form:
    """The columns of a table.

    Parameters
    ----------
    features : FeatureSet
        The feature set.
    name : str
        Column with the names of tracks or segments.
    label : str or None
        Column with the labels.
    numbers : list of str
        Features, and ``length`` if there is such a column.
    further : list of str
        All others.
    """

    features: FeatureSet
    name: str
    label: str | None
    numbers: list[str]
    further: list[str]


_Chunk = tuple[list[int], dict[str, pa.Array]]
"""Numbers of lines (of a CSV) or rows (of a Parquet file), and the columns."""


def _read_tables(paths: list[str], progress: Progress) -> _Given:
    """Return the rows of the tables."""
    found: dict[str, list[pa.Table]] = defaultdict(list)
    further = [pa.table({"track_id": pa.array([], pa.string())})]
    sets = set()
    for path in map(expand_home, paths):
        progress.step(f"reading {path}")
        form, level, rows = _read_table(path)
        folder = features_folder(form.features.name, level)
        schema = pa.unify_schemas([features_schema(form.features.name, level), _ORIGIN])
        found[folder].append(rows.select(schema.names))
        sets.add(form.features.name)
        if form.further:
            columns = rows.select(["track_id", *(_FURTHER + name for name in form.further)])
            further.append(_first_of_track(columns.rename_columns(["track_id", *form.further])))
    given = {folder: pa.concat_tables(tables) for folder, tables in found.items()}
    for rows in given.values():
        _check_unique(rows)
    return _Given(
        given, sets, _first_of_track(pa.concat_tables(further, promote_options="default"))
    )


def _first_of_track(rows: pa.Table) -> pa.Table:
    """Return the first value of each text column for each track."""
    columns = [name for name in rows.column_names if name != "track_id"]
    grouped = rows.group_by("track_id", use_threads=False)  # threads would change the order
    return grouped.aggregate([(name, "first") for name in columns]).rename_columns(
        ["track_id", *columns]
    )


def _read_table(path: str) -> tuple[_Form, Level, pa.Table]:
    """Return the columns of a table, the level of its rows, and the rows with their origin."""
    source = os.path.abspath(path)
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the path {source} is not UTF-8 text. Rename it") from None
    try:
        columns, found = _read_parquet(path) if _is_parquet(path) else _read_csv(path)
        form = _form_of(path, columns)
        level: Level = "track"
        first = ""
        chunks: list[pa.Table] = []
        for lines, values in found:
            rows = _convert(path, form, lines, values)
            if not chunks:
                is_segment = pc.match_substring_regex(rows["name"], _SEGMENT_NAME)[0].as_py()
                if is_segment and "segment" in form.features.levels:
                    level = "segment"
                first = _location(path, rows, 0)
            rows = rows.append_column("source", pa.repeat(source, len(lines)))
            chunks.append(_add_level_columns(form, level, first, path, rows))
    except (OSError, pa.ArrowInvalid) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UsageError(
            f"the table {path} cannot be read ({reason}). Name tables of features, such as GTZAN's "
            "features_30_sec.csv"
        ) from None
    if not chunks:
        raise UsageError(f"{path} has no rows" + " below its header" * (not _is_parquet(path)))
    return form, level, pa.concat_tables(chunks)


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _read_csv(path: str) -> tuple[list[str], Iterator[_Chunk]]:
    """Return the columns of a CSV, and its rows in chunks."""
    found = csv_rows(path)
    _, columns = next(found)

    def chunks() -> Iterator[_Chunk]:
        while chunk := list(islice(found, _CHUNK_ROWS)):
            lines, cells = zip(*chunk, strict=True)
            arrays = [pa.array(texts, pa.string()) for texts in zip(*cells, strict=True)]
            yield list(lines), dict(zip(columns, arrays, strict=True))

    return columns, chunks()


def _read_parquet(path: str) -> tuple[list[str], Iterator[_Chunk]]:
    """Return the columns of a Parquet file, and its rows in chunks."""
    file = pq.ParquetFile(path)
    columns = file.schema_arrow.names
    if len(set(columns)) < len(columns):
        raise UsageError(f"{path} names a column twice: {', '.join(columns)}")
    for field in file.schema_arrow:
        try:
            pa.nulls(0, field.type).cast(pa.string())
        except pa.ArrowNotImplementedError:
            raise UsageError(
                f"{path}: the column {field.name} is of type {field.type}, but must hold text or "
                "numbers"
            ) from None

    def chunks() -> Iterator[_Chunk]:
        with file:
            first = 1
            for batch in file.iter_batches(_CHUNK_ROWS):
                rows = list(range(first, first + batch.num_rows))
                first += batch.num_rows
                if rows:
                    values = dict(zip(columns, batch.columns, strict=True))
                    _check_no_null(path, rows, values)
                    yield rows, values

    return columns, chunks()


def _check_no_null(path: str, lines: list[int], values: dict[str, pa.Array]) -> None:
    """Raise UsageError if a text has a null character, which databases refuse."""
    for name, column in values.items():
        if pa.types.is_primitive(column.type):  # numbers
            continue
        row = pc.index(pc.match_substring(column.cast(pa.string()), "\0"), True).as_py()
        if row >= 0:
            raise UsageError(
                f"{_place(path, lines[row])}: {name} is {column[row].as_py()!r}, which has a null "
                "character. Remove it"
            )


def _form_of(path: str, columns: list[str]) -> _Form:
    """Return what the columns hold; UsageError if they are not those of one feature set."""

    def lacking(features: FeatureSet) -> list[str]:
        return [name for name in features.names if name not in columns]

    known = sorted(feature_sets().values(), key=lambda one: one.name != PUBLISHED)
    complete = [one for one in known if not lacking(one)]
    if len(complete) > 1:
        names = " and ".join(one.name for one in complete)
        raise UsageError(f"{path} has the features of {names}: give each set its own table")
    features = max(known, key=lambda one: len(one.names) - len(lacking(one)))
    name = next((one for one in NAMES if one in columns), None)
    label = next((one for one in LABELS if one in columns), None)
    is_published = features.name == PUBLISHED
    missing = [
        *(["filename"] if name is None else []),
        *(["length"] if is_published and "length" not in columns else []),
        *lacking(features),
        *(["label"] if is_published and label is None else []),
    ]
    if missing:
        raise UsageError(
            f"{path} has no column {_list_names(missing)}: a table of features has filename, "
            f"length, the features of a set, such as the {len(features.names)} of {features.name}, "
            f"and label. The table names {_list_names(columns) or 'nothing'}"
        )
    if "" in columns:
        raise UsageError(f"{path} has a column without a name. Name it or remove it")
    numbers = [one for one in ("length", *features.names) if one in columns]
    further = [one for one in columns if one not in (name, label, *numbers)]
    return _Form(features, str(name), label, numbers, further)


def _list_names(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    text = ", ".join(repr(name) for name in names[:_MAX_NAMED])
    return f"{text} and {more} more" if more > 0 else text


def _convert(path: str, form: _Form, lines: list[int], values: dict[str, pa.Array]) -> pa.Table:
    """Convert rows to a table with ``name``, ``line``, ``label``, numbers and further columns."""
    names = _as_text(values[form.name])
    if names.null_count:
        place = _place(path, lines[names.is_null().index(True).as_py()])
        raise UsageError(f"{place}: the {form.name} is empty. It must name the track")
    numbers = {name: _as_numbers(values[name]) for name in form.numbers}
    dtype = pa.from_numpy_dtype(form.features.dtype)
    for name in form.features.names:
        numbers[name] = _finite(numbers[name].cast(dtype, safe=False))
    if "length" in numbers:
        numbers["length"] = _whole_numbers(numbers["length"])
    wrong = [
        (column.is_null().index(True).as_py(), name)
        for name, column in numbers.items()
        if column.null_count
    ]
    if wrong:
        row, name = min(wrong)
        needed = "a positive whole number (samples)" if name == "length" else "a finite number"
        value = values[name][row].as_py()
        given = "missing" if value is None else repr(value)
        raise UsageError(
            f"{_place(path, lines[row])} ({names[row]}): {name} is {given}, but must be {needed}"
        )
    count = len(lines)
    length = numbers.pop("length", pa.nulls(count, pa.float64()))
    label = _as_text(values[form.label]) if form.label else pa.nulls(count, pa.string())
    return pa.table(
        {
            **{_FURTHER + name: _as_text(values[name]) for name in form.further},
            "name": names,
            "line": pa.array(lines, pa.int64()),
            "label": label,
            "length": length.cast(pa.int64()),
            **numbers,
        }
    )


def _as_text(values: pa.Array) -> pa.Array:
    """Return values as text; null where they are empty."""
    texts = values.cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _as_numbers(values: pa.Array) -> pa.Array:
    """Return the nearest float64 of each text or number; null if it is not a finite number."""
    try:
        # Unlike Arrow, float() accepts 1_000 and the digits of every script.
        numbers = values.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Slow, but only for the error: Arrow does not say which text is wrong.
        numbers = pa.array([_as_number(value) for value in values], pa.float64())
    return _finite(numbers)


def _as_number(value: pa.Scalar) -> float | None:
    try:
        return float(value.cast(pa.float64()).as_py())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError):
        return None


def _finite(numbers: pa.Array) -> pa.Array:
    """Return the numbers that are finite; null for the others."""
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _whole_numbers(lengths: pa.Array) -> pa.Array:
    """Return the lengths that are positive whole numbers; null for the others."""
    is_whole = pc.and_(
        pc.equal(lengths, pc.floor(lengths)),
        pc.and_(pc.greater(lengths, 0.0), pc.less_equal(lengths, _MAX_LENGTH)),
    )
    return pc.if_else(is_whole, lengths, None)


def _add_level_columns(
    form: _Form, level: Level, first: str, path: str, rows: pa.Table
) -> pa.Table:
    """Add the columns of a level; UsageError if a row has another level than the ``first``."""
    if "segment" not in form.features.levels:
        return rows.append_column("track_id", rows["name"])
    name = pc.extract_regex(rows["name"], _SEGMENT_NAME).combine_chunks()
    other = pc.index(name.is_valid(), level == "track").as_py()
    if other >= 0:
        found, expected = ("segment", "track") if level == "track" else ("track", "segment")
        raise UsageError(
            f"{_location(path, rows, other)} is a {found}, but {first} is a {expected}. Give each "
            "level its own file"
        )
    track_id = rows["name"]
    if level == "segment":
        track, segment, suffix = name.flatten()
        track_id = pc.binary_join_element_wise(track, suffix, ".")
        start_s = pc.multiply(segment.cast(pa.float64()), SEGMENT_SECONDS)
        rows = rows.append_column("segment", segment.cast(pa.int32()))
        rows = rows.append_column("start_s", start_s)
    return rows.append_column("track_id", track_id)


def _location(path: str, rows: pa.Table, row: int) -> str:
    return f"{_place(path, rows['line'][row].as_py())} ({rows['name'][row]})"


def _place(path: str, number: int) -> str:
    return f"{path}, {'row' if _is_parquet(path) else 'line'} {number}"


def _check_unique(rows: pa.Table) -> None:
    if pc.count_distinct(rows["name"]).as_py() == rows.num_rows:
        return
    first: dict[str, int] = {}
    for row, name in enumerate(rows["name"].to_pylist()):
        earlier = first.setdefault(name, row)
        if earlier != row:
            here, there = (_location(rows["source"][i].as_py(), rows, i) for i in (row, earlier))
            raise UsageError(
                f"{here} repeats {there}. A track or segment may have only one row in total"
            )


# The store


def _settings(store: Store | None, sets: set[str]) -> Settings:
    """Return the settings of a store with the published segments and further feature sets."""
    known = store.settings.feature_sets if store else {}
    added = current_settings(sorted(sets), SEGMENT_SECONDS)
    return Settings({**known, **added.feature_sets}, SEGMENT_SECONDS)


def _open_existing(storage: Storage, sets: set[str]) -> Store | None:
    """Return the store, or None if it does not exist; UsageError if it has other settings."""
    settings = read_settings(storage)
    if settings is None:
        return None
    store = Store(storage, settings)
    wanted = _settings(store, sets)
    if not wanted.extends(settings):
        raise UsageError(
            f"the store {storage.root} has feature set {settings.versions} and segments of "
            f"{settings.segment_seconds:g} s, but the tables have {wanted.versions} and "
            f"{SEGMENT_SECONDS:g} s. Import them into another store"
        )
    return store


@dataclass(frozen=True)
class _Plan:
    """New content of the store."""

    tables: dict[str, pa.Table]  # tables that change, with all their rows
    listed: list[str]  # tracks of the given tables
    labels: dict[str, str | None]  # of all tracks of the store
    labelling: label_table.Labels
    gone: list[str]  # tracks that leave the store


def _make_plan(given: _Given, store: Store | None, sheet: Sheet | None, run_id: str) -> _Plan:
    """Combine the given tables with the content of the store."""
    files = store.read("files") if store else FILES.empty_table()
    recording = find_row(files, imported=False)
    if store and recording:
        raise UsageError(
            f"the store {store.storage.root} holds extracted recordings, such as "
            f"{recording['track_id']!r}. Import features into another store"
        )
    schemas = feature_tables(_settings(store, given.sets).feature_sets)
    staying = {
        table: store.read(table) if store else schema.empty_table()
        for table, schema in schemas.items()
        if table not in given.rows
    }
    order = sorted(schemas, key=lambda table: (table != TRACKS, table != SEGMENTS, table))
    levels, renamed = _unify_names({table: (given.rows | staying)[table] for table in order})

    listed = dict.fromkeys(
        track for table in given.rows for track in levels[table]["track_id"].to_pylist()
    )
    own: dict[str, str | None] = {}
    for rows in reversed(levels.values()):
        own |= _labels_of(rows)
    for table in levels.keys() - {TRACKS, SEGMENTS}:
        levels[table] = _with_missing_labels(levels[table], own)
    labels, labelling = _label(own, store, sheet, given.further, renamed)
    if labelling.table is not None and "label" in labelling.table.column_names:
        relabel = commit.with_labels(_labels_of(labelling.table))
        levels = {table: relabel(rows) for table, rows in levels.items()}

    origins = _origins(levels, given)
    redefined = pc.is_in(files["track_id"], origins["track_id"].combine_chunks())
    present = pc.is_in(files["track_id"], pa.array(list(own), pa.string()))
    tables = {
        table: rows.select(schemas[table].names)
        for table, rows in levels.items()
        if table in given.rows or not rows.equals(staying[table])
    }
    kept = files.filter(pc.and_(present, pc.invert(redefined)))
    tables["files"] = pa.concat_tables([_file_rows(origins, run_id), kept])
    gone = files["track_id"].filter(pc.invert(present)).to_pylist()
    return _Plan(tables, list(listed), labels, labelling, gone)


def _file_rows(origins: pa.Table, run_id: str) -> pa.Table:
    """Return the rows of ``files`` for the tracks that the given tables define."""
    count = origins.num_rows
    extracted_at = pa.scalar(datetime.now(UTC), FILES.field("extracted_at").type)
    known = {
        "track_id": origins["track_id"],
        "uri": pc.binary_join_element_wise(origins["source"], origins["name"], "#"),
        "source": origins["source"],
        "status": pa.repeat("ok", count),
        "duration_s": origins["duration_s"],
        "sample_rate": pa.repeat(pa.scalar(SAMPLE_RATE, pa.int32()), count),
        "extracted_at": pa.repeat(extracted_at, count),
        "run_id": pa.repeat(run_id, count),
    }
    columns = [known.get(field.name, pa.nulls(count, field.type)) for field in FILES]
    return pa.table(columns, schema=FILES)


def _labels_of(rows: pa.Table) -> dict[str, str | None]:
    """Return the label of each track; the last row takes precedence."""
    return dict(zip(rows["track_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


def _with_missing_labels(rows: pa.Table, labels: dict[str, str | None]) -> pa.Table:
    """Return rows with labels where they have none; the same object if there is nothing to add."""
    unlabelled = rows.filter(pc.is_null(rows["label"]))["track_id"].to_pylist()
    known = {track: labels[track] for track in unlabelled if labels[track] is not None}
    return commit.with_labels(known)(rows) if known else rows


def _unify_names(levels: dict[str, pa.Table]) -> tuple[dict[str, pa.Table], dict[str, str]]:
    """Give each track the name, with the suffix, that it has in the first table.

    A name stays if it differs in more than the suffix, or if it is ambiguous in a table. Returns
    the tables, and the new name of each renamed track.
    """
    renamed: dict[str, str] = {}
    known: dict[str, set[str]] = defaultdict(set)  # names by themselves and by their stems
    unified = {}
    for table, rows in levels.items():
        names = pc.unique(rows["track_id"]).to_pylist()
        matching: dict[str, list[str]] = defaultdict(list)
        for name in names:
            found = {name} & known[name] or known[name] or known[os.path.splitext(name)[0]]
            if len(found) == 1:
                matching[next(iter(found))].append(name)
        new = {one[0]: name for name, one in matching.items() if len(one) == 1 and one != [name]}
        for name in names:
            known[new.get(name, name)].add(new.get(name, name))
            known[os.path.splitext(name)[0]].add(new.get(name, name))
        unified[table] = _rename(rows, new)
        renamed |= new
    return unified, renamed


def _rename(rows: pa.Table, new_names: dict[str, str]) -> pa.Table:
    """Return rows with new names of some tracks; the same object if there is none."""
    if not new_names:
        return rows
    position = pc.index_in(rows["track_id"], pa.array(list(new_names), pa.string()))
    changed = pc.take(pa.array(list(new_names.values()), pa.string()), position)
    column = pc.coalesce(changed, rows["track_id"])
    return rows.set_column(rows.schema.get_field_index("track_id"), "track_id", column)


def _origins(levels: dict[str, pa.Table], given: _Given) -> pa.Table:
    """Return the origin of each track of the given tables: its first row in the first table."""
    columns = ["track_id", "name", "source"]
    found = []
    known = pa.array([], pa.string())
    for table, rows in levels.items():
        if table in given.rows:
            others = rows.filter(pc.invert(pc.is_in(rows["track_id"], value_set=known)))
            if "segment" in rows.column_names:
                first = (
                    others.select([*columns, "segment"])
                    .sort_by("segment")
                    .group_by("track_id", use_threads=False)  # threads would change the order
                    .aggregate([("name", "first"), ("source", "first"), ("segment", "max")])
                )
                count = pc.add(first["segment_max"].cast(pa.float64()), 1.0)
                seconds = pc.multiply(count, SEGMENT_SECONDS)
                others = first.select(["track_id", "name_first", "source_first"])
                others = others.rename_columns(columns)
            else:
                seconds = pc.divide(others["length"].cast(pa.float64()), float(SAMPLE_RATE))
                others = others.select(columns)
            found.append(others.append_column("duration_s", seconds))
        tracks = rows["track_id"].combine_chunks()
        known = pa.concat_arrays([known, tracks])
    return pa.concat_tables(found)


# Labels


def _label(
    own: dict[str, str | None],
    store: Store | None,
    sheet: Sheet | None,
    further: pa.Table,
    renamed: dict[str, str],
) -> tuple[dict[str, str | None], label_table.Labels]:
    """Return the labels of the tracks, from this CSV or from that of an earlier import.

    Tables may be imported separately; labels given with the first apply to all. The table
    ``labels`` also gets the ``further`` columns.
    """
    if sheet:
        labelling = label_table.match(sheet, own)
        label_table.check_matches(labelling, sheet.path, min(own, default=None))
    else:
        labelling = label_table.Labels()
        table = _rename(label_table.read(store), renamed) if store else None
        if table is not None and table.num_rows:
            table = table.filter(pc.is_in(table["track_id"], pa.array(list(own), pa.string())))
            labelling = label_table.Labels(table)
    labels = own
    if labelling.table is not None and "label" in labelling.table.column_names:
        labels = own | _labels_of(labelling.table)
    if further.num_rows:
        further = _rename(further, renamed)
        table = further if labelling.table is None else _join(labelling.table, further)
        if "label" in table.column_names:
            table = commit.with_labels(labels)(table)
        labelling = replace(labelling, table=table)
    return labels, labelling


def _join(first: pa.Table, second: pa.Table) -> pa.Table:
    """Join tables of text by ``track_id``; values of the first take precedence."""
    frames = [table.to_pandas().set_index("track_id") for table in (first, second)]
    columns = dict.fromkeys([*first.column_names, *second.column_names])
    schema = pa.schema([(name, pa.string()) for name in columns])
    return pa.Table.from_pandas(frames[0].combine_first(frames[1]).reset_index(), schema)
