"""Nightly runs from a bucket to a bucket and a database: real servers on loopback."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset as ds
import pytest
from support import postgres
from support.cluster_processes import Processes, processes, sorted_tables
from support.object_store import SECRET, ObjectStore, object_store
from support.recordings import KEYS, LABELS, collection, play

pytestmark = pytest.mark.slow

VOLATILE = ["extracted_at", "run_id", "uri", "source", "modified", "level"]


@dataclass
class Bucket:
    """An object store with the bucket ``music``, and the processes that use it."""

    server: ObjectStore
    processes: Processes

    def songmill(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        """Run songmill; return its JSON, else what it has written to stderr."""
        self.processes.variables = {**self.server.environment, **environment}
        if arguments[0] in ("run", "extract", "similarity") and "--workers" not in arguments:
            arguments += ("--scheduler", self.processes.scheduler_file)
        few_rounds = {"set": {"training.boosting.MAX_ROUNDS": 10}}
        done = self.processes.songmill(*arguments, faulty=few_rounds).wait(280)
        assert done.code == code, done
        assert "Traceback" not in done.err, done.err
        assert SECRET not in done.out + done.err
        return done.outcome if "--json" in arguments else done.err


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("bucket") / "processes"
    with object_store() as server, processes(folder) as started:
        server.system().mkdir("music")
        started.variables = server.environment
        started.start_cluster(1)
        yield Bucket(server, started)


def tables(read: Any) -> dict[str, pd.DataFrame]:
    return sorted_tables(read, KEYS, VOLATILE)


def test_from_bucket_to_bucket_to_database(bucket: Bucket, tmp_path: Path) -> None:
    import adbc_driver_postgresql.dbapi as database

    system = bucket.server.system()
    music = tmp_path / "music"
    collection(music)
    system.put(f"{music}/", "music/in/", recursive=True)
    system.pipe_file("music/in/hum/corrupt.wav", b"RIFF and no more")
    options = ["--segment-seconds", "1", "--neighbours", "5", "--json"]
    with postgres.server() as uri:
        exports = ["--export", f"similarity={uri}", "--export", f"predictions={uri}"]
        line = ["run", "s3://music/in", "--store", "s3://music/tables/store", *options, *exports]
        first = bucket.songmill(*line)
        assert {one["outcome"] for one in first["stages"]} == {"done"}
        details = first["stages"][0]["details"]
        assert (details["extracted"], details["failed"]) == (24, 1)
        with database.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM similarity")
            assert cursor.fetchone() == (120,)
        second = bucket.songmill(*line)
        assert {one["outcome"] for one in second["stages"][1:]} == {"skipped"}
        assert second["stages"][0]["details"]["unchanged"] == 25
        # Only what has changed in the bucket is extracted.
        system.rm("music/in/pulse/02.wav")
        play(tmp_path / "new.wav", "hum", 100)
        system.put(str(tmp_path / "new.wav"), "music/in/hum/new.wav")
        third = bucket.songmill(*line)
        counts = third["stages"][0]["details"]
        assert (counts["new"], counts["gone"], counts["extracted"]) == (1, 1, 1)
        with database.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM similarity WHERE track_id = 'hum/new.wav'")
            assert cursor.fetchone() == (5,)
    # The same tables in a folder, from scratch.
    system.get("music/in/", str(tmp_path / "copy"), recursive=True)
    folder = tmp_path / "folder"
    local = ["run", str(tmp_path / "copy"), "--store", str(folder), *options]
    bucket.songmill(*local, "--only", "extract")
    bucket.songmill(*local, "--only", "similarity")
    ours = tables(
        lambda name: ds.dataset(
            f"music/tables/store/{name}", format="parquet", filesystem=system
        ).to_table().to_pandas()
    )  # fmt: skip
    theirs = tables(lambda name: pd.read_parquet(folder / name))
    for name, expected in theirs.items():
        pd.testing.assert_frame_equal(ours[name], expected, obj=name)
    # The report exists, and no file contains the secret.
    assert b"<title>songmill: store</title>" in system.cat("music/tables/store/report/index.html")
    for path in system.find("music/tables"):
        assert SECRET.encode() not in system.cat(path)


def test_all_other_commands_work_on_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    system = bucket.server.system()
    rows = io.BytesIO()
    frame = pd.DataFrame(
        {"filename": [f"{label}.{i:05}.wav" for label in LABELS for i in range(9)], "length": 1}
    )
    from featurizer.feature_set import feature_set

    for i, name in enumerate(feature_set("gtzan").names):
        frame[name] = [(row * (i + 3)) % 11 + row // 9 for row in range(27)]
    frame["label"] = [label for label in LABELS for _ in range(9)]
    frame.to_csv(rows, index=False)
    (tmp_path / "table.csv").write_bytes(rows.getvalue())
    store = ["--store", "s3://music/other"]
    imported = bucket.songmill("import-features", str(tmp_path / "table.csv"), *store, "--json")
    assert imported["tracks"] == 27
    bucket.songmill("similarity", *store, "--workers", "1")
    assert bucket.songmill("status", *store, "--json")["tracks"] == 27
    near = bucket.songmill("similar", "hum.00003", *store, "--json")
    assert len(near["neighbours"]) == 5
    bucket.songmill("export", "similarity", *store, "--to", str(tmp_path / "near.csv"))
    assert len(pd.read_csv(tmp_path / "near.csv")) == 27 * 20
    out = tmp_path / "out"
    bucket.songmill("report", *store, "--out", str(out))
    assert (out / "index.html").exists()
    assert not system.exists("music/other/report")
    assert "is no store" not in bucket.songmill("models", *store)


@pytest.mark.parametrize(
    ("source", "environment", "message"),
    [
        ("s3://nobody/in", {}, "nobody"),
        ("s3://music/in", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "credentials"),
    ],
)
def test_a_source_that_cannot_be_listed_is_reported(
    bucket: Bucket, tmp_path: Path, source: str, environment: dict[str, str], message: str
) -> None:
    line = ["extract", source, "--store", str(tmp_path / "s")]
    assert message in bucket.songmill(*line, code=2, **environment)
    assert not (tmp_path / "s" / "features").exists()
