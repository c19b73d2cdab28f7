"""All-pairs nearest neighbours, compared with FAISS, scikit-learn and NumPy, and on two workers.

    python -m benchmarks.similarity [TRACKS]

Each contender finds the 20 nearest neighbours of 100,000 random vectors of 57 features, in its own
process on one thread. The two fastest take turns, and the figures are medians. Then the job runs
with twice as many tracks on clusters of one worker and of two, and with three times as many to
measure its memory.

The OpenBLAS bundled with FAISS does not recognise recent processors and falls back to its slowest
kernels, so it is told to use those for SkylakeX or Haswell, whichever are faster here.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.processes import PeakMemory, dask_cluster, run_module
from featurizer.feature_set import feature_set
from jobs.store.folder import Folder
from jobs.store.schemas import TRACK, TRACKS
from jobs.store.tables import STORE_JSON, Settings

GTZAN = feature_set("gtzan")

N = 100_000
D = len(GTZAN.names)
K = 20
REPEATS = 3
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
CORES = ("SKYLAKEX", "HASWELL")


def vectors(n: int) -> np.ndarray:
    """Return random unit vectors [shape=(n, D), float64]."""
    rows = np.random.default_rng(0).normal(size=(n, D))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def by_faiss(unit: np.ndarray) -> np.ndarray:
    """Search the exact index of FAISS for K + 1 neighbours: the first is the vector itself."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(D)
    single = unit.astype(np.float32)
    index.add(single)
    return np.asarray(index.search(single, K + 1)[1][:, 1:])


def by_sklearn(unit: np.ndarray) -> np.ndarray:
    """Search by brute force in scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    single = unit.astype(np.float32)
    found = NearestNeighbors(n_neighbors=K + 1, algorithm="brute", metric="euclidean").fit(single)
    return np.asarray(found.kneighbors(single, return_distance=False)[:, 1:])


def by_numpy(unit: np.ndarray) -> np.ndarray:
    """Multiply block by block and partition each row."""
    single = unit.astype(np.float32)
    found = np.empty((len(unit), K), np.int64)
    rows = 1024
    for start in range(0, len(unit), rows):
        cosines = single[start : start + rows] @ single.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -2
        best = np.argpartition(cosines, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1)
        found[start : start + rows] = np.take_along_axis(best, order, 1)
    return found


def by_songmill(unit: np.ndarray) -> np.ndarray:
    """Search with the kernels of this project, in this process."""
    from recommend.neighbours import nearest

    return nearest(unit, K).lists(0, len(unit))[0]


CONTENDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "FAISS IndexFlatIP": by_faiss,
    "scikit-learn, brute force": by_sklearn,
    "NumPy, blocks and argpartition": by_numpy,
    "songmill": by_songmill,
}

FASTEST = ("FAISS IndexFlatIP", "songmill")
"""Contenders that are timed several times, in turns; the others take minutes."""


def time_contender(name: str, n: int) -> None:
    """Find the neighbours in this process; print the seconds and the sums of some index lists."""
    unit = vectors(n)
    CONTENDERS[name](unit[:5000])  # warm-up: compile, and load all libraries
    began = time.perf_counter()
    found = CONTENDERS[name](unit)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "sums": found[:1000].sum(axis=1).tolist()}))


def run_contender(name: str, n: int, core: str | None = None) -> dict[str, Any]:
    """Time a contender in its own process."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    if core:
        environment["OPENBLAS_CORETYPE"] = core
    return run_module("benchmarks.similarity", "--contend", name, str(n), environment=environment)


def compare(n: int) -> None:
    """Print the table of the contenders."""
    core = min(CORES, key=lambda core: run_contender("FAISS IndexFlatIP", 20_000, core)["seconds"])
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    sums: dict[str, np.ndarray] = {}
    for repeat in range(REPEATS):
        for name, taken in seconds.items():
            if repeat and name not in FASTEST:
                continue
            found = run_contender(name, n, core if name.startswith("FAISS") else None)
            taken.append(found["seconds"])
            sums[name] = np.array(found["sums"])
    ratios = [a / b for a, b in zip(seconds["FAISS IndexFlatIP"], seconds["songmill"], strict=True)]
    print(f"\n| {n:,} x {D}, the {K} nearest, one thread | s | same lists |\n|---|---|---|")
    for name, taken in seconds.items():
        same = (sums[name] == sums["songmill"]).mean()
        print(f"| {name} | {statistics.median(taken):.1f} | {same:.1%} |")
    ratio = statistics.median(ratios)
    print(f"\nFAISS takes {ratio:.2f} times as long ({core} kernels in its OpenBLAS)")


def make_store(folder: Path, n: int) -> None:
    """Write a store of random tracks."""
    storage = Folder(str(folder))
    storage.write(STORE_JSON, Settings({"gtzan": GTZAN.version}, 3.0).to_json())
    features = np.random.default_rng(0).normal(size=(n, D))
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

    similarity.find_neighbours = timed
    try:
        with dask_cluster(scratch, workers) as (address, _):
            with Client(scheduler_file=address) as client:
                client.wait_for_workers(workers)
                peak = PeakMemory()
                peak.watch_cluster(client)
            similarity.similarity(store=str(folder), k=K, scheduler=address)
    finally:
        similarity.find_neighbours = find_neighbours
    return {"seconds": seconds, **peak.megabytes()}


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["--contend"]:
        time_contender(sys.argv[2], int(sys.argv[3]))
        return
    n = int(sys.argv[1]) if sys.argv[1:] else N
    compare(n)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n *= 2  # large enough that the startup of a cluster is negligible
        make_store(folder / "store", n)
        taken: dict[int, list[float]] = {1: [], 2: []}
        for repeat in range(REPEATS):
            for workers, times in taken.items():
                scratch = folder / f"scratch-{repeat}-{workers}"
                times.append(on_workers(folder / "store", scratch, workers)["seconds"])
        one, two = (statistics.median(times) for times in taken.values())
        print(f"\n{n:,} tracks: one worker {one:.1f} s, two {two:.1f} s: {one / two:.2f} times")
        n = n * 3 // 2
        make_store(folder / "large", n)
        found = on_workers(folder / "large", folder / "scratch-large", 2)
        memory = ", ".join(f"{key} {mb:,.0f} MB" for key, mb in found.items() if key != "seconds")
        print(f"{n:,} tracks: two workers {found['seconds']:.1f} s; {memory}")


if __name__ == "__main__":
    main()
