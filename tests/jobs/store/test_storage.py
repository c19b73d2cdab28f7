"""The storage operations, in a folder and in a bucket of a real object store."""

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.store.address import storage_of
from jobs.store.bucket import Bucket
from jobs.store.folder import Folder
from jobs.store.storage import TEMPORARY, Storage

ROWS = 40_000
TABLE = pa.table({"a": range(ROWS), "b": [None, "\N{GUITAR}", *map(str, range(2, ROWS))]})
NAME = "t/level=track/a.parquet"


def names(storage: Storage, folder: str) -> list[str]:
    return [entry.name for entry in storage.list(folder)]


# Folder and bucket alike


def test_a_written_file_is_there_with_its_folders(storage: Storage) -> None:
    assert not storage.exists("x/y/a")
    storage.write("x/y/a", b"first")
    assert storage.read("x/y/a") == b"first"
    storage.write("x/y/a", b"second", durable=True)
    assert storage.read("x/y/a") == b"second"
    assert storage.exists("x/y/a")
    assert not storage.exists("x/y")
    assert [name for name in storage.names() if not name.startswith("_")] == ["x"]
    assert names(storage, TEMPORARY) == []


def test_a_failed_write_leaves_no_trace(storage: Storage) -> None:
    storage.write("a", b"old")
    with pytest.raises(TypeError), storage.writer("a") as file:
        file.writelines([b"new", "no bytes"])
    assert storage.read("a") == b"old"
    assert names(storage, TEMPORARY) == []


def test_a_table_comes_back_whole_in_part_in_batches_or_as_its_footer(storage: Storage) -> None:
    storage.write_table(NAME, TABLE)
    assert storage.read_table(NAME) == TABLE
    storage.write_table(NAME, TABLE, durable=True)
    # The folder's name is no column.
    assert storage.read_table(NAME) == TABLE
    if isinstance(storage, Folder):
        assert pq.read_table(storage.path(NAME)).num_rows == ROWS
    assert storage.read_table(NAME, ["b"]) == TABLE.select(["b"])
    assert storage.read_schema(NAME) == TABLE.schema
    assert storage.count_rows(NAME) == ROWS
    batches = list(storage.read_batches(NAME, ["a"]))
    assert len(batches) > 1
    assert pa.Table.from_batches(batches) == TABLE.select(["a"])
    assert names(storage, TEMPORARY) == []


def test_a_slice_of_a_wide_table_comes_by_groups_of_rows(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.storage._GROUP_VALUES", 1)
    storage.write_table(NAME, TABLE)
    assert storage.read_table(NAME) == TABLE
    for start, stop, count in ((0, ROWS, 3), (16_000, 17_000, 2), (16_384, 32_768, 1), (5, 6, 1)):
        found = list(storage.read_slice(NAME, ["a"], start, stop))
        assert len(found) == count
        assert pa.concat_tables(found) == TABLE.select(["a"]).slice(start, stop - start)


def test_a_missing_file_is_an_error(storage: Storage) -> None:
    for call in (
        storage.read,
        storage.read_json,
        storage.read_table,
        lambda name: storage.read_table(name, ["a"]),
        lambda name: list(storage.read_batches(name)),
        storage.read_schema,
        storage.count_rows,
        lambda name: storage.move(name, "b"),
    ):
        with pytest.raises(FileNotFoundError):
            call("x/missing")
    assert not storage.exists("x/missing")
    assert names(storage, "x") == []
    assert storage.folders("x") == []
    assert storage.names() == []
    storage.remove("x/missing")
    storage.remove_folder("x")


def test_lists_are_of_this_moment_and_by_name(storage: Storage) -> None:
    for name in ("t/b", "t/a", "t/.hidden", "t/under/d", "t/deeper/c", "tt/e"):
        storage.write(name, name.encode())
    assert names(storage, "t") == ["t/.hidden", "t/a", "t/b"]
    assert storage.folders("t") == ["deeper", "under"]
    storage.remove("t/a")
    storage.write("t/c", b"")
    found = list(storage.list("t"))
    sizes = {"t/.hidden": 9, "t/b": 3, "t/c": 0}
    assert [(entry.name, entry.size) for entry in found] == list(sizes.items())
    assert all(abs(entry.modified - time.time()) < 60 for entry in found)
    storage.remove_folder("t")
    assert names(storage, "t") == []
    assert storage.read("tt/e") == b"tt/e"


def test_only_the_first_creates(storage: Storage) -> None:
    assert [storage.create("x/a", b"%d" % i) for i in range(3)] == [True, False, False]
    assert storage.read("x/a") == b"0"
    assert names(storage, TEMPORARY) == []
    storage.remove("x/a")
    assert storage.create("x/a", b"again")
    assert storage.read("x/a") == b"again"


@pytest.mark.parametrize("links", [True, False])
def test_one_of_many_contenders_creates(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        refusal = PermissionError(1, "Operation not permitted")
        monkeypatch.setattr(os, "link", Mock(side_effect=refusal))
    start = threading.Barrier(8)

    def contend(i: int) -> bool:
        start.wait()
        return storage.create("a", b"%d" % i)

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(contend, range(8)))
    assert sum(won) == 1
    assert storage.read("a") == b"%d" % won.index(True)
    assert names(storage, TEMPORARY) == []


def test_a_move_takes_the_place_of_what_was_there(storage: Storage) -> None:
    storage.write("a", b"new")
    storage.write("x/y/b", b"old")
    storage.move("a", "x/y/b")
    assert storage.read("x/y/b") == b"new"
    assert not storage.exists("a")
    with pytest.raises(FileNotFoundError):
        storage.move("a", "b")
    files = ["model.json", "trees", "z"]
    for name in files:
        storage.write(f"stage/v1/{name}", name.encode())
    storage.move("stage/v1", "models/v1")
    assert names(storage, "models/v1") == [f"models/v1/{name}" for name in files]
    assert names(storage, "stage/v1") == []


def test_json_is_text_for_people(storage: Storage) -> None:
    value = {"name": "caf\xe9 \N{GUITAR}"}
    storage.write_json("a.json", value)
    assert storage.read("a.json") == '{\n "name": "caf\xe9 \N{GUITAR}"\n}\n'.encode()
    assert storage.read_json("a.json") == value


# Folders


def test_a_relative_root_stays_where_it_was_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Folder("root")
    monkeypatch.chdir("/")
    storage.write("a", b"1")
    assert (tmp_path / "root/a").read_bytes() == b"1"


def test_a_name_never_shows_half_a_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("a", b"old")
    seen: list[bytes] = []
    replace = os.replace

    def watched(source: str, target: str) -> None:
        seen.append(folder.read("a"))
        replace(source, target)
        seen.append(folder.read("a"))

    monkeypatch.setattr(os, "replace", watched)
    with folder.writer("a") as file:
        file.write(b"n")
        file.flush()
        seen.append(folder.read("a"))
        file.write(b"ew")
    assert seen == [b"old", b"old", b"new"]


def test_durable_means_that_the_bytes_and_the_name_are_synced_in_this_order(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        done.append("folder" if os.path.isdir(path) else f"{os.path.getsize(path)} bytes")
        fsync(descriptor)

    def replaced(source: str, target: str) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    for name in ("x/a", "at the root"):
        done.clear()
        folder.write(name, b"1", durable=True)
        assert done == ["1 bytes", "name", "folder"]
    done.clear()
    folder.write_table("x/b", TABLE, durable=True)
    assert done == [f"{os.path.getsize(folder.path('x/b'))} bytes", "name", "folder"]
    done.clear()
    folder.write("x/c", b"1")
    assert done == ["name"]


@pytest.mark.parametrize("write", [Folder.write, Folder.write_table])
def test_an_error_of_the_file_system_keeps_its_number(
    folder: Folder, write: Callable[..., None]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            write(folder, "a", b"more" if write is Folder.write else TABLE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.errno == errno.EFBIG
    assert names(folder, TEMPORARY) == []


def test_a_full_disk_is_an_error_that_names_the_file_and_the_remedy(folder: Folder) -> None:
    full = pytest.raises(OSError, match="No space left .*Free some space")
    with full as error, folder.writer("a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, folder.path("a"))


def test_a_file_that_goes_while_it_is_listed_is_left_out(folder: Folder) -> None:
    for name in ("x/a", "x/b", "x/c"):
        folder.write(name, b"")
    os.utime(folder.path("x/a"), (5, 7))
    os.symlink("nowhere", folder.path("x/dangling"))
    found = folder.list("x")
    first = next(found)
    assert (first.name, first.modified) == ("x/a", 7.0)
    folder.remove("x/b")
    assert [entry.name for entry in found] == ["x/c"]


# Buckets


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_an_address_is_a_folders_or_a_buckets() -> None:
    assert type(storage_of("/music/a")) is Folder
    assert isinstance(storage_of("s3://music/a"), Bucket)
    assert storage_of("s3://music/a/").path("b/c") == "s3://music/a/b/c"
