"""Labels of tracks: the name of a folder, a tag, a column of a CSV, or none.

A CSV has the columns ``track_id`` and ``label`` and any others, such as ``artist``; all are kept in
the store's table ``labels``. A ``track_id`` may be any unambiguous alias of a track, such as
``blues.00000`` for ``blues/blues.00000.wav``. The column ``label`` is optional for tracks that have
labels already, which imported tables provide.
"""

import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featurizer.tags import TEXT_TAGS
from jobs.errors import UsageError
from jobs.inputs.csv_file import Sheet, read_sheet
from jobs.inputs.sources import SourceFile
from jobs.store.commit import Change, stage_file
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
    """Labels of the tracks of a run, and the rows of the CSV that they come from."""

    by_track: dict[str, str | None]
    table: pa.Table | None = None  # matched rows, with full track_ids; None without a CSV
    unmatched: Sequence[str] = ()  # names in rows that name none of the tracks
    choice: str = ""  # `tag:NAME` or `folder:N`, which not every track has
    tag: str = ""  # column of the table `tags` with the labels


def label_tracks(choice: str, recordings: list[SourceFile]) -> Labels:
    """Return the label of each recording by ``choice``.

    Parameters
    ----------
    choice : str
        ``parent``, ``folder:N``, ``tag:NAME``, ``none`` or the path of a CSV.
    recordings : list of SourceFile
        The recordings. By a tag, they have no label before :func:`add_tags`.

    Raises
    ------
    UsageError
        There is no such choice; the CSV does not exist or is invalid; or a row is ambiguous or
        repeats a track.

    Examples
    --------
    >>> path = "/music/blues/take1.wav"
    >>> recording = SourceFile("take1.wav", path, "/music/blues", path, 4096, 0)
    >>> label_tracks("parent", [recording]).by_track
    {'take1.wav': 'blues'}
    >>> recording = SourceFile("blues/cd 1/take1.wav", path, "/music", path, 4096, 0)
    >>> label_tracks("folder:1", [recording]).by_track
    {'blues/cd 1/take1.wav': 'blues'}
    """
    kind, colon, name = choice.partition(":")
    if colon and kind == "tag":
        if name not in TEXT_TAGS:
            known = ", ".join(f"tag:{one}" for one in TEXT_TAGS)
            raise UsageError(f"--labels {choice}: there is no such tag. Choose from {known}")
        return Labels(dict.fromkeys(r.track_id for r in recordings), choice=choice, tag=name)
    if colon and kind == "folder":
        if not (name.isdecimal() and name.isascii() and int(name) > 0):
            raise UsageError(
                f"--labels {choice}: folder:1 is the first folder below the source, folder:2 the "
                "one below that"
            )
        folders = {r.track_id: r.track_id.split("/")[:-1] for r in recordings}
        at = int(name) - 1
        found = {track: path[at] if at < len(path) else None for track, path in folders.items()}
        return Labels(found, choice=choice)
    unlabelled: dict[str, str | None] = dict.fromkeys(r.track_id for r in recordings)
    if choice == "none":
        return Labels(unlabelled)
    if choice == "parent":
        return Labels({r.track_id: r.uri.split("/")[-2] or None for r in recordings})
    expected = "parent, folder:N, tag:NAME, none or a CSV with the columns track_id and label"
    return match(read_sheet(choice, required=("track_id", "label"), expected=expected), unlabelled)


def match(sheet: Sheet, current: dict[str, str | None]) -> Labels:
    """Match the rows of a CSV to tracks.

    The tracks keep their ``current`` labels if the CSV has no column ``label``, or no row for them.
    Names are equal if their normal forms (NFC) are: macOS writes ``é`` as two characters.
    UsageError if a row is ambiguous, or a track has two rows.

    Examples
    --------
    >>> rows = [(2, {"track_id": "a", "label": "jazz"})]
    >>> sheet = Sheet("labels.csv", ["track_id", "label"], rows)
    >>> match(sheet, {"x/a.wav": None, "x/b.wav": "pop"}).by_track
    {'x/a.wav': 'jazz', 'x/b.wav': 'pop'}
    """
    names = {normal_form(row["track_id"] or "") for _, row in sheet.rows}
    named: dict[str, list[str]] = defaultdict(list)
    for track_id in current:
        for alias in aliases(normal_form(track_id)):
            if alias in names:
                named[alias].append(track_id)

    line_of: dict[str, int] = {}
    matched: list[dict[str, str | None]] = []
    unmatched: list[str] = []
    for line, row in sheet.rows:
        name = row["track_id"] or ""
        candidates = [name] if name in current else named.get(normal_form(name), [])
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

    by_track = dict(current)
    if "label" in sheet.columns:
        by_track.update({str(row["track_id"]): row["label"] for row in matched})
    schema = pa.schema([(column, pa.string()) for column in sheet.columns])
    table = pa.Table.from_pylist(matched, schema=schema)
    return Labels(by_track, table, unmatched)


def add_tags(labels: Labels, tags: pa.Table) -> None:
    """Label tracks by the column of ``tags`` that they are to be labelled by.

    Examples
    --------
    >>> labels = Labels({"a.mp3": None}, tag="genre")
    >>> add_tags(labels, pa.table({"track_id": ["a.mp3", "other.mp3"], "genre": ["Jazz", "Pop"]}))
    >>> labels.by_track
    {'a.mp3': 'Jazz'}
    """
    columns = (tags[name].to_pylist() for name in ("track_id", labels.tag))
    for track_id, label in zip(*columns, strict=True):
        if track_id in labels.by_track:
            labels.by_track[track_id] = label


def check_matches(labels: Labels, path: str) -> None:
    """Raise UsageError if there are tracks, and no row of the CSV at ``path`` matches one."""
    if labels.by_track and labels.table is not None and not labels.table.num_rows:
        raise UsageError(
            f"no row of {path} names a track. Write track_ids like {min(labels.by_track)!r}, or "
            "the end of one, with or without its suffix"
        )


def warn_of_unmatched(labels: Labels, path: str, warn: Callable[[str], None]) -> None:
    """Warn of rows of the CSV at ``path`` without a track, and of tracks without a row."""
    if labels.unmatched:
        example = labels.unmatched[0]
        warn(f"rows of {path} that name no track: {len(labels.unmatched)}, such as {example!r}")
    unlabelled = 0 if labels.table is None else len(labels.by_track) - labels.table.num_rows
    if unlabelled and labels.table is not None:
        labelled = set(labels.table["track_id"].to_pylist())
        example = next(track for track in labels.by_track if track not in labelled)
        warn(f"tracks without a row in {path}: {unlabelled}, such as {example!r}")


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


def stage(store: Store, change: Change, labels: Labels, gone: list[str]) -> None:
    """Stage the new table ``labels``, if it changes.

    Tracks of the run get the rows of the CSV, those that are ``gone`` lose theirs, and others keep
    theirs.
    """
    before = read(store)
    listed_or_gone = pa.array([*labels.by_track, *gone], pa.string())
    others = before.filter(pc.invert(pc.is_in(before["track_id"], listed_or_gone)))
    matched = _EMPTY if labels.table is None else labels.table
    # Tables without rows are left out, and so are columns that only they have.
    tables = [table for table in (others, matched) if table.num_rows] or [_EMPTY]
    after = pa.concat_tables(tables, promote_options="default").sort_by("track_id")
    if after != before:
        file = io.BytesIO()
        write_parquet(after, file)
        stage_file(store, change, PART, file.getvalue())
