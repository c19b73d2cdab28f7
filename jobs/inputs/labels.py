"""The label of each track: its folder's name, a CSV's word, or none.

A CSV has the columns ``track_id`` and ``label`` and as many more as its owner likes (an artist,
say); those are kept in the store's ``labels`` table. Its ``track_id`` may be any alias of a
track that no other track has: ``blues.00000`` for ``blues/blues.00000.wav``. Where the tracks have
labels already, those of imported tables, the column ``label`` may be missing.
"""

from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.errors import UsageError
from jobs.inputs.csv_file import Sheet, read_sheet
from jobs.inputs.sources import Listed
from jobs.store.commit import Change, stage_file
from jobs.store.tables import Store
from jobs.store.track_names import aliases

PART = "labels/part-0.parquet"
"""The table's only part. Its columns are its owner's and may change, and readers want the same in
all parts of a table, so that no emptied part may stay: a commit puts the new in the old's place."""

_NOTHING = pa.schema([("track_id", pa.string()), ("label", pa.string())]).empty_table()


@dataclass(frozen=True)
class Labels:
    """What is known of the tracks beside their sound.

    Parameters
    ----------
    of_track : dict of str to (str or None)
        The label of every track of the run.
    table : pa.Table or None
        The rows of the CSV, under the full track_ids; None where there is no CSV.
    unmatched : int
        Rows of the CSV that name none of these tracks.
    """

    of_track: dict[str, str | None]
    table: pa.Table | None = None
    unmatched: int = 0


def label_tracks(choice: str, recordings: list[Listed]) -> Labels:
    """Give every recording its label.

    Parameters
    ----------
    choice : str
        ``parent``, ``none`` or the path of a CSV.
    recordings : list of Listed
        The listed recordings.

    Raises
    ------
    UsageError
        There is no such CSV, it lacks a column, or a row of it is ambiguous or stands twice.
    """
    if choice == "none":
        return Labels(dict.fromkeys(recording.track_id for recording in recordings))
    if choice == "parent":
        return Labels(
            {
                recording.track_id: recording.uri.rpartition("/")[0].rpartition("/")[2] or None
                for recording in recordings
            }
        )
    sheet = read_sheet(
        choice,
        needed=("track_id", "label"),
        wanted="parent, none or a CSV with the columns track_id and label",
    )
    return match(sheet, dict.fromkeys(recording.track_id for recording in recordings))


def match(sheet: Sheet, before: dict[str, str | None]) -> Labels:
    """Give tracks the labels of a CSV, as far as it has any.

    Parameters
    ----------
    sheet : Sheet
        The CSV.
    before : dict of str to (str or None)
        The tracks, with the labels that they keep where the CSV says none.

    Returns
    -------
    Labels

    Raises
    ------
    UsageError
        A row is ambiguous, or a track has two.
    """
    names = {row["track_id"] for _, row in sheet.rows}
    named: dict[str, list[str]] = defaultdict(list)
    for track_id in before:
        for alias in aliases(track_id):
            if alias in names:
                named[alias].append(track_id)
    exact = names & before.keys()

    line_of: dict[str, int] = {}
    matched: list[dict[str, str | None]] = []
    for line, row in sheet.rows:
        name = row["track_id"] or ""
        candidates = [name] if name in exact else named.get(name, [])
        if not candidates:
            continue
        if len(candidates) > 1:
            raise UsageError(
                f"{sheet.path}, line {line}: {name!r} may be {candidates[0]!r} or "
                f"{candidates[1]!r}; write more of its path"
            )
        track_id = candidates[0]
        if track_id in line_of:
            raise UsageError(
                f"{sheet.path}, line {line}: {track_id!r} has a row already, in line "
                f"{line_of[track_id]}"
            )
        line_of[track_id] = line
        matched.append({**row, "track_id": track_id})

    of_track = dict(before)
    if "label" in sheet.columns:
        of_track.update({str(row["track_id"]): row["label"] for row in matched})
    schema = pa.schema([(column, pa.string()) for column in sheet.columns])
    table = pa.Table.from_pylist(matched, schema=schema)
    return Labels(of_track, table, len(sheet.rows) - len(matched))


def read(store: Store) -> pa.Table:
    """Return the ``labels`` table; without rows where there is none."""
    return store.read_part(PART) if store.storage.exists(PART) else _NOTHING


def stage(store: Store, change: Change, labels: Labels, gone: list[str]) -> None:
    """Stage what the ``labels`` table shall be: the listed tracks' rows are those of the CSV.

    Parameters
    ----------
    store : Store
        The store.
    change : Change
        Gets what is to change, if anything is.
    labels : Labels
        Of the run's tracks.
    gone : list of str
        Tracks that leave the store.
    """
    before = read(store)
    listed_or_gone = pa.array([*labels.of_track, *gone], pa.string())
    others = before.filter(pc.invert(pc.is_in(before["track_id"], listed_or_gone)))
    ours = _NOTHING if labels.table is None else labels.table
    # Columns leave the table with the last row that has them.
    tables = [table for table in (others, ours) if table.num_rows] or [_NOTHING]
    after = pa.concat_tables(tables, promote_options="default").sort_by("track_id")
    if after != before:
        sink = pa.BufferOutputStream()
        pq.write_table(after, sink, compression="zstd")
        stage_file(store, change, PART, sink.getvalue().to_pybytes())
