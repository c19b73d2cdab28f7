"""Nightly runs from a bucket to a bucket and a database: real servers on loopback."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset as ds
import pytest
from support import postgres
from support.cluster_processes import sorted_tables
from support.object_store import SECRET, ObjectStore, object_store
from support.recordings import KEYS, LABELS, collection, play

pytestmark = pytest.mark.slow

VOLATILE = ["extracted_at", "run_id", "uri", "source", "modified", "level"]


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as found:
        found.system().mkdir("music")
        yield found


def songmill(server: ObjectStore, *arguments: str, code: int = 0, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "songmill", *arguments],
        env={**os.environ, **server.environment, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stderr


def tables(read: Any) -> dict[str, pd.DataFrame]:
    return sorted_tables(read, KEYS, VOLATILE)


def test_from_bucket_to_bucket_to_database(server: ObjectStore, tmp_path: Path) -> None:
    import adbc_driver_postgresql.dbapi as database

    system = server.system()
    music = tmp_path / "music"
    collection(music)
    system.put(f"{music}/", "music/in/", recursive=True)
    system.pipe_file("music/in/hum/corrupt.wav", b"RIFF and no more")
    options = ["--segment-seconds", "1", "--neighbours", "5", "--json", "--workers", "1"]
    with postgres.server() as uri:
        exports = ["--export", f"similarity={uri}", "--export", f"predictions={uri}"]
        line = ["run", "s3://music/in", "--store", "s3://music/tables/store", *options, *exports]
        first = songmill(server, *line)
        assert {one["outcome"] for one in first["stages"]} == {"done"}
        details = first["stages"][0]["details"]
        assert (details["extracted"], details["failed"]) == (24, 1)
        with database.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM similarity")
            assert cursor.fetchone() == (120,)
        second = songmill(server, *line)
        assert {one["outcome"] for one in second["stages"][1:]} == {"skipped"}
        assert second["stages"][0]["details"]["unchanged"] == 25
        # Only what has changed in the bucket is extracted.
        system.rm("music/in/pulse/02.wav")
        play(tmp_path / "new.wav", "hum", 100)
        system.put(str(tmp_path / "new.wav"), "music/in/hum/new.wav")
        third = songmill(server, *line)
        counts = third["stages"][0]["details"]
        assert (counts["new"], counts["gone"], counts["extracted"]) == (1, 1, 1)
        with database.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM similarity WHERE track_id = 'hum/new.wav'")
            assert cursor.fetchone() == (5,)
    # The same tables in a folder, from scratch.
    system.get("music/in/", str(tmp_path / "copy"), recursive=True)
    folder = tmp_path / "folder"
    local = ["run", str(tmp_path / "copy"), "--store", str(folder), *options]
    songmill(server, *local, "--only", "extract")
    songmill(server, *local, "--only", "similarity")
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


def test_all_other_commands_work_on_a_bucket(server: ObjectStore, tmp_path: Path) -> None:
    system = server.system()
    rows = io.BytesIO()
    frame = pd.DataFrame(
        {"filename": [f"{label}.{i:05}.wav" for label in LABELS for i in range(9)], "length": 1}
    )
    from featurizer.columns import FEATURE_COLUMNS

    for i, name in enumerate(FEATURE_COLUMNS):
        frame[name] = [(row * (i + 3)) % 11 + row // 9 for row in range(27)]
    frame["label"] = [label for label in LABELS for _ in range(9)]
    frame.to_csv(rows, index=False)
    (tmp_path / "table.csv").write_bytes(rows.getvalue())
    store = ["--store", "s3://music/other"]
    imported = songmill(server, "import-features", str(tmp_path / "table.csv"), *store, "--json")
    assert imported["tracks"] == 27
    songmill(server, "similarity", *store, "--workers", "1")
    assert songmill(server, "status", *store, "--json")["tracks"] == 27
    near = songmill(server, "similar", "hum.00003", *store, "--json")
    assert len(near["neighbours"]) == 5
    songmill(server, "export", "similarity", *store, "--to", str(tmp_path / "near.csv"))
    assert len(pd.read_csv(tmp_path / "near.csv")) == 27 * 20
    out = tmp_path / "out"
    songmill(server, "report", *store, "--out", str(out))
    assert (out / "index.html").exists()
    assert not system.exists("music/other/report")
    assert "is no store" not in songmill(server, "models", *store)


@pytest.mark.parametrize(
    ("source", "environment", "message"),
    [
        ("s3://nobody/in", {}, "nobody"),
        ("s3://music/in", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "credentials"),
    ],
)
def test_a_source_that_cannot_be_listed_is_reported(
    server: ObjectStore, tmp_path: Path, source: str, environment: dict[str, str], message: str
) -> None:
    line = ["extract", source, "--store", str(tmp_path / "s")]
    assert message in songmill(server, *line, code=2, **environment)
    assert not (tmp_path / "s" / "features").exists()
