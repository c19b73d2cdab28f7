"""Labels of tracks, and the store's table ``labels``."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pytest
from support.made_listings import listing_of
from support.made_stores import make_store

from jobs.errors import UsageError
from jobs.inputs import labels
from jobs.inputs.labels import Labels, label_tracks, warn_of_few_tracks
from jobs.inputs.listing import Listing
from jobs.inputs.sources import SourceFile
from jobs.store.address import lock_of
from jobs.store.commit import Change, commit
from jobs.store.tables import Store
from jobs.store.track_names import aliases, matching_tracks

Read = Callable[..., Labels]
ReadLabels = Callable[..., dict[str, str | None]]

TRACKS = ["blues/blues.00000.wav", "blues/blues.00001.wav", "jazz/jazz.00000.wav"]


def listing(*track_ids: str, root: str = "/music") -> Listing:
    return listing_of(SourceFile(t, f"{root}/{t}", root, f"{root}/{t}", 1, 1) for t in track_ids)


def labels_of(choice: str, listing: Listing) -> dict[str, str | None]:
    label_tracks(choice, listing)
    found = listing.database.execute("SELECT track_id, label FROM labelled ORDER BY track_id")
    return dict(found.fetchall())


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Write a CSV, and return its path."""

    def write(text: str | bytes) -> str:
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write


@pytest.fixture
def read(csv: Callable[[str | bytes], str]) -> Read:
    """Match tracks to the rows of a CSV of these bytes."""

    def read_csv(text: str | bytes, *track_ids: str) -> Labels:
        return label_tracks(csv(text), listing(*(track_ids or TRACKS)))

    return read_csv


@pytest.fixture
def read_labels(csv: Callable[[str | bytes], str]) -> ReadLabels:
    """Label tracks by a CSV of these bytes."""

    def read_csv(text: str | bytes, *track_ids: str) -> dict[str, str | None]:
        return labels_of(csv(text), listing(*(track_ids or TRACKS)))

    return read_csv


# Without a CSV


def test_none_gives_every_track_no_label() -> None:
    assert labels_of("none", listing(*TRACKS)) == dict.fromkeys(TRACKS)
    assert label_tracks("none", listing(*TRACKS)).table is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/music/blues/a.wav", "blues"),
        ("/music/a.wav", "music"),
        ("/a.wav", None),
        ("s3://bucket/rock/a.wav", "rock"),
        ("s3://bucket/a.wav", "bucket"),
        ("/music/\N{GUITAR} \n'\"/a.wav", "\N{GUITAR} \n'\""),
    ],
)
def test_parent_is_the_folder_that_the_file_lies_in(uri: str, expected: str | None) -> None:
    # Also if the track_id, which starts at the source, does not contain the folder.
    found = listing_of([SourceFile("a.wav", uri, "s", uri, 1, 1)])
    assert labels_of("parent", found) == {"a.wav": expected}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("folder:1", ["jazz", "rock", None]),
        ("folder:2", ["CD 1", None, None]),
        ("folder:3", [None, None, None]),
    ],
)
def test_a_folder_below_the_source_is_counted_from_the_source(
    choice: str, expected: list[str | None]
) -> None:
    tracks = ["jazz/CD 1/a.wav", "rock/a.wav", "loose.wav"]
    found = labels_of(choice, listing(*tracks, root="/music/of/mine"))
    assert found == dict(zip(tracks, expected, strict=True))


@pytest.mark.parametrize(
    "choice", ["folder:0", "folder:-1", "folder:", "folder:x", "folder:²", "tag:", "tag:year"]
)
def test_folders_and_tags_that_do_not_exist_are_refused(choice: str) -> None:
    with pytest.raises(UsageError, match=f"--labels {choice}: .*(folder:1|tag:genre)"):
        label_tracks(choice, listing(*TRACKS))


# With a CSV


@pytest.mark.parametrize(
    "tail",
    ["blues/blues.00000.wav", "blues/blues.00000", "blues.00000.wav", "blues.00000"],
)
def test_any_unambiguous_alias_names_a_track(
    read: Read, read_labels: ReadLabels, tail: str
) -> None:
    text = f"track_id,label\n{tail},sad\n"
    assert read_labels(text)[TRACKS[0]] == "sad"
    found = read(text)
    assert found.table.to_pylist() == [{"track_id": TRACKS[0], "label": "sad"}]


@pytest.mark.parametrize("part", ["00000.wav", "s/blues.00000.wav", "blues", "blues/", "wav"])
def test_a_part_of_a_name_is_no_alias(read: Read, part: str) -> None:
    found = read(f"track_id,label\n{part},sad\n")
    assert (found.table.num_rows, len(found.unmatched)) == (0, 1)


def test_aliases_of_a_deep_path_with_dots() -> None:
    assert aliases("a.b/c/d.e.flac") == [
        *("a.b/c/d.e.flac", "a.b/c/d.e", "c/d.e.flac", "c/d.e", "d.e.flac", "d.e"),
    ]
    assert aliases("a/b") == ["a/b", "b"]


@pytest.mark.parametrize(
    ("name", "tracks"), [("a.wav", ["one/a.wav", "two/a.wav"]), ("a", ["a.wav", "a.flac"])]
)
def test_an_alias_of_two_tracks_is_refused_with_its_line_and_both(
    read: Read, name: str, tracks: list[str]
) -> None:
    with pytest.raises(UsageError) as refusal:
        read(f"track_id,label\nb.wav,x\n{name},y\n", *tracks, "b.wav")
    for part in ("line 3", "Write more of its path", *map(repr, [name, *tracks])):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "tracks", "expected"),
    [
        # The whole track_id takes precedence over the end of another one.
        ("track_id,label\na.wav,y\n", ["a.wav", "one/a.wav"], ["y", None]),
        # One name in two formats, told apart by the suffix.
        ("track_id,label\na.wav,x\na.flac,y\n", ["a.wav", "a.flac"], ["x", "y"]),
        # An empty cell.
        ("track_id,label\na,\nb,x\n", ["a.wav", "b.wav"], [None, "x"]),
    ],
)
def test_a_csv_labels_the_tracks_that_it_names(
    read_labels: ReadLabels, text: str, tracks: list[str], expected: list[str | None]
) -> None:
    assert read_labels(text, *tracks) == dict(zip(tracks, expected, strict=True))


def test_further_columns_are_kept_in_any_order_and_other_rows_counted(read: Read) -> None:
    found = read("artist,label,track_id\nA,x,blues.00000\nB,,jazz.00000\nC,y,rock.00000\nD,z,\n")
    assert found.table.to_pylist() == [
        {"artist": "A", "label": "x", "track_id": TRACKS[0]},
        {"artist": "B", "label": None, "track_id": TRACKS[2]},
    ]
    assert len(found.unmatched) == 2


def test_names_are_compared_in_one_normal_form(read: Read, read_labels: ReadLabels) -> None:
    composed, decomposed = "caf\xe9.wav", "cafe\u0301.wav"
    for name, track in ((composed, decomposed), (decomposed, composed)):
        found = read(f"track_id,label\n{name},x\n", f"pop/{track}", "b.wav")
        assert found.table.to_pylist() == [{"track_id": f"pop/{track}", "label": "x"}]
        tracks = pa.chunked_array([["b.wav", f"pop/{track}"]])
        assert matching_tracks(tracks, name.removesuffix(".wav")) == [1]
    both = f"track_id,label\n{decomposed},x\n{composed},y\n"
    assert read_labels(both, composed, decomposed) == {composed: "y", decomposed: "x"}


def test_two_rows_of_one_track_are_refused_with_both_lines(read: Read) -> None:
    with pytest.raises(UsageError, match=r"line 4: .*blues\.00000\.wav.* in line 2"):
        read("track_id,label\nblues.00000,x\njazz.00000,x\nblues/blues.00000,x\n")


@pytest.mark.parametrize(
    "text",
    [
        "\ufefftrack_id,label\nblues.00000,x\n",
        "track_id,label\r\nblues.00000,x\r\n",
        "track_id,label\nblues.00000,x",
        "\n\ntrack_id,label\n\nblues.00000,x\n\n".lstrip("\n"),
        '"track_id","label"\n"blues.00000","x"\n',
    ],
)
def test_csvs_of_spreadsheets_are_read(read: Read, text: str) -> None:
    found = read(text)
    assert found.table.to_pylist() == [{"track_id": TRACKS[0], "label": "x"}]
    assert not found.unmatched


def test_a_cell_may_hold_newlines_quotes_and_commas(read_labels: ReadLabels) -> None:
    name = 'a\n"b", \N{GUITAR}.wav'
    quoted = '"' + name.replace('"', '""') + '"'
    found = read_labels(f'track_id,label\n{quoted},"two\r\nlines, ""quoted"""\n', name)
    assert found == {name: 'two\r\nlines, "quoted"'}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", ["no column track_id and no column label", "nothing"]),
        (b"track_id;label\na;b\n", ["no column track_id", "track_id;label"]),
        (b"file,label\na,b\n", ["no column track_id", "file, label"]),
        (b"track_id,genre\na,b\n", ["no column label", "track_id, genre"]),
        (b"track_id,label,label\na,b,c\n", ["a column twice"]),
        (b"track_id,label\nblues.00000,b\njazz.00000\n", ["line 3", "2 columns"]),
        (b"track_id,label\nblues.00000,b,c\n", ["line 2", "2 columns"]),
        (b"track_id,label\nblues.00000,caf\xe9\n", ["not a CSV in UTF-8"]),
        ("track_id,label\na,b\n".encode("utf-16"), ["not a CSV in UTF-8"]),
        (b"track_id,label\na,b\0c\n", ["null character", "line 2"]),
        (b'track_id,label\n"a"b,c\n', ["not a CSV in UTF-8"]),
        (b'track_id,label\n"a,b\n', ["not a CSV in UTF-8"]),
    ],
)
def test_a_csv_that_is_not_as_it_should_be_is_refused(
    read: Read, tmp_path: Path, text: bytes, error: list[str]
) -> None:
    with pytest.raises(UsageError) as refusal:
        read(text)
    for part in (str(tmp_path / "labels.csv"), *error):
        assert part in str(refusal.value)


def test_a_missing_csv_is_refused_with_the_valid_choices(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path, Path("parents")):
        with pytest.raises(UsageError) as refusal:
            label_tracks(str(path), listing(*TRACKS))
        assert str(path) in str(refusal.value)
        assert "parent, folder:N, tag:NAME, none or a CSV" in str(refusal.value)


# Tracks with labels


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("track_id,artist\nb,B\n", [{"track_id": "b.wav", "artist": "B"}]),
        ("track_id,label\nb,z\n", [{"track_id": "b.wav", "label": "z"}]),
        ("track_id,label\nb,\n", [{"track_id": "b.wav", "label": None}]),
    ],
)
def test_rows_keep_the_columns_of_the_csv(
    csv: Callable[[str | bytes], str], text: str, table: list[dict[str, str | None]]
) -> None:
    sheet = labels.read_sheet(csv(text), required=("track_id",), expected="a CSV")
    assert labels.match(sheet, ["a.wav", "b.wav"]).table.to_pylist() == table


# The table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def put(store: Store, found: Labels, tracks: list[str] | None = None) -> Change:
    change = Change()
    table = [] if found.table is None else found.table["track_id"].to_pylist()
    replaced = pa.array([*table, *(tracks or [])], pa.string())
    labels.stage(store, change, found, lambda column: pc.is_in(column, value_set=replaced))
    with lock_of(store.storage) as lock:
        commit(lock, change)
    return change


def rows(store: Store) -> list[dict[str, str | None]]:
    """Read the table with PyArrow, pandas and DuckDB, which must agree."""
    folder = store.storage.path("labels")
    table = pyarrow.dataset.dataset(folder).to_table()
    expected = table.sort_by("track_id").to_pylist()
    frame = pd.read_parquet(folder).sort_values("track_id")
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == expected
    found = duckdb.sql(f"SELECT * FROM '{folder}/*.parquet' ORDER BY track_id")
    assert [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()] == expected
    return expected


def csv_of(text: str) -> Labels:
    """The rows of a CSV that names all tracks of the run."""
    columns, *values = (line.split(",") for line in text.split())
    rows = [dict(zip(columns, (value or None for value in row), strict=True)) for row in values]
    table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in columns]))
    return Labels(table)


def test_there_is_no_table_without_a_csv(store: Store) -> None:
    assert put(store, Labels(), TRACKS) == Change()


def test_the_table_holds_every_column_and_stays_when_nothing_changed(store: Store) -> None:
    found = csv_of("track_id,label,artist b,x,B a,,A")
    assert put(store, found) != Change()
    assert rows(store) == [
        {"track_id": "a", "label": None, "artist": "A"},
        {"track_id": "b", "label": "x", "artist": "B"},
    ]
    assert put(store, found) == Change()


def test_columns_may_change_and_readers_see_the_new_ones(store: Store) -> None:
    put(store, csv_of("track_id,label,artist a,x,A"))
    put(store, csv_of("track_id,label,year a,x,1969"))
    assert rows(store) == [{"track_id": "a", "label": "x", "year": "1969"}]
    put(store, csv_of("track_id,label,artist,year a,x,A,1969"))
    assert rows(store) == [{"track_id": "a", "label": "x", "artist": "A", "year": "1969"}]


def test_rows_of_tracks_that_this_run_does_not_list_stay(store: Store) -> None:
    put(store, csv_of("track_id,label,artist a,x,A"))
    put(store, csv_of("track_id,label,year b,y,1969"))
    assert rows(store) == [
        {"track_id": "a", "label": "x", "artist": "A", "year": None},
        {"track_id": "b", "label": "y", "artist": None, "year": "1969"},
    ]


def test_a_table_may_have_no_labels(store: Store) -> None:
    found = csv_of("track_id,artist a,A")
    assert put(store, found) != Change()
    assert rows(store) == [{"track_id": "a", "artist": "A"}]
    assert put(store, found) == Change()
    put(store, csv_of("track_id,label b,y"))
    assert rows(store) == [
        {"track_id": "a", "artist": "A", "label": None},
        {"track_id": "b", "artist": None, "label": "y"},
    ]


def test_rows_leave_with_their_tracks_and_with_the_csv(store: Store) -> None:
    put(store, csv_of("track_id,label a,x b,y c,z"))
    put(store, Labels(), ["a", "b"])
    assert rows(store) == [{"track_id": "c", "label": "z"}]
    put(store, Labels(), ["c"])
    assert rows(store) == []


# Labels with few tracks

ALBUMS = "Are they albums? Name genres with --labels FILE.csv (columns track_id and label)"
OF_TWO = f"most of the 40 labels have fewer than 20 tracks, such as 'l00' (2). {ALBUMS}"
LONG = f"most of the 20 labels have fewer than 20 tracks, such as 'l00' (19). {ALBUMS}"
FEW = (
    "labels with fewer than 5 tracks: 3 of 5, such as 'l03' (3). Their scores say little: add "
    "tracks, or join labels with --labels FILE.csv (columns track_id and label)"
)


@pytest.mark.parametrize(
    ("sizes", "folds", "expected"),
    [
        ([2] * 40, 5, [OF_TWO]),
        ([2] * 40, None, [OF_TWO]),
        ([19] * 11 + [500] * 9, None, [LONG]),
        ([19] * 9 + [500] * 11, 5, []),
        ([19] * 19, 5, []),
        ([100, 4, 5, 3, 3], 5, [FEW]),
        ([100, 4, 5, 3, 3], None, []),
        ([5, 5], 5, []),
        ([], 5, []),
    ],
)
def test_labels_that_look_like_albums_or_have_fewer_tracks_than_folds(
    sizes: list[int], folds: int | None, expected: list[str]
) -> None:
    warnings: list[str] = []
    counts = {f"l{i:02}": size for i, size in enumerate(sizes)}
    warn_of_few_tracks(counts, warnings.append, folds)
    assert warnings == expected
