"""Tracks that are the same recording stay on one side of every split."""

import io
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from support.in_process import RecordedBoosting
from support.made_models import put_model
from support.made_stores import make_store, read_rows, write_part

from featurizer.feature_set import Level, feature_set
from jobs.errors import UsageError
from jobs.learning.compare import compare
from jobs.learning.dataset import labelled_tracks
from jobs.learning.groups import count_duplicates, group_duplicates, held_out_by_group
from jobs.learning.split_option import (
    OUTSIDE,
    choose_folds,
    choose_parts,
    learnt_for,
)
from jobs.learning.train import train
from jobs.neighbours.rows import read_segment_means
from jobs.neighbours.similarity import similarity
from jobs.progress import Progress
from jobs.store.schemas import features_folder
from jobs.store.tables import Store
from training.splits import NO_FOLD, PARTS, TEST, TRAIN, VALID, Tracks, cross_validation_folds

RICH = feature_set("rich")
FEATURES = list(feature_set("gtzan").names)


def copied_store(
    root: Path,
    copy_of: dict[str, str],
    labels: Mapping[str, str | None],
    *,
    level: Level = "track",
    noise: float = 1e-4,
) -> Store:
    """Make a store in two parts, in which some tracks have nearly the features of others."""
    rows = [row for row in labels.items() for _ in range(2 if level == "segment" else 1)]
    half = len(rows) // 2 + 1
    store = make_store(root, rows[:half], rows[half:], level=level)
    frame = read_rows(root, level)
    order = frame.groupby("track_id").cumcount()
    keyed = frame.set_index([frame["track_id"], order])[FEATURES]
    for track, original in copy_of.items():
        difference = noise * np.random.default_rng(0).normal(size=len(FEATURES))
        keyed.loc[track] = (keyed.loc[original] + difference).to_numpy()
    frame[FEATURES] = keyed.to_numpy()
    for name in store.parts(features_folder("gtzan", level)):
        part = store.read_part(name)
        edited, frame = frame[: part.num_rows], frame[part.num_rows :]
        write_part(store, name, pa.Table.from_pandas(edited, part.schema, preserve_index=False))
    return store


LABELS: dict[str, str | None] = {f"{i:02}.wav": "blues" if i % 2 else "rock" for i in range(40)}
LABELS["05.wav"] = None
COPIES = {"31.wav": "02.wav", "10.wav": "31.wav", "20.wav": "05.wav", "21.wav": "05.wav"}
"""A copy of a copy, and two copies of a track without a label."""

SAID = "5 tracks in 2 groups of the same recording stay on one side of the split"
NO_DUPLICATES = {"groups": 0, "tracks": 0}

SETS = (*PARTS, "")
TEST_FOLDS = ("a", "b", "c", "")
KINDS = (PARTS, SETS, TEST_FOLDS)

GROUPS = {frozenset({"02.wav", "31.wav", "10.wav"}), frozenset({"20.wav", "21.wav"})}


@pytest.fixture
def booster(monkeypatch: pytest.MonkeyPatch) -> RecordedBoosting:
    return RecordedBoosting(monkeypatch)


def found_groups(store: Store, level: Level = "track") -> tuple[set[frozenset[str]], str]:
    """Return the groups of several tracks, and what was written."""
    log = io.StringIO()
    progress = Progress(Console(file=log, width=300))
    tracks = group_duplicates(store, labelled_tracks(store, "gtzan", level).tracks, progress)
    named = pd.Series(tracks.ids).groupby(tracks.groups).agg(frozenset)
    return {group for group in named if len(group) > 1}, log.getvalue()


@pytest.mark.parametrize("level", ["track", "segment"])
def test_copies_are_found_across_labels_and_through_other_tracks(root: Path, level: Level) -> None:
    store = copied_store(root, COPIES, LABELS, level=level)
    groups, written = found_groups(store, level)
    assert groups == GROUPS
    assert written.endswith(f"\n{SAID}\n")


def test_segments_are_compared_by_the_means_of_their_tracks(root: Path) -> None:
    rows = [("a.wav", "x"), ("b.wav", None), ("a.wav", "x"), ("c.wav", "y"), ("a.wav", "x")]
    store = make_store(root, rows[:2], [], rows[2:])
    found = read_segment_means(store)
    expected = read_rows(root).groupby("track_id")[FEATURES].mean()
    np.testing.assert_allclose(found.features, expected, rtol=1e-12)
    assert found.names["track_id"].to_pylist() == expected.index.tolist()
    assert found.names["label"].to_pylist() == ["x", None, "y"]


def test_groups_are_those_of_the_table_of_duplicates(root: Path) -> None:
    store = copied_store(root, COPIES, LABELS)
    similarity(store=str(root), k=1)
    pairs = pd.read_parquet(root / "duplicates")[["track_id", "duplicate_id"]].to_numpy()
    linked = {name: {name} for name in LABELS}
    for _ in LABELS:
        for one, other in pairs:
            linked[one] |= linked[other]
            linked[other] |= linked[one]
    by_pairs = {frozenset(group - {"05.wav"}) for group in linked.values()}
    assert found_groups(store)[0] == {group for group in by_pairs if len(group) > 1} == GROUPS


def test_rows_that_are_all_equal_are_one_recording(root: Path) -> None:
    store = copied_store(root, dict.fromkeys(LABELS, "00.wav"), LABELS, noise=0)
    assert found_groups(store)[0] == {frozenset(LABELS) - {"05.wav"}}


def test_without_the_published_features_the_rich_ones_tell_recordings_apart(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = list(LABELS.items())
    store = make_store(root, rows, level="track", features="rich")
    tracks = labelled_tracks(store, "rich", "track").tracks
    assert count_duplicates(group_duplicates(store, tracks, Progress())) == NO_DUPLICATES
    (name,) = store.parts("features-rich/level=track")
    part = store.read_part(name)
    first = part.slice(0, 1).take([0] * 3).set_column(0, "track_id", part["track_id"].slice(0, 3))
    write_part(store, name, pa.concat_tables([first, part.slice(3)]))
    found = group_duplicates(store, tracks, Progress())
    assert count_duplicates(found) == {"groups": 1, "tracks": 3}
    # Trees learn from values that are not finite.
    column = RICH.names[0]
    index = part.schema.get_field_index(column)
    nan = pa.array(np.full(part.num_rows, np.nan), part.schema.field(column).type)
    write_part(store, name, part.set_column(index, part.schema.field(column), nan))
    capfd.readouterr()
    assert count_duplicates(group_duplicates(store, tracks, Progress())) == NO_DUPLICATES
    warning = f"warning: tracks that are the same recording are not found: .*{column} has the value"
    assert re.search(warning, capfd.readouterr().err.replace("\n", " "))


# Splits


NAMES = np.array([f"{i:02}.wav" for i in range(24)], object)
ARTISTS = {name: f"artist {i % 9}" if i % 5 else None for i, name in enumerate(NAMES)}


@st.composite
def tracks_with_copies(draw: st.DrawFn) -> Tracks:
    def numbers(count: int) -> np.ndarray:
        return np.array(draw(st.lists(st.integers(0, count), min_size=24, max_size=24)))

    return Tracks(NAMES, numbers(2), ("blues", "jazz", "rock"), numbers(draw(st.integers(6, 40))))


def sides_share(numbers: Any, one: np.ndarray, other: np.ndarray) -> bool:
    return bool(set(np.asarray(numbers)[one]) & set(np.asarray(numbers)[other]))


@pytest.fixture(scope="module")
def artists(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("artists") / "store", groups=ARTISTS)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_no_recording_is_on_two_sides_of_any_split(artists: Store, data: st.DataObject) -> None:
    tracks = data.draw(tracks_with_copies())
    recordings = tracks.group_of_track
    one_each = {kind: st.lists(st.sampled_from(kind), min_size=24, max_size=24) for kind in KINDS}
    known = dict(zip(NAMES[:18], data.draw(one_each[PARTS]), strict=False))
    choices = {"by-track": None, "by-group:artist": None}
    for column, kind in (("set", SETS), ("test_fold", TEST_FOLDS)):
        choices[str(Path(artists.storage.root).parent / f"{column}.csv")] = data.draw(
            one_each[kind]
        )
    for choice, values in choices.items():
        if values:
            lines = [f"{name},{value}" for name, value in zip(NAMES, values, strict=True)]
            column = Path(choice).stem
            Path(choice).write_text("\n".join([f"track_id,{column}", *lines]))
        with suppress(UsageError):
            folds = choose_folds(choice, artists, tracks, 3)
            assert folds.of_track is not None
            left_out = np.zeros(24, bool)
            for fold in folds.tested:
                test = folds.of_track == fold
                learnt = learnt_for(fold, folds.of_track, recordings)
                assert test.any()
                assert learnt.any()
                assert not sides_share(recordings, test, learnt)
                others = ~test & (folds.of_track != OUTSIDE)
                is_copy = np.isin(recordings, recordings[test])
                assert np.array_equal(learnt, others & ~is_copy)
                left_out |= others & is_copy
            assert folds.copies == left_out.sum()
        with suppress(UsageError):
            found = choose_parts(choice, artists, tracks, known)
            train, valid, test = (found.of_track == code for code in (TRAIN, VALID, TEST))
            assert not sides_share(recordings, test, train | valid)
            assert not sides_share(recordings, valid, train)
            if values:
                published = np.array([SETS.index(value) for value in values])
                assert np.array_equal(test, published == TEST)
                assert (found.of_track[~test] == published[~test])[found.of_track[~test] >= 0].all()
                outside = found.of_track == OUTSIDE
                assert found.copies == (outside & (published != len(PARTS))).sum()
            else:
                assert (found.of_track != OUTSIDE).all()
            # A training fits the models of its folds to these groups.
            fold_of = cross_validation_folds(replace(tracks, groups=found.groups), 3)
            for fold in set(fold_of.tolist()) - {NO_FOLD}:
                assert not sides_share(recordings, fold_of == fold, fold_of != fold)
    by_artist = [ARTISTS[name] or name for name in NAMES]
    with suppress(UsageError):
        parts = choose_parts("by-group:artist", artists, tracks, known).of_track
        for part in range(len(PARTS)):
            assert not sides_share(by_artist, parts == part, parts != part)


def test_a_file_that_leaves_only_copies_to_learn_from_is_refused(
    artists: Store, tmp_path: Path
) -> None:
    path = tmp_path / "split.csv"
    path.write_text("track_id,set\n00.wav,train\n01.wav,train\n02.wav,test\n03.wav,test\n")
    labels, groups = np.arange(24) % 2, np.arange(24) % 2
    tracks = Tracks(NAMES, labels, ("blues", "rock"), groups)
    with pytest.raises(UsageError, match="leaves only one label to learn from"):
        choose_folds(str(path), artists, tracks, 2)
    with pytest.raises(UsageError, match="none of the 24 labelled tracks .* the part 'train'"):
        choose_parts(str(path), artists, tracks, None)
    with pytest.raises(UsageError, match="by-track: 2 labelled recordings are too few for 3 folds"):
        choose_folds("by-track", artists, tracks, 3)


models_and_groups = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 5)), min_size=1)


@settings(deadline=None)
@given(models_and_groups)
def test_a_held_out_model_has_learnt_no_copy(drawn: list[tuple[int, int]]) -> None:
    """Three folds and the model 3 of new tracks: fold i is learnt by all models but i."""
    model_of, groups = np.array(drawn).T
    found = held_out_by_group(model_of, groups, 3)
    for group, model in zip(groups, found.tolist(), strict=True):
        learnt_by = set()
        for own in model_of[groups == group].tolist():
            learnt_by |= set() if own == 3 else {0, 1, 2, 3} - {own}
        fit = {0, 1, 2, 3} - learnt_by
        assert model == (3 if len(fit) == 4 else min(fit, default=-1))


# Trainings and comparisons


def test_a_training_keeps_copies_together_and_says_so(
    root: Path,
    booster: RecordedBoosting,
    in_process_cluster: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    store = copied_store(root, COPIES, LABELS)
    # An older training had two copies in the test part, and learnt from the third.
    parts = dict(zip(sorted(LABELS), cycle(PARTS), strict=False))
    parts |= {"02.wav": "train", "10.wav": "test", "31.wav": "test"}
    put_model(store, "1", ["blues", "rock"], champion=True, split=parts, level="track")
    outcome = train(store=str(root), scheduler=in_process_cluster, model="xgboost")
    version = root / "models" / outcome.description.version
    sets = pd.read_parquet(version / "split.parquet").set_index("track_id")["set"]
    folds = pd.read_parquet(version / "folds.parquet").set_index("track_id")["fold"]
    for group in GROUPS:
        assert sets[list(group)].nunique() == folds[list(group)].nunique() == 1
    assert sets["02.wav"] == "test"
    split = json.loads((version / "model.json").read_text())["split"]
    assert split["duplicates"] == {"groups": 2, "tracks": 5}
    assert SAID in capfd.readouterr().err
    # All three are no test of the champion.
    assert outcome.verdict.champion
    assert outcome.verdict.champion.tracks == (sets == "test").sum() - 3


PAIRS = {f"{i:02}.wav": f"{i - 1:02}.wav" for i in range(1, 60, 2)}


@pytest.mark.parametrize("kind", ["by-track", "set", "test_fold"])
def test_a_comparison_does_not_learn_the_copies_of_test_tracks(
    root: Path,
    tmp_path: Path,
    in_process_cluster: str,
    capfd: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """Labels are random, and only a track's copy tells its label."""
    labels = np.random.default_rng(0).choice(["blues", "rock"], 30)
    copied_store(root, PAIRS, {f"{i:02}.wav": labels[i // 2] for i in range(60)})
    split = kind
    if kind != "by-track":
        split = str(tmp_path / "split.csv")
        sides = ("train", "test") if kind == "set" else ("a", "b")
        side_of = [i % 2 if i < 40 else i // 2 % 2 * (kind == "test_fold") for i in range(60)]
        lines = [f"{i:02}.wav,{sides[side]}" for i, side in enumerate(side_of)]
        Path(split).write_text("\n".join([f"track_id,{kind}", *lines]))
    where = {"store": str(root), "scheduler": in_process_cluster}
    (row,) = compare(split=(split,), models="decision-tree", **where).rows
    assert row["accuracy"] < 0.75
    written = capfd.readouterr().err.replace("\n", " ")
    assert "60 tracks in 30 groups of the same recording stay on one side of the split" in written
    left_out = {"by-track": None, "set": 20, "test_fold": 40}[kind]
    warning = re.search(r"left out when --split .* tests the same recording: (\d+)", written)
    assert (warning and int(warning[1])) == left_out
