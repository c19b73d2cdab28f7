"""What ``--split`` says: a kind of split, or a file of one."""

from dataclasses import dataclass, replace

import numpy as np

from jobs.errors import UsageError
from jobs.inputs import labels
from jobs.inputs.csv_file import read_sheet
from jobs.store.tables import Store
from training import splits
from training.splits import PARTS, TEST, TRAIN, VALID, Part, Tracks

RANDOM = "random"
BY_TRACK = "by-track"
BY_GROUP = "by-group"

WANTED = (
    f"{BY_TRACK}, {BY_GROUP}:COLUMN, a CSV with the columns track_id and set (or test_fold, to "
    f"compare), or, to compare, {RANDOM}"
)
SETS = {"train": TRAIN, "valid": VALID, "validation": VALID, "test": TEST}

OUTSIDE = -1
"""The fold of a track that a file of a split does not name: it takes no part."""


@dataclass(frozen=True)
class Folds:
    """How a comparison splits.

    Parameters
    ----------
    name : str
        As it was asked for.
    leaky : bool
        Whether segments of one track fall on both sides.
    of_track : np.ndarray [shape=(n_tracks,), int], or None
        The fold of each track; :data:`OUTSIDE` for one that takes no part. None for a split of
        rows.
    tested : tuple of int
        The folds that are tested with, one after the other, by models that have learnt from all
        others.
    ungrouped : int
        Tracks without a group, each of which is then one by itself.
    """

    name: str
    leaky: bool
    of_track: np.ndarray | None
    tested: tuple[int, ...]
    ungrouped: int = 0


@dataclass(frozen=True)
class Parts:
    """How a training splits.

    Parameters
    ----------
    name : str
        As it was asked for.
    of_track : np.ndarray [shape=(n_tracks,), int]
        The code of :data:`training.splits.PARTS` of each track; :data:`OUTSIDE` for one that
        takes no part.
    ungrouped : int
        Tracks without a group, each of which is then one by itself.
    """

    name: str
    of_track: np.ndarray
    ungrouped: int = 0


def choose_folds(choice: str, store: Store, tracks: Tracks, k: int) -> Folds:
    """Split for a comparison.

    Parameters
    ----------
    choice : str
        What ``--split`` says.
    store : Store
        Whose ``labels`` table has the groups.
    tracks : Tracks
        What to split.
    k : int
        Folds of a split by track or by group.

    Raises
    ------
    UsageError
        There is no such split, or it does not fit the tracks.
    """
    if choice == RANDOM:
        return Folds(choice, leaky=True, of_track=None, tested=(0,))
    if choice == BY_TRACK or _column(choice):
        grouped, ungrouped = _grouped(choice, store, tracks)
        count = len(np.unique(_groups(grouped)))
        if count < k:
            what = "tracks" if grouped.groups is None else "groups"
            raise UsageError(
                f"--split {choice}: the labelled {what} are {count}, too few for {k} folds: say "
                "fewer --folds"
            )
        dealt = splits.folds(grouped, k)
        return Folds(choice, False, dealt, tuple(range(k)), ungrouped)
    column, values = _read_file(choice, tracks)
    if column == "set":
        codes = np.array([OUTSIDE if value is None else _set(choice, value) for value in values])
        of_track = np.where(codes == OUTSIDE, OUTSIDE, np.where(codes == TEST, 0, 1))
        tested: tuple[int, ...] = (0,)
    else:
        names = sorted({value for value in values if value is not None})
        places = {name: place for place, name in enumerate(names)}
        of_track = np.array([OUTSIDE if value is None else places[value] for value in values])
        tested = tuple(range(len(names)))
    # A fold is one that a track has, so that the tracks of any two are both sides.
    if len(np.unique(of_track[of_track != OUTSIDE])) < 2:  # noqa: PLR2004
        raise UsageError(
            f"the split {choice} leaves no labelled track of the store to test with, or none to "
            "learn from: does it name these tracks?"
        )
    for fold in tested:
        learnt = (of_track != OUTSIDE) & (of_track != fold)
        if len(np.unique(tracks.labels[learnt])) < 2:  # noqa: PLR2004
            raise UsageError(f"the split {choice} leaves only one label to learn from")
    return Folds(choice, False, of_track, tested)


def choose_parts(choice: str, store: Store, tracks: Tracks, known: dict[str, Part] | None) -> Parts:
    """Split for a training.

    Parameters
    ----------
    choice : str
        What ``--split`` says.
    store : Store
        Whose ``labels`` table has the groups.
    tracks : Tracks
        What to split.
    known : dict of str to Part, optional
        The part that tracks had when the champion was trained, and keep. A file of a split has
        its own way.

    Raises
    ------
    UsageError
        There is no such split, it is leaky, or it leaves nothing to learn from or to test with.
    """
    ungrouped = 0
    if choice == RANDOM:
        raise UsageError(
            "--split random is leaky: segments of one track fall on both sides, and its score says "
            "nothing of new tracks. Say by-track; `songmill compare` shows both"
        )
    if choice == BY_TRACK or _column(choice):
        grouped, ungrouped = _grouped(choice, store, tracks)
        of_track = splits.parts(grouped, known)
    else:
        column, values = _read_file(choice, tracks)
        if column != "set":
            raise UsageError(
                f"the split {choice} has folds, and training needs its column set: train, valid or "
                "test. `songmill compare` takes folds"
            )
        of_track = np.array([OUTSIDE if value is None else _set(choice, value) for value in values])
    for code, part in ((TRAIN, "train"), (TEST, "test")):
        if not (of_track == code).any():
            raise UsageError(
                f"--split {choice} leaves none of the {len(tracks.ids)} labelled tracks of the "
                f"store for the part {part!r}: a file must name some of them, and by track or by "
                "group there must be two tracks of a label"
            )
    if len(np.unique(tracks.labels[of_track == TRAIN])) < 2:  # noqa: PLR2004
        raise UsageError(f"--split {choice} leaves only one label to learn from")
    return Parts(choice, of_track, ungrouped)


def _column(choice: str) -> str:
    """Return the column that a split by group names; nothing where it is no such split."""
    kind, colon, column = choice.partition(":")
    if kind != BY_GROUP:
        return ""
    if not colon or not column:
        raise UsageError(
            "--split by-group needs the column of the labels that says the group: by-group:artist"
        )
    return column


def _grouped(choice: str, store: Store, tracks: Tracks) -> tuple[Tracks, int]:
    """Return the tracks with the groups that a split keeps together, and how many have none."""
    column = _column(choice)
    if not column:
        return tracks, 0
    table = labels.read(store)
    columns = [name for name in table.column_names if name not in ("track_id", "label")]
    if column not in columns:
        has = f"its columns are {', '.join(columns)}" if columns else "it has no further column"
        raise UsageError(
            f"--split {choice}: the labels of this store have no column {column!r}: {has}. "
            "Columns come with the CSV given as --labels"
        )
    group_of = dict(zip(table["track_id"].to_pylist(), table[column].to_pylist(), strict=True))
    numbers: dict[str, int] = {}
    groups = np.empty(len(tracks.ids), np.int64)
    ungrouped = 0
    for i, track_id in enumerate(tracks.ids.tolist()):
        group = group_of.get(track_id)
        if group is None:
            ungrouped += 1
            groups[i] = -1 - i  # a group of its own
        else:
            groups[i] = numbers.setdefault(group, len(numbers))
    return replace(tracks, groups=groups), ungrouped


def _groups(tracks: Tracks) -> np.ndarray:
    return np.arange(len(tracks.ids)) if tracks.groups is None else tracks.groups


def _read_file(path: str, tracks: Tracks) -> tuple[str, list[str | None]]:
    """Return which column a file of a split has, ``set`` or ``test_fold``, and each track's."""
    sheet = read_sheet(path, required=("track_id",), option="--split", expected=WANTED)
    column = next((name for name in ("set", "test_fold") if name in sheet.columns), None)
    if column is None:
        raise UsageError(
            f"{path} has neither a column set (train, valid, test) nor a column test_fold: its "
            f"first line names {', '.join(sheet.columns)}"
        )
    matched = labels.match(sheet, dict.fromkeys(tracks.ids.tolist())).table
    assert matched is not None
    named = dict(zip(matched["track_id"].to_pylist(), matched[column].to_pylist(), strict=True))
    return column, [named.get(track_id) for track_id in tracks.ids.tolist()]


def _set(path: str, value: str) -> int:
    code = SETS.get(value.strip().lower())
    if code is None:
        raise UsageError(f"{path} has the set {value!r}: a track is of {', '.join(PARTS)}")
    return code
