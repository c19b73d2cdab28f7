"""A full disk at any moment of a run: the run reports it, and the next one completes the work."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from support.cluster_processes import Job, Processes, assert_tidy, processes
from support.recordings import collection, tables
from support.small_disk import small_disk
from support.storm import share

pytestmark = pytest.mark.storm

MOMENTS = 10  # at least one in each stage


@dataclass
class Calm:
    """A run with enough space: its tables, its number of storage operations, and its cluster."""

    music: Path
    tables: dict[str, pd.DataFrame]
    operations: int
    started: Processes


def night(started: Processes, music: Path, store: Path, faulty: dict[str, object]) -> Job:
    options = ["--segment-seconds", "1", "--neighbours", "5", "--json"]
    where = ["--store", store, "--scheduler", started.scheduler_file]
    export = f"--export=similarity={store.with_name('near.csv')}"
    return started.songmill("run", music, *where, *options, export, faulty=faulty)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calm]:
    folder = tmp_path_factory.mktemp("calm")
    collection(folder / "music", of_each=5)
    trace, store = folder / "trace", folder / "store"
    with processes(folder / "processes") as started:
        started.start_cluster(1)
        result = night(started, folder / "music", store, {"trace": str(trace)}).wait(200)
        assert result.code == 0, result
        operations = len(trace.read_text().splitlines())
        yield Calm(folder / "music", tables(store), operations, started)


def check_tables(store: Path, calm: Calm, at: int) -> None:
    for name, found in tables(store).items():
        expected = calm.tables[name]
        pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=f"{at}: {name}")


@pytest.mark.parametrize("moment", share(range(MOMENTS)))
def test_a_full_disk_is_reported_and_survived(moment: int, calm: Calm, tmp_path: Path) -> None:
    at = (2 * moment + 1) * calm.operations // (2 * MOMENTS)
    started = calm.started
    with small_disk(tmp_path / "disk") as disk:
        store, filler = disk / "store", disk / "filler"
        full = {"fill_before": [at, str(filler)]}
        result = night(started, calm.music, store, full).wait(200)
        result.assert_quiet()
        if result.code == 0:  # what the run had removed was room enough for the rest
            check_tables(store, calm, at)
        else:
            assert result.code == 1, (at, result)
            assert "No space left" in result.outcome["message"], (at, result)
            assert not (store / "_lock.json").exists(), at
        # The store stays readable.
        if (store / "store.json").exists():
            status = started.songmill("status", "--store", store, "--json").wait()
            assert status.code == 0, (at, status)
        filler.unlink()
        again = night(started, calm.music, store, {}).wait(200)
        assert again.code == 0, (at, result, again)
        check_tables(store, calm, at)
        assert len(pd.read_csv(disk / "near.csv")) == len(calm.tables["similarity"])
        (store / "_stages.json").unlink()
        assert_tidy(store)
