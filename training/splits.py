"""Which tracks a model learns from and which it is judged by.

Splits are made of tracks, never of rows: the segments of a track, and the tracks of a group such
as an artist, stay on one side. The one exception is :func:`random_rows`, the tutorial's, which is
marked as leaky wherever its scores are shown.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

SEED = 42
"""The tutorial's ``random_state``."""

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
"""A part's code is its place here."""

TRAIN, VALID, TEST = range(3)

SHARES = (0.6, 0.2, 0.2)
"""Of the tracks, to learn from, to stop by and to be judged by."""

RANDOM_TEST_SHARE = 0.3


@dataclass(frozen=True)
class Tracks:
    """The labelled tracks that are to be split, in order of ``ids``.

    Parameters
    ----------
    ids : np.ndarray [shape=(n_tracks,), str]
        Their names, ascending.
    labels : np.ndarray [shape=(n_tracks,), int]
        The class of each, as its place in ``classes``.
    classes : tuple of str
        The names of the classes, ascending.
    groups : np.ndarray [shape=(n_tracks,), int], optional
        Tracks of one number stay on one side; by default each is by itself.
    """

    ids: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None = None


def folds(tracks: Tracks, k: int) -> np.ndarray:
    """Deal the tracks to ``k`` folds, each with about the same share of every class.

    Parameters
    ----------
    tracks : Tracks
        What to deal.
    k : int
        Number of folds, 2 or more.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[0, k), int]
        The fold of each track. It depends on the tracks' names, labels and groups alone.
    """
    return _deal(tracks, np.full(k, 1.0 / k), np.full(len(tracks.ids), -1))


def parts(tracks: Tracks, known: dict[str, Part] | None = None) -> np.ndarray:
    """Deal the tracks to the parts of one training: :data:`PARTS`, by :data:`SHARES`.

    Parameters
    ----------
    tracks : Tracks
        What to deal. A class's first track goes to ``train`` and its second to ``test``.
    known : dict of str to Part, optional
        The part that tracks had before and keep, so that a model of then and one of today can be
        judged by tracks that neither has learnt from. Where a group has been in several parts, all
        of it goes where most of it was.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[0, 3), int]
        Codes of :data:`PARTS`.
    """
    kept = known or {}
    codes = {part: code for code, part in enumerate(PARTS)}
    before = np.array([codes[kept[i]] if i in kept else -1 for i in tracks.ids.tolist()], int)
    # A class's first tracks fill these parts in the order in which they are needed.
    order = np.array([TRAIN, TEST, VALID])
    place = np.append(np.argsort(order), -1)
    sides = _deal(tracks, np.array(SHARES)[order], place[before], by_size=False)
    return np.asarray(order[sides])


def random_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows as the tutorial does, whatever their tracks: **leaky**.

    Parameters
    ----------
    count : int
        Number of rows.

    Returns
    -------
    np.ndarray [shape=(n_train,), int]
        The rows to learn from, in the tutorial's order, on which the SGD depends.
    np.ndarray [shape=(n_test,), int]
        The rows to test with.
    """
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(count), test_size=RANDOM_TEST_SHARE, random_state=SEED)
    return train, test


def _deal(
    tracks: Tracks, shares: np.ndarray, before: np.ndarray, *, by_size: bool = True
) -> np.ndarray:
    """Give every group to the side that has least of its classes yet, as sides are to share.

    Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", 2011, for groups
    whose labels are those of their tracks. Large groups come first, while there is room to make up
    for them; ``by_size``: of sides that are equally short of the classes, the smallest is next,
    else the first.
    """
    own = np.arange(len(tracks.ids)) if tracks.groups is None else tracks.groups
    _, first, group = np.unique(own, return_index=True, return_inverse=True)
    # The numbers of groups mean nothing: they are counted by their first tracks.
    group = np.argsort(np.argsort(first))[group]
    members = np.bincount(group)
    labels = _labels_of_groups(group, tracks.labels)
    room = shares.tolist()
    filled = [[0.0] * len(room) for _ in tracks.classes]
    sizes = [0.0] * len(room)
    side = np.full(len(members), -1)

    def give(one: int, to: int) -> None:
        side[one] = to
        sizes[to] += members[one] / room[to]
        for label, count in labels[one]:
            filled[label][to] += count / room[to]

    seen = np.zeros((len(members), len(room)), int)
    np.add.at(seen, (group[before >= 0], before[before >= 0]), 1)
    for one in np.flatnonzero(seen.any(axis=1)).tolist():
        give(one, int(seen[one].argmax()))
    new = np.flatnonzero(side < 0)
    new = new[np.random.default_rng(SEED).permutation(len(new))]
    for one in new[np.argsort(-members[new], kind="stable")].tolist():
        # Lists: numpy would take most of its time to be called.
        shortage = [
            sum(count * filled[label][to] for label, count in labels[one])
            for to in range(len(room))
        ]
        enough = min(shortage) + 1e-9
        best = [to for to, short in enumerate(shortage) if short <= enough]
        give(one, min(best, key=sizes.__getitem__) if by_size else best[0])
    return side[group]


def _labels_of_groups(group: np.ndarray, labels: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return of each group its labels, each with the number of its tracks."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(int(group.max(initial=-1)) + 1)]
    pairs, counts = np.unique(np.stack([group, labels]), axis=1, return_counts=True)
    for one, label, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        found[one].append((label, count))
    return found
