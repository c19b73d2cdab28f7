"""The label of each track: its folder's name, a CSV's word, or none.

A CSV has the columns ``track_id`` and ``label`` and as many more as its owner likes (an artist,
say); those are kept in the store's ``labels`` table. Its ``track_id`` may be any tail of a track's
that no other track has: ``blues.00000`` for ``blues/blues.00000.wav``.
"""

import csv
import os
from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.commit import Change, stage_file
from jobs.errors import UsageError
from jobs.sources import Listed
from jobs.store import Store

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
        The label of every listed track.
    table : pa.Table or None
        The rows of the CSV, under the full track_ids; None where there is no CSV.
    unmatched : int
        Rows of the CSV whose track is not listed.
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
    return _read_csv(choice, [recording.track_id for recording in recordings])


def tails(track_id: str) -> list[str]:
    """Return the names of a track: the tails of its path, with and without its suffix.

    Examples
    --------
    >>> tails("blues/blues.00000.wav")
    ['blues/blues.00000.wav', 'blues/blues.00000', 'blues.00000.wav', 'blues.00000']
    """
    steps = track_id.split("/")
    names: list[str] = []
    for first in range(len(steps)):
        tail = "/".join(steps[first:])
        bare = os.path.splitext(tail)[0]
        names += [tail] if bare == tail else [tail, bare]
    return names


def _read_csv(path: str, track_ids: list[str]) -> Labels:
    columns, rows = _rows(path)
    wanted = {row["track_id"] for _, row in rows}
    named: dict[str, list[str]] = defaultdict(list)
    for track_id in track_ids:
        for tail in tails(track_id):
            if tail in wanted:
                named[tail].append(track_id)
    exact = wanted.intersection(track_ids)

    line_of: dict[str, int] = {}
    matched: list[dict[str, str | None]] = []
    for line, row in rows:
        name = row["track_id"] or ""
        candidates = [name] if name in exact else named.get(name, [])
        if not candidates:
            continue
        if len(candidates) > 1:
            raise UsageError(
                f"{path}, line {line}: {name!r} may be {candidates[0]!r} or {candidates[1]!r}; "
                "write more of its path"
            )
        track_id = candidates[0]
        if track_id in line_of:
            raise UsageError(
                f"{path}, line {line}: {track_id!r} has a row already, in line {line_of[track_id]}"
            )
        line_of[track_id] = line
        matched.append({**row, "track_id": track_id})

    of_track: dict[str, str | None] = dict.fromkeys(track_ids)
    of_track.update({str(row["track_id"]): row["label"] for row in matched})
    schema = pa.schema([(column, pa.string()) for column in columns])
    table = pa.Table.from_pylist(matched, schema=schema)
    return Labels(of_track, table, len(rows) - len(matched))


def _rows(path: str) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    """Return the columns and, with their line numbers, the rows of a CSV; empty cells are None."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            missing = [name for name in ("track_id", "label") if name not in columns]
            if missing:
                raise UsageError(
                    f"{path} has no column {' and no column '.join(missing)}: its first line "
                    f"names {', '.join(columns) or 'nothing'}"
                )
            if len(set(columns)) < len(columns):
                raise UsageError(f"{path} names a column twice: {', '.join(columns)}")
            rows: list[tuple[int, dict[str, str | None]]] = []
            for row in reader:
                if None in row or None in row.values():
                    raise UsageError(
                        f"{path}, line {reader.line_num}: the first line names {len(columns)} "
                        "columns, and this one has another number of values"
                    )
                rows.append((reader.line_num, {key: value or None for key, value in row.items()}))
    except OSError as error:
        raise UsageError(
            f"the labels {path} cannot be read ({error.strerror}): --labels is parent, none or a "
            "CSV with the columns track_id and label"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV in UTF-8: {error}") from None
    return columns, rows


def stage(store: Store, change: Change, labels: Labels, gone: list[str]) -> None:
    """Stage what the ``labels`` table shall be: the listed tracks' rows are those of the CSV.

    Parameters
    ----------
    store : Store
        The store.
    change : Change
        Gets what is to change, if anything is.
    labels : Labels
        Of the listed tracks.
    gone : list of str
        Tracks that leave the store.
    """
    storage = store.storage
    before = storage.read_table(PART) if storage.exists(PART) else _NOTHING
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
