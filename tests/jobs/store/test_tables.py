"""Opening, creating and reading stores, and the errors of folders that are not stores."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.damaged_json import DAMAGED_JSON, short_id

from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.store.address import storage_at
from jobs.store.folder import Folder
from jobs.store.schemas import FILES, RUNS, SEGMENT, TRACK, features_schema
from jobs.store.storage import json_checksum
from jobs.store.tables import (
    FORMAT,
    STORE_JSON,
    Settings,
    Store,
    current_settings,
    open_store,
    open_to_write,
    read_settings,
    storage_to_write,
)

GTZAN = feature_set("gtzan")

SETTINGS = Settings({"gtzan": GTZAN.version}, 3.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a new store."""
    folder = tmp_path / "store"
    open_to_write(storage_to_write(str(folder)), SETTINGS, force=False)
    return folder


# The published columns


def test_the_feature_tables_have_the_published_columns_in_their_order(shared_data: Path) -> None:
    for name, schema, keys in (
        ("features_30_sec.csv", TRACK, ["track_id", "label"]),
        ("features_3_sec.csv", SEGMENT, ["track_id", "label", "segment", "start_s"]),
    ):
        with open(shared_data / "gtzan" / name) as file:
            published = file.readline().strip().split(",")
        assert published[0] == "filename"
        assert published[-1] == "label"
        assert schema.names == keys + published[1:-1]


def test_features_have_the_columns_units_and_meanings_of_their_set() -> None:
    for name, level in (("gtzan", "track"), ("gtzan", "segment"), ("rich", "track")):
        found = feature_set(name)
        schema = features_schema(name, level)  # type: ignore[arg-type]
        assert schema.names[-len(found.names) :] == list(found.names)
        for column in found.columns:
            field = schema.field(column.name)
            assert field.type == pa.from_numpy_dtype(np.dtype(found.dtype))
            texts = {b"unit": column.unit.encode(), b"description": column.meaning.encode()}
            assert field.metadata == texts


def test_columns_have_the_types_that_their_values_need() -> None:
    for schema in (TRACK, SEGMENT):
        assert schema.field("length").type == pa.int64()
        assert {schema.field(name).type for name in GTZAN.names} == {pa.float64()}
    for schema in (TRACK, SEGMENT, FILES, RUNS):
        assert len(set(schema.names)) == len(schema.names)
        times = [field.type for field in schema if pa.types.is_timestamp(field.type)]
        assert all(time.tz == "UTC" for time in times)


# Making and opening


def test_a_new_store_says_what_it_holds_and_is_opened_again(root: Path) -> None:
    stated = json.loads((root / STORE_JSON).read_text())
    assert stated.pop("checksum") == json_checksum(stated)
    assert stated == {"format": 1, "feature_set": GTZAN.version, "segment_seconds": 3.0}
    assert open_store(str(root)).settings == SETTINGS
    assert open_store(f"file://{root}").settings == SETTINGS
    before = (root / STORE_JSON).stat()
    for force in (False, True):
        store = open_to_write(storage_to_write(str(root)), SETTINGS, force=force)
        assert store.settings == SETTINGS
    assert (root / STORE_JSON).stat() == before


@pytest.mark.parametrize(
    ("other", "error"),
    [
        (
            Settings({"gtzan": GTZAN.version}, 2.5),
            "2.5 s, and 3 s .* add --force .*--segment-seconds 2.5",
        ),
        (
            Settings({"gtzan": "older"}, 3.0),
            f"older, .* {GTZAN.version}; .* add --force .*another store",
        ),
    ],
)
def test_a_store_with_other_settings_is_refused_in_words_that_name_force(
    root: Path, other: Settings, error: str
) -> None:
    (root / STORE_JSON).write_bytes(other.to_json())
    with pytest.raises(UsageError, match=f"{root} holds .* {error}"):
        open_to_write(storage_to_write(str(root)), SETTINGS, force=False)


def test_a_store_with_further_feature_sets_is_one_that_an_older_songmill_refuses(
    tmp_path: Path,
) -> None:
    both = current_settings(["rich", "gtzan"], 3.0)
    for number, settings in enumerate((both, current_settings(["rich"], 3.0))):
        storage = storage_to_write(str(tmp_path / str(number)))
        assert open_to_write(storage, settings, force=False).settings == settings
        assert open_store(storage.root).settings == settings
        stated = json.loads(storage.read(STORE_JSON))
        assert stated.pop("checksum") == json_checksum(stated)
        assert stated == {
            "format": 2,
            "feature_set": settings.versions,
            "feature_sets": {name: feature_set(name).version for name in settings.feature_sets},
            "segment_seconds": 3.0,
        }


def test_feature_sets_may_be_added_and_are_left_out_only_with_force(root: Path) -> None:
    storage = Folder(str(root))
    both = current_settings(["gtzan", "rich"], 3.0)
    assert both.extends(SETTINGS)
    assert not SETTINGS.extends(both)
    assert open_to_write(storage, both, force=False).settings == SETTINGS
    storage.write(STORE_JSON, both.to_json())
    with pytest.raises(
        UsageError, match=r"the rich features too, .* --features gtzan,rich, .*--fo"
    ):
        open_to_write(storage, SETTINGS, force=False)
    assert open_to_write(storage, SETTINGS, force=True).settings == both


def test_an_unknown_feature_set_is_never_dropped(root: Path) -> None:
    storage = Folder(str(root))
    unheard = Settings({**SETTINGS.feature_sets, "unheard": "unheard-1"}, 3.0)
    storage.write(STORE_JSON, unheard.to_json())
    assert open_store(storage).settings == unheard
    for force in (False, True):
        with pytest.raises(UsageError, match="set unheard, which .* knows gtzan, rich"):
            open_to_write(storage, SETTINGS, force=force)


def test_with_force_the_old_settings_stand_until_the_commit(root: Path) -> None:
    other = Settings({"gtzan": GTZAN.version}, 2.5)
    store = open_to_write(storage_to_write(str(root)), other, force=True)
    assert store.settings == SETTINGS
    assert read_settings(store.storage) == SETTINGS


def test_a_folder_that_is_there_and_empty_may_become_a_store(tmp_path: Path) -> None:
    for name in (".git", "_work"):
        (tmp_path / name).mkdir()
    open_to_write(storage_to_write(str(tmp_path)), SETTINGS, force=False)
    assert open_store(str(tmp_path)).settings == SETTINGS


# Folders that are not stores


@pytest.mark.parametrize(
    ("use", "path", "error"),
    [
        (open_store, "", "no store at {0}. Create it: songmill extract"),
        (open_store, "missing", "no store at {0}. Create it: songmill extract"),
        (open_store, "file", "{0} is a file"),
        (open_store, "file/store", "no store at {0}"),
        (storage_to_write, "file", "{0} is a file"),
        (storage_to_write, "", r"not a store and not empty.*'file'"),
    ],
)
def test_files_and_folders_of_other_things_are_no_stores(
    tmp_path: Path, use: Callable[[str], object], path: str, error: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "zebra").write_bytes(b"")
    address = str(tmp_path / path)
    with pytest.raises(UsageError, match=error.format(address)):
        use(address)


def test_an_error_of_a_bucket_names_its_address() -> None:
    with pytest.raises(UsageError, match="s3://bucket/x"):
        storage_at("s3://bucket/x")


@pytest.mark.parametrize(
    "text",
    [
        *(*DAMAGED_JSON, b"\xff\xfe\x00"),
        *(b'{"format": 1}', b'{"format": 1, "feature_'),
    ],
    ids=short_id,
)
def test_a_damaged_description_is_named(root: Path, text: bytes) -> None:
    (root / STORE_JSON).write_bytes(text)
    for use in (open_store, storage_to_write):
        with pytest.raises(StoreError, match=r"store\.json is damaged"):
            use(str(root))


def described(**values: Any) -> str:
    settings = {"format": 1, "feature_set": GTZAN.version, "segment_seconds": 3.0}
    return json.dumps({**settings, **values})


@pytest.mark.parametrize(
    "seconds",
    [
        *(math.nan, 0, -1.0, math.inf, -math.inf, 1e308, 600.1, 0.09, 10**400),
        *(True, "3", None, [3.0], {}),
    ],
)
def test_segments_of_an_impossible_length_are_refused(root: Path, seconds: Any) -> None:
    (root / STORE_JSON).write_text(described(segment_seconds=seconds))
    for use in (open_store, storage_to_write):
        with pytest.raises(StoreError, match=rf"{root}/store\.json is damaged.*'segment_seconds'"):
            use(str(root))


@pytest.mark.parametrize("version", [5, None, ["a"], "\ud800"])
def test_a_feature_set_that_is_no_text_is_refused(root: Path, version: Any) -> None:
    sets = ({"gtzan": version}, version, {}, [])
    for text in (
        described(feature_set=version),
        *(described(format=2, feature_sets=found) for found in sets),
    ):
        (root / STORE_JSON).write_text(text)
        with pytest.raises(StoreError, match=rf"{root}/store\.json is damaged"):
            open_store(str(root))


@pytest.mark.parametrize("seconds", [3, 0.1, 600.0])
def test_unknown_entries_of_a_description_are_ignored(root: Path, seconds: float) -> None:
    (root / STORE_JSON).write_text(described(segment_seconds=seconds, future=[math.nan]))
    assert open_store(str(root)).settings == Settings({"gtzan": GTZAN.version}, seconds)


def test_no_flipped_bit_of_a_description_changes_the_settings(root: Path) -> None:
    text = (root / STORE_JSON).read_bytes()
    for bit in range(len(text) * 8):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << bit % 8
        (root / STORE_JSON).write_bytes(flipped)
        try:
            assert read_settings(Folder(str(root))) == SETTINGS
        except StoreError as error:
            assert STORE_JSON in str(error) or "has format" in str(error)  # noqa: PT017


def test_a_later_format_is_refused_with_both_numbers(root: Path) -> None:
    (root / STORE_JSON).write_text(
        json.dumps({"format": FORMAT + 1, "feature_set": "x", "segment_seconds": 3.0})
    )
    with pytest.raises(StoreError, match=f"format {FORMAT + 1}, .* reads format {FORMAT} and"):
        open_store(str(root))


# Reading


def test_a_table_without_parts_has_its_columns_and_no_rows(root: Path) -> None:
    store = open_store(str(root))
    assert store.read("files") == FILES.empty_table()
    assert store.read("files", ["status", "track_id"]).schema.names == ["status", "track_id"]


def test_a_table_is_its_parts_and_nothing_else_in_its_folder(root: Path) -> None:
    store = Store(Folder(str(root)), SETTINGS)
    for name, track in (("part-2.parquet", "b"), ("part-1.parquet", "a"), ("part-3.parquet", None)):
        rows = [] if track is None else [{"track_id": track, "bytes": 1}]
        store.storage.write_table(f"files/{name}", pa.Table.from_pylist(rows, FILES))
    for name in ("._part-1.parquet", "_part.parquet", "part-4.parquet.tmp", ".DS_Store"):
        store.storage.write(f"files/{name}", b"no parquet")
    assert store.read("files", ["track_id"]).to_pylist() == [{"track_id": "a"}, {"track_id": "b"}]
    assert store.read("files").schema == FILES


def test_a_damaged_part_is_named(root: Path) -> None:
    store = Store(Folder(str(root)), SETTINGS)
    rows = pa.Table.from_pylist([{"track_id": f"{i}"} for i in range(1000)], FILES)
    store.storage.write_table("files/part-1.parquet", rows)
    whole = store.storage.read("files/part-1.parquet")
    for damaged in (whole[: len(whole) // 2], b"", whole[:100] + bytes(2000) + whole[2100:]):
        store.storage.write("files/part-1.parquet", damaged)
        with pytest.raises(StoreError, match=f"{root}/files/part-1.parquet"):
            store.read("files")
