"""The manifest, and how readers notice parts that differ from it."""

import random
import shlex

import pyarrow as pa
import pytest
from support.damaged_json import DAMAGED_JSON, short_id

from featurizer.feature_set import feature_set
from jobs.errors import DamageError
from jobs.store import manifest
from jobs.store.address import lock_of
from jobs.store.commit import Change, commit, stage_replacement, stage_table, without_tracks
from jobs.store.lock import JOURNAL
from jobs.store.manifest import MANIFEST, Part
from jobs.store.schemas import FILES, RUNS
from jobs.store.storage import Storage
from jobs.store.tables import Settings, Store

GTZAN = feature_set("gtzan")

TRACKS = ["a", "b", "c"]


@pytest.fixture
def store(storage: Storage) -> Store:
    """A store with three rows of `files` in one part, and its manifest."""
    made = Store(storage, Settings({"gtzan": GTZAN.version}, 3.0))
    add(made, TRACKS)
    return made


def rows_of(tracks: list[str]) -> pa.Table:
    rows = [{"track_id": track, "uri": f"/music/{track}", "bytes": 4096} for track in tracks]
    return pa.Table.from_pylist(rows, schema=FILES)


def add(store: Store, tracks: list[str], *, drop: list[str] | None = None) -> None:
    change = Change()
    edit = without_tracks(pa.array(drop, pa.string())) if drop else None
    stage_table(store, change, "files", [rows_of(tracks)] if tracks else [], edit=edit)
    apply(store, change)


def apply(store: Store, change: Change) -> None:
    with lock_of(store.storage) as lock:
        commit(lock, change)


def tracks_of(store: Store) -> list[str]:
    return sorted(store.read("files", ["track_id"])["track_id"].to_pylist())


def only_part(store: Store) -> str:
    """The name of the only part with rows."""
    (name,) = parts_of(store)
    return name


def parts_of(store: Store) -> dict[str, Part]:
    found = manifest.read(store.storage)
    assert found is not None
    return found


def contents(storage: Storage) -> dict[str, Part]:
    """Describe the parts with rows that are there."""
    names = [entry.name for table in ("files", "runs") for entry in storage.list(table)]
    described = {name: storage.describe_part(name) for name in names}
    return {name: part for name, part in described.items() if part.rows}


# Commits


def test_every_commit_leaves_the_manifest_of_what_is_there(store: Store) -> None:
    assert parts_of(store) == contents(store.storage)
    add(store, ["d"])
    add(store, ["e"], drop=["a", "d"])
    assert parts_of(store) == contents(store.storage)
    assert sum(part.rows for part in parts_of(store).values()) == 3
    runs = pa.Table.from_pylist([{"run_id": "x"}], schema=RUNS)
    for rows in ([runs], [runs, runs], []):
        change = Change()
        stage_replacement(store, change, "runs", rows, RUNS)
        apply(store, change)
        assert parts_of(store) == contents(store.storage)
    add(store, [], drop=["b", "c", "e"])
    assert parts_of(store) == {}


def test_a_store_of_an_older_version_works_and_gets_its_manifest_with_a_commit(
    store: Store,
) -> None:
    store.storage.remove(MANIFEST)
    store.storage.write("files/part-damaged.parquet", b"PAR1")
    with pytest.raises(DamageError, match=r"part-damaged\.parquet is damaged"):
        tracks_of(store)
    store.storage.remove("files/part-damaged.parquet")
    assert tracks_of(store) == TRACKS
    add(store, ["d"])
    assert parts_of(store) == contents(store.storage)
    assert tracks_of(store) == [*TRACKS, "d"]


@pytest.mark.parametrize("text", [*DAMAGED_JSON, b'{"format": 2, "parts": {}}'], ids=short_id)
def test_a_damaged_manifest_is_named(store: Store, text: bytes) -> None:
    store.storage.write(MANIFEST, text)
    with pytest.raises(DamageError, match=rf"{MANIFEST} is damaged.*verify --repair --store"):
        store.parts("files")


@pytest.mark.parametrize(
    "entry", ['{"rows": 1}', '{"rows": "1", "bytes": 2, "footer": "x"}', "[]", "null"]
)
def test_a_manifest_with_other_entries_is_damaged(entry: str) -> None:
    with pytest.raises(ValueError, match="entr"):
        manifest.from_json(f'{{"format": 1, "parts": {{"files/part-1": {entry}}}}}'.encode())


# Damage


def test_a_missing_part_is_named_by_every_reader(store: Store) -> None:
    name = only_part(store)
    store.storage.remove(name)
    quoted = shlex.quote(store.storage.root)
    error = rf"{name} does not exist\. .*verify --repair --store {quoted}`"
    for read in (store.parts, store.read, store.count_rows, lambda t: list(store.read_batches(t))):
        with pytest.raises(DamageError, match=error):
            read("files")


@pytest.mark.parametrize("size", [0, 3, 500, -1])
def test_a_part_that_is_cut_off_is_named(store: Store, size: int) -> None:
    name = only_part(store)
    store.storage.write(name, store.storage.read(name)[:size])
    with pytest.raises(DamageError, match=rf"{name} is damaged \([\d,]+ bytes instead of"):
        store.read("files")
    store.storage.remove(MANIFEST)
    with pytest.raises(DamageError, match=f"{name} is damaged"):
        store.read("files")


def test_no_flipped_bit_is_read_as_another_value(store: Store) -> None:
    name = only_part(store)
    whole = store.read("files")
    data = bytearray(store.storage.read(name))
    random_ = random.Random(0)
    noticed = 0
    flips = 30 if store.storage.root.startswith("s3:") else 300  # a request takes longer
    for _ in range(flips):
        place, bit = random_.randrange(len(data)), 1 << random_.randrange(8)
        data[place] ^= bit
        store.storage.write(name, bytes(data))
        data[place] ^= bit
        try:
            assert store.read("files") == whole, (place, bit)
        except DamageError as error:
            assert name in str(error)  # noqa: PT017
            noticed += 1
    assert noticed > 0.8 * flips


@pytest.mark.parametrize("place", range(-700, -8, 173))
def test_a_flipped_bit_of_the_footer_is_noticed_by_every_reader(store: Store, place: int) -> None:
    name = only_part(store)
    data = bytearray(store.storage.read(name))
    data[place] ^= 4
    store.storage.write(name, bytes(data))
    for read in (store.read, store.count_rows, lambda table: list(store.read_batches(table))):
        with pytest.raises(DamageError, match=rf"{name} is damaged \(its footer"):
            read("files")


# Readers beside a commit


@pytest.mark.parametrize("of", ["parts", "read_part"])
def test_a_commit_in_the_middle_of_a_reading_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    reader = Store(store.storage, store.settings)
    if of == "read_part":
        (name,) = reader.parts("files")
        add(store, ["d"], drop=["a"])
        assert reader.read_part(name).schema == FILES
        return
    read = manifest.read
    before = [read(store.storage)]
    add(store, ["d"], drop=["a"])
    # The reader has read the manifest before the commit, and lists the files after it.
    monkeypatch.setattr(manifest, "read", lambda storage: before.pop() if before else read(storage))
    assert tracks_of(reader) == ["b", "c", "d"]
    assert not before


def test_while_a_commit_is_unfinished_a_reader_sees_what_is_there(store: Store) -> None:
    reader = Store(store.storage, store.settings)
    (name,) = reader.parts("files")
    store.storage.write(JOURNAL, b"{}")
    store.storage.write_table(name, FILES.empty_table())
    assert reader.read_part(name).num_rows == 0
    assert reader.read("files").num_rows == 0
    # Between two commits a run that holds the lock keeps a journal without entries.
    store.storage.write(JOURNAL, b'{"token": "x", "remove": [], "add": [], "forget": []}')
    with pytest.raises(DamageError, match=r"is damaged"):
        reader.read("files")


def test_a_flipped_bit_of_the_manifest_is_damage_of_the_manifest() -> None:
    part = Part(rows=3, bytes=4242, footer="0a1b2c3d")
    text = manifest.to_json({"files/part-1.parquet": part, "runs/part-2.parquet": part})
    for bit in range(len(text) * 8):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = manifest.from_json(bytes(flipped))
        except ValueError:
            continue
        assert found == manifest.from_json(text)  # white space
