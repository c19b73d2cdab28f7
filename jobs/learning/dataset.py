"""What training reads of a store: the labelled tracks, how they are split, and their rows.

The job only reads names and labels; the rows go straight from the store's parts to the workers,
each of which reads its own slices.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import FEATURE_COLUMNS
from jobs.errors import UsageError
from jobs.interruption import raise_if_interrupted
from jobs.store.address import storage_of
from jobs.store.levels import TABLE_OF, Level, feature_matrix
from jobs.store.storage import Storage
from jobs.store.tables import Store
from training.splits import Tracks

READ_ROWS = 50_000
"""Rows that one piece of work reads at a time."""


@dataclass(frozen=True)
class Labelled:
    """The tracks of a store that have a label.

    Parameters
    ----------
    level : {"segment", "track"}
        Of the rows.
    tracks : Tracks
        Tracks with rows and a label.
    rows : np.ndarray [shape=(n_tracks,), int]
        Rows of each of them.
    unlabelled : int
        Tracks with rows and without a label.
    """

    level: Level
    tracks: Tracks
    rows: np.ndarray
    unlabelled: int


def labelled_tracks(store: Store, level: Level) -> Labelled:
    """Read which tracks have rows and a label.

    Parameters
    ----------
    store : Store
        The store.
    level : {"segment", "track"}
        Of the rows.

    Raises
    ------
    UsageError
        Fewer than two labels are there.
    """
    counted: list[pa.Table] = []
    for name in store.parts(TABLE_OF[level]):
        raise_if_interrupted()
        part = store.read_part(name, ["track_id", "label"])
        counted.append(part.group_by(["track_id", "label"]).aggregate([([], "count_all")]))
    found = pa.concat_tables(counted).group_by(["track_id", "label"])
    found = found.aggregate([("count_all", "sum")]).sort_by("track_id")
    known = found.filter(pc.is_valid(found["label"]))
    unlabelled = found.num_rows - known.num_rows
    classes = sorted(pc.unique(known["label"]).to_pylist())
    if not classes:
        raise UsageError(
            f"no track of the store {store.storage.root} has a label: extract with --labels parent "
            "or a CSV"
        )
    if len(classes) == 1:
        raise UsageError(
            f"every labelled track of the store {store.storage.root} has the label {classes[0]!r}: "
            "a model needs two or more to tell apart"
        )
    codes = pc.index_in(known["label"], value_set=pa.array(classes, pa.string()))
    tracks = Tracks(
        ids=np.array(known["track_id"].to_pylist(), object),
        labels=np.asarray(codes.to_numpy(), np.int64),
        classes=tuple(classes),
    )
    return Labelled(level, tracks, known["count_all_sum"].to_numpy(), unlabelled)


# What workers read


@dataclass(frozen=True)
class Slice:
    """Rows ``start`` to ``stop`` of the part ``name``."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Rows:
    """Which rows of a store a worker is to read.

    Parameters
    ----------
    root : str
        The store's folder.
    roster : str
        A file of the store, written by :func:`write_roster`.
    wanted : tuple of int
        Codes of :data:`training.splits.PARTS` of the rows that count.
    slices : tuple of Slice
        Where they lie.
    """

    root: str
    roster: str
    wanted: tuple[int, ...]
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Loaded:
    """Rows that a worker has read.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        The place of each row's track in the roster.
    classes : np.ndarray [shape=(n,), int32]
        Its class.
    features : np.ndarray [shape=(n, 57), float32]
        In the order of :data:`featurizer.columns.FEATURE_COLUMNS`.
    """

    tracks: np.ndarray
    classes: np.ndarray
    features: np.ndarray


_ROSTER = pa.schema([("track_id", pa.string()), ("class", pa.int32()), ("part", pa.int8())])


def write_roster(storage: Storage, name: str, tracks: Tracks, parts: np.ndarray) -> None:
    """Write down for the workers which tracks count, and as what.

    Parameters
    ----------
    storage : Storage
        The store's files.
    name : str
        The roster's name, which no other has.
    tracks : Tracks
        All labelled tracks.
    parts : np.ndarray [shape=(n_tracks,), int]
        The part of each; -1 for one that does not count.
    """
    columns = [pa.array(tracks.ids, pa.string()), pa.array(tracks.labels, pa.int32())]
    storage.write_table(
        name, pa.Table.from_arrays([*columns, pa.array(parts, pa.int8())], schema=_ROSTER)
    )


@functools.lru_cache(maxsize=1)
def _roster(root: str, name: str) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    table = storage_of(root).read_table(name)
    numbers = (table[column].to_numpy() for column in ("class", "part"))
    classes, parts = numbers
    return table["track_id"].combine_chunks(), classes, parts


def load(rows: Rows) -> Loaded:
    """Read rows on a worker, in the order in which they lie in the store."""
    ids, classes, parts = _roster(rows.root, rows.roster)
    storage = storage_of(rows.root)
    tracks = [np.empty(0, np.int64)]
    features = [np.empty((0, len(FEATURE_COLUMNS)), np.float32)]
    for piece in rows.slices:
        table = storage.read_table(piece.name, ["track_id", *FEATURE_COLUMNS])
        table = table.slice(piece.start, piece.stop - piece.start)
        place = pc.fill_null(pc.index_in(table["track_id"], value_set=ids), -1).to_numpy()
        counts = (place >= 0) & np.isin(parts[place], rows.wanted)
        tracks.append(place[counts])
        features.append(feature_matrix(table)[counts])
    found = np.concatenate(tracks)
    return Loaded(found, classes[found], np.concatenate(features))


def load_share(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the features and the classes of rows, as :data:`training.boosting.Load` does."""
    loaded = load(rows)
    return loaded.features, loaded.classes


class RowPlan:
    """Which rows of which parts belong to which part of the split, to be cut into shares.

    Parameters
    ----------
    store : Store
        The store.
    labelled : Labelled
        Its labelled tracks.
    roster : str
        Where :func:`write_roster` has put them.
    parts : np.ndarray [shape=(n_tracks,), int]
        The part of each; -1 for one that does not count.
    """

    def __init__(self, store: Store, labelled: Labelled, roster: str, parts: np.ndarray) -> None:
        self._root = store.storage.root
        self._roster = roster
        self._codes: list[tuple[str, np.ndarray]] = []
        ids = pa.array(labelled.tracks.ids, pa.string())
        of_place = np.append(parts, -1).astype(np.int8)
        for name in store.parts(TABLE_OF[labelled.level]):
            raise_if_interrupted()
            column = store.read_part(name, ["track_id"])["track_id"]
            place = pc.fill_null(pc.index_in(column, value_set=ids), -1).to_numpy()
            if len(place):
                self._codes.append((name, of_place[place]))

    def count(self, wanted: tuple[int, ...]) -> int:
        """Return the number of rows of these parts of the split."""
        return sum(int(np.isin(codes, wanted).sum()) for _, codes in self._codes)

    def shares(self, wanted: tuple[int, ...], n: int) -> list[Rows]:
        """Cut the rows of some parts of the split into ``n`` shares of about the same size.

        Shares follow one another in the order of the store. Some are empty where rows are fewer.
        """
        total = self.count(wanted)
        bounds = [total * i // n for i in range(n + 1)]
        slices: list[list[Slice]] = [[] for _ in range(n)]
        before = 0
        for name, codes in self._codes:
            rows = np.flatnonzero(np.isin(codes, wanted))
            for i in range(n):
                first = max(bounds[i] - before, 0)
                last = min(bounds[i + 1] - before, len(rows))
                if first < last:
                    slices[i].append(Slice(name, int(rows[first]), int(rows[last - 1]) + 1))
            before += len(rows)
        return [Rows(self._root, self._roster, wanted, tuple(found)) for found in slices]

    def pieces(self, wanted: tuple[int, ...]) -> Iterator[Rows]:
        """Yield the rows of some parts of the split, so many at a time as one reads at once."""
        for name, codes in self._codes:
            rows = np.flatnonzero(np.isin(codes, wanted))
            for first in range(0, len(rows), READ_ROWS):
                last = min(first + READ_ROWS, len(rows)) - 1
                found = Slice(name, int(rows[first]), int(rows[last]) + 1)
                yield Rows(self._root, self._roster, wanted, (found,))
