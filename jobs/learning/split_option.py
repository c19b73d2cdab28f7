"""The option ``--split``: a kind of split, or a file of one."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.tags import TEXT_TAGS
from jobs.errors import UsageError
from jobs.inputs import labels
from jobs.inputs.csv_file import read_sheet
from jobs.store.schemas import TAGS
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
"""Fold or part of a track that a split file does not name. The track is left out."""


@dataclass(frozen=True)
class Folds:
    """The split of a comparison.

    Parameters
    ----------
    name : str
        Value of ``--split``.
    of_track : np.ndarray [shape=(n_tracks,), int], or None
        Fold of each track, or :data:`OUTSIDE`. None for the leaky split of rows.
    tested : tuple of int
        Folds to test, each with models trained on all other folds.
    ungrouped : int
        Number of tracks without a group, each treated as a group of its own.
    copies : int
        Number of tracks that are left out when a fold with the same recording is tested.
    """

    name: str
    of_track: np.ndarray | None
    tested: tuple[int, ...]
    ungrouped: int = 0
    copies: int = 0

    @property
    def leaky(self) -> bool:
        """Whether segments of one track may be in both the training and the test part."""
        return self.of_track is None


@dataclass(frozen=True)
class Parts:
    """The split of a training.

    Parameters
    ----------
    of_track : np.ndarray [shape=(n_tracks,), int]
        Part of each track, a code of :data:`training.splits.PARTS`, or :data:`OUTSIDE`.
    groups : np.ndarray [shape=(n_tracks,), int]
        Group of each track. Tracks of a group have the same part, or are :data:`OUTSIDE`.
    ungrouped : int
        Number of tracks without a group, each treated as a group of its own.
    copies : int
        Number of tracks that are :data:`OUTSIDE` because the same recording judges the model.
    """

    of_track: np.ndarray
    groups: np.ndarray
    ungrouped: int = 0
    copies: int = 0


def choose_folds(choice: str, store: Store, tracks: Tracks, k: int) -> Folds:
    """Return the folds of a comparison for ``choice``, the value of ``--split``.

    A split by track or by group has ``k`` folds.

    Raises
    ------
    UsageError
        The split does not exist, or does not fit the tracks.
    """
    if choice == RANDOM:
        return Folds(choice, None, (0,))
    if choice == BY_TRACK or _column(choice):
        groups, ungrouped = _groups(choice, store, tracks)
        count = len(np.unique(groups))
        if count < k:
            what = "groups" if _column(choice) else "recordings"
            raise UsageError(
                f"--split {choice}: {count} labelled {what} are too few for {k} folds. Use "
                "fewer --folds"
            )
        of_track = splits.folds(replace(tracks, groups=groups), k)
        return Folds(choice, of_track, tuple(range(k)), ungrouped)
    column, values = _read_file(choice, tracks)
    if column == "set":
        codes = _part_codes(choice, values)
        of_track = np.where(codes == OUTSIDE, OUTSIDE, np.where(codes == TEST, 0, 1))
        tested: tuple[int, ...] = (0,)
    else:
        names = sorted({value for value in values if value is not None})
        fold_of: dict[str | None, int] = {name: fold for fold, name in enumerate(names)}
        of_track = np.array([fold_of.get(value, OUTSIDE) for value in values])
        tested = tuple(range(len(names)))
    # Every fold has a track, so two folds are enough to have one to test and one to learn from.
    if len(np.unique(of_track[of_track != OUTSIDE])) < 2:  # noqa: PLR2004
        raise UsageError(
            f"the split {choice} leaves no labelled track of the store to test with, or none to "
            "learn from: does it name these tracks?"
        )
    copies = np.zeros(len(of_track), bool)
    for fold in tested:
        learnt = learnt_for(fold, of_track, tracks.group_of_track)
        if len(np.unique(tracks.labels[learnt])) < 2:  # noqa: PLR2004
            raise UsageError(f"the split {choice} leaves only one label to learn from")
        copies |= (of_track != OUTSIDE) & (of_track != fold) & ~learnt
    return Folds(choice, of_track, tested, copies=int(copies.sum()))


def learnt_for(fold: int, fold_of: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    """Return whether tracks, or rows, are learnt for the test of a fold.

    Those of the other folds are, unless the same recording is tested.

    Parameters
    ----------
    fold : int
        Fold to test.
    fold_of : np.ndarray [shape=(n,), int]
        Fold of each track or row, or :data:`OUTSIDE`.
    recordings : np.ndarray [shape=(n,), int]
        Number of the recording of each.

    Returns
    -------
    np.ndarray [shape=(n,), bool]

    Examples
    --------
    >>> learnt_for(0, np.array([0, 1, 1, 2, OUTSIDE]), np.array([7, 7, 8, 9, 10]))
    array([False, False,  True,  True, False])
    """
    others = (fold_of != fold) & (fold_of != OUTSIDE)
    learnt: np.ndarray = others & ~np.isin(recordings, recordings[fold_of == fold])
    return learnt


def choose_parts(choice: str, store: Store, tracks: Tracks, known: dict[str, Part] | None) -> Parts:
    """Return the parts of a training for ``choice``, the value of ``--split``.

    Tracks keep their ``known`` part, that of the champion's training, unless a split file overrides
    it. Of tracks that are the same recording, such a file may have some in the test part and some
    in others. The latter are left out; so are training tracks with a copy in the validation part.

    Raises
    ------
    UsageError
        The split does not exist, is leaky, or leaves nothing to learn from or to test with.
    """
    if choice == RANDOM:
        raise UsageError(
            "--split random is leaky: segments of one track are in both the training and the test "
            "part, and the score says nothing about new tracks. Use by-track. `songmill compare` "
            "shows both"
        )
    groups, ungrouped = _groups(choice, store, tracks)
    copies = 0
    if choice == BY_TRACK or _column(choice):
        parts = splits.parts(replace(tracks, groups=groups), known)
    else:
        column, values = _read_file(choice, tracks)
        if column != "set":
            raise UsageError(
                f"the split {choice} has folds, and training needs its column set: train, valid or "
                "test. `songmill compare` takes folds"
            )
        parts = _part_codes(choice, values)
        named = int((parts != OUTSIDE).sum())
        for judges, others in ((TEST, (TRAIN, VALID)), (VALID, (TRAIN,))):
            judged = np.isin(groups, groups[parts == judges])
            parts[judged & np.isin(parts, others)] = OUTSIDE
        copies = named - int((parts != OUTSIDE).sum())
    for code, part in ((TRAIN, "train"), (TEST, "test")):
        if not (parts == code).any():
            raise UsageError(
                f"--split {choice} leaves none of the {len(tracks.ids)} labelled tracks of the "
                f"store for the part {part!r}. A file must name some of them; by track or by "
                "group, one label needs two tracks that are not the same recording or group"
            )
    if len(np.unique(tracks.labels[parts == TRAIN])) < 2:  # noqa: PLR2004
        raise UsageError(f"--split {choice} leaves only one label to learn from")
    return Parts(parts, groups, ungrouped, copies)


def _column(choice: str) -> str:
    """Return the column of a split by group; an empty string for any other split."""
    kind, colon, column = choice.partition(":")
    if kind != BY_GROUP:
        return ""
    if not colon or not column:
        raise UsageError(
            "--split by-group needs the column of the labels with the group, such as "
            "by-group:artist"
        )
    return column


def _groups(choice: str, store: Store, tracks: Tracks) -> tuple[np.ndarray, int]:
    """Return the group of each track, and the number of tracks without one in the column.

    Tracks that are the same recording are in one group, whatever the column says.
    """
    column = _column(choice)
    if not column:
        return tracks.group_of_track, 0
    table = labels.read(store)
    columns = [name for name in table.column_names if name not in ("track_id", "label")]
    if column not in columns and column in TEXT_TAGS:
        table = store.read(TAGS, ["track_id", column])
        if not table[column].null_count < table.num_rows:
            raise UsageError(
                f"--split {choice}: neither the labels nor the tags of this store have a value of "
                f"{column!r}. Columns come with the CSV given as --labels; tags with the "
                "extraction of recordings that have them"
            )
    elif column not in columns:
        has = f"its columns are {', '.join(columns)}" if columns else "it has no further column"
        raise UsageError(
            f"--split {choice}: the labels of this store have no column {column!r}: {has}. "
            f"Columns come with the CSV given as --labels; tags are {', '.join(TEXT_TAGS)}"
        )
    index = pc.index_in(pa.array(tracks.ids, pa.string()), value_set=table["track_id"])
    names = table[column].combine_chunks().take(index)
    groups = names.dictionary_encode().indices.fill_null(-1).to_numpy()
    # A track without a group is a group of its own.
    groups = np.where(groups < 0, -1 - np.arange(len(groups)), groups)
    return splits.join_groups(tracks.group_of_track, groups), names.null_count


def _read_file(path: str, tracks: Tracks) -> tuple[str, list[str | None]]:
    """Return the column of a split file, ``set`` or ``test_fold``, and its value for each track."""
    sheet = read_sheet(path, required=("track_id",), option="--split", expected=WANTED)
    column = next((name for name in ("set", "test_fold") if name in sheet.columns), None)
    if column is None:
        raise UsageError(
            f"{path} has neither a column set (train, valid, test) nor a column test_fold. Its "
            f"first line names {', '.join(sheet.columns)}"
        )
    matched = labels.match(sheet, dict.fromkeys(tracks.ids.tolist())).table
    assert matched is not None
    named = dict(zip(matched["track_id"].to_pylist(), matched[column].to_pylist(), strict=True))
    return column, [named.get(track_id) for track_id in tracks.ids.tolist()]


def _part_codes(path: str, values: list[str | None]) -> np.ndarray:
    """Return the code of each track's part; :data:`OUTSIDE` for a track without a value."""
    codes = []
    for value in values:
        code = OUTSIDE if value is None else SETS.get(value.strip().lower())
        if code is None:
            raise UsageError(f"{path} has the set {value!r}. Use {', '.join(PARTS)}")
        codes.append(code)
    return np.array(codes)
