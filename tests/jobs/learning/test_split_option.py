"""The values of ``--split``, and the errors for all others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.made_stores import make_store, put

from jobs.errors import UsageError
from jobs.learning.split_option import OUTSIDE, Parts, choose_folds, choose_parts
from jobs.store.schemas import TAG, TAGS
from jobs.store.tables import Store
from training import splits
from training.splits import TEST, TRAIN, VALID, Part, Tracks

NAMES = [f"{genre}/{genre}.{i:02}.wav" for genre in ("blues", "rock") for i in range(10)]
TRACKS = Tracks(np.array(NAMES, object), np.repeat([0, 1], 10), ("blues", "rock"))

ARTISTS: dict[str, str | None] = {name: f"artist {i // 2 % 7}" for i, name in enumerate(NAMES)}
ARTISTS |= {NAMES[0]: None, NAMES[11]: None, "gone.wav": "artist 0"}
del ARTISTS[NAMES[5]]

FOLDS, PARTS = ("folds",), ("parts",)
BOTH = FOLDS + PARTS


@dataclass
class Chooser:
    """Splits the tracks of a store for a comparison (folds) or a training (parts)."""

    store: Store
    folder: Path
    tracks: Tracks = TRACKS

    def file(self, text: str) -> str:
        path = self.folder / "split.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def folds(self, choice: str, k: int = 5) -> Any:
        return choose_folds(choice, self.store, self.tracks, k)

    def parts(self, choice: str, known: dict[str, Part] | None = None) -> Parts:
        return choose_parts(choice, self.store, self.tracks, known)

    def refuses(self, choice: str, error: str, by: tuple[str, ...] = BOTH, k: int = 5) -> None:
        """Expect the same error of a comparison, a training or both; it names the choice."""
        for choose in by:
            with pytest.raises(UsageError, match=error) as refusal:
                self.folds(choice, k) if choose == "folds" else self.parts(choice)
            assert choice in str(refusal.value)


@pytest.fixture
def chooser(tmp_path: Path) -> Chooser:
    return Chooser(make_store(tmp_path / "store", groups=ARTISTS), tmp_path)


def rows_of(column: str, *values: str) -> str:
    named = zip(NAMES, values, strict=False)
    return f"track_id,{column}\n" + "".join(f"{name},{value}\n" for name, value in named)


# Splits


def test_random_is_the_leaky_split_of_rows(chooser: Chooser) -> None:
    found = chooser.folds("random")
    assert (found.name, found.leaky, found.of_track, found.tested) == ("random", True, None, (0,))


def test_by_track_deals_tracks(chooser: Chooser) -> None:
    found = chooser.folds("by-track")
    assert np.array_equal(found.of_track, splits.folds(TRACKS, 5))
    assert (found.name, found.leaky, found.tested) == ("by-track", False, (0, 1, 2, 3, 4))
    assert found.ungrouped == 0
    parts = chooser.parts("by-track")
    assert np.array_equal(parts.of_track, splits.parts(TRACKS))
    assert parts.ungrouped == 0


def test_by_group_keeps_groups_whole_and_takes_others_each_alone(chooser: Chooser) -> None:
    found = chooser.folds("by-group:artist", 9)
    parts = chooser.parts("by-group:artist")
    assert found.ungrouped == parts.ungrouped == 3
    assert not found.leaky
    # The same as if each track without an artist had an artist of its own.
    artists = [ARTISTS.get(name) or name for name in NAMES]
    own = [artists.index(artist) for artist in artists]
    alone = Tracks(TRACKS.ids, TRACKS.labels, TRACKS.classes, np.array(own))
    assert np.array_equal(found.of_track, splits.folds(alone, 9))
    assert np.array_equal(parts.of_track, splits.parts(alone))
    for sides in (found.of_track, parts.of_track):
        for artist in set(artists):
            assert len({sides[i] for i, other in enumerate(artists) if other == artist}) == 1


def test_known_parts_are_kept_but_not_by_a_file(chooser: Chooser) -> None:
    known = dict.fromkeys(NAMES[:3], splits.PARTS[TEST])
    parts = chooser.parts("by-track", known).of_track
    assert np.array_equal(parts, splits.parts(TRACKS, known))
    assert (parts[:3] == TEST).all()
    path = chooser.file(rows_of("set", *["train", "test"] * 10))
    assert chooser.parts(path, known).of_track.tolist() == [TRAIN, TEST] * 10


def test_a_file_of_sets_names_tracks_by_their_aliases(chooser: Chooser) -> None:
    path = chooser.file(
        "set,track_id,more\nTrain,blues.00,x\n test ,rock/rock.00.wav,\nvalidation,rock.01.wav,\n"
        "train,rock.02,\n,rock.03,\ntrain,unknown,\nvalid,blues/blues.01,\n"
    )
    parts = chooser.parts(path)
    named = {0: TRAIN, 1: VALID, 10: TEST, 11: VALID, 12: TRAIN}
    expected = [named.get(i, OUTSIDE) for i in range(20)]
    assert (parts.of_track.tolist(), parts.ungrouped) == (expected, 0)
    # A comparison does not stop early: it learns from the validation part too.
    to_fold = {TEST: 0, TRAIN: 1, VALID: 1, OUTSIDE: OUTSIDE}
    folds = chooser.folds(path)
    assert folds.of_track.tolist() == [to_fold[code] for code in expected]
    assert (folds.tested, folds.leaky, folds.name) == ((0,), False, path)


def test_a_file_of_folds_tests_with_each(chooser: Chooser) -> None:
    folds = chooser.folds(chooser.file(rows_of("test_fold", *(["b", "a", "10", "", "b"] * 4))))
    assert folds.of_track.tolist() == [2, 1, 0, OUTSIDE, 2] * 4
    assert (folds.tested, folds.leaky) == ((0, 1, 2), False)


def test_a_file_with_both_columns_uses_the_sets(chooser: Chooser) -> None:
    sets = f"{NAMES[0]},1,train\n{NAMES[1]},1,test\n{NAMES[-1]},2,train\n"
    assert chooser.folds(chooser.file(f"track_id,test_fold,set\n{sets}")).tested == (0,)


def test_as_many_tracks_or_groups_as_folds_will_do(chooser: Chooser) -> None:
    assert sorted(chooser.folds("by-track", 20).of_track.tolist()) == list(range(20))
    assert set(chooser.folds("by-group:artist", 10).of_track.tolist()) == set(range(10))


# Errors


@pytest.mark.parametrize(
    ("choice", "error", "by"),
    [
        ("random", "--split random is leaky.* Use by-track.*songmill compare", PARTS),
        ("by-group", "--split by-group needs the column .*by-group:artist", BOTH),
        ("by-group:", "--split by-group needs the column .*by-group:artist", BOTH),
        ("by-group:album", "neither the labels nor the tags .*'album'.*--labels", BOTH),
        ("by-track", "--split by-track: 20 labelled .* few for 21 folds.* fewer --folds", FOLDS),
        ("by-group:artist", "10 labelled groups are too few for 21 folds.* fewer --folds", FOLDS),
        *(
            (f"by-group:{column}", f"no column '{column}': its columns are artist.*--labels", BOTH)
            for column in ("studio", "label", "track_id", "ARTIST")
        ),
    ],
)
def test_splits_that_do_not_fit_are_refused(
    chooser: Chooser, choice: str, error: str, by: tuple[str, ...]
) -> None:
    chooser.refuses(choice, error, by, k=21)


def test_groups_of_a_store_without_labels_are_refused(tmp_path: Path) -> None:
    chooser = Chooser(make_store(tmp_path / "bare"), tmp_path)
    chooser.refuses("by-group:studio", "no column 'studio': it has no further column.*--labels")
    chooser.refuses("by-group:artist", "neither the labels nor the tags .*'artist'")


def test_tags_are_groups_where_the_labels_have_no_such_column(
    chooser: Chooser, tmp_path: Path
) -> None:
    bare = Chooser(make_store(tmp_path / "bare"), tmp_path)
    tags = [{"track_id": track, "artist": artist} for track, artist in ARTISTS.items()]
    put(bare.store, TAGS, tags, TAG)
    for choose in (Chooser.folds, Chooser.parts):
        by_tag, by_column = choose(bare, "by-group:artist"), choose(chooser, "by-group:artist")
        assert by_tag.of_track.tolist() == by_column.of_track.tolist()
        assert by_tag.ungrouped == by_column.ungrouped == 3
    put(chooser.store, TAGS, [tag | {"artist": "one"} for tag in tags], TAG)
    assert chooser.parts("by-group:artist").of_track.tolist() == by_column.of_track.tolist()


@pytest.mark.parametrize("choice", ["by-tracks", "by-groups:artist", "/no/where.csv", "/"])
def test_a_missing_file_is_refused_with_the_valid_choices(chooser: Chooser, choice: str) -> None:
    allowed = "by-track, by-group:COLUMN, .*track_id and set.* random"
    chooser.refuses(choice, f"{choice} cannot be read.*--split takes {allowed}")


ONE_SIDED = [
    "track_id,set\nunknown,train\nstranger,test\n",
    rows_of("set", *["train"] * 20),
    rows_of("set", *["test"] * 20),
    rows_of("test_fold", *["0"] * 20),
    "track_id,test_fold\nunknown,1\nstranger,2\n",
]
ABSENT = "none of the 20 labelled tracks of the store for the part"


@pytest.mark.parametrize(
    ("text", "error", "by"),
    [
        ("track_id,fold\na,1\n", "neither a column set .*test_fold.* names track_id, fold", BOTH),
        ("name,set\na,train\n", "no column track_id.* names name, set", BOTH),
        ("", "no column track_id.*nothing", BOTH),
        ("track_id,set\n00.wav,train\n", "none to learn from", FOLDS),
        (rows_of("set", "train", "Training"), "'Training'.* train, valid, test", BOTH),
        (f"track_id,set\n{NAMES[0]},train\n{NAMES[0]},test\n", f"line 3.*{NAMES[0]}.*line 2", BOTH),
        ("track_id,set\nx,train,\n", "line 2.*3 values", BOTH),
        (rows_of("test_fold", *["1"] * 10, *["2"] * 10), "only one label to learn from", FOLDS),
        *((one, "to test with, .* to learn from: does it name these", FOLDS) for one in ONE_SIDED),
        (
            rows_of("test_fold", "0", "1"),
            "has folds.*train, valid or test.*songmill compare",
            PARTS,
        ),
        (rows_of("set", *["train"] * 20), f"--split .* {ABSENT} 'test'", PARTS),
        (rows_of("set", *["test"] * 20), f"--split .* {ABSENT} 'train'", PARTS),
        (rows_of("set", *[""] * 20), f"--split .* {ABSENT} 'train'", PARTS),
        (rows_of("set", *["train"] * 10, *["test"] * 10), "leaves only one label to learn", PARTS),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    chooser: Chooser, text: str, error: str, by: tuple[str, ...]
) -> None:
    chooser.refuses(chooser.file(text), error, by)


def test_an_ambiguous_name_is_refused(chooser: Chooser) -> None:
    names = np.array(["one/a.wav", "two/a.wav"], object)
    chooser.tracks = Tracks(names, np.array([0, 1]), ("x", "y"))
    path = chooser.file("track_id,set\nx,train\na,test\n")
    chooser.refuses(path, "line 3.*'a'.*'one/a.wav'.*'two/a.wav'.*more of its path")


def test_a_training_of_one_track_a_label_is_refused(chooser: Chooser) -> None:
    chooser.tracks = Tracks(np.array(["a", "b"], object), np.array([0, 1]), ("x", "y"))
    error = "none of the 2 labelled .* the part 'test'.*one label needs two tracks"
    chooser.refuses("by-track", error, PARTS)
