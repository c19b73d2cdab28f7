"""A bucket on a real object store: kills, outages, refusals, credentials."""

import contextlib
import itertools
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import DEFAULT, Mock

import pyarrow as pa
import pytest
from support.audio_files import chord, sndfile_bytes
from support.object_store import SECRET, ObjectStore, forget_clients
from support.shaky_proxy import Proxy, shaky_proxy

from featurizer.feature_set import feature_set
from jobs.cluster.fitness import songmill_version
from jobs.errors import StoreError, UsageError
from jobs.extraction.attempts import RUN_JSON, Batch
from jobs.extraction.batch import extract_batch
from jobs.inputs.listing import list_sources
from jobs.learning.registry import CHAMPION
from jobs.store import commit, s3
from jobs.store.address import lock_of, storage_of
from jobs.store.bucket import Bucket
from jobs.store.lock import JOURNAL, has_entries
from jobs.store.storage import Storage, as_json
from jobs.store.tables import Settings, open_store, open_to_write, storage_to_write

GTZAN = feature_set("gtzan")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("server")]

ATTEMPTS = s3._ATTEMPTS
TABLE = pa.table({"a": list(range(40_000)), "b": [str(i) for i in range(40_000)]})


def reconnect(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, attempts: int = 1
) -> None:
    """Let later clients use this environment and number of attempts per request."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "_ATTEMPTS", attempts)
    forget_clients()


@pytest.fixture(autouse=True)
def own_clients() -> Iterator[None]:
    yield
    forget_clients()


@pytest.fixture
def proxy(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy between later clients and the server."""
    with shaky_proxy(server.ports[3]) as (proxy, url):
        reconnect(monkeypatch, {"AWS_ENDPOINT_URL": url})
        yield proxy


def names(storage: Storage, folder: str) -> list[str]:
    return [entry.name for entry in storage.list(folder)]


def test_a_model_is_whole_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storage_of("s3://music/half/store")
    for name in ("model.json", "a.ubj", "z.parquet"):
        storage.write(f"stage/v1/{name}", name.encode())
    killed = Mock(side_effect=[FileNotFoundError, None, None, KeyboardInterrupt])
    with monkeypatch.context() as patch:
        patch.setattr(s3.file_system(), "cp_file", killed)
        with pytest.raises(KeyboardInterrupt):
            storage.move("stage/v1", "models/v1")
    assert killed.call_args.args[0].endswith("/model.json")
    assert not storage.exists("models/v1/model.json")
    storage.move("stage/v1", "models/v1")
    assert len(names(storage, "models/v1")) == 3


@pytest.mark.storm
def test_a_commit_killed_at_any_step_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"track_id": ["a", "b"], "label": ["x", "y"]})
    for steps in range(12):
        address = f"s3://music/commit-{steps}/store"
        storage = storage_to_write(address)
        with lock_of(storage) as lock:
            commit.recover(lock)
            store = open_to_write(storage, Settings({"gtzan": "set"}, 3.0), force=False)
            storage.write_table("runs/part-0.parquet", rows)
            change = commit.Change()
            commit.stage_replacement(store, change, "runs", [rows, rows], rows.schema)
            commit.stage_file(store, change, CHAMPION, b"data")
            system, done = s3.file_system(), False
            effects = itertools.chain([DEFAULT] * steps, itertools.repeat(KeyboardInterrupt))
            with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
                for name in ("cp_file", "pipe_file", "rm_file"):
                    killed = Mock(wraps=getattr(system, name), side_effect=effects)
                    patch.setattr(system, name, killed)
                commit.commit(lock, change)
                done = True
            decided = done or has_entries(storage.read(JOURNAL)) or storage.exists(CHAMPION)
            commit.recover(lock)
        expected = 4 if decided else 2
        found = open_store(address)
        assert sum(storage.count_rows(name) for name in found.parts("runs")) == expected
        assert storage.exists(CHAMPION) == decided
        assert names(storage, commit.STAGE) == []


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
    monkeypatch: pytest.MonkeyPatch, address: str, environment: dict[str, str], error: str
) -> None:
    reconnect(monkeypatch, environment)
    with pytest.raises(UsageError, match=error) as refusal:
        storage_to_write(address)
    assert "wrong" not in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_listing_is_paged_and_stays_below_its_prefix(server: ObjectStore, proxy: Proxy) -> None:
    names = [f"{i:05}.wav" for i in range(1_100)]
    system = server.system()
    system.pipe({f"music/many/{name}": b"x" for name in names})
    system.pipe({f"music/many-others/{name}": b"x" for name in names[:3]})
    found = [one.track_id for one in list_sources(["s3://music/many"]).recordings()]
    assert found == names
    # One request checks whether the bucket exists.
    assert proxy.requests == {"LIST": 1 + 2}
    assert len(list_sources(["s3://music/many/**"])) == len(names)
    (one,) = list_sources(["s3://music/many/00007.wav"]).recordings()
    assert (one.track_id, one.uri, one.size) == ("00007.wav", "s3://music/many/00007.wav", 1)


def test_brackets_in_the_address_of_a_store_are_no_pattern() -> None:
    storage, other = storage_of("s3://music/Album [2]"), storage_of("s3://music/Album 2")
    for one in (storage, other):
        one.write("old/a", b"")
    storage.remove_folder("old")
    assert (storage.exists("old/a"), other.exists("old/a")) == (False, True)


def test_failed_requests_are_retried(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    reconnect(monkeypatch, {}, attempts=8)
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
def test_an_object_store_may_be_away_a_while(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    reconnect(monkeypatch, {}, attempts=ATTEMPTS)
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


# A batch with the recordings a.wav and b.wav


@pytest.fixture
def batch(server: ObjectStore) -> Batch:
    folder, content = f"s3://music/{uuid.uuid4()}", sndfile_bytes(chord(seconds=2))
    server.system().pipe({f"{folder}/{name}.wav": content for name in "ab"})
    storage_of(f"{folder}-store").write(RUN_JSON, as_json({"run_id": "r"}))
    listed = list(list_sources([folder]).recordings())
    settings = Settings({"gtzan": GTZAN.version}, 1.0)
    version = songmill_version()
    return Batch(
        "attempt", "r", f"{folder}-store", version, settings, ("gtzan",), listed, [None, None]
    )


@pytest.fixture
def reached(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """The store of the batch, on a connection that later changes of the environment leave alone.

    Request it before ``proxy``.
    """
    storage = storage_of(batch.root)
    for module in ("jobs.extraction.batch", "jobs.cluster.fitness"):
        monkeypatch.setattr(f"{module}.storage_of", lambda root: storage)
    return storage


def test_a_file_that_the_object_store_refuses_has_failed(batch: Batch, proxy: Proxy) -> None:
    a, b = (recording.uri.removeprefix("s3:/") for recording in batch.files)
    proxy.corrupt = {a}
    assert extract_batch(batch).extracted == 1
    assert proxy.sent[b] == 44_100 * 2 + 44  # once, and completely
    rows = storage_of(batch.root).read_table("_work/done/attempt.files.parquet").to_pylist()
    assert [row["error"] for row in rows] == ["unreadable", None]
    assert "the object store answers" in rows[0]["message"]


def test_no_file_fails_while_the_object_store_is_away(
    batch: Batch, reached: Storage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def back_again(address: str) -> str:
        proxy.refused = 0.0
        return s3.probe(address)

    proxy.refused = 1.0
    with pytest.raises(OSError, match=f"does not answer for {batch.files[0].uri}"):
        extract_batch(batch)
    assert not reached.exists("_work/done/attempt.files.parquet")
    monkeypatch.setattr("jobs.inputs.recordings.probe", back_again)
    assert extract_batch(replace(batch, attempt="another")).extracted == 2


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "does not answer for s3://music/.*/a.wav"),
        ({"AWS_SECRET_ACCESS_KEY": "run out"}, "no longer accepts the credentials"),
    ],
)
def test_no_file_fails_because_of_a_lost_connection(
    batch: Batch,
    reached: Storage,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    error: str,
) -> None:
    reconnect(monkeypatch, environment)
    with pytest.raises(OSError, match=error):
        extract_batch(batch)
    assert not reached.exists("_work/done/attempt.files.parquet")


def test_a_mark_created_without_confirmation_is_ours(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Bucket.create

    def unheard(self: Bucket, name: str, data: bytes) -> bool:
        create(self, name, data)
        return create(self, name, data)

    monkeypatch.setattr(Bucket, "create", unheard)
    assert extract_batch(batch).extracted == 2


def test_a_listing_that_breaks_off_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reconnect(monkeypatch, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    monkeypatch.setattr("jobs.inputs.sources.check_bucket", lambda address: None)
    with pytest.raises(StoreError, match="with s3://music/broken does not answer"):
        list_sources(["s3://music/broken"])
