"""Properties of splits, and a comparison with scikit-learn's."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from training.splits import (
    NO_FOLD,
    PARTS,
    SHARES,
    TEST,
    TRAIN,
    VALID,
    Tracks,
    cross_validation_folds,
    folds,
    join_groups,
    parts,
    random_rows,
)


def make_tracks(labels: Any, groups: Any = None) -> Tracks:
    labels = np.asarray(labels, np.int64)
    ids = np.array([f"{i:06}.wav" for i in range(len(labels))], object)
    classes = tuple(f"class {i:04}" for i in range(labels.max(initial=0) + 1))
    return Tracks(ids, labels, classes, None if groups is None else np.asarray(groups, np.int64))


def count_tracks(tracks: Tracks, assigned: np.ndarray, n: int) -> np.ndarray:
    """Return the number of tracks of each class in each part [shape=(n_classes, n)]."""
    counts = np.zeros((len(tracks.classes), n), int)
    np.add.at(counts, (tracks.labels, assigned), 1)
    return counts


def assert_groups_are_whole(tracks: Tracks, assigned: np.ndarray) -> None:
    assert (pd.Series(assigned).groupby(tracks.groups).nunique() == 1).all()


labelled = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(make_tracks)
pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), min_size=1, max_size=60)
grouped = pairs.map(lambda rows: make_tracks(*np.array(rows).T))


@settings(deadline=None, max_examples=30)
@given(pairs)
def test_joined_groups_are_those_that_tracks_connect(rows: list[tuple[int, int]]) -> None:
    one, other = np.array(rows).T
    first = np.arange(len(rows))
    for _ in rows:
        for groups in (one, other):
            for group in set(groups.tolist()):
                first[groups == group] = first[groups == group].min()
    joined = join_groups(one, other)
    assert np.array_equal(joined[:, np.newaxis] == joined, first[:, np.newaxis] == first)


# Folds


@settings(deadline=None)
@given(labelled, st.integers(2, 9))
def test_folds_differ_by_at_most_one_track_of_each_class(tracks: Tracks, k: int) -> None:
    assigned = folds(tracks, k)
    assert assigned.shape == tracks.labels.shape
    assert set(assigned.tolist()) <= set(range(k))
    counts = count_tracks(tracks, assigned, k)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert np.array_equal(assigned, folds(tracks, k))


def test_folds_of_rare_classes_have_equal_sizes() -> None:
    # Without balanced sizes, the first fold would get the only track of every class.
    assert np.bincount(folds(make_tracks(np.arange(100)), 5)).tolist() == [20] * 5


@settings(deadline=None)
@given(grouped, st.integers(2, 9))
def test_every_label_of_a_cross_validation_fold_is_known_without_it(tracks: Tracks, k: int) -> None:
    assigned = cross_validation_folds(tracks, k)
    assert_groups_are_whole(tracks, assigned)
    numbers = set(assigned.tolist()) - {NO_FOLD}
    assert numbers == set(range(len(numbers)))
    assert len(numbers) <= k
    for fold in numbers:
        held_out = assigned == fold
        assert set(tracks.labels[held_out]) <= set(tracks.labels[~held_out])
    # Only groups with a label that has no other group, or no other fold, are left out.
    whole = folds(tracks, min(k, len(np.unique(tracks.groups))))
    of_label = pd.Series(whole).groupby(tracks.labels).transform("nunique") == 1
    needed = of_label.groupby(tracks.groups).transform("any").to_numpy()
    assert np.array_equal(assigned == NO_FOLD, needed)


@settings(deadline=None)
@given(grouped, st.integers(2, 9))
def test_folds_never_split_a_group(tracks: Tracks, k: int) -> None:
    assigned = folds(tracks, k)
    assert set(assigned.tolist()) <= set(range(k))
    assert_groups_are_whole(tracks, assigned)
    # No fold is empty if there are enough groups.
    assert len(np.unique(assigned)) == min(k, len(np.unique(tracks.groups)))
    assert np.array_equal(assigned, folds(tracks, k))


@settings(deadline=None)
@given(grouped, st.integers(2, 5), st.randoms(use_true_random=False))
def test_the_numbers_of_groups_do_not_matter(tracks: Tracks, k: int, random: Any) -> None:
    numbers, indices = np.unique(tracks.groups, return_inverse=True)
    others = np.array(random.sample(range(-100, 100), len(numbers)))
    renumbered = make_tracks(tracks.labels, others[indices])
    assert np.array_equal(folds(tracks, k), folds(renumbered, k))
    assert np.array_equal(parts(tracks), parts(renumbered))


def test_groups_of_one_track_are_as_good_as_no_groups() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 50)
    tracks, alone = make_tracks(labels), make_tracks(labels, np.arange(50)[::-1] * 7)
    assert np.array_equal(folds(tracks, 4), folds(alone, 4))
    assert np.array_equal(parts(tracks), parts(alone))


def test_folds_are_shuffled() -> None:
    assigned = folds(make_tracks(np.zeros(100)), 2)
    # Otherwise neighbours, such as the tracks of an album, would always be separated.
    assert 25 < sum(a != b for a, b in pairwise(assigned.tolist())) < 75


def imbalance(tracks: Tracks, assigned: np.ndarray, k: int) -> float:
    """Return the mean deviation, over classes and folds, of a fold's share from 1 / k."""
    counts = count_tracks(tracks, assigned, k)
    return float(np.abs(counts / counts.sum(axis=1, keepdims=True) - 1 / k).mean())


@pytest.mark.parametrize("per_group", ["one label", "many labels"])
def test_folds_of_groups_are_as_balanced_as_scikit_learns(per_group: str) -> None:
    ours, theirs = [], []
    for seed in range(10):
        random = np.random.default_rng(seed)
        # Artists: a few with many tracks, most with few.
        groups = random.zipf(1.6, 300) % 97
        labels = groups % 5 if per_group == "one label" else random.integers(0, 5, 300)
        tracks = make_tracks(labels, groups)
        ours.append(imbalance(tracks, folds(tracks, 5), 5))
        assigned = np.empty(300, int)
        for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
            assigned[test] = fold
        theirs.append(imbalance(tracks, assigned, 5))
    assert np.mean(ours) < 1.2 * np.mean(theirs) + 0.005


# Parts


@settings(deadline=None)
@given(labelled)
def test_parts_get_their_share_of_every_class(tracks: Tracks) -> None:
    assigned = parts(tracks)
    counts = count_tracks(tracks, assigned, 3)
    of_class = counts.sum(axis=1, keepdims=True)
    assert (np.abs(counts - of_class * SHARES) <= 1).all()
    tens = of_class[:, 0] % 10 == 0
    assert counts[tens] == pytest.approx((of_class * SHARES)[tens])
    for count, (train, valid, test) in zip(of_class[:, 0], counts.tolist(), strict=True):
        if 1 <= count <= 3:
            assert (train, test, valid) == (1, int(count > 1), int(count > 2))
    assert np.array_equal(assigned, parts(tracks))


@settings(deadline=None)
@given(grouped)
def test_parts_never_split_a_group(tracks: Tracks) -> None:
    assigned = parts(tracks)
    assert set(assigned.tolist()) <= {TRAIN, VALID, TEST}
    assert_groups_are_whole(tracks, assigned)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, *PARTS])), min_size=1))
def test_known_tracks_keep_their_part(rows: list[tuple[int, str | None]]) -> None:
    tracks = make_tracks([label for label, _ in rows])
    known = {name: part for name, (_, part) in zip(tracks.ids, rows, strict=True) if part}
    assigned = parts(tracks, {**known, "long gone.wav": "test"})
    for name, part in known.items():
        assert PARTS[assigned[tracks.ids.tolist().index(name)]] == part
    if not known:
        assert np.array_equal(assigned, parts(tracks))


def test_new_tracks_go_where_their_class_is_short() -> None:
    # All known tracks of class 0 are in train; those of class 1 are balanced.
    tracks = make_tracks([0] * 20 + [1] * 20)
    before = [TRAIN] * 10 + [-1] * 10 + [TRAIN] * 6 + [VALID] * 2 + [TEST] * 2 + [-1] * 10
    known = {i: PARTS[code] for i, code in zip(tracks.ids, before, strict=True) if code >= 0}
    counts = count_tracks(tracks, parts(tracks, known), 3)
    assert counts.tolist() == [[12, 4, 4], [12, 4, 4]]


def test_a_group_goes_where_most_of_its_tracks_are_short() -> None:
    # The test part lacks class 0, and the training part class 1. Three tracks outweigh one.
    tracks = make_tracks([0] * 5 + [1] * 4 + [0, 0, 0, 1], [*range(9), 20, 20, 20, 20])
    old = ["train"] * 3 + ["valid"] * 2 + ["test"] * 2 + ["valid"] * 2
    known = dict(zip(tracks.ids, old, strict=False))
    assert parts(tracks, known)[9:].tolist() == [TEST] * 4


def test_a_group_in_several_parts_goes_where_most_of_it_was() -> None:
    tracks = make_tracks([0] * 12, [7, 7, 7, 7, 7, 3, 3, 3, 3, 5, 5, 5])
    old = ["valid", "test", "test", None, None, "valid", "valid", "train", None, "test", "train"]
    known = {name: part for name, part in zip(tracks.ids, old, strict=False) if part}
    assigned = [PARTS[code] for code in parts(tracks, known)]
    # A tie goes to train: a model cannot be tested on its training tracks.
    assert assigned == ["test"] * 5 + ["valid"] * 4 + ["train"] * 3


# Rows


@pytest.mark.parametrize("count", [10, 997])
def test_random_rows_are_the_tutorials(count: int) -> None:
    frame = pd.DataFrame({"x": np.arange(count) * 10})
    train_rows, test_rows = train_test_split(frame, test_size=0.3, random_state=42)
    found = [(rows * 10).tolist() for rows in random_rows(count)]
    assert found == [train_rows["x"].tolist(), test_rows["x"].tolist()]
