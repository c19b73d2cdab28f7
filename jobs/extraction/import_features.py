"""Import of published tables of features into a store, as if they had been extracted.

The tables are CSVs with the columns of GTZAN's ``features_30_sec.csv`` and ``features_3_sec.csv``.
The filename of a row tells its level: ``blues.00000.wav`` is a track, ``blues.00000.4.wav`` is its
segment 4.
"""

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET, SAMPLE_RATE, SEGMENT_SECONDS
from jobs.errors import UsageError
from jobs.extraction.plan import find_row
from jobs.inputs import labels as label_table
from jobs.inputs.csv_file import Sheet, csv_rows, read_sheet
from jobs.progress import Progress
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.schemas import DERIVED, FILES, SEGMENTS, TABLES, TRACKS
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store, read_settings

COLUMNS = ("filename", "length", *FEATURE_COLUMNS, "label")
"""Columns of a table, in any order."""

SETTINGS = Settings(FEATURE_SET, SEGMENT_SECONDS)
"""Settings with which the published tables were extracted."""

_NUMBERS = ("length", *FEATURE_COLUMNS)

# A number with leading zeros belongs to the track: published names are like blues.00000.wav.
_SEGMENT_NAME = r"(?s)^(?P<track>.+)\.(?P<segment>0|[1-9][0-9]{0,3})\.(?P<suffix>[^./]+)$"

_ORIGIN = pa.schema([("filename", pa.string()), ("source", pa.string()), ("line", pa.int64())])
"""Further columns of a row until it is staged: where it comes from."""

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
    """Import tables of features, which replace the same levels of the store.

    Parameters
    ----------
    tables : list of str
        Paths of CSVs with the columns :data:`COLUMNS`, such as GTZAN's ``features_30_sec.csv``
        (tracks) and ``features_3_sec.csv`` (segments).
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
    existing = _open_existing(session.storage)
    given = _read_tables(tables, progress)
    sheet = None
    if labels is not None:
        expected = "a CSV with the column track_id and others, such as label and artist"
        sheet = read_sheet(labels, required=("track_id",), expected=expected)
    # The first plan finds errors before a folder is created. Under the lock the content of the
    # store is certain, and the plan is made again.
    _make_plan(given, existing, sheet, session.run_id)
    progress.step("writing the tables")
    with session.stage("import", settings=SETTINGS) as run:
        plan = _make_plan(given, run.store, sheet, run.run_id)
        if sheet:
            label_table.warn_of_unmatched(plan.labelling, sheet.path, progress.warn)
        outcome = ImportOutcome(
            run.run_id,
            listed=len(plan.listed),
            tracks=len(given.get(TRACKS, ())),
            segments=len(given.get(SEGMENTS, ())),
            unlabelled=sum(plan.labelling.by_track[track] is None for track in plan.listed),
        )
        change = commit.Change()
        for table, rows in plan.tables.items():
            commit.stage_table(run.store, change, table, [rows], edit=commit.without_any)
        for table in DERIVED:
            commit.stage_table(run.store, change, table, [], edit=commit.without_any)
        label_table.stage(run.store, change, plan.labelling, plan.gone)
        run.commit(
            change,
            listed=outcome.listed,
            unchanged=0,
            gone=len(plan.gone),
            extracted=outcome.listed,
            failed=0,
            segments=outcome.segments,
        )
    outcome.seconds = time.time() - started
    return outcome


# The tables


def _read_tables(paths: list[str], progress: Progress) -> dict[str, pa.Table]:
    """Return the rows of each level in the tables, with :data:`_ORIGIN`."""
    found: dict[str, list[pa.Table]] = {}
    for path in paths:
        progress.step(f"reading {path}")
        level, rows = _read_table(path)
        found.setdefault(level, []).append(rows)
    given = {level: pa.concat_tables(tables) for level, tables in found.items()}
    for rows in given.values():
        _check_unique(rows)
    return given


def _read_table(path: str) -> tuple[str, pa.Table]:
    """Return the level of a CSV and its rows."""
    source = os.path.abspath(path)
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the path {source} is not UTF-8 text. Rename it") from None
    try:
        found = csv_rows(path)
        _, columns = next(found)
        _check_columns(path, columns)
        level, first = "", ""
        chunks: list[pa.Table] = []
        while chunk := list(islice(found, _CHUNK_ROWS)):
            rows = _convert(path, columns, chunk)
            if not chunks:
                is_segment = pc.match_substring_regex(rows["filename"], _SEGMENT_NAME)[0].as_py()
                level, first = SEGMENTS if is_segment else TRACKS, _location(path, rows, 0)
            rows = rows.append_column("source", pa.repeat(source, len(chunk)))
            chunks.append(_add_level_columns(level, first, path, rows))
    except OSError as error:
        raise UsageError(
            f"the table {path} cannot be read ({error.strerror}). Name CSVs of features, such as "
            "GTZAN's features_30_sec.csv"
        ) from None
    if not chunks:
        raise UsageError(f"{path} has no rows below its header")
    return level, pa.concat_tables(chunks)


def _check_columns(path: str, columns: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    expected = (
        f"a table of features has filename, length, the {len(FEATURE_COLUMNS)} features and label"
    )
    if missing:
        raise UsageError(
            f"{path} has no column {_list_names(missing)}: {expected}. The first line names "
            f"{_list_names(columns) or 'nothing'}"
        )
    if unknown:
        raise UsageError(
            f"{path} has the unknown column {_list_names(unknown)}: {expected}, and nothing else"
        )


def _list_names(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    text = ", ".join(repr(name) for name in names[:_MAX_NAMED])
    return f"{text} and {more} more" if more > 0 else text


def _convert(path: str, columns: list[str], chunk: list[tuple[int, list[str]]]) -> pa.Table:
    """Convert rows of text to a table with ``filename``, ``line``, ``label`` and the numbers."""
    lines = [line for line, _ in chunk]
    texts = dict(zip(columns, zip(*(cells for _, cells in chunk), strict=True), strict=True))
    filenames = texts["filename"]
    if "" in filenames:
        raise UsageError(
            f"{path}, line {lines[filenames.index('')]}: the filename is empty. It must name the "
            "track"
        )
    numbers = {name: _as_numbers(texts[name]) for name in _NUMBERS}
    numbers["length"] = _whole_numbers(numbers["length"])
    wrong = [
        (column.is_null().index(True).as_py(), name)
        for name, column in numbers.items()
        if column.null_count
    ]
    if wrong:
        row, name = min(wrong)
        needed = "a positive whole number (samples)" if name == "length" else "a finite number"
        raise UsageError(
            f"{path}, line {lines[row]} ({filenames[row]}): {name} is {texts[name][row]!r}, but "
            f"must be {needed}"
        )
    return pa.table(
        {
            "filename": pa.array(filenames, pa.string()),
            "line": pa.array(lines, pa.int64()),
            "label": pa.array([label or None for label in texts["label"]], pa.string()),
            **numbers,
            "length": numbers["length"].cast(pa.int64()),
        }
    )


def _as_numbers(texts: tuple[str, ...]) -> pa.Array:
    """Return the nearest float64 of each text; null if it is not a finite number."""
    try:
        # Unlike Arrow, float() accepts 1_000 and the digits of every script.
        numbers = pa.array(texts, pa.string()).cast(pa.float64())
    except pa.ArrowInvalid:
        # Slow, but only for the error: Arrow does not say which text is wrong.
        numbers = pa.array([_as_number(text) for text in texts], pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _as_number(text: str) -> float | None:
    try:
        return float(pa.scalar(text).cast(pa.float64()).as_py())
    except pa.ArrowInvalid:
        return None


def _whole_numbers(lengths: pa.Array) -> pa.Array:
    """Return the lengths that are positive whole numbers; null for the others."""
    is_whole = pc.and_(
        pc.equal(lengths, pc.floor(lengths)),
        pc.and_(pc.greater(lengths, 0.0), pc.less_equal(lengths, _MAX_LENGTH)),
    )
    return pc.if_else(is_whole, lengths, None)


def _add_level_columns(level: str, first: str, path: str, rows: pa.Table) -> pa.Table:
    """Add the columns of a level; UsageError if a row has another level than the ``first``."""
    name = pc.extract_regex(rows["filename"], _SEGMENT_NAME).combine_chunks()
    other = pc.index(name.is_valid(), level == TRACKS).as_py()
    if other >= 0:
        found, expected = ("segment", "track") if level == TRACKS else ("track", "segment")
        raise UsageError(
            f"{_location(path, rows, other)} is a {found}, but {first} is a {expected}. Give each "
            "level its own file"
        )
    track_id = rows["filename"]
    if level == SEGMENTS:
        track, segment, suffix = name.flatten()
        track_id = pc.binary_join_element_wise(track, suffix, ".")
        start_s = pc.multiply(segment.cast(pa.float64()), SEGMENT_SECONDS)
        rows = rows.append_column("segment", segment.cast(pa.int32()))
        rows = rows.append_column("start_s", start_s)
    schema = pa.unify_schemas([TABLES[level], _ORIGIN])
    return rows.append_column("track_id", track_id).select(schema.names)


def _location(path: str, rows: pa.Table, row: int) -> str:
    return f"{path}, line {rows['line'][row]} ({rows['filename'][row]})"


def _check_unique(rows: pa.Table) -> None:
    if pc.count_distinct(rows["filename"]).as_py() == rows.num_rows:
        return
    first: dict[str, int] = {}
    for row, filename in enumerate(rows["filename"].to_pylist()):
        earlier = first.setdefault(filename, row)
        if earlier != row:
            here, there = (_location(rows["source"][i].as_py(), rows, i) for i in (row, earlier))
            raise UsageError(
                f"{here} repeats {there}. A track or segment may have only one row in total"
            )


# The store


def _open_existing(storage: Storage) -> Store | None:
    """Return the store, or None if it does not exist; UsageError if it has other settings."""
    settings = read_settings(storage)
    if settings is None:
        return None
    if settings != SETTINGS:
        raise UsageError(
            f"the store {storage.root} has feature set {settings.feature_set} and segments of "
            f"{settings.segment_seconds:g} s, but the tables have {FEATURE_SET} and "
            f"{SEGMENT_SECONDS:g} s. Import them into another store"
        )
    return Store(storage, settings)


@dataclass(frozen=True)
class _Plan:
    """New content of the store."""

    tables: dict[str, pa.Table]  # tables that change, with all their rows
    listed: list[str]  # tracks of the given tables
    labelling: label_table.Labels  # labels of all tracks of the store
    gone: list[str]  # tracks that leave the store


def _make_plan(
    given: dict[str, pa.Table], store: Store | None, sheet: Sheet | None, run_id: str
) -> _Plan:
    """Combine the given tables with the content of the store."""
    files = store.read("files") if store else FILES.empty_table()
    recording = find_row(files, imported=False)
    if store and recording:
        raise UsageError(
            f"the store {store.storage.root} holds extracted recordings, such as "
            f"{recording['track_id']!r}. Import features into another store"
        )
    staying = {
        level: store.read(level) if store else TABLES[level].empty_table()
        for level in (TRACKS, SEGMENTS)
        if level not in given
    }
    levels = {**staying, **given}
    levels[SEGMENTS] = _use_track_suffixes(levels[SEGMENTS], levels[TRACKS])

    origins = _origins(levels, given)
    listed = list(
        dict.fromkeys(track for level in given for track in levels[level]["track_id"].to_pylist())
    )
    # The row of a track takes precedence over those of its segments.
    own = _labels_of(levels[SEGMENTS]) | _labels_of(levels[TRACKS])
    labelling = _label(own, store, sheet)
    if labelling.table is not None and "label" in labelling.table.column_names:
        relabel = commit.with_labels(_labels_of(labelling.table))
        levels = {level: relabel(rows) for level, rows in levels.items()}

    redefined = pc.is_in(files["track_id"], origins["track_id"].combine_chunks())
    present = pc.is_in(files["track_id"], pa.array(list(own), pa.string()))
    tables = {
        level: rows.select(TABLES[level].names)
        for level, rows in levels.items()
        if level in given or not rows.equals(staying[level])
    }
    kept = files.filter(pc.and_(present, pc.invert(redefined)))
    tables["files"] = pa.concat_tables([_file_rows(origins, run_id), kept])
    gone = files["track_id"].filter(pc.invert(present)).to_pylist()
    return _Plan(tables, listed, labelling, gone)


def _file_rows(origins: pa.Table, run_id: str) -> pa.Table:
    """Return the rows of ``files`` for the tracks that the given tables define."""
    count = origins.num_rows
    extracted_at = pa.scalar(datetime.now(UTC), FILES.field("extracted_at").type)
    known = {
        "track_id": origins["track_id"],
        "uri": pc.binary_join_element_wise(origins["source"], origins["filename"], "#"),
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


def _use_track_suffixes(segments: pa.Table, tracks: pa.Table) -> pa.Table:
    """Give segments the suffix that their track has in the other table, such as ``.au``.

    A name stays if it differs in more than the suffix, or if its stem is ambiguous in a table.
    """

    def by_stem(table: pa.Table) -> dict[str, list[str]]:
        names: dict[str, list[str]] = defaultdict(list)
        for name in pc.unique(table["track_id"]).to_pylist():
            names[os.path.splitext(name)[0]].append(name)
        return names

    track_names = by_stem(tracks)
    renamed = {
        names[0]: track_names[stem][0]
        for stem, names in by_stem(segments).items()
        if len(names) == len(track_names.get(stem, ())) == 1 and names != track_names[stem]
    }
    if not renamed:
        return segments
    position = pc.index_in(segments["track_id"], pa.array(list(renamed), pa.string()))
    column = pc.coalesce(
        pc.take(pa.array(list(renamed.values()), pa.string()), position), segments["track_id"]
    )
    return segments.set_column(segments.schema.get_field_index("track_id"), "track_id", column)


def _origins(levels: dict[str, pa.Table], given: dict[str, pa.Table]) -> pa.Table:
    """Return the origin of each track of the given tables: its row, or its first segment."""
    columns = ["track_id", "filename", "source"]
    found = []
    if TRACKS in given:
        seconds = pc.divide(levels[TRACKS]["length"].cast(pa.float64()), float(SAMPLE_RATE))
        found.append(levels[TRACKS].select(columns).append_column("duration_s", seconds))
    if SEGMENTS in given:
        known = pc.is_in(levels[SEGMENTS]["track_id"], levels[TRACKS]["track_id"].combine_chunks())
        rows = levels[SEGMENTS].select([*columns, "segment"]).filter(pc.invert(known))
        first = (
            rows.sort_by("segment")
            .group_by("track_id", use_threads=False)  # threads would change the order
            .aggregate([("filename", "first"), ("source", "first"), ("segment", "max")])
        )
        count = pc.add(first["segment_max"].cast(pa.float64()), 1.0)
        found.append(
            first.select(["track_id", "filename_first", "source_first"])
            .rename_columns(columns)
            .append_column("duration_s", pc.multiply(count, SEGMENT_SECONDS))
        )
    return pa.concat_tables(found)


# Labels


def _label(
    own: dict[str, str | None], store: Store | None, sheet: Sheet | None
) -> label_table.Labels:
    """Return the labels of the tracks, from this CSV or from that of an earlier import.

    Levels may be imported separately; labels given with the first apply to both.
    """
    if sheet:
        labelling = label_table.match(sheet, own)
        label_table.check_matches(labelling, sheet.path)
        return labelling
    table = label_table.read(store) if store else None
    if table is None or not table.num_rows:
        return label_table.Labels(own)
    table = table.filter(pc.is_in(table["track_id"], pa.array(list(own), pa.string())))
    by_track = dict(own)
    if "label" in table.column_names:
        by_track |= _labels_of(table)
    return label_table.Labels(by_track, table)
