"""What ``--split`` may say, and what is said of all else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.made_stores import make_store

from jobs.errors import UsageError
from jobs.learning.split_option import OUTSIDE, choose_folds, choose_parts
from jobs.store.tables import Store
from training import splits
from training.splits import TEST, TRAIN, VALID, Tracks

NAMES = [f"{genre}/{genre}.{i:02}.wav" for genre in ("blues", "rock") for i in range(10)]

ARTISTS: dict[str, str | None] = {name: f"artist {i // 2 % 7}" for i, name in enumerate(NAMES)}
ARTISTS |= {NAMES[0]: None, NAMES[11]: None, "gone.wav": "artist 0"}
del ARTISTS[NAMES[5]]


@pytest.fixture
def tracks() -> Tracks:
    return Tracks(np.array(NAMES, object), np.repeat([0, 1], 10), ("blues", "rock"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", groups=ARTISTS)


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., str]:
    """Write the CSV of a split; its path."""

    def write(text: str) -> str:
        path = tmp_path / "split.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def rows_of(column: str, *values: str) -> str:
    named = zip(NAMES, values, strict=False)
    return f"track_id,{column}\n" + "".join(f"{name},{value}\n" for name, value in named)


# What there is


def test_random_is_the_leaky_split_of_rows(store: Store, tracks: Tracks) -> None:
    found = choose_folds("random", store, tracks, 5)
    assert (found.name, found.leaky, found.of_track, found.tested) == ("random", True, None, (0,))


def test_by_track_deals_tracks(store: Store, tracks: Tracks) -> None:
    found = choose_folds("by-track", store, tracks, 5)
    assert found.of_track is not None
    assert np.array_equal(found.of_track, splits.folds(tracks, 5))
    assert (found.name, found.leaky, found.tested) == ("by-track", False, (0, 1, 2, 3, 4))
    assert found.ungrouped == 0
    parts = choose_parts("by-track", store, tracks, None)
    assert np.array_equal(parts.of_track, splits.parts(tracks))
    assert (parts.name, parts.ungrouped) == ("by-track", 0)


def test_by_group_keeps_groups_whole_and_takes_others_each_alone(
    store: Store, tracks: Tracks
) -> None:
    found = choose_folds("by-group:artist", store, tracks, 9)
    parts = choose_parts("by-group:artist", store, tracks, None)
    assert found.of_track is not None
    assert found.ungrouped == parts.ungrouped == 3
    # As if every track without an artist were of its own.
    artists = [ARTISTS.get(name) or name for name in NAMES]
    own = [artists.index(artist) for artist in artists]
    alone = Tracks(tracks.ids, tracks.labels, tracks.classes, np.array(own))
    assert np.array_equal(found.of_track, splits.folds(alone, 9))
    assert np.array_equal(parts.of_track, splits.parts(alone))
    for sides in (found.of_track, parts.of_track):
        for artist in set(artists):
            assert len({sides[i] for i, other in enumerate(artists) if other == artist}) == 1
    assert not found.leaky


def test_known_parts_are_kept_but_not_by_a_file(
    store: Store, tracks: Tracks, sheet: Callable[..., str]
) -> None:
    known = dict.fromkeys(NAMES[:3], splits.PARTS[TEST])
    parts = choose_parts("by-track", store, tracks, known)
    assert np.array_equal(parts.of_track, splits.parts(tracks, known))
    assert (parts.of_track[:3] == TEST).all()
    path = sheet(rows_of("set", *["train", "test"] * 10))
    parts = choose_parts(path, store, tracks, known)
    assert parts.of_track.tolist() == [TRAIN, TEST] * 10


def test_a_file_of_sets_names_tracks_by_their_tails(
    store: Store, tracks: Tracks, sheet: Callable[..., str]
) -> None:
    text = (
        "set,track_id,more\nTrain,blues.00,x\n test ,rock/rock.00.wav,\nvalidation,rock.01.wav,\n"
    )
    text += "train,rock.02,\n,rock.03,\ntrain,unknown,\nvalid,blues/blues.01,\n"
    path = sheet(text)
    parts = choose_parts(path, store, tracks, None)
    named = {0: TRAIN, 1: VALID, 10: TEST, 11: VALID, 12: TRAIN}
    expected = [named.get(i, OUTSIDE) for i in range(20)]
    assert parts.of_track.tolist() == expected
    assert (parts.name, parts.ungrouped) == (path, 0)
    folds = choose_folds(path, store, tracks, 5)
    assert folds.of_track is not None
    # A comparison stops nothing early: it learns from the validation part too.
    to_fold = {TEST: 0, TRAIN: 1, VALID: 1, OUTSIDE: OUTSIDE}
    assert folds.of_track.tolist() == [to_fold[code] for code in expected]
    assert (folds.tested, folds.leaky, folds.name) == ((0,), False, path)


def test_a_file_of_folds_tests_with_each(
    store: Store, tracks: Tracks, sheet: Callable[..., str]
) -> None:
    path = sheet(rows_of("test_fold", *(["b", "a", "10", "", "b"] * 4)))
    found = choose_folds(path, store, tracks, 5)
    assert found.of_track is not None
    assert found.of_track.tolist() == [2, 1, 0, OUTSIDE, 2] * 4
    assert (found.tested, found.leaky) == ((0, 1, 2), False)


def test_a_file_of_both_is_one_of_sets(
    store: Store, tracks: Tracks, sheet: Callable[..., str]
) -> None:
    sets = f"{NAMES[0]},1,train\n{NAMES[1]},1,test\n{NAMES[-1]},2,train\n"
    path = sheet(f"track_id,test_fold,set\n{sets}")
    assert choose_folds(path, store, tracks, 5).tested == (0,)


def test_as_many_tracks_or_groups_as_folds_will_do(store: Store, tracks: Tracks) -> None:
    found = choose_folds("by-track", store, tracks, 20)
    assert found.of_track is not None
    assert sorted(found.of_track.tolist()) == list(range(20))
    found = choose_folds("by-group:artist", store, tracks, 10)
    assert found.of_track is not None
    assert set(found.of_track.tolist()) == set(range(10))


# What is refused


def refused_folds(choice: str, store: Store, tracks: Tracks, k: int = 5) -> str:
    with pytest.raises(UsageError) as refusal:
        choose_folds(choice, store, tracks, k)
    return str(refusal.value)


def refused_parts(choice: str, store: Store, tracks: Tracks) -> str:
    with pytest.raises(UsageError) as refusal:
        choose_parts(choice, store, tracks, None)
    return str(refusal.value)


def test_training_by_rows_at_random_is_refused(store: Store, tracks: Tracks) -> None:
    said = refused_parts("random", store, tracks)
    for part in ("--split random is leaky", "Say by-track", "songmill compare"):
        assert part in said


@pytest.mark.parametrize("choice", ["by-group", "by-group:"])
def test_by_group_without_a_column_is_refused(store: Store, tracks: Tracks, choice: str) -> None:
    for said in (refused_folds(choice, store, tracks), refused_parts(choice, store, tracks)):
        assert "--split by-group needs the column" in said
        assert "by-group:artist" in said


@pytest.mark.parametrize("column", ["album", "label", "track_id", "ARTIST"])
def test_a_column_that_is_not_there_is_refused(store: Store, tracks: Tracks, column: str) -> None:
    choice = f"by-group:{column}"
    for said in (refused_folds(choice, store, tracks), refused_parts(choice, store, tracks)):
        for part in (
            f"--split {choice}",
            f"no column {column!r}",
            "columns are artist",
            "--labels",
        ):
            assert part in said


def test_groups_of_a_store_without_labels_are_refused(tmp_path: Path, tracks: Tracks) -> None:
    store = make_store(tmp_path / "bare")
    said = refused_folds("by-group:artist", store, tracks)
    for part in ("no column 'artist'", "no further column", "--labels"):
        assert part in said


@pytest.mark.parametrize(
    ("choice", "count"), [("by-track", "tracks are 20"), ("by-group:artist", "groups are 10")]
)
def test_fewer_tracks_or_groups_than_folds_are_refused(
    store: Store, tracks: Tracks, choice: str, count: str
) -> None:
    said = refused_folds(choice, store, tracks, 21)
    for part in (f"--split {choice}", count, "too few for 21 folds", "fewer --folds"):
        assert part in said


def test_a_file_that_is_not_there_is_refused_with_what_would_do(
    store: Store, tracks: Tracks, tmp_path: Path
) -> None:
    for choice in ("by-tracks", "by-groups:artist", str(tmp_path / "no.csv"), str(tmp_path)):
        for said in (refused_folds(choice, store, tracks), refused_parts(choice, store, tracks)):
            assert f"{choice} cannot be read" in said
            for part in (
                "--split takes",
                "random",
                "by-track",
                "by-group:COLUMN",
                "track_id and set",
            ):
                assert part in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track_id,fold\na,1\n", ["neither a column set", "test_fold", "names track_id, fold"]),
        ("name,set\na,train\n", ["no column track_id", "names name, set"]),
        ("", ["no column track_id", "nothing"]),
        ("track_id,set\n00.wav,train\n", ["none to learn from"]),
        (
            f"track_id,set\n{NAMES[0]},train\n{NAMES[1]},Training\n",
            ["'Training'", "train, valid, test"],
        ),
        (f"track_id,set\n{NAMES[0]},train\n{NAMES[0]},test\n", ["line 3", NAMES[0], "line 2"]),
        ("track_id,set\nx,train,\n", ["line 2", "3 values"]),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    store: Store, tracks: Tracks, sheet: Callable[..., str], text: str, said: list[str]
) -> None:
    path = sheet(text)
    refusal = refused_folds(path, store, tracks)
    assert path in refusal
    for part in said:
        assert part in refusal


def test_an_ambiguous_name_is_refused(store: Store, sheet: Callable[..., str]) -> None:
    names = np.array(["one/a.wav", "two/a.wav"], object)
    twins = Tracks(names, np.array([0, 1]), ("x", "y"))
    path = sheet("track_id,set\nx,train\na,test\n")
    for said in (refused_folds(path, store, twins), refused_parts(path, store, twins)):
        for part in (f"{path}, line 3", "'a'", "'one/a.wav'", "'two/a.wav'", "more of its path"):
            assert part in said


def test_a_split_by_folds_is_refused_for_training(
    store: Store, tracks: Tracks, sheet: Callable[..., str]
) -> None:
    path = sheet(rows_of("test_fold", "0", "1"))
    said = refused_parts(path, store, tracks)
    for part in (path, "has folds", "set: train, valid or test", "songmill compare"):
        assert part in said


@pytest.mark.parametrize(
    "text",
    [
        "track_id,set\nunknown,train\nstranger,test\n",
        rows_of("set", *["train"] * 20),
        rows_of("set", *["test"] * 20),
        rows_of("test_fold", *["0"] * 20),
        "track_id,test_fold\nunknown,1\nstranger,2\n",
    ],
)
def test_a_comparison_with_one_side_only_is_refused(
    store: Store, tracks: Tracks, sheet: Callable[..., str], text: str
) -> None:
    path = sheet(text)
    said = refused_folds(path, store, tracks)
    for part in (path, "to test with", "to learn from", "does it name these tracks?"):
        assert part in said


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["train"] * 20, "none of the 20 labelled tracks of the store for the part 'test'"),
        (["test"] * 20, "none of the 20 labelled tracks of the store for the part 'train'"),
        ([""] * 20, "the part 'train'"),
        (["train"] * 10 + ["test"] * 10, "leaves only one label to learn from"),
    ],
)
def test_a_training_with_one_side_only_is_refused(
    store: Store, tracks: Tracks, sheet: Callable[..., str], sets: list[str], said: str
) -> None:
    path = sheet(rows_of("set", *sets))
    refusal = refused_parts(path, store, tracks)
    assert f"--split {path}" in refusal
    assert said in refusal


def test_folds_that_leave_one_label_to_learn_from_are_refused(
    store: Store, tracks: Tracks, sheet: Callable[..., str]
) -> None:
    path = sheet(rows_of("test_fold", *(["1"] * 10 + ["2"] * 10)))
    assert "leaves only one label to learn from" in refused_folds(path, store, tracks)


def test_a_training_of_one_track_a_label_is_refused(store: Store) -> None:
    alone = Tracks(np.array(["a", "b"], object), np.array([0, 1]), ("x", "y"))
    said = refused_parts("by-track", store, alone)
    for part in ("the part 'test'", "none of the 2 labelled", "two tracks of a label"):
        assert part in said
