"""Splits of the labelled tracks into folds, or into training, validation and test parts.

Tracks are split, not rows: the segments of a track stay together, and so do the tracks of a group
such as an artist. The one exception is the tutorial's :func:`random_rows`, which leaks; its scores
are marked wherever they are shown.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

SEED = 42
"""Random seed; the tutorial's ``random_state``."""

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
"""Names of the parts; the code of a part is its index."""

TRAIN, VALID, TEST = range(3)

SHARES = (0.6, 0.2, 0.2)
"""Target share of the tracks in each of :data:`PARTS`."""

RANDOM_TEST_SHARE = 0.3
"""Share of the rows that :func:`random_rows` tests with; the tutorial's."""


NO_FOLD = -1
"""Fold of a track that :func:`cross_validation_folds` leaves out: every model learns it."""


@dataclass(frozen=True)
class Tracks:
    """Labelled tracks to split, in order of ``ids``.

    Parameters
    ----------
    ids : np.ndarray [shape=(n_tracks,), str]
        Names of the tracks, ascending.
    labels : np.ndarray [shape=(n_tracks,), int]
        Class of each track, as an index of ``classes``.
    classes : tuple of str
        Names of the classes, ascending.
    groups : np.ndarray [shape=(n_tracks,), int], optional
        Group of each track. The tracks of a group stay together. By default each track is a group
        of its own.
    """

    ids: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None = None

    @property
    def group_of_track(self) -> np.ndarray:
        """Group of each track [shape=(n_tracks,), int]."""
        return np.arange(len(self.ids)) if self.groups is None else self.groups


def folds(tracks: Tracks, k: int) -> np.ndarray:
    """Assign the tracks to ``k`` folds, each with about the same share of every class.

    Parameters
    ----------
    tracks : Tracks
        Tracks to assign.
    k : int
        Number of folds, 2 or more.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[0, k), int]
        Fold of each track. It depends on the order, labels and groups of the tracks alone.

    Examples
    --------
    >>> ids = np.array(["a.wav", "b.wav", "c.wav", "d.wav"])
    >>> tracks = Tracks(ids, np.array([0, 0, 1, 1]), ("jazz", "rock"))
    >>> folds(tracks, 2)
    array([1, 0, 1, 0])
    """
    return _assign_groups(tracks, np.full(k, 1.0 / k), np.full(len(tracks.ids), -1))


def cross_validation_folds(tracks: Tracks, k: int) -> np.ndarray:
    """Assign the tracks to folds so that a model of the other tracks knows every label of a fold.

    Parameters
    ----------
    tracks : Tracks
        Tracks to assign.
    k : int
        Maximum number of folds, 2 or more. There are at most as many as groups.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[-1, k), int]
        Fold of each track, as by :func:`folds`; every fold from 0 to the largest has tracks. If all
        tracks of a label are in one fold, their groups have :data:`NO_FOLD`.

    Examples
    --------
    >>> ids = np.array(["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"])
    >>> tracks = Tracks(ids, np.array([0, 0, 1, 1, 2]), ("jazz", "rock", "polka"))
    >>> cross_validation_folds(tracks, 2)
    array([ 0,  1,  1,  0, -1])
    """
    _, group_of = np.unique(tracks.group_of_track, return_inverse=True)
    k = min(k, int(group_of.max()) + 1)
    assigned = folds(tracks, k)
    counts = np.zeros((k, len(tracks.classes)), int)
    np.add.at(counts, (assigned, tracks.labels), 1)
    is_only_fold = counts[assigned, tracks.labels] == counts.sum(axis=0)[tracks.labels]
    has_fold = ~np.isin(group_of, group_of[is_only_fold])
    numbers = np.full(len(assigned), NO_FOLD)
    numbers[has_fold] = np.unique(assigned[has_fold], return_inverse=True)[1]
    return numbers


def parts(tracks: Tracks, previous: dict[str, Part] | None = None) -> np.ndarray:
    """Assign the tracks to :data:`PARTS`, by :data:`SHARES`.

    Parameters
    ----------
    tracks : Tracks
        Tracks to assign. The first track of a class goes to ``train`` and the second to ``test``.
    previous : dict of str to Part, optional
        Parts from an earlier training, by track; these tracks keep them. The earlier model and the
        new one can then be compared on tracks that neither was trained on. A group with tracks in
        several parts goes to the part with most of them.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[0, 3), int]
        Codes of :data:`PARTS`.

    Examples
    --------
    >>> ids = np.array(["a.wav", "b.wav", "c.wav"])
    >>> tracks = Tracks(ids, np.array([0, 0, 0]), ("jazz",))
    >>> sorted(PARTS[code] for code in parts(tracks))
    ['test', 'train', 'valid']
    >>> PARTS[parts(tracks, {"b.wav": "test"})[1]]
    'test'
    """
    kept = previous or {}
    codes = {part: code for code, part in enumerate(PARTS)}
    before = np.array([codes[kept[i]] if i in kept else -1 for i in tracks.ids.tolist()], int)
    # Ties go to the earlier part: a class needs training rows first, then test rows.
    order = np.array([TRAIN, TEST, VALID])
    position = np.append(np.argsort(order), -1)
    assigned = _assign_groups(
        tracks, np.array(SHARES)[order], position[before], balance_sizes=False
    )
    return np.asarray(order[assigned])


def join_groups(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Join two groupings: tracks that share a group of either one share a group of the result.

    Parameters
    ----------
    one, other : np.ndarray [shape=(n_tracks,), int]
        Group of each track.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), int]
        Group of each track.

    Examples
    --------
    >>> join_groups(np.array([1, 1, 2, 3]), np.array([5, 6, 6, 7]))
    array([0, 0, 0, 1], dtype=int32)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(one)
    # The groups are nodes of a graph, and each track connects two of them.
    ends = [np.unique(groups, return_inverse=True)[1] for groups in (one, other)]
    graph = coo_array((np.ones(n, bool), (ends[0], n + ends[1])), shape=(2 * n, 2 * n))
    return np.asarray(connected_components(graph, directed=False)[1][ends[0]])


def random_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows as the tutorial does, regardless of their tracks: **this leaks**.

    Parameters
    ----------
    count : int
        Number of rows.

    Returns
    -------
    train : np.ndarray [shape=(n_train,), int]
        Training rows, in the tutorial's order, on which the SGD depends.
    test : np.ndarray [shape=(n_test,), int]
        Test rows.

    Examples
    --------
    >>> train, test = random_rows(10)
    >>> test
    array([8, 1, 5])
    """
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(count), test_size=RANDOM_TEST_SHARE, random_state=SEED)
    return train, test


def _assign_groups(
    tracks: Tracks, shares: np.ndarray, previous: np.ndarray, *, balance_sizes: bool = True
) -> np.ndarray:
    """Assign each group to the part furthest below its target share of the group's classes.

    Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", 2011, where a
    group has the labels of its tracks. Large groups are assigned first, while the others can still
    balance them.

    Parameters
    ----------
    tracks : Tracks
        Tracks to assign.
    shares : np.ndarray [shape=(n_parts,), float64]
        Target share of each part; the sum is 1.
    previous : np.ndarray [shape=(n_tracks,), range=[-1, n_parts), int]
        Part that a track keeps; -1 for none.
    balance_sizes : bool
        Whether ties go to the smallest part; otherwise they go to the first one.

    Returns
    -------
    np.ndarray [shape=(n_tracks,), range=[0, n_parts), int]
        Part of each track.
    """
    _, first, group_of = np.unique(tracks.group_of_track, return_index=True, return_inverse=True)
    # Groups are numbered by their first tracks, so that their given numbers do not matter.
    group_of = np.argsort(np.argsort(first))[group_of]
    group_sizes = np.bincount(group_of)
    labels = _count_labels(group_of, tracks.labels)
    targets = shares.tolist()
    # Tracks of each class in each part, and of all classes, relative to the part's share.
    filled = [[0.0] * len(targets) for _ in tracks.classes]
    sizes = [0.0] * len(targets)
    assigned = np.full(len(group_sizes), -1)

    def assign(group: int, part: int) -> None:
        assigned[group] = part
        sizes[part] += group_sizes[group] / targets[part]
        for label, count in labels[group]:
            filled[label][part] += count / targets[part]

    votes = np.zeros((len(group_sizes), len(targets)), int)
    np.add.at(votes, (group_of[previous >= 0], previous[previous >= 0]), 1)
    for group in np.flatnonzero(votes.any(axis=1)).tolist():
        assign(group, int(votes[group].argmax()))
    new = np.flatnonzero(assigned < 0)
    new = new[np.random.default_rng(SEED).permutation(len(new))]
    for group in new[np.argsort(-group_sizes[new], kind="stable")].tolist():
        # Lists, because numpy's overhead per call would dominate.
        fill = [
            sum(count * filled[label][part] for label, count in labels[group])
            for part in range(len(targets))
        ]
        threshold = min(fill) + 1e-9
        tied = [part for part, level in enumerate(fill) if level <= threshold]
        assign(group, min(tied, key=sizes.__getitem__) if balance_sizes else tied[0])
    return assigned[group_of]


def _count_labels(group_of: np.ndarray, labels: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return the labels of each group, each with its number of tracks."""
    counted: list[list[tuple[int, int]]] = [[] for _ in range(int(group_of.max(initial=-1)) + 1)]
    pairs, counts = np.unique(np.stack([group_of, labels]), axis=1, return_counts=True)
    for group, label, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        counted[group].append((label, count))
    return counted
