"""The import: published tables of features become a store's, as if they had been extracted.

The tables are CSVs with the columns of the published GTZAN ones, ``features_30_sec.csv`` and
``features_3_sec.csv``. A row's filename says what it is of: ``blues.00000.wav`` of a track,
``blues.00000.4.wav`` of its segment 4.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET, SAMPLE_RATE, SEGMENT_SECONDS
from jobs.errors import UsageError
from jobs.extraction.plan import is_import
from jobs.inputs import labels as label_table
from jobs.inputs.csv_file import Sheet, csv_rows, read_sheet
from jobs.progress import Progress
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.schemas import DERIVED, FILES, SEGMENTS, TABLES, TRACKS
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store, read_settings

COLUMNS = ("filename", "length", *FEATURE_COLUMNS, "label")
"""What a table must have, in any order."""

SETTINGS = Settings(FEATURE_SET, SEGMENT_SECONDS)
"""What the published tables' rows have in common."""

_NUMBERS = ("length", *FEATURE_COLUMNS)

# A number with leading zeros is the track's: the published names are blues.00000.wav.
_SEGMENT_NAME = r"(?s)^(?P<track>.+)\.(?P<segment>0|[1-9][0-9]{0,3})\.(?P<suffix>[^./]+)$"

_PLACE = pa.schema([("filename", pa.string()), ("source", pa.string()), ("line", pa.int64())])
"""Where a row stands: beside its store's columns until it is staged."""

_CHUNK_ROWS = 20_000
"""So many rows are texts at a time: a text takes eight times the memory of its number."""

_MOST_LENGTH = 2.0**53
"""Up to here every whole number is a float64."""

_MOST_NAMED = 3


@dataclass
class ImportOutcome:
    """What an import did.

    Parameters
    ----------
    run_id : str
        Its row in ``runs``.
    listed : int
        Tracks that the tables know, as rows or by their segments.
    tracks, segments : int
        Rows of each level that were imported.
    unlabelled : int
        Tracks among ``listed`` that have no label.
    seconds : float
        How long it took.
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
    """Import tables of features; the levels that they have replace those of the store.

    Parameters
    ----------
    tables : list of str
        Paths of CSVs with the columns :data:`COLUMNS`, such as GTZAN's ``features_30_sec.csv``
        (tracks) and ``features_3_sec.csv`` (segments).
    store : str or Session
        Address of the store, which is created where it does not exist; or the session of a run.
    labels : str, optional
        Path of a CSV with the column ``track_id`` and further ones, such as ``artist``; a column
        ``label`` replaces the labels of the tables.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    ImportOutcome

    Raises
    ------
    UsageError
        A table is not as it should be, or the store is not for imports. Nothing has been written.
    StoreError
        Another run holds the store, or it is damaged.
    """
    started = time.time()
    session = open_session(store, create=True, progress=progress)
    progress = session.progress
    known = _importable(session.storage)
    given = _read_tables(tables, progress)
    sheet = _read_labels(labels)
    # What is wrong is to be said before a folder is made. Only under the lock is known what the
    # store holds, so that it is looked at again there.
    _plan(given, known, sheet)
    progress.say("writing the tables")
    with session.stage("import", settings=SETTINGS) as run:
        plan = _plan(given, run.store, sheet)
        if sheet:
            _say_how_labels_fit(sheet, plan, progress)
        outcome = ImportOutcome(
            run.run_id,
            listed=len(plan.listed),
            tracks=given[TRACKS].num_rows if TRACKS in given else 0,
            segments=given[SEGMENTS].num_rows if SEGMENTS in given else 0,
            unlabelled=sum(plan.labelling.of_track[track] is None for track in plan.listed),
        )
        change = commit.Change()
        for table, rows in plan.tables(run.run_id).items():
            commit.stage_table(run.store, change, table, [rows], edit=commit.without_any)
        for table in DERIVED:
            # What was found from the rows before.
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
    """Return the rows of each level that the tables have, with :data:`_PLACE`."""
    found: dict[str, list[pa.Table]] = {}
    for path in paths:
        progress.say(f"reading {path}")
        level, rows = _read_table(path)
        found.setdefault(level, []).append(rows)
    given = {level: pa.concat_tables(tables) for level, tables in found.items()}
    for rows in given.values():
        _refuse_twins(rows)
    return given


def _read_table(path: str) -> tuple[str, pa.Table]:
    """Return the level of a CSV and its rows."""
    source = os.path.abspath(path)
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the path {source} is not UTF-8, and the store is to name it: rename it"
        ) from None
    try:
        found = csv_rows(path)
        _, columns = next(found)
        _check_columns(path, columns)
        first: _First | None = None
        chunks: list[pa.Table] = []
        while chunk := list(islice(found, _CHUNK_ROWS)):
            rows = _convert(path, columns, chunk).append_column(
                "source", pa.repeat(source, len(chunk))
            )
            first = first or _First.of(path, rows)
            chunks.append(_of_level(first, path, rows))
    except OSError as error:
        raise UsageError(
            f"the table {path} cannot be read ({error.strerror}): name CSVs of features, such as "
            "GTZAN's features_30_sec.csv"
        ) from None
    if first is None:
        raise UsageError(f"{path} has no rows below its columns' names: name a table that has some")
    return first.level, pa.concat_tables(chunks)


def _check_columns(path: str, columns: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    if missing:
        raise UsageError(
            f"{path} has no column {_few(missing)}: a table of features has filename, length, the "
            f"{len(FEATURE_COLUMNS)} features and label, and the first line of this one names "
            f"{_few(columns) or 'nothing'}"
        )
    if unknown:
        raise UsageError(
            f"{path} has the unknown column {_few(unknown)}: a table of features has filename, "
            f"length, the {len(FEATURE_COLUMNS)} features and label, and nothing else"
        )


def _few(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    text = ", ".join(repr(name) for name in names[:_MOST_NAMED])
    return f"{text} and {more} more" if more > 0 else text


def _convert(path: str, columns: list[str], chunk: list[tuple[int, list[str]]]) -> pa.Table:
    """Return rows of texts as rows of numbers, with ``filename``, ``line`` and ``label``."""
    lines = [line for line, _ in chunk]
    texts = dict(zip(columns, zip(*(cells for _, cells in chunk), strict=True), strict=True))
    filenames = texts["filename"]
    if "" in filenames:
        raise UsageError(
            f"{path}, line {lines[filenames.index('')]}: the filename is empty, and it names the "
            "track"
        )
    numbers = {name: _as_numbers(texts[name]) for name in _NUMBERS}
    numbers["length"] = _whole(numbers["length"])
    wrong = [
        (column.is_null().index(True).as_py(), name)
        for name, column in numbers.items()
        if column.null_count
    ]
    if wrong:
        row, name = min(wrong)
        needed = "a positive whole number (samples)" if name == "length" else "a finite number"
        raise UsageError(
            f"{path}, line {lines[row]} ({filenames[row]}): {name} is {texts[name][row]!r}, and "
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
    """Return the nearest float64 of each text; null where it is no finite number."""
    try:
        # Not float(), which also takes 1_000 and digits of every script.
        numbers = pa.array(texts, pa.string()).cast(pa.float64())
    except pa.ArrowInvalid:
        # Arrow does not say which text it was, and this is for the message only.
        numbers = pa.array([_as_number(text) for text in texts], pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _as_number(text: str) -> float | None:
    try:
        return float(pa.scalar(text).cast(pa.float64()).as_py())
    except pa.ArrowInvalid:
        return None


def _whole(lengths: pa.Array) -> pa.Array:
    """Return the lengths that are positive whole numbers; null for the others."""
    possible = pc.and_(
        pc.equal(lengths, pc.floor(lengths)),
        pc.and_(pc.greater(lengths, 0.0), pc.less_equal(lengths, _MOST_LENGTH)),
    )
    return pc.if_else(possible, lengths, None)


@dataclass(frozen=True)
class _First:
    """The first row of a file: what all others are to be of."""

    level: str
    place: str

    @classmethod
    def of(cls, path: str, rows: pa.Table) -> "_First":
        is_segment = pc.match_substring_regex(rows["filename"], _SEGMENT_NAME)[0].as_py()
        return cls(SEGMENTS if is_segment else TRACKS, _place(path, rows, 0))


def _of_level(first: _First, path: str, rows: pa.Table) -> pa.Table:
    """Return rows of a file with the columns of its level and :data:`_PLACE`."""
    name = pc.extract_regex(rows["filename"], _SEGMENT_NAME).combine_chunks()
    other = pc.index(name.is_valid(), first.level == TRACKS).as_py()
    if other >= 0:
        found, expected = ("segment", "track") if first.level == TRACKS else ("track", "segment")
        raise UsageError(
            f"{_place(path, rows, other)} is of a {found}, and {first.place} is of a "
            f"{expected}: give each level a file of its own"
        )
    track_id = rows["filename"]
    if first.level == SEGMENTS:
        track, segment, suffix = name.flatten()
        track_id = pc.binary_join_element_wise(track, suffix, ".")
        start_s = pc.multiply(segment.cast(pa.float64()), SEGMENT_SECONDS)
        rows = rows.append_column("segment", segment.cast(pa.int32()))
        rows = rows.append_column("start_s", start_s)
    schema = pa.unify_schemas([TABLES[first.level], _PLACE])
    return rows.append_column("track_id", track_id).select(schema.names)


def _place(path: str, rows: pa.Table, row: int) -> str:
    return f"{path}, line {rows['line'][row]} ({rows['filename'][row]})"


def _refuse_twins(rows: pa.Table) -> None:
    if pc.count_distinct(rows["filename"]).as_py() == rows.num_rows:
        return
    first: dict[str, int] = {}
    for row, filename in enumerate(rows["filename"].to_pylist()):
        if filename in first:
            here, there = (
                _place(rows["source"][i].as_py(), rows, i) for i in (row, first[filename])
            )
            raise UsageError(
                f"{here} has a row already: {there}; a track or segment has one row in all tables"
            )
        first[filename] = row


# The store


def _importable(storage: Storage) -> Store | None:
    """Return the store, None if it does not exist; UsageError if it is not for imports."""
    settings = read_settings(storage)
    if settings is None:
        return None
    if settings != SETTINGS:
        raise UsageError(
            f"the store {storage.root} holds feature set {settings.feature_set} and segments of "
            f"{settings.segment_seconds:g} s, and the tables {FEATURE_SET} and "
            f"{SEGMENT_SECONDS:g} s: name another store"
        )
    return Store(storage, settings)


def _files_of(store: Store) -> pa.Table:
    """Return the ``files`` table; UsageError where it has a row that is not of an import."""
    files = store.read("files")
    for row in files.select(["track_id", "uri", "source"]).to_pylist():
        if not is_import(row):
            raise UsageError(
                f"the store {store.storage.root} holds extracted recordings, such as "
                f"{row['track_id']!r}, and imported features cannot stand among them: name "
                "another store"
            )
    return files


@dataclass(frozen=True)
class _Plan:
    """What the store is to hold.

    Parameters
    ----------
    levels : dict of str to pa.Table
        Levels whose rows change, whole.
    listed : list of str
        Tracks that the given tables know.
    origins : pa.Table
        Of tracks whose place in ``files`` is now in the given tables: ``track_id``, ``filename``,
        ``source``, ``duration_s``.
    files : pa.Table
        Rows of ``files`` that stay.
    labelling : Labels
        Of all tracks of the store.
    gone : list of str
        Tracks that leave the store.
    """

    levels: dict[str, pa.Table]
    listed: list[str]
    origins: pa.Table
    files: pa.Table
    labelling: label_table.Labels
    gone: list[str]

    def tables(self, run_id: str) -> dict[str, pa.Table]:
        """Return what each table that changes is to hold."""
        count = self.origins.num_rows
        known = {
            "track_id": self.origins["track_id"],
            "uri": pc.binary_join_element_wise(
                self.origins["source"], self.origins["filename"], "#"
            ),
            "source": self.origins["source"],
            "status": pa.repeat("ok", count),
            "duration_s": self.origins["duration_s"],
            "sample_rate": pa.repeat(pa.scalar(SAMPLE_RATE, pa.int32()), count),
            "extracted_at": pa.repeat(
                pa.scalar(datetime.now(UTC), FILES.field("extracted_at").type), count
            ),
            "run_id": pa.repeat(run_id, count),
        }
        columns = [known.get(field.name, pa.nulls(count, field.type)) for field in FILES]
        files = pa.concat_tables([pa.table(columns, schema=FILES), self.files])
        return {**self.levels, "files": files}


def _plan(given: dict[str, pa.Table], store: Store | None, sheet: Sheet | None) -> _Plan:
    """Put the given tables and what the store holds together."""
    files = _files_of(store) if store else FILES.empty_table()
    staying = {
        level: store.read(level) if store else TABLES[level].empty_table()
        for level in (TRACKS, SEGMENTS)
        if level not in given
    }
    levels = {**staying, **given}
    levels[SEGMENTS] = _under_the_tracks_names(levels[SEGMENTS], levels[TRACKS])

    origins = _origins(levels, given)
    listed = list(
        dict.fromkeys(track for level in given for track in levels[level]["track_id"].to_pylist())
    )
    own = {
        track: label
        for level in (SEGMENTS, TRACKS)  # the track's own row has the last word
        for track, label in zip(
            levels[level]["track_id"].to_pylist(), levels[level]["label"].to_pylist(), strict=True
        )
    }
    labelling = _label(own, store, sheet)
    if labelling.table is not None and "label" in labelling.table.column_names:
        relabel = commit.with_labels(
            *(labelling.table[name].combine_chunks() for name in ("track_id", "label"))
        )
        levels = {level: relabel(rows) for level, rows in levels.items()}

    afresh = pc.is_in(files["track_id"], origins["track_id"].combine_chunks())
    still = pc.is_in(files["track_id"], pa.array(list(own), pa.string()))
    return _Plan(
        levels={
            level: rows.select(TABLES[level].names)
            for level, rows in levels.items()
            if level in given or not rows.equals(staying[level])
        },
        listed=listed,
        origins=origins,
        files=files.filter(pc.and_(still, pc.invert(afresh))),
        labelling=labelling,
        gone=files["track_id"].filter(pc.invert(still)).to_pylist(),
    )


def _under_the_tracks_names(segments: pa.Table, tracks: pa.Table) -> pa.Table:
    """Give segments the suffix that their track has in the other table: ``.au``, say.

    Names that differ in more than the suffix, or of which either table has several, stay.
    """
    names = pc.unique(tracks["track_id"]).to_pylist()
    ours = pc.unique(segments["track_id"]).to_pylist()
    stems = Counter(os.path.splitext(name)[0] for name in names)
    our_stems = Counter(os.path.splitext(name)[0] for name in ours)
    name_of = {os.path.splitext(name)[0]: name for name in names}
    renamed = {
        name: name_of[stem]
        for name in ours
        if stems[stem := os.path.splitext(name)[0]] == our_stems[stem] == 1
        and name_of[stem] != name
    }
    if not renamed:
        return segments
    position = pc.index_in(segments["track_id"], pa.array(list(renamed), pa.string()))
    column = pc.coalesce(
        pc.take(pa.array(list(renamed.values()), pa.string()), position), segments["track_id"]
    )
    return segments.set_column(segments.schema.get_field_index("track_id"), "track_id", column)


def _origins(levels: dict[str, pa.Table], given: dict[str, pa.Table]) -> pa.Table:
    """Return where the tracks of the given tables come from: their row, or their first segment."""
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
            .group_by("track_id", use_threads=False)  # with threads there is no first one
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


def _read_labels(path: str | None) -> Sheet | None:
    if path is None:
        return None
    wanted = "a CSV with the column track_id and others, such as label and artist"
    return read_sheet(path, needed=("track_id",), wanted=wanted)


def _label(
    own: dict[str, str | None], store: Store | None, sheet: Sheet | None
) -> label_table.Labels:
    """Give the tracks the labels of a CSV: of this one or, without any, of the last import's.

    Levels may be imported one after the other, and what was said of a track with the first holds
    for the second.
    """
    if sheet:
        labelling = label_table.match(sheet, own)
        if labelling.unmatched == len(sheet.rows):
            raise UsageError(
                f"no row of {sheet.path} names a track of the tables, such as {min(own)!r}: a "
                "track_id is a track's filename, or its end, with or without its suffix"
            )
        return labelling
    table = label_table.read(store) if store else None
    if table is None or not table.num_rows:
        return label_table.Labels(own)
    table = table.filter(pc.is_in(table["track_id"], pa.array(list(own), pa.string())))
    of_track = dict(own)
    if "label" in table.column_names:
        columns = (table["track_id"].to_pylist(), table["label"].to_pylist())
        of_track.update(zip(*columns, strict=True))
    return label_table.Labels(of_track, table)


def _say_how_labels_fit(sheet: Sheet, plan: _Plan, progress: Progress) -> None:
    unmatched = plan.labelling.unmatched
    if unmatched:
        progress.warn(f"rows of {sheet.path} that name no track of the tables: {unmatched}")
    without = len(plan.labelling.of_track) - (len(sheet.rows) - unmatched)
    if without:
        progress.warn(f"tracks without a row in {sheet.path}: {without}")
