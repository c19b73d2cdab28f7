"""Commits, against a plain dict of what the tables hold."""

import contextlib
import itertools
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import dask.dataframe
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from support import read_in_a_loop
from support.faults import before_operations

from featurizer.feature_set import feature_set
from jobs.errors import StoreError
from jobs.inputs import labels as label_table
from jobs.store import commit as module
from jobs.store.address import lock_of
from jobs.store.commit import (
    STAGE,
    Change,
    stage_file,
    stage_replacement,
    stage_table,
    with_labels,
    without_any,
    without_tracks,
)
from jobs.store.folder import Folder
from jobs.store.folder_lock import FolderLock
from jobs.store.lock import JOURNAL
from jobs.store.schemas import SEGMENTS, TRACKS, feature_tables
from jobs.store.storage import Storage
from jobs.store.tables import STORE_JSON, Settings, Store

GTZAN = feature_set("gtzan")

# One feature stands for the 57.
FEW = pa.schema([("track_id", pa.string()), ("label", pa.string()), ("tempo", pa.float64())])

ONE_COLUMN = pa.schema([("track_id", pa.string())])

# {track: (label, value, number of segments)}
Model = dict[str, tuple[str | None, float, int]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store with parts so small that they are split and merged."""
    monkeypatch.setattr(module, "PART_ROWS", 10)
    monkeypatch.setattr(module, "SMALL_PARTS", 3)
    return Store(Folder(str(tmp_path / "store")), Settings({"gtzan": GTZAN.version}, 3.0))


def commit(store: Store, change: Change) -> None:
    with lock_of(store.storage) as lock:
        module.commit(lock, change)


def recover(storage: Storage) -> bool:
    with lock_of(storage) as lock:
        return module.recover(lock)


def rows_of(table: str, model: Model) -> pa.Table:
    rows = [
        {"track_id": track, "label": label, "tempo": value, "segment": i}
        for track, (label, value, count) in model.items()
        for i in range(1 if table == TRACKS else count)
    ]
    schema = FEW if table == TRACKS else FEW.append(pa.field("segment", pa.int32()))
    return pa.Table.from_pylist(rows, schema=schema)


def change_of(
    store: Store,
    *,
    add: Model | None = None,
    drop: set[str] | None = None,
    relabel: dict[str, str | None] | None = None,
    tidy: bool = False,
) -> Change:
    """Stage one change of both tables, as a run does."""
    change = Change()
    relabel = relabel or {}
    dropped = without_tracks(pa.array(sorted(drop or ()), pa.string()))
    relabelled = with_labels(relabel)

    def edit(rows: pa.Table) -> pa.Table:
        return relabelled(dropped(rows))

    for table in (TRACKS, SEGMENTS):
        # In several pieces, as they come from several batches.
        pieces = [rows_of(table, dict([item])) for item in (add or {}).items()]
        used = edit if drop or relabel else None
        stage_table(store, change, table, pieces, edit=used, tidy=tidy)
    return change


def after(model: Model, add: Model, drop: set[str], relabel: dict[str, str | None]) -> Model:
    kept = {
        track: (relabel.get(track, label), value, count)
        for track, (label, value, count) in model.items()
        if track not in drop
    }
    return kept | add


def read(store: Store) -> Model:
    """Read the folders with PyArrow alone, and check that no row is there twice."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in (TRACKS, SEGMENTS):
        folder = store.storage.path(table)
        exists = os.path.isdir(folder)
        rows = pyarrow.dataset.dataset(folder).to_table().to_pylist() if exists else []
        assert len({(row["track_id"], row.get("segment")) for row in rows}) == len(rows), table
        found[table] = rows
    segments = Counter(row["track_id"] for row in found[SEGMENTS])
    values = {(row["track_id"], row["label"], row["tempo"]) for row in found[SEGMENTS]}
    # The two tables may be at different moments, but the segments of a track are at one.
    assert len(values) == len(segments)
    return {
        row["track_id"]: (row["label"], row["tempo"], segments[row["track_id"]])
        for row in found[TRACKS]
    }


def parts_of(store: Store, table: str) -> dict[str, pa.Table]:
    """Return the rows of every part that has any."""
    tables = {name: store.storage.read_table(name) for name in store.parts(table)}
    return {name: rows for name, rows in tables.items() if rows.num_rows}


def put(store: Store, **change: Any) -> None:
    commit(store, change_of(store, **change))


def random_model(random_: random.Random, tracks: Iterator[str], most: int) -> Model:
    return {
        next(tracks): (random_.choice([None, "x", "y"]), random_.random(), random_.randint(0, 3))
        for _ in range(random_.randint(0, most))
    }


# Commits


@pytest.mark.parametrize("seed", range(8))
def test_many_random_commits_leave_what_a_dict_would(store: Store, seed: int) -> None:
    random_ = random.Random(seed)
    names = (f"{random_.choice('abc')}/{i}" for i in itertools.count())
    model: Model = {}
    for _ in range(8):
        add = random_model(random_, names, random_.choice([3, 20]))
        present = sorted(model)
        drop = set(random_.sample(present, random_.randint(0, len(present) // 3)))
        relabel: dict[str, str | None] = {
            track: random_.choice([None, "z"])
            for track in random_.sample(present, random_.randint(0, len(present) // 3))
        }
        # A changed file leaves and comes back in one commit.
        for track in sorted(drop)[::2]:
            add[track] = ("new", random_.random(), random_.randint(0, 3))
        put(store, add=add, drop=drop, relabel=relabel, tidy=random_.random() < 0.5)
        model = after(model, add, drop, relabel)
        assert read(store) == model
        for table in (TRACKS, SEGMENTS):
            for rows in parts_of(store, table).values():
                assert rows.num_rows <= 10
                keys = [(r["track_id"], r.get("segment")) for r in rows.to_pylist()]
                assert keys == sorted(keys)
        assert not store.storage.exists(JOURNAL)
        assert list(store.storage.list(STAGE)) == []


def test_nothing_to_do_touches_nothing(store: Store) -> None:
    put(store, add={"a": ("x", 1.0, 1)})
    before = {entry: store.storage.read(entry.name) for entry in store.storage.list(TRACKS)}
    change = change_of(store, drop={"stranger"}, relabel={"stranger": "y"}, tidy=True)
    assert change == Change()
    commit(store, change)
    assert {e: store.storage.read(e.name) for e in store.storage.list(TRACKS)} == before


def test_only_parts_with_a_row_that_changes_are_written_anew(store: Store) -> None:
    put(store, add={"a": ("x", 1.0, 1)})
    put(store, add={"b": ("x", 1.0, 1)})
    part_of = {
        (table, track): name
        for table in (TRACKS, SEGMENTS)
        for name, rows in parts_of(store, table).items()
        for track in rows["track_id"].to_pylist()
    }
    change = change_of(store, relabel={"b": "y"})
    assert change.remove == [part_of[TRACKS, "b"], part_of[SEGMENTS, "b"]]
    assert len(change.add) == 2
    commit(store, change)
    assert part_of[TRACKS, "a"] in parts_of(store, TRACKS)
    assert read(store) == {"a": ("x", 1.0, 1), "b": ("y", 1.0, 1)}


def test_full_parts_are_cut_at_their_size_and_in_order(store: Store) -> None:
    model: Model = {f"{i:03}": (None, float(i), 0) for i in reversed(range(34))}
    put(store, add=model)
    sizes = sorted(rows.num_rows for rows in parts_of(store, TRACKS).values())
    assert sizes == [4, 10, 10, 10]
    assert parts_of(store, SEGMENTS) == {}


@pytest.mark.parametrize("grace_s", [0.0, module.GRACE_S])
def test_many_small_runs_leave_few_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch, grace_s: float
) -> None:
    for name, value in {"PART_ROWS": 100_000, "SMALL_PARTS": 8, "GRACE_S": grace_s}.items():
        monkeypatch.setattr(module, name, value)
    model: Model = {}
    for i in range(40):
        recover(store.storage)
        model[f"{i}"] = ("x", float(i), 2)
        put(store, add={f"{i}": model[f"{i}"]}, tidy=True)
        assert len(parts_of(store, TRACKS)) <= 8
    recover(store.storage)
    assert read(store) == model
    # Emptied parts stay for a while.
    for table in (TRACKS, SEGMENTS):
        assert len(store.parts(table)) <= (48 if grace_s else 8)


def test_large_parts_are_left_alone_when_small_ones_are_merged(store: Store) -> None:
    put(store, add={f"large/{i}": (None, 1.0, 0) for i in range(8)})
    (large,) = store.parts(TRACKS)
    for i in range(3):
        put(store, add={f"small/{i}": (None, 1.0, 0)})
    assert len(parts_of(store, TRACKS)) == 4
    put(store, add={"last": (None, 1.0, 0)}, tidy=True)
    parts = parts_of(store, TRACKS)
    assert large in parts
    assert sorted(rows.num_rows for rows in parts.values()) == [4, 8]


# Readers

# Dask still says inplace=True to pandas.
pandas_in_dask = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


def by_dask(folder: Path) -> pd.DataFrame:
    return dask.dataframe.read_parquet(folder).compute(scheduler="synchronous")


READERS = [*read_in_a_loop.READERS, by_dask]


def emptied(store: Store, table: str) -> list[str]:
    return [n for n in store.parts(table) if store.storage.count_rows(n) == 0]


@pandas_in_dask
def test_an_emptied_part_troubles_no_reader(store: Store) -> None:
    put(store, add={"a": ("x", 1.0, 1)})
    put(store, add={"b": ("x", 2.0, 2)})
    put(store, relabel={"a": "y", "b": "z"})
    assert len(emptied(store, TRACKS)) == 2
    for table, labels in ((TRACKS, ["y", "z"]), (SEGMENTS, ["y", "z", "z"])):
        for reader in READERS:
            frame = reader(Path(store.storage.path(table))).sort_values("track_id")
            assert list(frame["label"]) == labels
    whole = duckdb.sql(
        f"SELECT level, count(*) FROM read_parquet('{store.storage.path('features')}/*/*.parquet', "
        "hive_partitioning=true, union_by_name=true) GROUP BY level ORDER BY level"
    ).fetchall()
    assert whole == [("segment", 3), ("track", 2)]


@pandas_in_dask
def test_a_table_whose_every_row_is_gone_can_be_read(store: Store) -> None:
    put(store, add={"a": ("x", 1.0, 1)})
    put(store, drop={"a"})
    # An emptied part is not emptied again.
    change = Change()
    stage_table(store, change, TRACKS, [], edit=without_any, tidy=True)
    assert change == Change()
    for reader in READERS:
        assert reader(Path(store.storage.path(TRACKS))).empty


def test_emptied_parts_go_after_a_while_and_parts_with_rows_never(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, add={"a": ("x", 1.0, 1)})
    put(store, add={"b": ("x", 1.0, 1)})
    put(store, relabel={"a": "y", "b": "z"})
    recover(store.storage)
    assert len(emptied(store, TRACKS)) == 2, "a reader may have listed them just now"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + module.GRACE_S + 1)
    recover(store.storage)
    assert emptied(store, TRACKS) == emptied(store, SEGMENTS) == []
    assert read(store) == {"a": ("y", 1.0, 1), "b": ("z", 1.0, 1)}


def test_a_recovery_reads_no_part_that_the_manifest_lists(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", -1.0)
    put(store, add={"a": ("x", 1.0, 1)})
    put(store, add={"b": ("x", 1.0, 1)})
    put(store, relabel={"a": "y"})
    without_rows = {name for table in (TRACKS, SEGMENTS) for name in emptied(store, table)}
    count_rows = Mock(wraps=store.storage.count_rows)
    monkeypatch.setattr(store.storage, "count_rows", count_rows)
    recover(store.storage)
    assert {call.args[0] for call in count_rows.call_args_list} == without_rows
    assert len(without_rows) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_reader_that_a_commit_overtakes_finds_every_file_and_no_row_twice(
    store: Store, seed: int
) -> None:
    random_ = random.Random(seed)
    names = (f"{i:04}" for i in itertools.count())
    model: Model = {}
    for turn in range(25):
        listed = store.parts(TRACKS)
        old = tracks_in(store, listed)
        add = random_model(random_, names, 4)
        drop = set(random_.sample(sorted(model), len(model) // 8)) if turn % 3 else set()
        # Half of the dropped tracks are changed ones, which return in the same commit.
        changed = {track: ("z", random_.random(), 1) for track in sorted(drop)[::2]}
        put(store, add=add | changed, drop=drop, tidy=True)
        model = after(model, add | changed, drop, {})
        # A reader may read some parts before the commit, and the others after it.
        new = tracks_in(store, listed)
        for one, other in itertools.permutations(listed, 2):
            assert old[one].isdisjoint(new[other])
    assert read(store) == model
    assert any(len(found) > 5 for found in new.values())


def tracks_in(store: Store, parts: list[str]) -> dict[str, set[str]]:
    tables = {name: store.storage.read_table(name, ["track_id"]) for name in parts}
    return {name: set(rows["track_id"].to_pylist()) for name, rows in tables.items()}


def test_an_emptied_part_is_small_enough_to_be_known_by_its_size(store: Store) -> None:
    for table, schema in feature_tables(["gtzan", "rich"]).items():
        for edit in (None, without_any):
            change = Change()
            rows = pa.Table.from_pylist([{"track_id": "a"}], schema=schema)
            stage_table(store, change, table, [rows] if edit is None else [], edit=edit)
            commit(store, change)
        (name,) = emptied(store, table)
        assert os.path.getsize(store.storage.path(name)) < module.max_emptied_bytes(table)


def test_an_emptied_part_stays_for_its_time_from_the_recovery_on(store: Store) -> None:
    put(store, add={"a": ("x", 1.0, 1)})
    decide(store, change_of(store, relabel={"a": "y"}))
    for name in os.listdir(store.storage.path(STAGE)):
        os.utime(store.storage.path(f"{STAGE}/{name}"), (5, 7))
    assert recover(store.storage)
    assert len(emptied(store, TRACKS)) == 1, "a reader may have listed it just now"


def test_a_table_that_is_replaced_often_leaves_few_emptied_parts(store: Store) -> None:
    for i in range(5):
        change = Change()
        rows = pa.table({"track_id": [f"{i}"]})
        stage_replacement(store, change, "runs", [rows], ONE_COLUMN)
        assert len(change.add) <= 2
        commit(store, change)


def test_other_files_in_a_tables_folder_are_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", -1.0)
    put(store, add={"a": ("x", 1.0, 1)})
    strangers = [f"{TRACKS}/{name}" for name in (".DS_Store", "_SUCCESS", "notes.txt", "._part-1")]
    for name in strangers:
        store.storage.write(name, b"no parquet")
    recover(store.storage)
    put(store, relabel={"a": "y"}, tidy=True)
    recover(store.storage)
    assert all(store.storage.exists(name) for name in strangers)


# Interruptions


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@contextlib.contextmanager
def watched(before: Callable[[int], object]) -> Iterator[None]:
    """Call ``before`` with its number before every operation that changes the store."""
    numbers = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        before_operations(lambda *_: before(next(numbers)), patch.setattr)
        yield


def is_killed_before(k: int, function: Callable[..., object], *arguments: object) -> bool:
    """Kill a function before its k-th operation; return False if it has fewer operations."""

    def kill(number: int) -> None:
        if number == k:
            raise KilledError

    def end(self: FolderLock) -> None:
        """Do what the kernel does when a process ends."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    try:
        with watched(kill), pytest.MonkeyPatch.context() as patch:
            patch.setattr(FolderLock, "release", end)
            function(*arguments)
    except KilledError:
        return True
    return False


def assert_old_or_new(seen: Model) -> None:
    for track, (label, value, _) in seen.items():
        assert (label, value) in {model[track][:2] for model in (OLD, NEW) if track in model}


OLD: Model = {f"t{i:02}": ("x", float(i), i % 3) for i in range(14)}
CHANGE: dict[str, Any] = {
    "add": {"t03": ("n", 33.0, 2), "t20": ("n", 20.0, 1), "t21": (None, 21.0, 13)},
    "drop": {"t03", "t05"},
    "relabel": {"t07": "y", "t00": None},
    "tidy": True,
}
NEW = after(OLD, CHANGE["add"], CHANGE["drop"], CHANGE["relabel"])


def prepare(store: Store) -> None:
    tracks = list(OLD.items())
    for first, last in ((0, 9), (9, 11), (11, 12), (12, 13), (13, 14)):
        put(store, add=dict(tracks[first:last]))
    store.storage.write("_work/done/x", b"")
    store.storage.write(STORE_JSON, b"old")


def whole_change(store: Store) -> Change:
    """Stage the change that turns OLD into NEW."""
    change = change_of(store, **CHANGE)
    stage_file(store, change, STORE_JSON, b"new")
    return change


def carry_out(store: Store) -> None:
    change = whole_change(store)
    change.forget.append("_work/done/x")
    commit(store, change)


def test_a_commit_killed_at_any_operation_is_whole_or_absent(tmp_path: Path, store: Store) -> None:
    prepare(store)
    outcomes = []
    for k in itertools.count(1):
        shutil.copytree(store.storage.root, tmp_path / f"torn{k}")
        torn = Store(Folder(str(tmp_path / f"torn{k}")), store.settings)
        if not is_killed_before(k, carry_out, torn):
            break
        decided = torn.storage.exists(JOURNAL)
        assert_old_or_new(read(torn))
        assert recover(torn.storage) == decided
        found = read(torn)
        assert found in (OLD, NEW), k
        outcomes.append(found == NEW)
        assert torn.storage.read(STORE_JSON) == (b"new" if found == NEW else b"old")
        assert torn.storage.exists("_work/done/x") == (found == OLD)
        assert list(torn.storage.list(STAGE)) == []
        assert not recover(torn.storage)
        assert read(torn) == found
    # First nothing of it, then all of it: there is one moment at which it is decided.
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}
    assert len(outcomes) > 20


def test_a_recovery_may_be_killed_at_any_operation_too(tmp_path: Path, store: Store) -> None:
    prepare(store)
    carried = change_of(store, **CHANGE)
    carried.forget.append("_work/done/x")
    decide(store, carried)
    kills = 0
    while is_killed_before(kills + 1, recover, store.storage):
        kills += 1
        read(store)
    assert kills >= 20
    assert read(store) == NEW


def test_a_journal_restored_by_a_power_failure_does_no_harm(store: Store) -> None:
    prepare(store)
    removed = Folder.remove

    def remember(self: Folder, name: str) -> None:
        if name == JOURNAL:
            journals.append(self.read(name))
        removed(self, name)

    journals: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "remove", remember)
        carry_out(store)
    [journal] = journals
    store.storage.write(JOURNAL, journal)
    assert recover(store.storage)
    assert read(store) == NEW
    # Emptied parts may be gone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GRACE_S", -1.0)
        recover(store.storage)
    store.storage.write(JOURNAL, journal)
    assert recover(store.storage)
    assert read(store) == NEW


def test_everything_staged_survives_a_power_failure_before_the_journal_does(store: Store) -> None:
    prepare(store)
    done: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        before_operations(lambda *operation: done.append(operation), patch.setattr)
        carry_out(store)
    before = done[: done.index(("rename", JOURNAL))]
    staged = {name for operation, name in before if operation == "rename"}
    assert len(staged) > 5
    assert {name for operation, name in before if operation == "sync"} >= {*staged, STAGE}
    last_write = max(i for i, (operation, _) in enumerate(before) if operation == "rename")
    assert before.index(("sync", STAGE)) > last_write


def decide(store: Store, change: Change) -> None:
    """Decide a commit, and die before any of it is applied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_apply", Mock(side_effect=KilledError))
        with contextlib.suppress(KilledError):
            commit(store, change)


@pytest.mark.parametrize("decided", [False, True])
def test_missing_staged_files_stop_a_commit_before_anything_is_emptied(
    store: Store, decided: bool
) -> None:
    prepare(store)
    change = whole_change(store)
    stage_replacement(store, change, "runs", [pa.table({"track_id": ["a"]})], ONE_COLUMN)
    if decided:
        decide(store, change)
    staged = sorted(os.listdir(store.storage.path(STAGE)))
    assert len(staged) > 5
    for lost in [[name] for name in staged] + [staged]:
        for name in lost:
            os.rename(store.storage.path(f"{STAGE}/{name}"), store.storage.path(f"_work/{name}"))
        with pytest.raises(StoreError, match=r"_work/commit/\S+ is missing.* from a copy"):
            recover(store.storage) if decided else commit(store, change)
        assert read(store) == OLD
        assert store.storage.read(STORE_JSON) == b"old"
        assert store.storage.exists(JOURNAL) == decided
        for name in lost:
            os.rename(store.storage.path(f"_work/{name}"), store.storage.path(f"{STAGE}/{name}"))
    if decided:
        assert recover(store.storage)
        assert read(store) == NEW


def test_lost_files_are_noticed_also_where_a_commit_was_killed_halfway(
    tmp_path: Path, store: Store
) -> None:
    prepare(store)
    change = whole_change(store)
    decide(store, change)
    noticed = []
    for k in itertools.count(1):
        shutil.copytree(store.storage.root, tmp_path / f"torn{k}")
        torn = Store(Folder(str(tmp_path / f"torn{k}")), store.settings)
        if not is_killed_before(k, recover, torn.storage):
            break
        torn.storage.remove_folder(STAGE)
        with contextlib.suppress(StoreError):
            recover(torn.storage)
            assert read(torn) == NEW
            assert torn.storage.read(STORE_JSON) == b"new"
        noticed.append(torn.storage.exists(JOURNAL))
    assert noticed == sorted(noticed, reverse=True)
    assert set(noticed) == {False, True}


def test_a_file_that_keeps_its_name_was_moved_or_was_not(store: Store) -> None:
    # The labels of tracks are the only part with a name that stays.
    for label in ("old", "new"):
        change = Change()
        table = pa.table({"track_id": ["a"], "label": [label]})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        stage_file(store, change, label_table.PART, sink.getvalue().to_pybytes())
        if label == "old":
            commit(store, change)
    decide(store, change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderLock, "remove_journal", Mock(side_effect=KilledError))
        with contextlib.suppress(KilledError):
            recover(store.storage)
    assert store.storage.exists(JOURNAL)
    assert recover(store.storage)
    assert label_table.read(store)["label"].to_pylist() == ["new"]


def test_a_reader_at_any_moment_sees_each_track_as_it_was_or_as_it_becomes(store: Store) -> None:
    prepare(store)
    listed = store.parts(TRACKS) + store.parts(SEGMENTS)
    seen: list[Model] = []

    def look(_: int) -> None:
        seen.append(read(store))
        # A part that a reader has listed before stays readable throughout.
        for name in listed:
            pq.read_table(store.storage.path(name))

    with watched(look):
        carry_out(store)
    look(0)
    assert (seen[0], seen[-1]) == (OLD, NEW)
    for model in seen:
        assert_old_or_new(model)
    assert any(len(model) < len(OLD) for model in seen), "it never looked in the middle"


def test_a_commit_does_not_begin_while_another_is_unfinished(store: Store) -> None:
    store.storage.write(JOURNAL, b"{}")
    with pytest.raises(StoreError, match="decided and not completed: run the same command"):
        put(store, add={"a": ("x", 1.0, 1)})
