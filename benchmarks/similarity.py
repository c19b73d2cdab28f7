"""All-pairs nearest neighbours, compared with FAISS, scikit-learn and NumPy.

    python -m benchmarks.similarity [TRACKS]

Each contender finds the 20 nearest neighbours of 100,000 vectors, in its own process on one thread:
of vectors like those of features (57 columns), and of noise with the columns of both metrics (57
and 63), in which nothing can be pruned. Contenders that take minutes are left out of all but the
first. The two fastest take turns, and the figures are medians.

The OpenBLAS bundled with FAISS does not recognise recent processors and falls back to its slowest
kernels, so it is told to use those for SkylakeX or Haswell, whichever are faster here.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.processes import run_module
from benchmarks.published import SHARED_DATA, published
from featurizer.feature_set import feature_set
from recommend.vectors import unit

GTZAN = feature_set("gtzan")

N = 100_000
D = len(GTZAN.names)
K = 20
REPEATS = 3
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
CORES = ("SKYLAKEX", "HASWELL")


def noise(n: int, columns: int) -> np.ndarray:
    """Return random unit vectors [shape=(n, columns), float64]."""
    return unit(np.random.default_rng(0).normal(size=(n, columns)))


def feature_rows(n: int) -> np.ndarray:
    """Return random z-scores with the correlations and clusters of features.

    A track is a random point between two published tracks of one cluster, plus the deviation of a
    published segment from the mean of its own track.

    Returns
    -------
    np.ndarray [shape=(n, D), float64]
    """
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    segments = published(SHARED_DATA / "gtzan")[1][list(GTZAN.names)]
    segments = (segments - segments.mean()) / segments.std()
    tracks = segments.groupby(segments.index.str.rsplit(".", n=2).str[0])
    deviations = (segments - tracks.transform("mean")).to_numpy()
    means = tracks.mean().to_numpy()
    clusters = KMeans(60, n_init=1, random_state=0).fit_predict(means)
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    one = random.integers(len(means), size=n)
    cluster = clusters[one]
    other = order[(sizes.cumsum() - sizes)[cluster] + random.integers(sizes[cluster])]
    share = random.random((n, 1))
    rows = share * means[one] + (1 - share) * means[other]
    rows += deviations[random.integers(len(deviations), size=n)]
    z_scores: np.ndarray = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return z_scores


VECTORS: dict[str, Callable[[int], np.ndarray]] = {
    "feature-like, 57 columns": lambda n: unit(feature_rows(n)),
    "noise, 57 columns": lambda n: noise(n, D),
    "noise, 63 columns": lambda n: noise(n, 63),
}


def by_faiss(vectors: np.ndarray) -> np.ndarray:
    """Search the exact index of FAISS for K + 1 neighbours: the first is the vector itself."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    single = vectors.astype(np.float32)
    index.add(single)
    return np.asarray(index.search(single, K + 1)[1][:, 1:])


def by_sklearn(vectors: np.ndarray) -> np.ndarray:
    """Search by brute force in scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    single = vectors.astype(np.float32)
    found = NearestNeighbors(n_neighbors=K + 1, algorithm="brute", metric="euclidean").fit(single)
    return np.asarray(found.kneighbors(single, return_distance=False)[:, 1:])


def by_numpy(vectors: np.ndarray) -> np.ndarray:
    """Multiply block by block and partition each row."""
    single = vectors.astype(np.float32)
    found = np.empty((len(vectors), K), np.int64)
    rows = 1024
    for start in range(0, len(vectors), rows):
        cosines = single[start : start + rows] @ single.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -2
        best = np.argpartition(cosines, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1)
        found[start : start + rows] = np.take_along_axis(best, order, 1)
    return found


def by_songmill(vectors: np.ndarray) -> np.ndarray:
    """Search with the kernels of this project, in this process."""
    from recommend.neighbours import nearest

    return nearest(vectors, K).lists(0, len(vectors))[0]


CONTENDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "FAISS IndexFlatIP": by_faiss,
    "scikit-learn, brute force": by_sklearn,
    "NumPy, blocks and argpartition": by_numpy,
    "songmill": by_songmill,
}

FASTEST = ("FAISS IndexFlatIP", "songmill")
"""Contenders that are timed several times, in turns; the others take minutes."""


def time_contender(name: str, kind: str, n: int) -> None:
    """Find the neighbours in this process; print the seconds and the sums of some index lists."""
    vectors = VECTORS[kind](n)
    CONTENDERS[name](vectors[:5000])  # warm-up: compile, and load all libraries
    began = time.perf_counter()
    found = CONTENDERS[name](vectors)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "sums": found[:1000].sum(axis=1).tolist()}))


def run_contender(name: str, kind: str, n: int, core: str | None = None) -> dict[str, Any]:
    """Time a contender in its own process."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    if core:
        environment["OPENBLAS_CORETYPE"] = core
    arguments = ("--contend", name, kind, str(n))
    return run_module("benchmarks.similarity", *arguments, environment=environment)


def compare(n: int) -> None:
    """Print a table of the contenders for each kind of vectors."""
    faiss, songmill = FASTEST
    core = None
    if find_spec("faiss"):
        few = {core: run_contender(faiss, "noise, 57 columns", 20_000, core) for core in CORES}
        core = min(CORES, key=lambda core: few[core]["seconds"])
    for kind in VECTORS:
        names = list(CONTENDERS if kind == next(iter(VECTORS)) else FASTEST)
        if core is None:
            print("\nFAISS is not installed")
            names.remove(faiss)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        sums: dict[str, np.ndarray] = {}
        for repeat in range(REPEATS):
            for name, taken in seconds.items():
                if repeat and name not in FASTEST:
                    continue
                found = run_contender(name, kind, n, core if name == faiss else None)
                taken.append(found["seconds"])
                sums[name] = np.array(found["sums"])
        print(f"\n| {n:,} x {kind}, the {K} nearest, one thread | s | same lists |\n|---|---|---|")
        for name, taken in seconds.items():
            same = (sums[name] == sums[songmill]).mean()
            print(f"| {name} | {statistics.median(taken):.1f} | {same:.1%} |")
        if core:
            pairs = zip(seconds[faiss], seconds[songmill], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"\nFAISS takes {ratio:.2f} times as long ({core} kernels in its OpenBLAS)")


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["--contend"]:
        time_contender(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    compare(int(sys.argv[1]) if sys.argv[1:] else N)


if __name__ == "__main__":
    main()
