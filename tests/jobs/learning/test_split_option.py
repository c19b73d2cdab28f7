"""The values of ``--split``, and the errors for all others."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.made_stores import make_store

from jobs.errors import UsageError
from jobs.learning.split_option import OUTSIDE, Folds, choose_folds, choose_parts
from jobs.store.tables import Store
from training import splits
from training.splits import TEST, TRAIN, VALID, Part, Tracks

NAMES = [f"{genre}/{genre}.{i:02}.wav" for genre in ("blues", "rock") for i in range(10)]
TRACKS = Tracks(np.array(NAMES, object), np.repeat([0, 1], 10), ("blues", "rock"))

ARTISTS: dict[str, str | None] = {name: f"artist {i // 2 % 7}" for i, name in enumerate(NAMES)}
ARTISTS |= {NAMES[0]: None, NAMES[11]: None, "gone.wav": "artist 0"}
del ARTISTS[NAMES[5]]


@dataclass
class Chooser:
    """Splits the tracks of a store, or expects an error that contains some texts."""

    store: Store
    folder: Path
    tracks: Tracks = TRACKS

    def file(self, text: str) -> str:
        path = self.folder / "split.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def folds(self, choice: str, k: int = 5) -> Folds:
        return choose_folds(choice, self.store, self.tracks, k)

    def fold_of_tracks(self, choice: str, k: int = 5) -> np.ndarray:
        of_track = self.folds(choice, k).of_track
        assert of_track is not None
        return of_track

    def parts(self, choice: str, known: dict[str, Part] | None = None) -> tuple[np.ndarray, int]:
        return choose_parts(choice, self.store, self.tracks, known)

    def refuses_folds(self, choice: str, *texts: str, k: int = 5) -> None:
        with pytest.raises(UsageError) as refusal:
            self.folds(choice, k)
        assert [text for text in (choice, *texts) if text not in str(refusal.value)] == []

    def refuses_parts(self, choice: str, *texts: str) -> None:
        with pytest.raises(UsageError) as refusal:
            self.parts(choice)
        assert [text for text in (choice, *texts) if text not in str(refusal.value)] == []

    def refuses(self, choice: str, *texts: str) -> None:
        self.refuses_folds(choice, *texts)
        self.refuses_parts(choice, *texts)


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
    assert np.array_equal(chooser.fold_of_tracks("by-track"), splits.folds(TRACKS, 5))
    assert (found.name, found.leaky, found.tested) == ("by-track", False, (0, 1, 2, 3, 4))
    assert found.ungrouped == 0
    parts, ungrouped = chooser.parts("by-track")
    assert np.array_equal(parts, splits.parts(TRACKS))
    assert ungrouped == 0


def test_by_group_keeps_groups_whole_and_takes_others_each_alone(chooser: Chooser) -> None:
    of_track = chooser.fold_of_tracks("by-group:artist", 9)
    parts, ungrouped = chooser.parts("by-group:artist")
    assert chooser.folds("by-group:artist", 9).ungrouped == ungrouped == 3
    # The same as if each track without an artist had an artist of its own.
    artists = [ARTISTS.get(name) or name for name in NAMES]
    own = [artists.index(artist) for artist in artists]
    alone = Tracks(TRACKS.ids, TRACKS.labels, TRACKS.classes, np.array(own))
    assert np.array_equal(of_track, splits.folds(alone, 9))
    assert np.array_equal(parts, splits.parts(alone))
    for sides in (of_track, parts):
        for artist in set(artists):
            assert len({sides[i] for i, other in enumerate(artists) if other == artist}) == 1
    assert not chooser.folds("by-group:artist", 9).leaky


def test_known_parts_are_kept_but_not_by_a_file(chooser: Chooser) -> None:
    known = dict.fromkeys(NAMES[:3], splits.PARTS[TEST])
    parts, _ = chooser.parts("by-track", known)
    assert np.array_equal(parts, splits.parts(TRACKS, known))
    assert (parts[:3] == TEST).all()
    path = chooser.file(rows_of("set", *["train", "test"] * 10))
    assert chooser.parts(path, known)[0].tolist() == [TRAIN, TEST] * 10


def test_a_file_of_sets_names_tracks_by_their_aliases(chooser: Chooser) -> None:
    path = chooser.file(
        "set,track_id,more\nTrain,blues.00,x\n test ,rock/rock.00.wav,\nvalidation,rock.01.wav,\n"
        "train,rock.02,\n,rock.03,\ntrain,unknown,\nvalid,blues/blues.01,\n"
    )
    parts, ungrouped = chooser.parts(path)
    named = {0: TRAIN, 1: VALID, 10: TEST, 11: VALID, 12: TRAIN}
    expected = [named.get(i, OUTSIDE) for i in range(20)]
    assert (parts.tolist(), ungrouped) == (expected, 0)
    # A comparison does not stop early: it learns from the validation part too.
    to_fold = {TEST: 0, TRAIN: 1, VALID: 1, OUTSIDE: OUTSIDE}
    assert chooser.fold_of_tracks(path).tolist() == [to_fold[code] for code in expected]
    folds = chooser.folds(path)
    assert (folds.tested, folds.leaky, folds.name) == ((0,), False, path)


def test_a_file_of_folds_tests_with_each(chooser: Chooser) -> None:
    path = chooser.file(rows_of("test_fold", *(["b", "a", "10", "", "b"] * 4)))
    assert chooser.fold_of_tracks(path).tolist() == [2, 1, 0, OUTSIDE, 2] * 4
    assert (chooser.folds(path).tested, chooser.folds(path).leaky) == ((0, 1, 2), False)


def test_a_file_with_both_columns_uses_the_sets(chooser: Chooser) -> None:
    sets = f"{NAMES[0]},1,train\n{NAMES[1]},1,test\n{NAMES[-1]},2,train\n"
    assert chooser.folds(chooser.file(f"track_id,test_fold,set\n{sets}")).tested == (0,)


def test_as_many_tracks_or_groups_as_folds_will_do(chooser: Chooser) -> None:
    assert sorted(chooser.fold_of_tracks("by-track", 20).tolist()) == list(range(20))
    assert set(chooser.fold_of_tracks("by-group:artist", 10).tolist()) == set(range(10))


# Errors


def test_training_by_rows_at_random_is_refused(chooser: Chooser) -> None:
    chooser.refuses_parts("random", "--split random is leaky", "Use by-track", "songmill compare")


@pytest.mark.parametrize("choice", ["by-group", "by-group:"])
def test_by_group_without_a_column_is_refused(chooser: Chooser, choice: str) -> None:
    chooser.refuses(choice, "--split by-group needs the column", "by-group:artist")


@pytest.mark.parametrize("column", ["album", "label", "track_id", "ARTIST"])
def test_a_column_that_is_not_there_is_refused(chooser: Chooser, column: str) -> None:
    choice = f"by-group:{column}"
    texts = (f"--split {choice}", f"no column {column!r}", "columns are artist", "--labels")
    chooser.refuses(choice, *texts)


def test_groups_of_a_store_without_labels_are_refused(tmp_path: Path) -> None:
    chooser = Chooser(make_store(tmp_path / "bare"), tmp_path)
    chooser.refuses_folds("by-group:artist", "no column 'artist'", "no further column", "--labels")


@pytest.mark.parametrize(
    ("choice", "count"), [("by-track", "20 labelled"), ("by-group:artist", "10 labelled")]
)
def test_fewer_tracks_or_groups_than_folds_are_refused(
    chooser: Chooser, choice: str, count: str
) -> None:
    texts = (f"--split {choice}", count, "too few for 21 folds", "fewer --folds")
    chooser.refuses_folds(choice, *texts, k=21)


@pytest.mark.parametrize("choice", ["by-tracks", "by-groups:artist", "no.csv", ""])
def test_a_missing_file_is_refused_with_the_valid_choices(
    chooser: Chooser, tmp_path: Path, choice: str
) -> None:
    choice = choice if choice.startswith("by-") else str(tmp_path / choice)
    allowed = ("--split takes", "random", "by-track", "by-group:COLUMN", "track_id and set")
    chooser.refuses(choice, f"{choice} cannot be read", *allowed)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("track_id,fold\na,1\n", ["neither a column set", "test_fold", "names track_id, fold"]),
        ("name,set\na,train\n", ["no column track_id", "names name, set"]),
        ("", ["no column track_id", "nothing"]),
        ("track_id,set\n00.wav,train\n", ["none to learn from"]),
        (rows_of("set", "train", "Training"), ["'Training'", "train, valid, test"]),
        (f"track_id,set\n{NAMES[0]},train\n{NAMES[0]},test\n", ["line 3", NAMES[0], "line 2"]),
        ("track_id,set\nx,train,\n", ["line 2", "3 values"]),
        (rows_of("test_fold", *["1"] * 10, *["2"] * 10), ["only one label to learn from"]),
        *(
            (one_sided, ["to test with", "to learn from", "does it name these tracks?"])
            for one_sided in (
                "track_id,set\nunknown,train\nstranger,test\n",
                rows_of("set", *["train"] * 20),
                rows_of("set", *["test"] * 20),
                rows_of("test_fold", *["0"] * 20),
                "track_id,test_fold\nunknown,1\nstranger,2\n",
            )
        ),
    ],
)
def test_a_file_that_does_not_fit_a_comparison_is_refused(
    chooser: Chooser, text: str, texts: list[str]
) -> None:
    chooser.refuses_folds(chooser.file(text), *texts)


def test_an_ambiguous_name_is_refused(chooser: Chooser) -> None:
    names = np.array(["one/a.wav", "two/a.wav"], object)
    chooser.tracks = Tracks(names, np.array([0, 1]), ("x", "y"))
    path = chooser.file("track_id,set\nx,train\na,test\n")
    texts = ("'a'", "'one/a.wav'", "'two/a.wav'", "more of its path")
    chooser.refuses(path, f"{path}, line 3", *texts)


@pytest.mark.parametrize(
    ("column", "values", "texts"),
    [
        ("test_fold", ["0", "1"], ["has folds", "set: train, valid or test", "songmill compare"]),
        ("set", ["train"] * 20, ["none of the 20 labelled tracks of the store", "part 'test'"]),
        ("set", ["test"] * 20, ["none of the 20 labelled tracks of the store", "part 'train'"]),
        ("set", [""] * 20, ["--split", "the part 'train'"]),
        ("set", ["train"] * 10 + ["test"] * 10, ["leaves only one label to learn from"]),
    ],
)
def test_a_file_that_does_not_fit_a_training_is_refused(
    chooser: Chooser, column: str, values: list[str], texts: list[str]
) -> None:
    chooser.refuses_parts(chooser.file(rows_of(column, *values)), *texts)


def test_a_training_of_one_track_a_label_is_refused(chooser: Chooser) -> None:
    chooser.tracks = Tracks(np.array(["a", "b"], object), np.array([0, 1]), ("x", "y"))
    texts = ("the part 'test'", "none of the 2 labelled", "one label needs two tracks")
    chooser.refuses_parts("by-track", *texts)
