"""Labels of tracks: the name of a folder, a tag, a column of a CSV, or none.

A CSV has the columns ``track_id`` and ``label`` and any others, such as ``artist``; all are kept in
the store's table ``labels``. A ``track_id`` may be any unambiguous alias of a track, such as
``blues.00000`` for ``blues/blues.00000.wav``. The column ``label`` is optional for tracks that have
labels already, which imported tables provide.
"""

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.tags import TEXT_TAGS
from jobs.errors import UsageError
from jobs.inputs.csv_file import Sheet, read_sheet
from jobs.inputs.database import insert
from jobs.inputs.listing import Listing
from jobs.store.commit import Change, stage_file
from jobs.store.schemas import TAGS
from jobs.store.storage import write_parquet
from jobs.store.tables import Store
from jobs.store.track_names import aliases, normal_form

PART = "labels/part-0.parquet"
"""The only part of the table. The user may change its columns, and all parts of a table must have
the same; so a commit replaces the part under its name, and no emptied part stays."""

MANY_LABELS = 20
"""Number of labels from which they may be albums."""

ALBUM_TRACKS = 20
"""Number of tracks that many labels of genres have, and albums do not."""

_EMPTY = pa.schema([("track_id", pa.string()), ("label", pa.string())]).empty_table()


@dataclass(frozen=True)
class Labels:
    """Origin of the labels of a run: the matched rows of a CSV, or a choice without one."""

    table: pa.Table | None = None  # matched rows, with full track_ids; None without a CSV
    unmatched: Sequence[str] = ()  # names in rows that name none of the tracks
    choice: str = ""  # `tag:NAME` or `folder:N`, which not every track has
    tag: str = ""  # column of the table `tags` with the labels


def label_tracks(choice: str, listing: Listing) -> Labels:
    """Label each recording of a listing by ``choice``.

    The view ``labelled`` of the listing's database has its rows with the column ``label``.

    Parameters
    ----------
    choice : str
        ``parent``, ``folder:N``, ``tag:NAME``, ``none`` or the path of a CSV.
    listing : Listing
        The recordings. By a tag, they have no label before :func:`add_tags`.

    Raises
    ------
    UsageError
        There is no such choice; the CSV does not exist or is invalid; or a row is ambiguous or
        repeats a track.

    Examples
    --------
    >>> from jobs.inputs.sources import SourceFile
    >>> path = "/music/blues/cd 1/take1.wav"
    >>> listing = Listing(["/music"])
    >>> listing.add([SourceFile("blues/cd 1/take1.wav", path, "/music", path, 4096, 0)])
    1
    >>> labels = label_tracks("folder:1", listing)
    >>> listing.row("SELECT track_id, label FROM labelled")
    ('blues/cd 1/take1.wav', 'blues')
    """
    kind, colon, name = choice.partition(":")
    if colon and kind == "tag":
        if name not in TEXT_TAGS:
            known = ", ".join(f"tag:{one}" for one in TEXT_TAGS)
            raise UsageError(f"--labels {choice}: there is no such tag. Choose from {known}")
        set_labels(listing, [])
        return Labels(choice=choice, tag=name)
    if colon and kind == "folder":
        if not (name.isdecimal() and name.isascii() and int(name) > 0):
            raise UsageError(
                f"--labels {choice}: folder:1 is the first folder below the source, folder:2 the "
                "one below that"
            )
        level = min(int(name), 1 << 30)  # no path has more folders
        folders = "length(track_id) - length(replace(track_id, '/', ''))"
        label = f"CASE WHEN {level} <= {folders} THEN split_part(track_id, '/', {level}) END"
        _define_labels(listing, label)
        return Labels(choice=choice)
    if choice == "none":
        _define_labels(listing, "NULL::VARCHAR")
        return Labels()
    if choice == "parent":
        _define_labels(listing, "nullif(split_part(uri, '/', -2), '')")
        return Labels()
    expected = "parent, folder:N, tag:NAME, none or a CSV with the columns track_id and label"
    sheet = read_sheet(choice, required=("track_id", "label"), expected=expected)
    labels = match(sheet, listing.tracks())
    assert labels.table is not None
    set_labels(listing, [labels.table.select(["track_id", "label"])])
    return labels


def _define_labels(listing: Listing, label: str) -> None:
    """Define the labels as an expression of the columns of ``listed``."""
    listing.database.execute(
        f"CREATE OR REPLACE VIEW labelled AS SELECT *, {label} AS label FROM listed"
    )


def set_labels(listing: Listing, rows: Iterable[pa.Table | pa.RecordBatch]) -> None:
    """Set the labels of the tracks in ``rows``; others have none."""
    listing.database.execute("CREATE OR REPLACE TABLE given (track_id VARCHAR, label VARCHAR)")
    insert(listing.database, "given", rows)
    listing.database.execute(
        "CREATE OR REPLACE VIEW labelled AS FROM listed LEFT JOIN given USING (track_id)"
    )


def count_labels(listing: Listing) -> dict[str, int]:
    """Return the number of tracks of each label."""
    query = "SELECT label, count(*) FROM labelled WHERE label <> '' GROUP BY label"
    return dict(listing.database.execute(query).fetchall())


def match(sheet: Sheet, tracks: Iterable[str]) -> Labels:
    """Match the rows of a CSV to tracks.

    Names are equal if their normal forms (NFC) are: macOS writes ``é`` as two characters.
    UsageError if a row is ambiguous, or a track has two rows.

    Examples
    --------
    >>> rows = [(2, {"track_id": "a", "label": "jazz"})]
    >>> sheet = Sheet("labels.csv", ["track_id", "label"], rows)
    >>> match(sheet, ["x/a.wav", "x/b.wav"]).table.to_pylist()
    [{'track_id': 'x/a.wav', 'label': 'jazz'}]
    """
    literal = {row["track_id"] or "" for _, row in sheet.rows}
    names = set(map(normal_form, literal))
    exact: set[str] = set()
    named: dict[str, list[str]] = defaultdict(list)
    for track_id in tracks:
        if track_id in literal:
            exact.add(track_id)
        for alias in aliases(normal_form(track_id)):
            if alias in names:
                named[alias].append(track_id)

    line_of: dict[str, int] = {}
    matched: list[dict[str, str | None]] = []
    unmatched: list[str] = []
    for line, row in sheet.rows:
        name = row["track_id"] or ""
        candidates = [name] if name in exact else named.get(normal_form(name), [])
        if len(candidates) > 1:
            candidates = [one for one in candidates if name in aliases(one)] or candidates
        if not candidates:
            unmatched.append(name)
            continue
        if len(candidates) > 1:
            raise UsageError(
                f"{sheet.path}, line {line}: {name!r} may be {candidates[0]!r} or "
                f"{candidates[1]!r}. Write more of its path"
            )
        track_id = candidates[0]
        if track_id in line_of:
            raise UsageError(
                f"{sheet.path}, line {line}: {track_id!r} already has a row in line "
                f"{line_of[track_id]}"
            )
        line_of[track_id] = line
        matched.append({**row, "track_id": track_id})

    schema = pa.schema([(column, pa.string()) for column in sheet.columns])
    return Labels(pa.Table.from_pylist(matched, schema=schema), unmatched)


def add_tags(labels: Labels, listing: Listing, store: Store) -> None:
    """Label the recordings by the tag that they are to be labelled by, as the store has it."""
    rows = store.read_batches(TAGS, ["track_id", labels.tag])
    set_labels(listing, (pa.table(batch).rename_columns(["track_id", "label"]) for batch in rows))


def check_matches(labels: Labels, path: str, track: str | None) -> None:
    """Raise UsageError if there is a ``track``, and no row of the CSV at ``path`` matches one."""
    if track is not None and labels.table is not None and not labels.table.num_rows:
        raise UsageError(
            f"no row of {path} names a track. Write track_ids like {track!r}, or the end of one, "
            "with or without its suffix"
        )


def warn_of_unmatched(
    labels: Labels, path: str, tracks: Iterable[str], warn: Callable[[str], None]
) -> None:
    """Warn of rows of the CSV at ``path`` without a track, and of ``tracks`` without a row."""
    if labels.table is None:
        return
    if labels.unmatched:
        example = labels.unmatched[0]
        warn(f"rows of {path} that name no track: {len(labels.unmatched)}, such as {example!r}")
    labelled = set(labels.table["track_id"].to_pylist())
    unlabelled = (track for track in tracks if track not in labelled)
    first = next(unlabelled, None)
    if first is not None:
        count = 1 + sum(1 for _ in unlabelled)
        warn(f"tracks without a row in {path}: {count}, such as {first!r}")


def warn_of_few_tracks(
    counts: Mapping[str, int], warn: Callable[[str], None], folds: int | None = None
) -> None:
    """Warn of labels that look like albums, or of labels with fewer tracks than ``folds``.

    Parameters
    ----------
    counts : mapping of str to int
        Number of tracks of each label.
    warn : callable
        Takes the warning.
    folds : int, optional
        Number of folds that every label needs a track for; by default labels only look like albums.

    Examples
    --------
    >>> warn_of_few_tracks({"jazz": 70, "polka": 2}, lambda text: print(text[:60]), folds=5)
    labels with fewer than 5 tracks: 1 of 2, such as 'polka' (2)
    """
    if not counts:
        return
    sizes = sorted(counts.values())
    fewest = min(counts, key=lambda label: (counts[label], label))
    example = f"such as {fewest!r} ({counts[fewest]})"
    remedy = "with --labels FILE.csv (columns track_id and label)"
    if len(counts) >= MANY_LABELS and sizes[len(sizes) // 2] < ALBUM_TRACKS:
        warn(
            f"most of the {len(counts)} labels have fewer than {ALBUM_TRACKS} tracks, {example}. "
            f"Are they albums? Name genres {remedy}"
        )
    elif folds and sizes[0] < folds:
        few = sum(size < folds for size in sizes)
        warn(
            f"labels with fewer than {folds} tracks: {few} of {len(counts)}, {example}. Their "
            f"scores say little: add tracks, or join labels {remedy}"
        )


def read(store: Store) -> pa.Table:
    """Return the table ``labels``; it has no rows if the store has none."""
    return store.read_part(PART) if PART in store.parts("labels") else _EMPTY


def stage(
    store: Store, change: Change, labels: Labels, is_replaced: Callable[[pa.ChunkedArray], pa.Array]
) -> None:
    """Stage the new table ``labels``, if it changes.

    The rows of the CSV replace those of some tracks, for which ``is_replaced`` is true: the tracks
    of the run, and those that are gone.
    """
    before = read(store)
    others = before.filter(pc.invert(is_replaced(before["track_id"])))
    matched = _EMPTY if labels.table is None else labels.table
    # Tables without rows are left out, and so are columns that only they have.
    tables = [table for table in (others, matched) if table.num_rows] or [_EMPTY]
    after = pa.concat_tables(tables, promote_options="default").sort_by("track_id")
    if after != before:
        file = io.BytesIO()
        write_parquet(after, file)
        stage_file(store, change, PART, file.getvalue())
