"""Import of published tables, compared with the csv module reading the same files."""

import csv
import itertools
import json
import math
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, Mock

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from pyarrow import csv as arrow_csv
from support.command_line import Command
from support.made_stores import put

from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.extraction import import_features
from jobs.extraction.import_features import ImportOutcome
from jobs.reporting.verify import verify
from jobs.stage import Session
from jobs.store import commit
from jobs.store.address import lock_of
from jobs.store.folder import Folder
from jobs.store.schemas import (
    FILES,
    SEGMENT,
    SEGMENTS,
    TRACK,
    TRACKS,
    features_folder,
    features_schema,
)
from jobs.store.tables import Settings, open_store, open_to_write

GTZAN = feature_set("gtzan")

STORE = Path("store")

COLUMNS = ["filename", "length", *GTZAN.names, "label"]

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let relative paths, such as that of the store, be in the test's own folder."""
    monkeypatch.chdir(tmp_path)


# Helpers: CSVs in, rows of the store out


def row(filename: str, label: str = "blues", **values: Any) -> Row:
    """A row of a table, with features that no other filename has."""
    numbers = random.Random(filename)
    features = {name: repr(numbers.uniform(-1e3, 1e3)) for name in GTZAN.names}
    return {"filename": filename, "length": "66149", **features, "label": label, **values}


def write(name: str, *rows: Row | str, columns: list[str] = COLUMNS) -> Path:
    """Write a table of rows, or of filenames with random features."""
    with open(name, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(row(known) if isinstance(known, str) else known for known in rows)
    return Path(name).absolute()


def write_labels(text: str) -> Path:
    Path("labels.csv").write_text(text)
    return Path("labels.csv").absolute()


def do(*tables: Path, labels: Path | None = None) -> ImportOutcome:
    """Import CSVs into the store."""
    return import_features.import_features(
        [str(path) for path in tables], store=str(STORE), labels=labels and str(labels)
    )


def assert_refused(*tables: Path, labels: Path | None = None, error: list[str]) -> None:
    """Check that an import writes nothing, and that its error has all these parts."""
    before = state()
    with pytest.raises(UsageError) as refusal:
        do(*tables, labels=labels)
    assert STORE.exists() == bool(before)
    assert state() == before
    for part in error:
        assert part in str(refusal.value)


def state() -> dict[Path, tuple[int, ...]]:
    """Inodes, sizes and times of all files of the store, which any write changes."""
    found = {path: path.stat() for path in STORE.rglob("*")}
    return {path: (s.st_ino, s.st_size, s.st_mtime_ns) for path, s in found.items()}


def read(name: str) -> list[Row]:
    """Read a table with PyArrow alone, sorted by its unique keys."""
    if not (STORE / name).is_dir():
        return []
    found = pyarrow.dataset.dataset(STORE / name).to_table().to_pylist()
    rows = {(known["track_id"], known.get("segment", 0)): known for known in found}
    assert len(rows) == len(found)
    return [rows[key] for key in sorted(rows)]


def labels_of_tracks() -> dict[str, set[str | None]]:
    """The labels of each track in both tables."""
    found: dict[str, set[str | None]] = {}
    for known in read(TRACKS) + read(SEGMENTS):
        found.setdefault(known["track_id"], set()).add(known["label"])
    return found


def content() -> dict[str, list[Row]]:
    """Rows of the store, without times and run ids."""
    tables = {name: read(name) for name in (TRACKS, SEGMENTS, "files", "labels")}
    for known in tables["files"]:
        del known["extracted_at"], known["run_id"]
    return tables


def expected(*paths: Path, names: Callable[[str], Row]) -> list[Row]:
    """Expected rows of a table, read by the csv module; ``names`` parses a filename."""
    rows = []
    for path in paths:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cells in csv.DictReader(file):
                known = {"label": cells["label"] or None, "length": int(cells["length"])}
                features = {name: float(cells[name]) for name in GTZAN.names}
                rows.append({**names(cells["filename"]), **known, **features})
    return sorted(rows, key=lambda found: (found["track_id"], found.get("segment")))


def track_name(filename: str) -> Row:
    return {"track_id": filename}


def segment_name(filename: str) -> Row:
    *track, number, suffix = filename.split(".")
    n = int(number)
    return {"track_id": ".".join([*track, suffix]), "segment": n, "start_s": 66150 * n / 22050}


# The published tables


def test_the_published_tables_become_the_stores_to_the_bit(shared_data: Path) -> None:
    began, gtzan = datetime.now(UTC), shared_data / "gtzan"
    paths = (gtzan / "features_3_sec.csv", gtzan / "features_30_sec.csv")
    outcome = do(*paths, labels=gtzan / "splits" / "artists.csv")
    assert (outcome.listed, outcome.tracks, outcome.segments) == (1000, 1000, 9712)
    assert outcome.unlabelled == 0
    assert 0 < outcome.seconds < 10

    assert read(TRACKS) == expected(paths[1], names=track_name)
    assert read(SEGMENTS) == expected(paths[0], names=segment_name)
    for name, schema in ((TRACKS, TRACK), (SEGMENTS, SEGMENT), ("files", FILES)):
        assert pyarrow.dataset.dataset(STORE / name).schema == schema

    with (gtzan / "splits" / "artists.csv").open(encoding="utf-8", newline="") as file:
        sheet = {f"{cells['track_id']}.wav": cells for cells in csv.DictReader(file)}
    assert read("labels") == [
        {"track_id": track, "artist": cells["artist"] or None, "title": cells["title"] or None}
        for track, cells in sorted(sheet.items())
    ]

    files = read("files")
    assert len(files) == 1000
    for known, track in zip(files, read(TRACKS), strict=True):
        assert began <= known.pop("extracted_at") <= datetime.now(UTC)
        assert known == {
            **dict.fromkeys(["bytes", "modified", "error", "message", "channels"]),
            "track_id": track["track_id"],
            "uri": f"{paths[1]}#{track['track_id']}",
            "source": str(paths[1]),
            "status": "ok",
            "duration_s": track["length"] / 22050,
            "sample_rate": 22050,
            "run_id": outcome.run_id,
        }
    settings = json.loads((STORE / "store.json").read_text())
    del settings["checksum"]
    assert settings == {"format": 1, "feature_set": GTZAN.version, "segment_seconds": 3.0}
    (run,) = pyarrow.dataset.dataset(STORE / "runs").to_table().to_pylist()
    named = [run[name] for name in ("run_id", "stage", "outcome", "message")]
    assert named == [outcome.run_id, "import", "done", None]
    counts = [run[name] for name in ("listed", "extracted", "segments", "failed", "gone")]
    assert counts == [1000, 1000, 9712, 0, 0]


def test_the_segment_table_takes_about_a_second(shared_data: Path) -> None:
    # Quadratic or value-by-value code takes more than three.
    began = time.process_time()
    do(shared_data / "gtzan" / "features_3_sec.csv")
    assert time.process_time() - began < 3


# Numbers


def test_numbers_are_the_nearest_doubles() -> None:
    random_ = random.Random(0)
    texts = ["0", "-0.0", "+1", "1.", ".5", "1E5", "5e-324", "1e-400", "1.7976931348623157e308"]
    texts += ["9007199254740993", "2.2250738585072011e-308", "0.1000000000000000055511151231257827"]
    for _ in range(4000):
        digits = "".join(random_.choices("0123456789", k=random_.randint(1, 25)))
        exponent = random_.randint(-330, 280)
        texts.append(f"{random_.choice(['', '-'])}{digits[0]}.{digits[1:]}e{exponent}")
    per_row = len(GTZAN.names)
    rows = []
    for i in range(0, len(texts) // per_row * per_row, per_row):
        values = dict(zip(GTZAN.names, texts[i : i + per_row], strict=True))
        rows.append(row(f"{i:05}.wav", **values))
    do(write("t.csv", *rows))
    found = [known[name] for known in read(TRACKS) for name in GTZAN.names]
    assert len(found) > 3900
    for text, value in zip(texts, found, strict=False):
        assert value.hex() == float(text).hex(), text


NOT_FINITE = [
    *("", " ", "x", "nan", "NaN", "NA", "null", "inf", "-Infinity", "1e400", "-1e999"),
    *("1,5", "1_000", "0x10", " 1", "1 ", "--1", "1e", "\N{ARABIC-INDIC DIGIT ONE}", "True"),
]
NOT_A_LENGTH = ["", "0", "-1", "66149.5", "nan", "inf", "1e300", "long"]


@pytest.mark.parametrize(
    ("column", "text", "needed"),
    [
        *(("tempo", text, "finite number") for text in NOT_FINITE),
        *(("length", text, "positive whole number (samples)") for text in NOT_A_LENGTH),
    ],
)
def test_an_invalid_number_is_refused_with_its_line(column: str, text: str, needed: str) -> None:
    # Line 4 is wrong too, also in an earlier column: the error names the first row.
    rows = (row("b.wav", **{column: text}), row("c.wav", chroma_stft_mean="x", tempo=""))
    path = write("t.csv", "a.wav", *rows)
    assert_refused(path, error=[f"{path}, line 3 (b.wav)", f"{column} is {text!r}", needed])


def test_a_length_may_be_written_as_pandas_does_beside_gaps() -> None:
    do(write("t.csv", row("a.wav", length="661794.0"), row("b.wav", length="1")))
    assert [known["length"] for known in read(TRACKS)] == [661794, 1]


# Names


def test_a_number_before_the_suffix_is_a_segment_of_the_track() -> None:
    of = {
        "blues.00000.0.wav": ("blues.00000.wav", 0),
        "blues.00000.9.au": ("blues.00000.au", 9),
        "a.10.mp3": ("a.mp3", 10),
        "a.9999.wav": ("a.wav", 9999),
        "a.1.2.wav": ("a.1.wav", 2),
        "deep/er/a b.3.wav": ("deep/er/a b.wav", 3),
        "caf\xe9 \N{GUITAR}.7.wav": ("caf\xe9 \N{GUITAR}.wav", 7),
        'a\n"b", c.3.wav': ('a\n"b", c.wav', 3),
        " .0.x y": (" .x y", 0),
    }
    path = write("s.csv", *of)
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments) == (len(of), 0, len(of))

    def names(filename: str) -> Row:
        track, segment = of[filename]
        return {"track_id": track, "segment": segment, "start_s": 3.0 * segment}

    assert read(SEGMENTS) == expected(path, names=names)
    uris = {known["track_id"]: known["uri"] for known in read("files")}
    assert uris == {track: f"{path}#{filename}" for filename, (track, _) in of.items()}
    assert read(TRACKS) == []


def test_any_other_name_is_a_track() -> None:
    names = ["blues.00000.wav", "blues.00001.au", "a.01.wav", "a.00.wav", "a.10000.wav"]
    names += ["a.-1.wav", "a.+1.wav", "a.\N{ARABIC-INDIC DIGIT ONE}.wav", ".1.wav", "a.1.", "a.1"]
    names += ["a.1.b/c", "a", "x\n1.wav", "x.1\n.wav", "NA", " "]
    path = write("t.csv", *names)
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments) == (len(names), len(names), 0)
    assert read(TRACKS) == expected(path, names=track_name)
    assert [known["uri"] for known in read("files")] == [f"{path}#{name}" for name in sorted(names)]
    assert read(SEGMENTS) == []


def test_labels_are_any_text_and_an_empty_one_is_none() -> None:
    texts = ["NA", "nan", "null", "None", " ", "a,b", 'a "b"', "a\r\nb", "\N{GUITAR}", "1", "#N/A"]
    rows = [row(f"{i:02}.wav", label=text) for i, text in enumerate(texts)]
    outcome = do(write("t.csv", *rows, row("99.wav", label="")))
    assert [known["label"] for known in read(TRACKS)] == [*texts, None]
    assert outcome.unlabelled == 1


def test_segments_take_the_suffix_of_their_tracks_whichever_comes_first() -> None:
    names = ("blues.00000.0.wav", "blues.00000.1.wav", "b.0.wav", "b.0.au", "c.0.wav")
    segments = write("s.csv", *names)
    tracks = write("t.csv", "blues.00000.au", "b.wav", "c.flac", "c.ogg")

    def with_suffix(filename: str) -> Row:
        # Ambiguous names stay: c has two tracks, and b has two sets of segments.
        known = segment_name(filename)
        return known | ({"track_id": "blues.00000.au"} if filename in names[:2] else {})

    ends = []
    for order in ([[segments, tracks]], [[tracks], [segments]], [[segments], [tracks]]):
        listed = [do(*paths).listed for paths in order]
        assert listed in ([6], [4, 4])
        assert read(TRACKS) == expected(tracks, names=track_name)
        assert read(SEGMENTS) == expected(segments, names=with_suffix)
        assert {known["track_id"]: known["source"] for known in read("files")} == {
            **dict.fromkeys(["blues.00000.au", "b.wav", "c.flac", "c.ogg"], str(tracks)),
            **dict.fromkeys(["b.au", "c.wav"], str(segments)),
        }
        ends.append(content())
        shutil.rmtree(STORE)
    assert ends[0] == ends[1] == ends[2]


# Rows of a CSV


def test_many_rows_keep_their_line_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    # In several chunks, as longer tables are. A label of two lines shifts the later lines.
    monkeypatch.setattr(import_features, "_CHUNK_ROWS", 7)
    rows = [row(f"t{i}.{j}.wav") for i in range(6) for j in range(5)]
    random.Random(1).shuffle(rows)
    path = write("s.csv", *rows)
    do(path)
    assert read(SEGMENTS) == expected(path, names=segment_name)
    rows[3]["label"] = "two\nlines"
    rows[20]["rms_var"] = "?"
    error = [f"line 23 ({rows[20]['filename']}): rms_var is '?'"]
    assert_refused(write("bad.csv", *rows), error=error)
    rows[20] = row("strange.wav")
    error = ["line 23 (strange.wav) is a track", f"line 2 ({rows[0]['filename']}) is a segment"]
    assert_refused(write("bad.csv", *rows), error=error)


def test_a_row_that_stands_twice_is_refused_with_both_places() -> None:
    one = write("one.csv", "a.wav", "b.wav", row("a.wav", length="1"))
    assert_refused(one, error=[f"{one}, line 4 (a.wav)", f"{one}, line 2 (a.wav)"])
    two = write("two.csv", "c.0.wav", "d.0.wav")
    three = write("three.csv", "d.1.wav", "d.0.wav")
    error = [f"{three}, line 3 (d.0.wav)", f"{two}, line 3 (d.0.wav)"]
    assert_refused(two, three, error=error)
    assert_refused(two, two, error=["line 2 "])


def test_the_first_row_of_another_level_is_refused() -> None:
    names = ["a.wav", "b.wav", "a.0.wav", "b.0.wav"]
    error = ["line 4 (a.0.wav) is a segment", "line 2 (a.wav) is a track"]
    assert_refused(write("t.csv", *names), error=error)
    error = ["line 4 (b.wav) is a track", "line 2 (b.0.wav) is a segment"]
    assert_refused(write("t.csv", *names[::-1]), error=error)


HEADER = ",".join(COLUMNS)
ZEROS = ",".join(["0"] * len(GTZAN.names))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", ["no column 'filename', 'length', 'chroma_stft_mean' and 57 more", "nothing"]),
        (b"\n\n", ["no column", "nothing"]),
        (HEADER.replace(",", ";").encode(), ["no column 'filename'", "'filename;length;"]),
        (HEADER.replace(",tempo", "").encode(), ["no column 'tempo':"]),
        (HEADER.replace(",label", "").encode(), ["no column 'label':"]),
        (HEADER.replace("filename", "name").encode(), ["no column 'filename':"]),
        (f",{HEADER}".encode(), ["a column without a name"]),
        (HEADER.replace("tempo", "Tempo").encode(), ["no column 'tempo'"]),
        (HEADER.encode(), ["no rows"]),
        (f"{HEADER}\n\n\n".encode(), ["no rows"]),
        (f"{HEADER}\na.wav,1,{ZEROS},x\n,1,{ZEROS},x\n".encode(), ["line 3", "filename is empty"]),
        (f"{HEADER}\na.wav,1,{ZEROS},x,y\n".encode(), ["line 2", "60 columns", "61"]),
        (b"PAR1\x15\x04\xff\xfe\x00", ["not a CSV in UTF-8"]),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_refused(text: bytes, error: list[str]) -> None:
    path = Path("t.csv")
    path.write_bytes(text)
    assert_refused(write("good.csv", "g.wav"), path, error=[str(path), *error])


def test_a_path_that_is_no_readable_table_is_refused() -> None:
    for path in (Path("missing.csv"), Path.cwd()):
        assert_refused(path, error=[f"the table {path} cannot be read", "features_30_sec.csv"])
    assert_refused(write(os.fsdecode(b"caf\xe9.csv"), "a.wav"), error=["is not UTF-8"])


# Parquet, and other feature sets

RICH = features_folder("rich", "track")
RICH_NAMES = feature_set("rich").names


def rich_table(*names: str, seed: int = 0, **columns: list[Any]) -> pa.Table:
    """A table of the rich features, random ones, without labels and lengths."""
    values = np.random.default_rng(seed).normal(size=(len(RICH_NAMES), len(names)))
    features = {name: pa.array(x, pa.float32()) for name, x in zip(RICH_NAMES, values, strict=True)}
    return pa.table({"track": list(names), **columns, **features})


def write_parquet(name: str, table: pa.Table) -> Path:
    pq.write_table(table, name)
    return Path(name).absolute()


def settings() -> dict[str, str]:
    return open_store(str(STORE)).settings.feature_sets


def test_the_table_of_six_genres_becomes_the_stores_to_the_bit(shared_data: Path) -> None:
    path = shared_data.parent / "rich" / "six_genres.parquet"
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments, outcome.unlabelled) == (
        615,
        615,
        0,
        0,
    )
    given, found = pq.read_table(path).sort_by("track"), pq.read_table(STORE / RICH)
    assert found.schema == features_schema("rich", "track")
    assert found["track_id"].to_pylist() == given["track"].to_pylist()
    assert found["label"].to_pylist() == given["genre"].to_pylist()
    assert found["length"].null_count == 615
    for name in RICH_NAMES:
        assert found[name].combine_chunks() == given[name].combine_chunks(), name
    further = ["artist", "fault_filtered", "artist_fold"]
    assert read("labels") == [
        {"track_id": known["track"]}
        | {name: str(known[name] or "") or None for name in further}
        | {"artist_fold": str(known["artist_fold"])}
        for known in given.select(["track", *further]).to_pylist()
    ]
    assert settings() == {"rich": "rich-458.1"}


def test_a_csv_without_labels_and_lengths_will_do_for_other_feature_sets(shared_data: Path) -> None:
    path = shared_data.parent / "rich" / "golden.csv"
    assert do(path).unlabelled == 40
    with path.open(encoding="utf-8", newline="") as file:
        rows = {cells["file"]: cells for cells in csv.DictReader(file)}
    for known in read(RICH):
        cells = rows[known["track_id"]]
        assert (known["label"], known["length"]) == (None, None)
        for name in RICH_NAMES:
            assert known[name] == np.float32(cells[name])


@pytest.mark.parametrize("rich_first", [False, True])
def test_tracks_of_two_feature_sets_are_joined_by_their_names(rich_first: bool) -> None:
    published = write("t.csv", "jazz.01.au", "blues.00000.wav", "only.00000.wav")
    rich = write_parquet(
        "rich.parquet",
        rich_table(
            "blues.00000", "jazz.01.au", "other", artist=["Ann", "", "Bo"], genre=["b", "j", "o"]
        ),
    )
    for path in (rich, published) if rich_first else (published, rich):
        outcome = do(path)
        assert outcome.listed == 3
    assert settings() == {"gtzan": "gtzan-57.1", "rich": "rich-458.1"}
    assert [known["track_id"] for known in read(TRACKS)] == [
        *("blues.00000.wav", "jazz.01.au", "only.00000.wav"),
    ]
    assert [(known["track_id"], known["label"]) for known in read(RICH)] == [
        *(("blues.00000.wav", "b"), ("jazz.01.au", "j"), ("other", "o")),
    ]
    assert {known["track_id"]: known["artist"] for known in read("labels")} == {
        "blues.00000.wav": "Ann",
        "jazz.01.au": None,
        "other": "Bo",
    }
    sources = {known["track_id"]: known["source"] for known in read("files")}
    assert sources == dict.fromkeys(
        ["blues.00000.wav", "jazz.01.au", "only.00000.wav"], str(published)
    ) | {"other": str(rich)}
    assert verify(store=str(STORE)).outcome == "sound"


def test_a_second_feature_set_leaves_the_rows_of_the_first() -> None:
    do(write("t.csv", "a.wav", "b.wav"), write("s.csv", "a.0.wav"))
    before = {path: path.stat().st_mtime_ns for path in STORE.rglob("level=*/part-*")}
    do(write_parquet("r.parquet", rich_table("a.wav", "b.wav")))
    after = {path: path.stat().st_mtime_ns for path in STORE.rglob("level=*/part-*")}
    assert {path: after[path] for path in before} == before
    assert [known["label"] for known in read(RICH)] == ["blues", "blues"], "taken from the first"
    # An import of it again replaces it alone.
    do(write_parquet("r.parquet", rich_table("b", seed=1)))
    assert [known["track_id"] for known in read(RICH)] == ["b.wav"]
    assert [known["track_id"] for known in read("files")] == ["a.wav", "b.wav"]


def test_further_columns_may_have_any_name() -> None:
    names = ["name", "line", "source", "segment", "start_s", "file", "filename", "uri", "length "]
    table = rich_table("a.wav", **{name: [f"the {name}"] for name in names}, label=["x"])
    do(write_parquet("r.parquet", table.rename_columns({"track": "track_id"})))
    assert read("labels") == [{"track_id": "a.wav", **{name: f"the {name}" for name in names}}]
    [known] = read("files")
    assert known["uri"].endswith("r.parquet#a.wav")


def test_further_columns_are_added_to_those_of_a_csv_of_labels() -> None:
    sheet = write_labels("track_id,label,year\na,jazz,1959\n")
    table = rich_table("a.wav", "b.wav", genre=["x", "y"], artist=["Ann", None], year=["1", "2"])
    do(write_parquet("r.parquet", table), labels=sheet)
    assert read("labels") == [
        {"track_id": "a.wav", "label": "jazz", "year": "1959", "artist": "Ann"},
        {"track_id": "b.wav", "label": "y", "year": "2", "artist": None},
    ]
    assert [known["label"] for known in read(RICH)] == ["jazz", "y"]
    # A table without further columns leaves them.
    do(write("t.csv", row("a.wav", label="z"), "b.wav"))
    assert [known["artist"] for known in read("labels")] == ["Ann", None]
    assert [known["label"] for known in read(TRACKS)] == ["jazz", "y"]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, 1e39])
def test_a_number_in_parquet_that_is_not_finite_is_refused_with_its_row(
    value: float | None,
) -> None:
    table = rich_table("a", "b", "c")
    name = RICH_NAMES[7]
    index = table.schema.get_field_index(name)
    table = table.set_column(index, name, pa.array([0.0, 0.5, value], pa.float64()))
    path = write_parquet("r.parquet", table)
    given = "missing" if value is None else repr(value)
    assert_refused(path, error=[f"{path}, row 3 (c): {name} is {given}, but must be a finite"])


def test_parquet_tables_that_are_not_as_they_should_be_are_refused() -> None:
    both = {name: pa.array([0.5]) for name in GTZAN.names}
    for table, error in (
        (rich_table("a").drop_columns(["track"]), ["no column 'filename'"]),
        (rich_table("a").drop_columns([RICH_NAMES[3]]), [f"no column '{RICH_NAMES[3]}'"]),
        (
            rich_table("a").append_column("tempo", pa.array([[1.0]])),
            ["column tempo is of type list"],
        ),
        (rich_table("a", **both), ["features of gtzan and rich"]),
        (rich_table("a", ""), ["row 2", "the track is empty"]),
        (rich_table("a", "b", "a"), ["row 3 (a)", "repeats", "row 1 (a)"]),
        (rich_table("a", "b", artist=["x", "y\0z"]), ["row 2: artist is", "null character"]),
        (rich_table(), ["no rows"]),
    ):
        path = write_parquet("r.parquet", table)
        assert_refused(path, error=[str(path), *error])
    broken = Path("broken.parquet")
    broken.write_text("no parquet")
    assert_refused(broken, error=[f"the table {broken} cannot be read"])


def test_parquet_of_the_published_features_is_imported_like_their_csv() -> None:
    path = write("s.csv", "a.0.wav", "a.1.wav")
    do(path)
    expected_rows = read(SEGMENTS)
    shutil.rmtree(STORE)
    do(write_parquet("s.parquet", arrow_csv.read_csv(path)))
    assert read(SEGMENTS) == expected_rows


# Repeated imports


def part_sizes() -> list[int]:
    """Return the sizes of the parts of features that have rows."""
    parts = [path for path in STORE.rglob("level=*/part-*") if pq.read_metadata(path).num_rows]
    return sorted(path.stat().st_size for path in parts)


def test_the_same_import_again_changes_nothing_but_the_time() -> None:
    tracks = write("t.csv", "a.wav", row("b.wav", label=""))
    segments = write("s.csv", "a.0.wav", "c.1.wav")
    sheet = write_labels("track_id,label,artist\na,jazz,Someone\n")
    first = do(tracks, segments, labels=sheet)
    before = content()
    parts = part_sizes()
    second = do(tracks, segments, labels=sheet)
    assert content() == before
    assert part_sizes() == parts
    assert {known["run_id"] for known in read("files")} == {second.run_id}
    assert first.run_id != second.run_id
    assert (first.listed, first.unlabelled) == (second.listed, second.unlabelled) == (3, 1)


def test_segments_alone_say_what_is_known_of_their_tracks() -> None:
    path = write("s.csv", "b.2.wav", "b.10.wav", "a.0.wav", "b.1.wav")
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments) == (2, 0, 4)
    a, b = read("files")
    assert (a["track_id"], a["uri"], a["duration_s"]) == ("a.wav", f"{path}#a.0.wav", 3.0)
    assert (b["track_id"], b["uri"], b["duration_s"]) == ("b.wav", f"{path}#b.1.wav", 33.0)
    assert (b["source"], b["status"], b["sample_rate"]) == (str(path), "ok", 22050)


def test_a_level_is_replaced_whole_and_the_other_stays() -> None:
    sheet = write_labels("track_id,artist\na,A\nb,B\nc,C\n")
    tracks = write("t.csv", "a.wav", "b.wav", "c.wav")
    segments = write("s.csv", "a.0.wav", "b.0.wav")
    do(tracks, segments, labels=sheet)
    parts = {path: path.stat().st_mtime_ns for path in STORE.rglob("level=segment/part-*")}
    again = write("t.csv", row("a.wav", tempo="1.5"), "d.wav")
    outcome = do(again)
    assert read(TRACKS) == expected(again, names=track_name)
    assert read(SEGMENTS) == expected(segments, names=segment_name)
    assert {p: p.stat().st_mtime_ns for p in STORE.rglob("level=segment/part-*")} == parts
    # b still has segments, c has nothing.
    assert [known["track_id"] for known in read("files")] == ["a.wav", "b.wav", "d.wav"]
    assert [known["artist"] for known in read("labels")] == ["A", "B"]
    runs = pyarrow.dataset.dataset(STORE / "runs").to_table().to_pylist()
    (run,) = [run for run in runs if run["run_id"] == outcome.run_id]
    assert (run["listed"], run["gone"]) == (2, 1)


def test_several_tables_of_a_level_are_put_together() -> None:
    one = write("1.csv", "b.wav", "d.wav")
    two = write("2.csv", "c.wav", "a.wav", columns=sorted(COLUMNS))
    outcome = do(one, two)
    assert outcome.tracks == 4
    assert read(TRACKS) == expected(one, two, names=track_name)
    sources = [Path(known["source"]).name for known in read("files")]
    assert sources == ["2.csv", "1.csv", "2.csv", "1.csv"]


# Labels of a CSV


def write_both() -> tuple[Path, Path]:
    """Write two tables: a and b are blues; c has only segments, and no label."""
    tracks = write("t.csv", "x/a.wav", "x/b.wav")
    segments = write("s.csv", "x/a.0.wav", "x/a.1.wav", "x/b.0.wav", row("c.0.wav", label=""))
    return tracks, segments


def test_labels_of_a_csv_overrule_those_of_the_tables(capfd: pytest.CaptureFixture[str]) -> None:
    sheet = write_labels("artist,label,track_id\nA,jazz,a\nB,,x/b.wav\nC,NA,zzz\n")
    outcome = do(*write_both(), labels=sheet)
    assert labels_of_tracks() == {"x/a.wav": {"jazz"}, "x/b.wav": {None}, "c.wav": {None}}
    assert outcome.unlabelled == 2
    assert read("labels") == [
        {"artist": "A", "label": "jazz", "track_id": "x/a.wav"},
        {"artist": "B", "label": None, "track_id": "x/b.wav"},
    ]
    err = capfd.readouterr().err
    assert "that name no track: 1, such as 'zzz'\n" in err
    assert f"tracks without a row in {sheet}: 1, such as 'c.wav'\n" in err


def test_a_csv_without_labels_leaves_those_of_the_tables() -> None:
    sheet = write_labels("track_id,artist\na,A\n")
    do(*write_both(), labels=sheet)
    assert labels_of_tracks() == {"x/a.wav": {"blues"}, "x/b.wav": {"blues"}, "c.wav": {None}}
    assert read("labels") == [{"track_id": "x/a.wav", "artist": "A"}]


def test_labels_given_with_either_level_hold_for_both() -> None:
    sheet = write_labels("track_id,label\na,jazz\nb,\n")
    tracks, segments = write_both()
    ends = []
    # c has only a segment, so it counts only when segments are imported.
    for order, unlabelled in (
        ([(tracks, sheet), (segments, None)], 2),
        ([(tracks, None), (segments, sheet)], 2),
        ([(segments, sheet), (tracks, None)], 1),
    ):
        for path, labels in order:
            outcome = do(path, labels=labels)
        assert outcome.unlabelled == unlabelled
        assert labels_of_tracks() == {"x/a.wav": {"jazz"}, "x/b.wav": {None}, "c.wav": {None}}
        ends.append(content())
        shutil.rmtree(STORE)
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, ["cannot be read", "--labels takes a CSV with the column track_id"]),
        ("label,artist\nx,A\n", ["no column track_id"]),
        ("track_id,artist\nzzz,A\n", ["no row of", "names a track", "'c.wav'"]),
        ("track_id,artist\n", ["no row of"]),
        ("track_id\na\nx/a.wav\n", ["line 3", "in line 2"]),
        ("track_id\nc\nd\n", ["line 3", "'one/d.wav'", "'two/d.wav'"]),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: str | None, error: list[str]) -> None:
    sheet = Path("missing.csv") if text is None else write_labels(text)
    more = write("more.csv", "one/d.wav", "two/d.wav")
    assert_refused(*write_both(), more, labels=sheet, error=[str(sheet), *error])


def test_a_pipe_of_labels_is_read_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"track_id,label\na,jazz\n")
    os.close(writing)
    do(*write_both(), labels=Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert labels_of_tracks()["x/a.wav"] == {"jazz"}


# Stores with anything but imports


def make_store(segment_seconds: float, *uris: tuple[str, str]) -> None:
    settings = Settings({"gtzan": GTZAN.version}, segment_seconds)
    made = open_to_write(Folder(str(STORE)), settings, force=False)
    rows = [{"track_id": f"{i}", "uri": uri, "source": of} for i, (uri, of) in enumerate(uris)]
    put(made, "files", rows, FILES)


RECORDINGS = ["extracted recordings", "'1'"]


@pytest.mark.parametrize(
    ("uris", "segment_seconds", "error"),
    [
        ([("/t.csv#0", "/t.csv"), ("/m/a.wav", "/m")], 3.0, RECORDINGS),
        ([("/t.csv#0", "/t.csv"), ("/m/#a.wav", "/m")], 3.0, RECORDINGS),
        ([("/t.csv#0", "/t.csv"), ("/m/a.wav", "/m/a.wav")], 3.0, RECORDINGS),
        ([], 2.5, ["segments of 2.5 s", "3 s"]),
    ],
)
def test_a_store_of_recordings_or_of_other_segments_is_refused(
    uris: list[tuple[str, str]], segment_seconds: float, error: list[str]
) -> None:
    make_store(segment_seconds, *uris)
    error = [str(STORE.absolute()), "another store", *error]
    assert_refused(write("t.csv", "a.wav"), error=error)


def test_a_folder_of_other_things_is_refused() -> None:
    STORE.mkdir()
    (STORE / "music.wav").touch()
    assert_refused(write("t.csv", "a.wav"), error=["is not a store"])


def test_recordings_that_came_in_the_meantime_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Session.stage

    def later(*args: Any, **options: Any) -> Any:
        make_store(3.0, ("/m/a.wav", "/m"))
        return stage(*args, **options)

    monkeypatch.setattr(Session, "stage", later)
    with pytest.raises(UsageError, match="extracted recordings"):
        do(write("t.csv", "a.wav"))
    assert [known["uri"] for known in read("files")] == ["/m/a.wav"]
    assert read(TRACKS) == []


# Faults


def test_a_failed_import_leaves_the_tables_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    do(write("t.csv", "a.wav"), write("s.csv", "a.0.wav"))
    before = content()
    others = (write("t2.csv", "b.wav"), write("s2.csv", "b.0.wav"))
    full = OSError(28, "No space left on device")
    # The disk is full between the two levels, and at the commit.
    for name, first in (("stage_table", [DEFAULT, full]), ("commit", [full])):
        with monkeypatch.context() as patched:
            effects = itertools.chain(first, itertools.repeat(DEFAULT))
            failing = Mock(wraps=getattr(commit, name), side_effect=effects)
            patched.setattr(commit, name, failing)
            with pytest.raises(OSError, match="No space"):
                do(*others)
        assert content() == before
    do(*others)
    assert [known["track_id"] for known in read("files")] == ["b.wav"]


def test_a_store_in_use_is_refused() -> None:
    do(write("t.csv", "a.wav"))
    before = content()
    with lock_of(Folder(str(STORE))), pytest.raises(StoreError, match="in use|another|holds"):
        do(write("u.csv", "b.wav"))
    assert content() == before


# The command


def test_the_command_says_what_it_did(command: Command) -> None:
    tracks = write("t.csv", *(f"{i}.wav" for i in range(1000)))
    segments = write("s.csv", "0.0.wav", row("7.0.wav", label=""))
    one = write("1.csv", row("0.wav", label=""))
    for paths, printed in (
        ([segments], "Imported 2 segments of 2 tracks; the tables are in"),
        ([tracks], "Imported 1,000 tracks; the tables are in"),
        ([tracks, segments], "Imported 1,000 tracks and 2 segments; the tables are in"),
        ([one], "Without a label: 1 track.\nImported 1 track; the tables are in"),
    ):
        code, out, err = command("import-features", *paths, "--store", STORE)
        assert code == 0
        assert f"{printed} {STORE}.\n" in out
        assert f"reading {paths[0]}" in err
    code, out, _ = command("status", "--store", STORE)
    assert code == 0
    assert re.search(r"tracks +1\b", out)


def test_the_command_takes_labels_and_prints_one_object(command: Command) -> None:
    tracks = write("t.csv", "a.wav", row("b.wav", label=""))
    sheet = write_labels("track_id,label\na,jazz\n")
    code, out, _ = command("import-features", tracks, "--store", STORE, "--labels", sheet, "--json")
    assert code == 0
    found = json.loads(out)
    assert math.isfinite(found.pop("seconds"))
    assert found.pop("run_id")
    counts = {"listed": 2, "tracks": 2, "segments": 0, "unlabelled": 1}
    assert found == {**counts, "store": str(STORE)}
    assert labels_of_tracks() == {"a.wav": {"jazz"}, "b.wav": {None}}


def test_wrong_usage_is_one_line_and_2(command: Command) -> None:
    name = "a\n\x1b[31m\N{GUITAR}.wav"
    path = write("t.csv", row(name, tempo="fast"))
    code, out, err = command("import-features", path, "--store", STORE)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if "reading " not in line]
    # The name has two lines, so the row ends in line 3.
    assert line.startswith(f"songmill: {path}, line 3 (a\\n\\x1b[31m\N{GUITAR}.wav): tempo")
    for arguments, word in ((["--store", STORE], "TABLE"), ([path], "--store")):
        code, out, err = command("import-features", *arguments)
        assert (code, out) == (2, "")
        assert word in err
    assert not STORE.exists()
