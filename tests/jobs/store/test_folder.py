"""The few operations that a store needs of a file system."""

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.store.folder import Storage
from jobs.store.storage import TEMPORARY, as_json

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "\N{GUITAR}"]})


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "not yet" / "root"))


def names(storage: Storage, folder: str) -> list[str]:
    return [entry.name for entry in storage.list(folder)]


def test_a_relative_root_stays_where_it_was_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("root")
    monkeypatch.chdir("/")
    storage.write("a", b"1")
    assert (tmp_path / "root/a").read_bytes() == b"1"


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_written_is_there_with_its_folders_and_nothing_is_left_over(
    storage: Storage, durable: bool
) -> None:
    assert not storage.exists("x/y/a")
    storage.write("x/y/a", b"first", durable=durable)
    storage.write("x/y/a", b"second", durable=durable)
    assert storage.read("x/y/a") == b"second"
    assert storage.exists("x/y/a")
    assert not storage.exists("x/y")
    assert names(storage, TEMPORARY) == []


@pytest.mark.parametrize("durable", [False, True])
def test_a_table_comes_back_whole_in_part_or_as_its_footer(storage: Storage, durable: bool) -> None:
    storage.write_table("t/level=track/a.parquet", TABLE, durable=durable)
    # The folder's name is no column.
    assert storage.read_table("t/level=track/a.parquet") == TABLE
    assert storage.read_table("t/level=track/a.parquet", ["b"]) == TABLE.select(["b"])
    assert storage.read_schema("t/level=track/a.parquet") == TABLE.schema
    assert storage.count_rows("t/level=track/a.parquet") == 3
    assert pq.read_table(storage.path("t/level=track/a.parquet")).num_rows == 3
    assert names(storage, TEMPORARY) == []


def test_what_is_not_there_is_said_to_be_so(storage: Storage) -> None:
    for call in (storage.read, storage.read_table, storage.read_schema, storage.count_rows):
        with pytest.raises(FileNotFoundError):
            call("missing")
    assert not storage.exists("missing")
    assert names(storage, "missing") == []
    storage.remove("missing")


def test_a_name_never_shows_half_a_file(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("a", b"old")
    seen: list[bytes] = []
    replace, write_bytes = os.replace, Path.write_bytes

    def slowly(self: Path, data: bytes) -> int:
        write_bytes(self, data[:1])
        seen.append(storage.read("a"))
        return write_bytes(self, data)

    def watched(source: str, target: str) -> None:
        seen.append(storage.read("a"))
        replace(source, target)
        seen.append(storage.read("a"))

    monkeypatch.setattr(Path, "write_bytes", slowly)
    monkeypatch.setattr(os, "replace", watched)
    storage.write("a", b"new")
    assert seen == [b"old", b"old", b"new"]


def test_durable_means_that_the_bytes_and_the_name_are_synced_in_this_order(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def replaced(source: str, target: str) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    for write in (
        lambda: storage.write("x/a", b"1", durable=True),
        lambda: storage.write_table("x/b", TABLE, durable=True),
        lambda: storage.write("at the root", b"1", durable=True),
    ):
        done.clear()
        write()
        assert done == ["file", "name", "folder"]
    done.clear()
    storage.write("x/c", b"1")
    assert done == ["name"]


def test_only_the_first_creates(storage: Storage) -> None:
    assert storage.create("x/a", b"first")
    assert not storage.create("x/a", b"second")
    assert storage.read("x/a") == b"first"
    assert names(storage, TEMPORARY) == []


def test_of_many_at_once_one_creates(storage: Storage) -> None:
    start = threading.Barrier(8)
    won: list[int] = []

    def contend(i: int) -> None:
        start.wait()
        if storage.create("a", b"%d" % i):
            won.append(i)

    threads = [threading.Thread(target=contend, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read("a") == b"%d" % won[0]


def test_a_move_takes_the_place_of_what_was_there(storage: Storage) -> None:
    storage.write("a", b"new")
    storage.write("x/y/b", b"old")
    storage.move("a", "x/y/b")
    assert storage.read("x/y/b") == b"new"
    assert not storage.exists("a")
    storage.move("x/y/b", "fresh/folder/c")
    assert storage.read("fresh/folder/c") == b"new"
    with pytest.raises(FileNotFoundError):
        storage.move("a", "b")


def test_removing_removes_one_file(storage: Storage) -> None:
    storage.write("x/a", b"")
    storage.write("x/b", b"")
    storage.remove("x/a")
    assert names(storage, "x") == ["x/b"]


def test_a_list_is_sorted_and_holds_files_alone(storage: Storage) -> None:
    for name in ("x/b", "x/a", "x/folder/c", "x/.hidden"):
        storage.write(name, name.encode())
    os.utime(storage.path("x/a"), (5, 7))
    assert names(storage, "x") == ["x/.hidden", "x/a", "x/b"]
    found = next(entry for entry in storage.list("x") if entry.name == "x/a")
    assert (found.size, found.modified) == (3, 7.0)


def test_a_file_that_goes_while_it_is_listed_is_left_out(storage: Storage) -> None:
    for name in ("x/a", "x/b", "x/c"):
        storage.write(name, b"")
    os.symlink("nowhere", storage.path("x/dangling"))
    found = storage.list("x")
    assert next(found).name == "x/a"
    storage.remove("x/b")
    assert [entry.name for entry in found] == ["x/c"]


def test_json_is_text_for_people() -> None:
    assert (
        as_json({"name": "caf\xe9 \N{GUITAR}"}) == '{\n "name": "caf\xe9 \N{GUITAR}"\n}\n'.encode()
    )
