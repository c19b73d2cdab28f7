"""Neighbours of a collection on a cluster: two workers against one, and a million tracks.

    python -m benchmarks.similarity_job [TRACKS]

The job finds the 20 nearest neighbours of each of 200,000 tracks, whose features are correlated
like those of recordings, on clusters of one worker and of two, in turns; the figures are medians.
Then it runs once with TRACKS (1,000,000) on two workers, to show the time of a pair of tracks and
the peak memory of each process.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from benchmarks.processes import PeakMemory, dask_cluster
from benchmarks.similarity import GTZAN, REPEATS, K, feature_rows
from jobs.store.folder import Folder
from jobs.store.schemas import TRACK, TRACKS
from jobs.store.tables import STORE_JSON, Settings

FEW = 200_000  # enough to make the start of a cluster negligible
MANY = 1_000_000


def make_store(folder: Path, n: int) -> None:
    """Write a store of random tracks, with features like those of recordings."""
    storage = Folder(str(folder))
    storage.write(STORE_JSON, Settings({"gtzan": GTZAN.version}, 3.0).to_json())
    features = feature_rows(n)
    columns: dict[str, Any] = {
        "track_id": [f"{i:07d}.wav" for i in range(n)],
        "label": ["label"] * n,
        "length": np.full(n, 661_504),
        **{name: features[:, i] for i, name in enumerate(GTZAN.names)},
    }
    arrays = [pa.array(columns[field.name], field.type) for field in TRACK]
    storage.write_table(f"{TRACKS}/part-0.parquet", pa.Table.from_arrays(arrays, schema=TRACK))


def on_workers(folder: Path, scratch: Path, workers: int) -> dict[str, float]:
    """Run the job on a cluster; return the seconds and each process's peak memory in MB."""
    from distributed import Client

    from jobs.neighbours import similarity

    scratch.mkdir()
    seconds = 0.0
    find_neighbours = similarity.find_neighbours

    def timed(*arguments: Any) -> int:
        nonlocal seconds
        began = time.perf_counter()
        found = find_neighbours(*arguments)
        seconds = time.perf_counter() - began
        return found

    with dask_cluster(scratch, workers) as (address, _):
        with Client(scheduler_file=address) as client:
            client.wait_for_workers(workers)
            peak = PeakMemory()
            peak.watch_cluster(client)
        with mock.patch.object(similarity, "find_neighbours", timed):
            similarity.similarity(store=str(folder), k=K, scheduler=address)
    return {"seconds": seconds, **peak.megabytes()}


def main() -> None:
    """Print the figures."""
    many = int(sys.argv[1]) if sys.argv[1:] else MANY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_store(folder / "few", FEW)
        taken: dict[int, list[float]] = {1: [], 2: []}
        for repeat in range(REPEATS):
            for workers, times in taken.items():
                scratch = folder / f"scratch-{repeat}-{workers}"
                times.append(on_workers(folder / "few", scratch, workers)["seconds"])
        one, two = (statistics.median(times) for times in taken.values())
        print(f"{FEW:,} tracks: one worker {one:.1f} s, two {two:.1f} s: {one / two:.2f} times")
        make_store(folder / "many", many)
        found = on_workers(folder / "many", folder / "scratch-many", 2)
        seconds = found.pop("seconds")
        memory = ", ".join(f"{key} {mb:,.0f} MB" for key, mb in found.items())
        cost = (seconds / many**2) / (two / FEW**2)
        print(f"{many:,} tracks: two workers {seconds:.1f} s; {memory}")
        print(f"A pair takes {cost:.2f} times as long as among {FEW:,} tracks")


if __name__ == "__main__":
    main()
