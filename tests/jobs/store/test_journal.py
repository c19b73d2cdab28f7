"""Journals of unknown origin, in a folder and in a bucket: applied whole, or refused by name."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.damaged_json import DAMAGED_JSON, short_id

from featurizer.feature_set import feature_set
from jobs.errors import StoreError
from jobs.stage import open_session
from jobs.store.address import lock_of, storage_of
from jobs.store.bucket import Bucket
from jobs.store.commit import STAGE, Change, commit, recover
from jobs.store.folder_lock import FILE
from jobs.store.lock import JOURNAL, LOCK
from jobs.store.schemas import FILES
from jobs.store.storage import Storage
from jobs.store.tables import STORE_JSON, Settings, Store

GTZAN = feature_set("gtzan")

PART = "files/part-1.parquet"
ROWS = pa.Table.from_pylist([{"track_id": "a"}], FILES)


@pytest.fixture
def store(storage: Storage) -> Store:
    """A store with a part, a staged part and a finished batch; and files beside the store."""
    around = storage_of(os.path.dirname(storage.root))
    for name in ("outside", "part-1.parquet"):
        around.write(name, b"data")
    made = Store(storage, Settings({"gtzan": GTZAN.version}, 3.0))
    storage.write(STORE_JSON, made.settings.to_json())
    for name in (PART, f"{STAGE}/new"):
        storage.write_table(name, ROWS)
    for name in ("report/index.html", "_work/done/x"):
        storage.write(name, b"data")
    return made


def content(storage: Storage) -> dict[str, bytes]:
    """Return every file in the store and beside it, except those of the lock."""
    around = os.path.dirname(storage.root)
    if isinstance(storage, Bucket):
        found = {key: storage._system.cat_file(key) for key in storage._system.find(around)}
    else:
        paths = [path for path in Path(around).rglob("*") if path.is_file()]
        found = {str(path): path.read_bytes() for path in paths}
    return {name: data for name, data in found.items() if not name.endswith((LOCK, FILE))}


def journal(**entries: list[Any]) -> bytes:
    """Return a journal that first empties a part, and then has ``entries``."""
    known: dict[str, list[Any]] = {"remove": [PART], "add": [], "forget": []}
    both = {name: names + entries.get(name, []) for name, names in known.items()}
    return json.dumps(both).encode()


def assert_refused(store: Store, text: bytes, error: str = "") -> None:
    """Check that a journal is refused. ``/around`` is the absolute path of the test's own folder.

    If the check of names fails, no other file may be lost than those of the test.
    """
    around = os.path.dirname(store.storage.root).removeprefix("s3:/")
    store.storage.write(JOURNAL, text.replace(b"/around/", f"{around}/".encode()))
    before = content(store.storage)
    with (
        lock_of(store.storage) as lock,
        pytest.raises(
            StoreError, match=rf"{store.storage.root}/_journal\.json is damaged.*{error}"
        ),
    ):
        recover(lock)
    assert content(store.storage) == before, text


ELSEWHERE: list[Any] = [
    *("/around/outside", "/around/x", "../outside", "../part-1.parquet", "_work/../../outside"),
    *("files/../../outside", "files/../part-1.parquet", "files/./part-1.parquet"),
    *("files//part-1.parquet", "files/part-1.parquet/", "", ".", "..", "files", "files/"),
    *("outside", "report/index.html", LOCK, JOURNAL, "files/part-\0.parquet", "_work", "_work/"),
    *("files/part-\ud800.parquet", None, 5, True, [PART], {PART: PART}),
]
"""Names that every entry refuses: outside the store, not part of a commit, or not normalised."""


def test_a_journal_empties_no_other_file_than_a_part(store: Store) -> None:
    for name in (*ELSEWHERE, STORE_JSON, "files/x", "models/x", "x/part-1.parquet"):
        assert_refused(store, journal(remove=[name]))


def test_a_journal_moves_no_other_file_than_a_staged_one(store: Store) -> None:
    for name in (*ELSEWHERE, PART, STORE_JSON, STAGE, f"{STAGE}/", f"{STAGE}/a/b"):
        assert_refused(store, journal(add=[[name, PART]]))


def test_a_journal_moves_a_file_to_no_other_place(store: Store) -> None:
    further = ("files/x", "models", "models/", "models/..", "models/a/b", "models/../x")
    for name in (*ELSEWHERE, *further):
        assert_refused(store, journal(add=[[f"{STAGE}/new", name]]))


def test_a_journal_forgets_no_other_file_than_a_temporary_one(store: Store) -> None:
    for name in (*ELSEWHERE, PART, STORE_JSON, "_work/done/../../x"):
        assert_refused(store, journal(forget=[name]))


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ({"remove": ["../outside"]}, r"'remove' may not name '\.\./outside'"),
        ({"add": [["/around/outside", PART]]}, "'add' may not name '/.*/outside'"),
        ({"add": [[f"{STAGE}/new", "x"]]}, "'add' may not name 'x'"),
        ({"forget": [5]}, "'forget' may not name 5"),
    ],
)
def test_a_refusal_names_the_entry(store: Store, entries: dict[str, Any], error: str) -> None:
    assert_refused(store, journal(**entries), error)


def test_no_stage_begins_with_a_refused_journal(store: Store) -> None:
    store.storage.write(JOURNAL, journal(forget=["../outside"]))
    before = content(store.storage)
    with (
        pytest.raises(StoreError, match="outside"),
        open_session(store.storage.root).stage("train"),
    ):
        pytest.fail("the stage began")
    assert content(store.storage) == before


@pytest.mark.parametrize(
    "text",
    [
        *DAMAGED_JSON,
        *(b'{"remove": [], "add": []}', b'{"remove": {}, "add": [], "forget": []}'),
        *(b'{"remove": "", "add": [], "forget": []}', b'{"remove": [], "add": {}, "forget": []}'),
        *(
            b'{"remove": [], "add": [["a"]], "forget": []}',
            b'{"remove": [], "add": [5], "forget": []}',
        ),
        b'{"remove": [], "add": [], "forget": null}',
    ],
    ids=short_id,
)
def test_a_malformed_journal_is_refused(store: Store, text: bytes) -> None:
    assert_refused(store, text)


def test_a_journal_of_a_commit_is_applied(store: Store) -> None:
    storage = store.storage
    storage.write(f"{STAGE}/model/model.json", b"model")
    add = [(f"{STAGE}/new", "files/part-2.parquet"), (f"{STAGE}/model", "models/v1")]
    text = journal(add=add, forget=["_work/done/x"])
    storage.write(JOURNAL, json.dumps({**json.loads(text), "of a later songmill": 1}).encode())
    with lock_of(storage) as lock:
        assert recover(lock)
    assert [storage.count_rows(name) for name in store.parts("files")] == [0, 1]
    assert storage.read("models/v1/model.json") == b"model"
    assert not storage.exists("_work/done/x")


def test_a_commit_with_a_name_that_a_recovery_would_refuse_does_not_begin(store: Store) -> None:
    before = content(store.storage)
    with (
        lock_of(store.storage) as lock,
        pytest.raises(ValueError, match="'forget' may not name '../outside'"),
    ):
        commit(lock, Change(forget=["../outside"]))
    assert content(store.storage) == before
