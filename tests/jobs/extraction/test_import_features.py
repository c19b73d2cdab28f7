"""Import of published tables, compared with the csv module reading the same files."""

import csv
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

import pyarrow as pa
import pyarrow.dataset
import pytest
from support.command_line import Command

from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET
from jobs.errors import StoreError, UsageError
from jobs.extraction import import_features
from jobs.extraction.import_features import ImportOutcome
from jobs.stage import Session
from jobs.store import commit as commit_module
from jobs.store.folder import Folder
from jobs.store.lock import Lock
from jobs.store.schemas import FILES, SEGMENT, TRACK
from jobs.store.tables import Settings, open_to_write, storage_to_write

TRACKS, SEGMENTS = "features/level=track", "features/level=segment"

COLUMNS = ["filename", "length", *FEATURE_COLUMNS, "label"]

Row = dict[str, Any]
Do = Callable[..., ImportOutcome]
Refused = Callable[..., str]
Both = tuple[Path, Path]


# Helpers: CSVs in, rows of the store out


def row(filename: str, label: str = "blues", **values: Any) -> Row:
    """A row of a table, with features that no other filename has."""
    numbers = random.Random(filename)
    features = {name: repr(numbers.uniform(-1e3, 1e3)) for name in FEATURE_COLUMNS}
    return {"filename": filename, "length": "66149", **features, "label": label, **values}


def write(path: Path, *rows: Row, columns: list[str] = COLUMNS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(store: Path, name: str) -> list[Row]:
    """Read a table with PyArrow alone, sorted by its unique keys."""
    if not (store / name).is_dir():
        return []
    rows: list[Row] = pyarrow.dataset.dataset(store / name).to_table().to_pylist()
    keys = [(found["track_id"], found.get("segment", 0)) for found in rows]
    assert len(set(keys)) == len(keys)
    return [rows[i] for i in sorted(range(len(rows)), key=lambda i: keys[i])]


def labels_of(store: Path) -> dict[str, set[str | None]]:
    """The labels of each track in both tables."""
    found: dict[str, set[str | None]] = {}
    for name in (TRACKS, SEGMENTS):
        for known in read(store, name):
            found.setdefault(known["track_id"], set()).add(known["label"])
    return found


def content(store: Path) -> dict[str, list[Row]]:
    """Rows of a store, without times and run ids."""
    tables = {name: read(store, name) for name in (TRACKS, SEGMENTS, "files", "labels")}
    for known in tables["files"]:
        del known["extracted_at"], known["run_id"]
    return tables


def state(store: Path) -> dict[Path, tuple[int, ...]]:
    """Inodes, sizes and times of all files, which any write changes."""
    found = {path: path.stat() for path in store.rglob("*")}
    return {path: (s.st_ino, s.st_size, s.st_mtime_ns) for path, s in found.items()}


def expected(*paths: Path, names: Callable[[str], Row]) -> list[Row]:
    """Expected rows of a table, read by the csv module; ``names`` parses a filename."""
    rows = []
    for path in paths:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cells in csv.DictReader(file):
                known = {"label": cells["label"] or None, "length": int(cells["length"])}
                features = {name: float(cells[name]) for name in FEATURE_COLUMNS}
                rows.append({**names(cells["filename"]), **known, **features})
    return sorted(rows, key=lambda found: (found["track_id"], found.get("segment")))


def track_name(filename: str) -> Row:
    return {"track_id": filename}


def segment_name(filename: str) -> Row:
    *track, number, suffix = filename.split(".")
    n = int(number)
    return {"track_id": ".".join([*track, suffix]), "segment": n, "start_s": 66150 * n / 22050}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def do(store: Path) -> Do:
    """Import CSVs into the store."""

    def import_(*tables: Path, labels: Path | None = None) -> ImportOutcome:
        return import_features.import_features(
            [str(path) for path in tables], store=str(store), labels=labels and str(labels)
        )

    return import_


@pytest.fixture
def refused(do: Do, store: Path) -> Refused:
    """Return the error of an import that must be refused and must not write anything."""

    def import_(*tables: Path, labels: Path | None = None) -> str:
        before = state(store)
        with pytest.raises(UsageError) as refusal:
            do(*tables, labels=labels)
        assert store.exists() == bool(before)
        assert state(store) == before
        return str(refusal.value)

    return import_


# The published tables


@pytest.fixture(scope="session")
def gtzan(shared_data: Path) -> Path:
    return shared_data / "gtzan"


def test_the_published_tables_become_the_stores_to_the_bit(
    do: Do, store: Path, gtzan: Path
) -> None:
    began = datetime.now(UTC)
    paths = (gtzan / "features_3_sec.csv", gtzan / "features_30_sec.csv")
    outcome = do(*paths, labels=gtzan / "splits" / "artists.csv")
    assert (outcome.listed, outcome.tracks, outcome.segments) == (1000, 1000, 9712)
    assert outcome.unlabelled == 0
    assert 0 < outcome.seconds < 10

    assert read(store, TRACKS) == expected(paths[1], names=track_name)
    assert read(store, SEGMENTS) == expected(paths[0], names=segment_name)
    for name, schema in ((TRACKS, TRACK), (SEGMENTS, SEGMENT), ("files", FILES)):
        assert pyarrow.dataset.dataset(store / name).schema == schema

    with (gtzan / "splits" / "artists.csv").open(encoding="utf-8", newline="") as file:
        sheet = {f"{cells['track_id']}.wav": cells for cells in csv.DictReader(file)}
    assert read(store, "labels") == [
        {"track_id": track, "artist": cells["artist"] or None, "title": cells["title"] or None}
        for track, cells in sorted(sheet.items())
    ]

    files = read(store, "files")
    assert len(files) == 1000
    for known, track in zip(files, read(store, TRACKS), strict=True):
        assert began <= known.pop("extracted_at") <= datetime.now(UTC)
        assert known == {
            "track_id": track["track_id"],
            "uri": f"{paths[1]}#{track['track_id']}",
            "source": str(paths[1]),
            "bytes": None,
            "modified": None,
            "status": "ok",
            "error": None,
            "message": None,
            "duration_s": track["length"] / 22050,
            "sample_rate": 22050,
            "channels": None,
            "run_id": outcome.run_id,
        }
    settings = json.loads((store / "store.json").read_text())
    assert settings == {"format": 1, "feature_set": FEATURE_SET, "segment_seconds": 3.0}
    (run,) = pyarrow.dataset.dataset(store / "runs").to_table().to_pylist()
    named = [run[name] for name in ("run_id", "stage", "outcome", "message")]
    assert named == [outcome.run_id, "import", "done", None]
    counts = [run[name] for name in ("listed", "extracted", "segments", "failed", "gone")]
    assert counts == [1000, 1000, 9712, 0, 0]


def test_the_segment_table_takes_about_a_second(do: Do, gtzan: Path) -> None:
    # Quadratic or value-by-value code takes more than three.
    began = time.process_time()
    do(gtzan / "features_3_sec.csv")
    assert time.process_time() - began < 3


# Numbers


def test_numbers_are_the_nearest_doubles(do: Do, store: Path, tmp_path: Path) -> None:
    random_ = random.Random(0)
    texts = ["0", "-0.0", "+1", "1.", ".5", "1E5", "5e-324", "1e-400", "1.7976931348623157e308"]
    texts += ["9007199254740993", "2.2250738585072011e-308", "0.1000000000000000055511151231257827"]
    for _ in range(4000):
        digits = "".join(random_.choices("0123456789", k=random_.randint(1, 25)))
        exponent = random_.randint(-330, 280)
        texts.append(f"{random_.choice(['', '-'])}{digits[0]}.{digits[1:]}e{exponent}")
    per_row = len(FEATURE_COLUMNS)
    rows = []
    for i in range(0, len(texts) // per_row * per_row, per_row):
        values = dict(zip(FEATURE_COLUMNS, texts[i : i + per_row], strict=True))
        rows.append(row(f"{i:05}.wav", **values))
    do(write(tmp_path / "t.csv", *rows))
    found = [known[name] for known in read(store, TRACKS) for name in FEATURE_COLUMNS]
    assert len(found) > 3900
    for text, value in zip(texts, found, strict=False):
        assert value.hex() == float(text).hex(), text


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "nan", "NaN", "NA", "null", "inf", "-Infinity", "1e400", "-1e999"),
        *("1,5", "1_000", "0x10", " 1", "1 ", "--1", "1e", "\N{ARABIC-INDIC DIGIT ONE}", "True"),
    ],
)
def test_a_value_that_is_not_finite_is_refused_with_its_line(
    refused: Refused, tmp_path: Path, text: str
) -> None:
    path = write(tmp_path / "t.csv", row("a.wav"), row("b.wav", tempo=text), row("c.wav", tempo=""))
    error = refused(path)
    for part in (f"{path}, line 3 (b.wav)", "tempo", repr(text), "finite number"):
        assert part in error


@pytest.mark.parametrize("text", ["", "0", "-1", "66149.5", "nan", "inf", "1e300", "long"])
def test_a_length_that_is_no_positive_whole_number_is_refused(
    refused: Refused, tmp_path: Path, text: str
) -> None:
    # Line 3 is wrong too, in an earlier column: the error names the first row.
    rows = (row("a.0.wav", length=text), row("a.1.wav", chroma_stft_mean="x"))
    error = refused(write(tmp_path / "t.csv", *rows))
    for part in ("line 2 (a.0.wav)", f"length is {text!r}", "positive whole number"):
        assert part in error


def test_a_length_may_be_written_as_pandas_does_beside_gaps(
    do: Do, store: Path, tmp_path: Path
) -> None:
    do(write(tmp_path / "t.csv", row("a.wav", length="661794.0"), row("b.wav", length="1")))
    assert [known["length"] for known in read(store, TRACKS)] == [661794, 1]


# Names


def test_a_number_before_the_suffix_is_a_segment_of_the_track(
    do: Do, store: Path, tmp_path: Path
) -> None:
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
    path = write(tmp_path / "s.csv", *map(row, of))
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments) == (len(of), 0, len(of))
    found = {(known["track_id"], known["segment"]): known for known in read(store, SEGMENTS)}
    assert found.keys() == set(of.values())
    for filename, key in of.items():
        assert found[key]["start_s"] == 3.0 * key[1]
        assert found[key]["tempo"] == float(row(filename)["tempo"])
    uris = {known["track_id"]: known["uri"] for known in read(store, "files")}
    assert uris == {track: f"{path}#{filename}" for filename, (track, _) in of.items()}
    assert read(store, TRACKS) == []


def test_any_other_name_is_a_track(do: Do, store: Path, tmp_path: Path) -> None:
    names = ["blues.00000.wav", "blues.00001.au", "a.01.wav", "a.00.wav", "a.10000.wav"]
    names += ["a.-1.wav", "a.+1.wav", "a.\N{ARABIC-INDIC DIGIT ONE}.wav", ".1.wav", "a.1.", "a.1"]
    names += ["a.1.b/c", "a", "x\n1.wav", "x.1\n.wav", "NA", " "]
    path = write(tmp_path / "t.csv", *map(row, names))
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments) == (len(names), len(names), 0)
    assert read(store, TRACKS) == expected(path, names=track_name)
    assert [known["uri"] for known in read(store, "files")] == [
        f"{path}#{name}" for name in sorted(names)
    ]
    assert read(store, SEGMENTS) == []


def test_labels_are_any_text_and_an_empty_one_is_none(do: Do, store: Path, tmp_path: Path) -> None:
    texts = ["NA", "nan", "null", "None", " ", "a,b", 'a "b"', "a\r\nb", "\N{GUITAR}", "1", "#N/A"]
    rows = [row(f"{i:02}.wav", label=text) for i, text in enumerate(texts)]
    outcome = do(write(tmp_path / "t.csv", *rows, row("99.wav", label="")))
    assert [known["label"] for known in read(store, TRACKS)] == [*texts, None]
    assert outcome.unlabelled == 1


def test_segments_take_the_suffix_of_their_tracks_whichever_comes_first(
    do: Do, store: Path, tmp_path: Path
) -> None:
    tracks = write(tmp_path / "t.csv", *map(row, ("blues.00000.au", "b.wav", "c.flac", "c.ogg")))
    segments = write(
        tmp_path / "s.csv",
        *map(row, ("blues.00000.0.wav", "blues.00000.1.wav", "b.0.wav", "b.0.au", "c.0.wav")),
    )
    # Ambiguous names stay: c has two tracks, and b has two sets of segments.
    names = [("b.au", 0), ("b.wav", 0), ("blues.00000.au", 0), ("blues.00000.au", 1), ("c.wav", 0)]
    seen = []
    for order in ([[segments, tracks]], [[tracks], [segments]], [[segments], [tracks]]):
        for paths in order:
            do(*paths)
        found = read(store, SEGMENTS)
        assert [(known["track_id"], known["segment"]) for known in found] == names
        of = {row["track_id"]: Path(row["source"]).name for row in read(store, "files")}
        assert of == {
            **dict.fromkeys(["blues.00000.au", "b.wav", "c.flac", "c.ogg"], "t.csv"),
            **dict.fromkeys(["b.au", "c.wav"], "s.csv"),
        }
        seen.append(content(store))
        shutil.rmtree(store)
    assert seen[0] == seen[1] == seen[2]


# Rows of a CSV


def test_many_rows_keep_their_line_numbers(
    do: Do,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Refused,
) -> None:
    # In several chunks, as longer tables are. A label of two lines shifts the later lines.
    monkeypatch.setattr(import_features, "_CHUNK_ROWS", 7)
    rows = [row(f"t{i}.{j}.wav") for i in range(6) for j in range(5)]
    random.Random(1).shuffle(rows)
    path = write(tmp_path / "s.csv", *rows)
    do(path)
    assert read(store, SEGMENTS) == expected(path, names=segment_name)
    rows[3]["label"] = "two\nlines"
    rows[20]["rms_var"] = "?"
    error = refused(write(tmp_path / "bad.csv", *rows))
    assert f"line 23 ({rows[20]['filename']}): rms_var is '?'" in error
    rows[20] = row("strange.wav")
    error = refused(write(tmp_path / "bad.csv", *rows))
    assert "line 23 (strange.wav) is a track" in error
    assert f"line 2 ({rows[0]['filename']}) is a segment" in error


def test_a_row_that_stands_twice_is_refused_with_both_places(
    refused: Refused, tmp_path: Path
) -> None:
    one = write(tmp_path / "one.csv", row("a.wav"), row("b.wav"), row("a.wav", length="1"))
    error = refused(one)
    assert f"{one}, line 4 (a.wav)" in error
    assert f"{one}, line 2 (a.wav)" in error
    two = write(tmp_path / "two.csv", row("c.0.wav"), row("d.0.wav"))
    three = write(tmp_path / "three.csv", row("d.1.wav"), row("d.0.wav"))
    error = refused(two, three)
    assert f"{three}, line 3 (d.0.wav)" in error
    assert f"{two}, line 3 (d.0.wav)" in error
    assert "line 2 " in refused(two, two)


def test_the_first_row_of_another_level_is_refused(refused: Refused, tmp_path: Path) -> None:
    names = ["a.wav", "b.wav", "a.0.wav", "b.0.wav"]
    error = refused(write(tmp_path / "t.csv", *map(row, names)))
    assert "line 4 (a.0.wav) is a segment" in error
    assert "line 2 (a.wav) is a track" in error
    error = refused(write(tmp_path / "t.csv", *map(row, names[::-1])))
    assert "line 4 (b.wav) is a track" in error
    assert "line 2 (b.0.wav) is a segment" in error


HEADER = ",".join(COLUMNS)
ZEROS = ",".join(["0"] * len(FEATURE_COLUMNS))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", ["no column 'filename', 'length', 'chroma_stft_mean' and 57 more", "nothing"]),
        (b"\n\n", ["no column", "nothing"]),
        (HEADER.replace(",", ";").encode(), ["no column 'filename'", "'filename;length;"]),
        (HEADER.replace(",tempo", "").encode(), ["no column 'tempo':"]),
        (HEADER.replace(",label", "").encode(), ["no column 'label':"]),
        (f"{HEADER},genre".encode(), ["unknown column 'genre':"]),
        (f",{HEADER}".encode(), ["unknown column ''"]),
        (HEADER.replace("tempo", "Tempo").encode(), ["no column 'tempo'"]),
        (HEADER.encode(), ["no rows"]),
        (f"{HEADER}\n\n\n".encode(), ["no rows"]),
        (f"{HEADER}\na.wav,1,{ZEROS},x\n,1,{ZEROS},x\n".encode(), ["line 3", "filename is empty"]),
        (f"{HEADER}\na.wav,1,{ZEROS},x,y\n".encode(), ["line 2", "60 columns", "61"]),
        (b"PAR1\x15\x04\xff\xfe\x00", ["not a CSV in UTF-8"]),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_refused(
    refused: Refused, tmp_path: Path, text: bytes, error: list[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    good = write(tmp_path / "good.csv", row("g.wav"))
    refusal = refused(good, path)
    for part in (str(path), *error):
        assert part in refusal


def test_a_path_that_is_no_readable_table_is_refused(refused: Refused, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        error = refused(path)
        assert f"the table {path} cannot be read" in error
        assert "features_30_sec.csv" in error
    assert "is not UTF-8" in refused(write(tmp_path / os.fsdecode(b"caf\xe9.csv"), row("a.wav")))


# Repeated imports


def test_the_same_import_again_changes_nothing_but_the_time(
    do: Do, store: Path, tmp_path: Path
) -> None:
    tracks = write(tmp_path / "t.csv", row("a.wav"), row("b.wav", label=""))
    segments = write(tmp_path / "s.csv", row("a.0.wav"), row("c.1.wav"))
    sheet = tmp_path / "l.csv"
    sheet.write_text("track_id,label,artist\na,jazz,Someone\n")
    first = do(tracks, segments, labels=sheet)
    before = content(store)
    parts = {path: path.stat().st_size for path in store.rglob("level=*/part-*")}
    second = do(tracks, segments, labels=sheet)
    assert content(store) == before
    assert {path: path.stat().st_size for path in store.rglob("level=*/part-*")} == parts
    assert {known["run_id"] for known in read(store, "files")} == {second.run_id}
    assert first.run_id != second.run_id
    assert (first.listed, first.unlabelled) == (second.listed, second.unlabelled) == (3, 1)


def test_segments_alone_say_what_is_known_of_their_tracks(
    do: Do, store: Path, tmp_path: Path
) -> None:
    names = ("b.2.wav", "b.10.wav", "a.0.wav", "b.1.wav")
    path = write(tmp_path / "s.csv", *map(row, names))
    outcome = do(path)
    assert (outcome.listed, outcome.tracks, outcome.segments) == (2, 0, 4)
    a, b = read(store, "files")
    assert (a["track_id"], a["uri"], a["duration_s"]) == ("a.wav", f"{path}#a.0.wav", 3.0)
    assert (b["track_id"], b["uri"], b["duration_s"]) == ("b.wav", f"{path}#b.1.wav", 33.0)
    assert (b["source"], b["status"], b["sample_rate"]) == (str(path), "ok", 22050)


def test_a_second_level_joins_the_first(do: Do, store: Path, tmp_path: Path) -> None:
    tracks = write(tmp_path / "t.csv", row("a.wav"), row("b.wav"))
    segments = write(tmp_path / "s.csv", row("a.0.wav"), row("c.0.wav"))
    ends = []
    for order in ([[tracks], [segments]], [[segments], [tracks]], [[tracks, segments]]):
        outcomes = [do(*paths) for paths in order]
        ends.append(content(store))
        origin = {known["track_id"]: known["source"] for known in read(store, "files")}
        assert origin == {"a.wav": str(tracks), "b.wav": str(tracks), "c.wav": str(segments)}
        assert read(store, TRACKS) == expected(tracks, names=track_name)
        assert read(store, SEGMENTS) == expected(segments, names=segment_name)
        assert [outcome.listed for outcome in outcomes] in ([2, 2], [3])
        shutil.rmtree(store)
    assert ends[0] == ends[1] == ends[2]


def test_a_level_is_replaced_whole_and_the_other_stays(do: Do, store: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "l.csv"
    sheet.write_text("track_id,artist\na,A\nb,B\nc,C\n")
    tracks = write(tmp_path / "t.csv", row("a.wav"), row("b.wav"), row("c.wav"))
    segments = write(tmp_path / "s.csv", row("a.0.wav"), row("b.0.wav"))
    do(tracks, segments, labels=sheet)
    parts = {path: path.stat().st_mtime_ns for path in store.rglob("level=segment/part-*")}
    again = write(tmp_path / "t.csv", row("a.wav", tempo="1.5"), row("d.wav"))
    outcome = do(again)
    assert read(store, TRACKS) == expected(again, names=track_name)
    assert read(store, SEGMENTS) == expected(segments, names=segment_name)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("level=segment/part-*")} == parts
    # b still has segments, c has nothing.
    assert [known["track_id"] for known in read(store, "files")] == ["a.wav", "b.wav", "d.wav"]
    assert [known["artist"] for known in read(store, "labels")] == ["A", "B"]
    runs = pyarrow.dataset.dataset(store / "runs").to_table().to_pylist()
    (run,) = [run for run in runs if run["run_id"] == outcome.run_id]
    assert (run["listed"], run["gone"]) == (2, 1)


def test_several_tables_of_a_level_are_put_together(do: Do, store: Path, tmp_path: Path) -> None:
    one = write(tmp_path / "1.csv", row("b.wav"), row("d.wav"))
    two = write(tmp_path / "2.csv", row("c.wav"), row("a.wav"), columns=sorted(COLUMNS))
    outcome = do(one, two)
    assert outcome.tracks == 4
    assert read(store, TRACKS) == expected(one, two, names=track_name)
    sources = [Path(known["source"]).name for known in read(store, "files")]
    assert sources == ["2.csv", "1.csv", "2.csv", "1.csv"]


# Labels of a CSV


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Two tables: a and b are blues; c has only segments, and no label."""
    tracks = write(tmp_path / "t.csv", row("x/a.wav"), row("x/b.wav"))
    names = ("x/a.0.wav", "x/a.1.wav", "x/b.0.wav")
    return tracks, write(tmp_path / "s.csv", *map(row, names), row("c.0.wav", label=""))


def test_a_csv_with_labels_overrules_those_of_the_tables(
    do: Do, store: Path, tmp_path: Path, both: Both, capfd: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "l.csv"
    sheet.write_text("artist,label,track_id\nA,jazz,a\nB,,x/b.wav\nC,NA,zzz\n")
    outcome = do(*both, labels=sheet)
    assert labels_of(store) == {"x/a.wav": {"jazz"}, "x/b.wav": {None}, "c.wav": {None}}
    assert outcome.unlabelled == 2
    assert read(store, "labels") == [
        {"artist": "A", "label": "jazz", "track_id": "x/a.wav"},
        {"artist": "B", "label": None, "track_id": "x/b.wav"},
    ]
    err = capfd.readouterr().err
    assert "that name no track: 1\n" in err
    assert f"tracks without a row in {sheet}: 1\n" in err


def test_a_csv_without_labels_leaves_those_of_the_tables(
    do: Do, store: Path, tmp_path: Path, both: Both
) -> None:
    sheet = tmp_path / "l.csv"
    sheet.write_text("track_id,artist\na,A\n")
    do(*both, labels=sheet)
    assert labels_of(store) == {"x/a.wav": {"blues"}, "x/b.wav": {"blues"}, "c.wav": {None}}
    assert read(store, "labels") == [{"track_id": "x/a.wav", "artist": "A"}]


def test_labels_given_with_either_level_hold_for_both(
    do: Do, store: Path, tmp_path: Path, both: Both
) -> None:
    sheet = tmp_path / "l.csv"
    sheet.write_text("track_id,label\na,jazz\nb,\n")
    tracks, segments = both
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
        assert labels_of(store) == {"x/a.wav": {"jazz"}, "x/b.wav": {None}, "c.wav": {None}}
        ends.append(content(store))
        shutil.rmtree(store)
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
def test_labels_that_do_not_fit_are_refused(
    refused: Refused, tmp_path: Path, both: Both, text: str | None, error: list[str]
) -> None:
    sheet = tmp_path / "l.csv"
    if text is not None:
        sheet.write_text(text)
    more = write(tmp_path / "more.csv", row("one/d.wav"), row("two/d.wav"))
    refusal = refused(*both, more, labels=sheet)
    for part in (str(sheet), *error):
        assert part in refusal


def test_a_pipe_of_labels_is_read_once(do: Do, store: Path, both: Both) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"track_id,label\na,jazz\n")
    os.close(writing)
    do(*both, labels=Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert labels_of(store)["x/a.wav"] == {"jazz"}


# Stores with anything but imports


def make_store(store: Path, segment_seconds: float, *uris: tuple[str, str]) -> None:
    made = open_to_write(
        storage_to_write(str(store)), Settings(FEATURE_SET, segment_seconds), force=False
    )
    rows = [
        {"track_id": f"{i}", "uri": uri, "source": source} for i, (uri, source) in enumerate(uris)
    ]
    made.storage.write_table("files/part-1.parquet", pa.Table.from_pylist(rows, schema=FILES))


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
    refused: Refused,
    store: Path,
    tmp_path: Path,
    uris: list[tuple[str, str]],
    segment_seconds: float,
    error: list[str],
) -> None:
    make_store(store, segment_seconds, *uris)
    refusal = refused(write(tmp_path / "t.csv", row("a.wav")))
    for part in (str(store), "another store", *error):
        assert part in refusal


def test_a_folder_of_other_things_is_refused(refused: Refused, store: Path, tmp_path: Path) -> None:
    store.mkdir()
    (store / "music.wav").touch()
    assert "is not a store" in refused(write(tmp_path / "t.csv", row("a.wav")))


def test_recordings_that_came_while_the_tables_were_read_are_kept(
    do: Do, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Session.stage

    def later(*args: Any, **options: Any) -> Any:
        make_store(store, 3.0, ("/m/a.wav", "/m"))
        return stage(*args, **options)

    monkeypatch.setattr(Session, "stage", later)
    with pytest.raises(UsageError, match="extracted recordings"):
        do(write(tmp_path / "t.csv", row("a.wav")))
    assert [known["uri"] for known in read(store, "files")] == ["/m/a.wav"]
    assert read(store, TRACKS) == []


# Faults


def failing(function: Callable[..., Any], nth: int) -> Callable[..., Any]:
    """Return the function with a full disk at its nth call."""
    calls: list[Any] = []

    def fail(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == nth:
            raise OSError(28, "No space left on device")
        return function(*args, **options)

    return fail


def test_an_import_that_fails_leaves_the_tables_as_they_were(
    do: Do, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(write(tmp_path / "t.csv", row("a.wav")), write(tmp_path / "s.csv", row("a.0.wav")))
    before = content(store)
    others = (write(tmp_path / "t2.csv", row("b.wav")), write(tmp_path / "s2.csv", row("b.0.wav")))
    # The disk is full between the two levels, and at the commit.
    for name, nth in (("stage_table", 2), ("commit", 1)):
        with monkeypatch.context() as patched:
            patched.setattr(commit_module, name, failing(getattr(commit_module, name), nth))
            with pytest.raises(OSError, match="No space"):
                do(*others)
        assert content(store) == before
    do(*others)
    assert [known["track_id"] for known in read(store, "files")] == ["b.wav"]


def test_a_store_in_use_is_refused(do: Do, store: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", row("a.wav"))
    do(path)
    before = content(store)
    with Lock(Folder(str(store))), pytest.raises(StoreError, match="in use|another|holds"):
        do(write(tmp_path / "u.csv", row("b.wav")))
    assert content(store) == before


# The command


def test_the_command_says_what_it_did(command: Command, store: Path, tmp_path: Path) -> None:
    tracks = write(tmp_path / "t.csv", *(row(f"{i}.wav") for i in range(1000)))
    segments = write(tmp_path / "s.csv", row("0.0.wav"), row("7.0.wav", label=""))
    one = write(tmp_path / "1.csv", row("0.wav", label=""))
    for paths, printed in (
        ([segments], "Imported 2 segments of 2 tracks; the tables are in"),
        ([tracks], "Imported 1,000 tracks; the tables are in"),
        ([tracks, segments], "Imported 1,000 tracks and 2 segments; the tables are in"),
        ([one], "Without a label: 1 track.\nImported 1 track; the tables are in"),
    ):
        code, out, err = command("import-features", *paths, "--store", store)
        assert code == 0
        assert f"{printed} {store}.\n" in out
        assert f"reading {paths[0]}" in err
    code, out, _ = command("status", "--store", store)
    assert code == 0
    assert re.search(r"tracks +1\b", out)


def test_the_command_takes_labels_and_prints_one_object(
    command: Command, store: Path, tmp_path: Path
) -> None:
    tracks = write(tmp_path / "t.csv", row("a.wav"), row("b.wav", label=""))
    sheet = tmp_path / "l.csv"
    sheet.write_text("track_id,label\na,jazz\n")
    code, out, _ = command("import-features", tracks, "--store", store, "--labels", sheet, "--json")
    assert code == 0
    found = json.loads(out)
    assert math.isfinite(found.pop("seconds"))
    assert found.pop("run_id")
    counts = {"listed": 2, "tracks": 2, "segments": 0, "unlabelled": 1}
    assert found == {**counts, "store": str(store)}
    assert labels_of(store) == {"a.wav": {"jazz"}, "b.wav": {None}}


def test_wrong_usage_is_one_line_and_2(command: Command, store: Path, tmp_path: Path) -> None:
    name = "a\n\x1b[31m\N{GUITAR}.wav"
    path = write(tmp_path / "t.csv", row(name, tempo="fast"))
    code, out, err = command("import-features", path, "--store", store)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if not line.startswith("reading ")]
    # The name has two lines, so the row ends in line 3.
    assert line.startswith(f"songmill: {path}, line 3 (a\\n\\x1b[31m\N{GUITAR}.wav): tempo")
    for arguments, word in ((["--store", store], "CSV"), ([path], "--store")):
        code, out, err = command("import-features", *arguments)
        assert (code, out) == (2, "")
        assert word in err
    assert not store.exists()
