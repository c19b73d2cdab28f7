"""A bucket on a real object store: kills, outages, refusals, credentials."""

import contextlib
import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from support.object_store import ObjectStore, forget_clients
from support.shaky_proxy import shaky_proxy

from featurizer.columns import FEATURE_SET
from jobs.cluster.fitness import songmill_version
from jobs.errors import StoreError, UsageError
from jobs.extraction.attempts import RUN_JSON, Batch
from jobs.extraction.batch import extract_batch
from jobs.inputs.sources import list_sources
from jobs.store import commit, s3
from jobs.store.address import storage_of
from jobs.store.bucket import Bucket
from jobs.store.lock import LOCK, Lock
from jobs.store.storage import Storage, as_json
from jobs.store.tables import Settings, open_store, open_to_write, storage_to_write

pytestmark = pytest.mark.slow

TABLE = pa.table({"a": list(range(40_000)), "b": [str(i) for i in range(40_000)]})


def names(storage: Storage, folder: str) -> list[str]:
    return [entry.name for entry in storage.list(folder)]


def test_a_model_is_whole_or_not_there(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of("s3://music/half/store")
    for name in ("model.json", "a.ubj", "z.parquet"):
        storage.write(f"stage/v1/{name}", name.encode())
    system, copied = s3.file_system(), []

    def copy(one: str, other: str) -> None:
        copied.append(one.rpartition("/")[2])
        if len(copied) == 3:
            raise KeyboardInterrupt  # as if it were killed

    monkeypatch.setattr(system, "cp_file", copy)
    with pytest.raises(KeyboardInterrupt):
        storage.move("stage/v1", "models/v1")
    assert copied[-1] == "model.json"
    assert not storage.exists("models/v1/model.json")
    monkeypatch.undo()
    storage.move("stage/v1", "models/v1")
    assert len(names(storage, "models/v1")) == 3


def dying(real: Callable[..., Any], count: Iterator[int], steps: int) -> Callable[..., Any]:
    """Return ``real``, which is killed after a number of calls."""

    def call(*arguments: Any, **options: Any) -> Any:
        if next(count) > steps:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    return call


def test_a_commit_killed_at_any_step_is_completed(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.table({"track_id": ["a", "b"], "label": ["x", "y"]})
    for steps in range(12):
        address = f"s3://music/commit-{steps}/store"
        storage = storage_to_write(address)
        with Lock(storage):
            store = open_to_write(storage, Settings("set", 3.0), force=False)
            storage.write_table("runs/part-0.parquet", rows)
            change = commit.Change()
            commit.stage_replacement(store, change, "runs", [rows, rows], rows.schema)
            commit.stage_file(store, change, "file", b"data")
            system, count = s3.file_system(), itertools.count(1)
            with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
                for name in ("cp_file", "pipe_file", "rm_file"):
                    patch.setattr(system, name, dying(getattr(system, name), count, steps))
                commit.commit(store, change)
            done = next(count) <= steps + 1
            decided = done or storage.exists(commit.JOURNAL) or storage.exists("file")
            commit.recover(storage)
        expected = 4 if decided else 2
        found = open_store(address)
        assert sum(storage.count_rows(name) for name in found.parts("runs")) == expected
        assert storage.exists("file") == decided
        assert names(storage, commit.STAGE) == []


def test_a_lock_is_held_and_a_dead_ones_is_broken(server: ObjectStore) -> None:
    storage = storage_of("s3://music/locked/store")
    with Lock(storage):
        with pytest.raises(StoreError, match="another run is at work on the store s3://music"):
            Lock(storage).__enter__()
        held = storage.read(LOCK)
    assert not storage.exists(LOCK)
    dead = held.replace(f'"pid": {os.getpid()}'.encode(), b'"pid": 999999999')
    assert dead != held
    storage.write(LOCK, dead)
    with Lock(storage) as lock:
        lock.check()
    assert not storage.exists(LOCK)


@pytest.mark.parametrize(
    ("address", "environment", "error"),
    [
        ("s3://nobody/x", {}, "there is no bucket nobody: make it first, or name another"),
        ("s3://", {}, "names no bucket: write s3://BUCKET/PREFIX"),
        ("s3://music/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "refuses these credentials"),
        ("s3://music/x", {"AWS_ACCESS_KEY_ID": "nobody"}, "refuses these credentials"),
        ("s3://music/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "does not answer"),
        ("gs://music/x", {}, "a store is a folder or s3://BUCKET/PREFIX"),
    ],
)
def test_unusable_addresses_are_refused_before_any_work(
    server: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    environment: dict[str, str],
    error: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with s3_at(os.environ["AWS_ENDPOINT_URL"], monkeypatch, attempts=1):
        with pytest.raises(UsageError, match=error) as refusal:
            storage_to_write(address)
        assert "wrong" not in str(refusal.value)
        assert server.environment["AWS_SECRET_ACCESS_KEY"] not in str(refusal.value)


@contextlib.contextmanager
def s3_at(url: str, monkeypatch: pytest.MonkeyPatch, *, attempts: int) -> Iterator[None]:
    """Use another endpoint, with a number of attempts per request."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setattr(s3, "_ATTEMPTS", attempts)
    forget_clients()
    try:
        yield
    finally:
        monkeypatch.undo()
        forget_clients()


def test_a_listing_is_paged_and_stays_below_its_prefix(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i:05}.wav" for i in range(2_300)]
    system = server.system()
    system.pipe({f"music/many/{name}": b"x" for name in names})
    system.pipe({f"music/many-others/{name}": b"x" for name in names[:3]})
    with shaky_proxy(server.ports[3]) as (proxy, url), s3_at(url, monkeypatch, attempts=1):
        found = [one.track_id for one in list_sources(["s3://music/many"]).recordings]
        assert found == names
        # One request checks whether the bucket exists.
        assert proxy.requests == {"LIST": 1 + 3}
        assert len(list_sources(["s3://music/many/**"]).recordings) == len(names)
        (one,) = list_sources(["s3://music/many/00007.wav"]).recordings
        assert (one.track_id, one.uri, one.size) == ("00007.wav", "s3://music/many/00007.wav", 1)


def test_failed_requests_are_retried(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with shaky_proxy(server.ports[3]) as (proxy, url), s3_at(url, monkeypatch, attempts=8):
        proxy.refused = 0.3
        storage = storage_of("s3://music/refused")
        for i in range(8):
            storage.write_table(f"x/part-{i}.parquet", TABLE)
            assert storage.read_table(f"x/part-{i}.parquet") == TABLE
        assert len(names(storage, "x")) == 8
        storage.move("x/part-0.parquet", "x/part-9.parquet")
        assert storage.create("lock", b"ours")
        assert not storage.create("lock", b"theirs")
        assert {500, 502, 503} <= set(proxy.refusals)


@pytest.mark.storm
def test_an_object_store_may_be_away_for_a_while(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = s3._ATTEMPTS
    with shaky_proxy(server.ports[3]) as (proxy, url), s3_at(url, monkeypatch, attempts=attempts):
        storage = storage_of("s3://music/away")
        storage.write("before", b"")
        proxy.refused = 1.0
        again = threading.Timer(25, setattr, (proxy, "refused", 0.0))
        again.start()
        # Waits are random: with more requests one of them might fail too soon.
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda i: storage.write(f"x/{i}", b"x"), range(12)))
        again.join()
        assert len(names(storage, "x")) == 12


def recording(server: ObjectStore, name: str) -> Batch:
    """Put two recordings into the bucket, and return their batch."""
    file = io.BytesIO()
    wave = np.random.default_rng(0).normal(size=44_100) * 0.1
    soundfile.write(file, wave, 22_050, format="WAV")
    system = server.system()
    system.pipe({f"music/{name}/a.wav": file.getvalue(), f"music/{name}/b.wav": file.getvalue()})
    root = f"s3://music/{name}-store"
    storage_of(root).write(RUN_JSON, as_json({"run_id": "r"}))
    listed = list_sources([f"s3://music/{name}"]).recordings
    settings = Settings(FEATURE_SET, 1.0)
    return Batch("attempt", "r", root, songmill_version(), settings, listed, [None, None])


def keep_reaching(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the workers' connection to the store, whatever happens to that of the recordings."""
    for module in ("jobs.extraction.batch", "jobs.cluster.fitness"):
        monkeypatch.setattr(f"{module}.storage_of", lambda root: storage)


def test_a_file_that_the_object_store_does_not_give_out_has_failed(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recording(server, "corrupt")
    with shaky_proxy(server.ports[3]) as (proxy, url), s3_at(url, monkeypatch, attempts=1):
        proxy.corrupt = {"/music/corrupt/a.wav"}
        summary = extract_batch(batch)
        assert summary.extracted == 1
        assert proxy.sent["/music/corrupt/b.wav"] == 44_100 * 2 + 44  # once, and completely
        rows = storage_of(batch.root).read_table("_work/done/attempt.files.parquet").to_pylist()
        assert [row["error"] for row in rows] == ["unreadable", None]
        assert "the object store answers" in rows[0]["message"]


@pytest.mark.parametrize("way", ["refuses", "gone"])
def test_no_file_fails_because_of_a_lost_object_store(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    batch = recording(server, way)
    keep_reaching(storage_of(batch.root), monkeypatch)
    with shaky_proxy(server.ports[3]) as (proxy, url):
        proxy.refused = 1.0
        elsewhere = url if way == "refuses" else "http://127.0.0.1:9"
        with (
            s3_at(elsewhere, monkeypatch, attempts=1),
            pytest.raises(
                OSError, match=f"the object store does not answer for s3://music/{way}/a.wav"
            ),
        ):
            extract_batch(batch)
    assert not storage_of(batch.root).exists("_work/done/attempt.files.parquet")


def test_an_object_store_that_comes_back_meanwhile_has_cost_no_file(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recording(server, "back")
    reached = storage_of(batch.root)

    def back_again(address: str) -> str:
        proxy.refused = 0.0
        return s3.probe(address)

    with shaky_proxy(server.ports[3]) as (proxy, url), s3_at(url, monkeypatch, attempts=1):
        monkeypatch.setattr("jobs.inputs.recordings.probe", back_again)
        keep_reaching(reached, monkeypatch)
        proxy.refused = 1.0
        assert extract_batch(batch).extracted == 2


def test_credentials_that_run_out_end_the_run(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recording(server, "denied")
    reached = storage_of(batch.root)
    with s3_at(os.environ["AWS_ENDPOINT_URL"], monkeypatch, attempts=1):
        keep_reaching(reached, monkeypatch)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "run out")
        with pytest.raises(OSError, match="no longer accepts the credentials"):
            extract_batch(batch)


def test_a_mark_created_without_confirmation_is_ours(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recording(server, "unheard")
    create = Bucket.create

    def unheard(self: Bucket, name: str, data: bytes) -> bool:
        create(self, name, data)
        return create(self, name, data)

    monkeypatch.setattr(Bucket, "create", unheard)
    assert extract_batch(batch).extracted == 2


def test_a_listing_that_breaks_off_is_reported(
    server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(server, "broken")
    with s3_at("http://127.0.0.1:9", monkeypatch, attempts=1):
        monkeypatch.setattr("jobs.inputs.sources.check_bucket", lambda address: None)
        with pytest.raises(StoreError, match="with s3://music/broken does not answer"):
            list_sources(["s3://music/broken"])
