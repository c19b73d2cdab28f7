"""A storm: a process is killed at a random moment, and repeating the command completes the work.

The seed chooses the moment and the process: a worker, the scheduler, the job or the object store.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pytest
from support.cluster_processes import VOLATILE, Job, Processes, Result, processes, sorted_tables
from support.object_store import ObjectStore, object_store
from support.recordings import KEYS, collection
from support.storm import share

pytestmark = pytest.mark.storm

VICTIMS = ("worker", "scheduler", "job", "object store")
AWAY_S = 5.0
TABLES = {
    **KEYS,
    "features-rich/level=track": ["track_id"],
    "predictions/level=track": ["track_id"],
}
OF_ONE_RUN = [*VOLATILE, "model", "level"]


@dataclass
class Calm:
    """The tables of an undisturbed run, and its duration."""

    server: ObjectStore
    tables: dict[str, pd.DataFrame]
    seconds: float


def tables(server: ObjectStore, store: str) -> dict[str, pd.DataFrame]:
    system = server.system()

    def read(name: str) -> pd.DataFrame:
        path = f"{store.removeprefix('s3://')}/{name}"
        return ds.dataset(path, format="parquet", filesystem=system).to_table().to_pandas()

    return sorted_tables(read, TABLES, OF_ONE_RUN)


def night(started: Processes, store: str) -> Job:
    options = ["--segment-seconds", "1", "--neighbours", "5", "--max-failed", "0.5", "--json"]
    where = ["--store", store, "--scheduler", started.scheduler_file]
    export = started.folder / "near.csv"
    return started.songmill(
        "run", "s3://music/in", *where, *options, f"--export=similarity={export}"
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calm]:
    music = tmp_path_factory.mktemp("music")
    collection(music, long=12)
    with object_store() as server:
        system = server.system()
        system.mkdir("music")
        system.put(f"{music}/", "music/in/", recursive=True)
        system.pipe_file("music/in/hum/corrupt.wav", b"RIFF and no more")
        with processes(tmp_path_factory.mktemp("calm") / "processes") as started:
            started.variables = server.environment
            started.start_cluster(2)
            for store in ("s3://music/first", "s3://music/calm"):
                result = night(started, store).wait(200)  # the first one compiles
                assert result.code == 0, result
        yield Calm(server, tables(server, "s3://music/calm"), result.seconds)


@pytest.mark.parametrize("seed", share(range(32)))
def test_whatever_is_killed_the_next_run_completes_the_work(
    seed: int, calm: Calm, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    victim, moment = rng.choice(VICTIMS), rng.uniform(0.2, calm.seconds)
    store = f"s3://music/storm-{seed}"
    with processes(tmp_path / "processes") as started:
        started.variables = calm.server.environment
        started.start_cluster(2)
        job = night(started, store)
        time.sleep(moment)
        where = f"seed {seed}: {victim} killed after {moment:.1f} of {calm.seconds:.1f} s"
        disturbed = disturb(victim, started, calm.server, job)
        if disturbed:
            # A run retries until the object store is back.
            codes = (0, 1) if victim == "scheduler" else (0,)
            assert disturbed.code in codes, (where, disturbed)
            disturbed.assert_quiet()
        again = night(started, store).wait(200)
        assert again.code == 0, (where, disturbed, again)
        again.assert_quiet()
        for name, found in tables(calm.server, store).items():
            expected = calm.tables[name]
            pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=f"{where}: {name}")
        exported = pd.read_csv(started.folder / "near.csv").sort_values(["track_id", "rank"])
        assert (
            exported["neighbour_id"].tolist() == calm.tables["similarity"]["neighbour_id"].tolist()
        )
    left = calm.server.system().find(store.removeprefix("s3://"))
    kept = [f"{store[5:]}/{name}" for name in ("_manifest.json", "_stages.json")]
    assert [path for path in left if "/_" in path] == kept, where


def disturb(victim: str, started: Processes, server: ObjectStore, job: Job) -> Result | None:
    """Kill the victim and start it again; return the job's result unless the job was killed."""
    if victim == "job":
        job.kill()
        return None
    if victim == "worker":
        started.end(started.workers.pop())
        return job.wait(200)
    if victim == "scheduler":
        started.kill_scheduler()
        result = job.wait(200)
        started.end_workers()
        started.start_cluster(2)
        return result
    server.kill()
    time.sleep(AWAY_S)
    server.start()
    return job.wait(200)
