"""Time and memory of `songmill report`, for a small and a large store.

    python -m benchmarks.report [TRACKS …]

The stores have 50,000 and 1,000,000 synthetic tracks with their files, both feature sets, 20
neighbours of each track and some duplicates, but no segments. `songmill report` runs in its own
process.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.processes import PeakMemory
from featurizer.feature_set import DEFAULT_SETS, FeatureSet, feature_set
from jobs.store.folder import Folder
from jobs.store.schemas import (
    DUPLICATES,
    FILES,
    SIMILARITY,
    duplicates,
    features_folder,
    features_schema,
    similarity,
)
from jobs.store.tables import STORE_JSON, current_settings

SIZES = (50_000, 1_000_000)
ROWS_PER_PART = 100_000
NEIGHBOURS = 20
LABELS = 10


def main() -> None:
    """Measure and print."""
    print("| tracks | seconds | CPU seconds | peak memory, MB | page, MB |")
    print("|---|---|---|---|---|")
    for tracks in map(int, sys.argv[1:] or SIZES):
        with tempfile.TemporaryDirectory() as folder:
            write_store(Path(folder), tracks)
            began, used = time.perf_counter(), cpu_seconds()
            command = [sys.executable, "-m", "songmill", "report", "--store", folder]
            job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            peak = PeakMemory(interval=0.02)
            peak.watch("report", psutil.Process(job.pid))
            if job.wait():
                sys.exit("the report failed")
            seconds = f"{time.perf_counter() - began:.0f} | {cpu_seconds() - used:.0f}"
            page = (Path(folder) / "report" / "index.html").stat().st_size
            memory = peak.megabytes()["report"]
            print(f"| {tracks:,} | {seconds} | {memory:,.0f} | {page / 1e6:.1f} |", flush=True)


def cpu_seconds() -> float:
    """Return the CPU seconds of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_store(root: Path, tracks: int) -> None:
    """Write the tables of a store, part by part."""
    storage = Folder(str(root))
    storage.write(STORE_JSON, current_settings(DEFAULT_SETS, 3.0).to_json())
    sets = map(feature_set, DEFAULT_SETS)
    for name, schema, parts in (
        *(
            (
                features_folder(one.name, "track"),
                features_schema(one.name, "track"),
                track_rows(tracks, one),
            )
            for one in sets
        ),
        ("files", FILES, file_rows(tracks)),
        (SIMILARITY, similarity("track"), neighbour_rows(tracks)),
        (DUPLICATES, duplicates("track"), duplicate_rows(tracks)),
    ):
        for i, columns in enumerate(parts):
            count = len(columns["track_id"])
            arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
            table = pa.table([pa.array(one) for one in arrays], schema=schema)
            storage.write_table(f"{name}/part-{i:04}.parquet", table)


def names(numbers: np.ndarray) -> pa.Array:
    """Return the track ids of some track numbers."""
    return pa.array([f"artist {i % 997}/song {i:07}.mp3" for i in numbers.tolist()])


def parts_of(tracks: int, size: int) -> Iterator[np.ndarray]:
    """Yield the track numbers of each part."""
    for start in range(0, tracks, size):
        yield np.arange(start, min(start + size, tracks))


def track_rows(tracks: int, features: FeatureSet) -> Iterator[dict[str, pa.Array]]:
    """Yield each part of a feature set's table of tracks, as columns."""
    rng = np.random.default_rng(0)
    for part in parts_of(tracks, ROWS_PER_PART):
        columns = {
            name: pa.array(rng.standard_normal(len(part)).astype(features.dtype))
            for name in features.names
        }
        columns["track_id"] = names(part)
        columns["label"] = pa.array([f"label {i % LABELS}" for i in part.tolist()])
        columns["length"] = pa.array(np.full(len(part), 661_500))
        yield columns


def file_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield each part of the table of files, as columns; one file in a hundred failed."""
    for part in parts_of(tracks, ROWS_PER_PART):
        failed = part % 100 == 0
        yield {
            "track_id": names(part),
            "uri": names(part),
            "status": pa.array(np.where(failed, "failed", "ok")),
            "error": pa.array(np.where(failed, "unreadable", "")),
            "message": pa.array([f"is corrupt at byte {i}" for i in part.tolist()]),
            "duration_s": pa.array(np.full(len(part), 30.0)),
            "sample_rate": pa.array(np.full(len(part), 44_100, np.int32)),
        }


def neighbour_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield each part of the table of neighbours, as columns."""
    rng = np.random.default_rng(0)
    for part in parts_of(tracks, ROWS_PER_PART // 2):
        count = len(part) * NEIGHBOURS
        yield {
            "track_id": names(np.repeat(part, NEIGHBOURS)),
            "rank": pa.array(np.tile(np.arange(1, NEIGHBOURS + 1, dtype=np.int32), len(part))),
            "neighbour_id": names(rng.integers(0, tracks, count)),
            "score": (scores := pa.array(rng.random(count))),
            "cosine": scores,
            "duplicate": pa.array(np.zeros(count, bool)),
            "metric": pa.repeat("rich", count),
        }


def duplicate_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield each part of the table of duplicates, as columns; one track in ten has one."""
    for part in parts_of(tracks, ROWS_PER_PART):
        some = part[part % 10 == 0]
        yield {
            "track_id": names(some),
            "duplicate_id": names(some + 1),
            "cosine": pa.array(np.ones(len(some))),
        }


if __name__ == "__main__":
    main()
