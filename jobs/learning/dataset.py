"""Training data of a store: labelled tracks, their parts of the split, and their rows.

The job reads only names and labels. Each worker reads the features of its own rows.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.feature_set import Level, feature_set, feature_sets
from jobs.errors import UsageError
from jobs.inputs.recordings import check_feature_sets, check_level
from jobs.interruption import raise_if_interrupted
from jobs.store.address import storage_of
from jobs.store.counts import count_tracks
from jobs.store.levels import choose_level, feature_matrix, levels_with_rows
from jobs.store.schemas import PUBLISHED, features_folder
from jobs.store.tables import Store
from training.splits import Tracks

BEST_FIRST = ("rich", PUBLISHED)
"""Feature sets in the order in which models prefer them; others follow."""

MIN_TRACKS = 0.9
"""Share of the tracks that a preferred feature set describes. Shorter tracks have no predictions.
"""

READ_ROWS = 50_000
"""Maximum rows that a task reads at a time."""

_READ_VALUES = 2**22
"""Maximum features that a task reads at a time: 9,000 rows of the rich ones, which take 17 MB."""


def rows_at_a_time(features: str) -> int:
    """Return the number of rows of a feature set that a task reads at a time."""
    return min(READ_ROWS, _READ_VALUES // len(feature_set(features).names))


def choose_rows(store: Store, features: str | None, level: Level | None) -> tuple[str, Level]:
    """Return the feature set and the level to learn from.

    By default it is the first of :data:`BEST_FIRST` that describes nearly all tracks, and has rows
    at the ``level``, or at any.

    Raises
    ------
    UsageError
        There is no such feature set, or the store has no rows of it at this level.

    Examples
    --------
    >>> from jobs.store.tables import open_store
    >>> choose_rows(open_store("tables"), None, "segment")
    ('gtzan', 'segment')
    """
    if features is None:
        tracks = count_tracks(store)
        fewest = MIN_TRACKS * max(tracks.values())
        for name in dict.fromkeys((*BEST_FIRST, *feature_sets())):
            found = levels_with_rows(store, name) if tracks.get(name, 0) >= fewest else []
            if found and level in (None, *found):
                return name, level or found[0]
        features = PUBLISHED
    [name] = check_feature_sets([features])
    if level is not None:
        check_level(name, level)
    return name, choose_level(store, level, name)


@dataclass(frozen=True)
class Labelled:
    """The labelled tracks of a store.

    Parameters
    ----------
    features : str
        Name of the feature set of the rows.
    level : {"segment", "track"}
        Level of the rows.
    tracks : Tracks
        Tracks with rows and a label.
    rows : np.ndarray [shape=(n_tracks,), int]
        Number of rows of each.
    unlabelled : int
        Number of tracks with rows but without a label.
    """

    features: str
    level: Level
    tracks: Tracks
    rows: np.ndarray
    unlabelled: int

    @property
    def table(self) -> str:
        """The folder of the rows' table."""
        return features_folder(self.features, self.level)

    def counts(self) -> dict[str, int]:
        """Return the number of tracks of each label."""
        sizes = np.bincount(self.tracks.labels, minlength=len(self.tracks.classes))
        return dict(zip(self.tracks.classes, sizes.tolist(), strict=True))


def labelled_tracks(store: Store, features: str, level: Level) -> Labelled:
    """Return the labelled tracks of a store.

    Raises
    ------
    UsageError
        The store has fewer than two different labels.

    Examples
    --------
    >>> from jobs.store.tables import open_store
    >>> labelled_tracks(open_store("tables"), "gtzan", "segment").tracks.classes
    ('blues', 'rock')
    """
    counted: list[pa.Table] = []
    for name in store.parts(features_folder(features, level)):
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
            f"no track of the store {store.storage.root} has a label. Give --labels to `songmill "
            "extract` or `songmill import-features`"
        )
    if len(classes) == 1:
        raise UsageError(
            f"every labelled track of the store {store.storage.root} has the label {classes[0]!r}. "
            "A model needs two or more labels"
        )
    codes = pc.index_in(known["label"], value_set=pa.array(classes, pa.string()))
    tracks = Tracks(
        ids=np.array(known["track_id"].to_pylist(), object),
        labels=np.asarray(codes.to_numpy(), np.int64),
        classes=tuple(classes),
    )
    return Labelled(features, level, tracks, known["count_all_sum"].to_numpy(), unlabelled)


# Rows that workers read


@dataclass(frozen=True)
class Rows:
    """Rows of a store that a worker reads.

    Parameters
    ----------
    root : str
        Address of the store.
    features : str
        Name of the feature set.
    roster : str
        The file of a :class:`RowPlan`.
    wanted : tuple of int
        Codes of :data:`training.splits.PARTS`. Rows of other parts are skipped.
    slices : tuple of (str, int, int)
        Slices that contain the rows: part of the store, first row, and the row after the last.
    """

    root: str
    features: str
    roster: str
    wanted: tuple[int, ...]
    slices: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Loaded:
    """Rows that a worker has read.

    Parameters
    ----------
    tracks : np.ndarray [shape=(n,), int]
        Index of each row's track in the roster.
    classes : np.ndarray [shape=(n,), int32]
        Class of each row.
    parts : np.ndarray [shape=(n,), int8]
        Part of each row's track in the roster.
    features : np.ndarray [shape=(n, n_columns), float32]
        In the order of the feature set.
    """

    tracks: np.ndarray
    classes: np.ndarray
    parts: np.ndarray
    features: np.ndarray


@functools.lru_cache(maxsize=1)
def _roster(root: str, name: str) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    table = storage_of(root).read_table(name)
    return table["track_id"].combine_chunks(), table["class"].to_numpy(), table["part"].to_numpy()


def load(rows: Rows) -> Loaded:
    """Read rows on a worker, in the order of the store."""
    ids, classes, parts = _roster(rows.root, rows.roster)
    storage = storage_of(rows.root)
    names = feature_set(rows.features).names
    tracks = [np.empty(0, np.int64)]
    features = [np.empty((0, len(names)), np.float32)]
    for name, start, stop in rows.slices:
        for table in storage.read_slice(name, ["track_id", *names], start, stop):
            index = pc.fill_null(pc.index_in(table["track_id"], value_set=ids), -1).to_numpy()
            wanted = (index >= 0) & np.isin(parts[index], rows.wanted)
            tracks.append(index[wanted])
            features.append(feature_matrix(table, rows.features)[wanted])
    found = np.concatenate(tracks)
    return Loaded(found, classes[found], parts[found], np.concatenate(features))


def load_share(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the features and the classes of rows, as :data:`training.boosting.Load` does."""
    loaded = load(rows)
    return loaded.features, loaded.classes


class RowPlan:
    """The rows of each part of the split, to be divided among workers.

    Parameters
    ----------
    store : Store
        The store.
    labelled : Labelled
        Its labelled tracks.
    roster : str
        File in the store to write the tracks' classes and parts to. Its name must be unique,
        because workers cache it.
    parts : np.ndarray [shape=(n_tracks,), int]
        Code of :data:`training.splits.PARTS` of each track; -1 for a track that is left out.
    """

    def __init__(self, store: Store, labelled: Labelled, roster: str, parts: np.ndarray) -> None:
        self._root = store.storage.root
        self._features = labelled.features
        self._roster = roster
        self._codes: list[tuple[str, np.ndarray]] = []
        tracks = labelled.tracks
        ids = pa.array(tracks.ids, pa.string())
        parts, classes = parts.astype(np.int8), tracks.labels.astype(np.int32)
        roster_table = pa.table({"track_id": ids, "class": classes, "part": parts})
        store.storage.write_table(roster, roster_table)
        part_of = np.append(parts, np.int8(-1))
        for name in store.parts(labelled.table):
            raise_if_interrupted()
            column = store.read_part(name, ["track_id"])["track_id"]
            index = pc.fill_null(pc.index_in(column, value_set=ids), -1).to_numpy()
            if len(index):
                self._codes.append((name, part_of[index]))

    def count(self, wanted: tuple[int, ...]) -> int:
        """Return the number of rows of some parts of the split."""
        return sum(int(np.isin(codes, wanted).sum()) for _, codes in self._codes)

    def shares(self, wanted: tuple[int, ...], n: int) -> list[Rows]:
        """Divide the rows of some parts of the split into ``n`` shares in the order of the store.

        Their sizes differ by one row at most. With fewer rows than shares, some are empty.
        """
        total = self.count(wanted)
        bounds = [total * i // n for i in range(n + 1)]
        slices: list[list[tuple[str, int, int]]] = [[] for _ in range(n)]
        before = 0
        for name, codes in self._codes:
            rows = np.flatnonzero(np.isin(codes, wanted))
            for i in range(n):
                first = max(bounds[i] - before, 0)
                last = min(bounds[i + 1] - before, len(rows))
                if first < last:
                    slices[i].append((name, int(rows[first]), int(rows[last - 1]) + 1))
            before += len(rows)
        return [self._rows(wanted, tuple(found)) for found in slices]

    def pieces(self, wanted: tuple[int, ...]) -> Iterator[Rows]:
        """Yield the rows of some parts of the split, :func:`rows_at_a_time` at most."""
        size = rows_at_a_time(self._features)
        for name, codes in self._codes:
            rows = np.flatnonzero(np.isin(codes, wanted))
            for first in range(0, len(rows), size):
                last = min(first + size, len(rows)) - 1
                found = ((name, int(rows[first]), int(rows[last]) + 1),)
                yield self._rows(wanted, found)

    def _rows(self, wanted: tuple[int, ...], slices: tuple[tuple[str, int, int], ...]) -> Rows:
        return Rows(self._root, self._features, self._roster, wanted, slices)
