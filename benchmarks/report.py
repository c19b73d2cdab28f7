"""The report of a large store: what it takes, beside that of a small one.

    python -m benchmarks.report

Stores of 50,000 and of 1,000,000 synthesised tracks, each with its files, segments' neighbours left
out, 20 neighbours of every track and some duplicates; `songmill report` in a process of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.processes import Peak
from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET
from jobs.store.folder import Storage
from jobs.store.schemas import DUPLICATES, FILES, SIMILARITY, TRACK, TRACKS, duplicates, similarity
from jobs.store.tables import STORE_JSON, Settings

SIZES = (50_000, 1_000_000)
PART = 100_000
NEIGHBOURS = 20
LABELS = 10


def main() -> None:
    """Measure and print."""
    print("| tracks | seconds | peak memory, MB | page, MB |")
    print("|---|---|---|---|")
    for tracks in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write_store(Path(folder), tracks)
            began = time.perf_counter()
            command = [sys.executable, "-m", "songmill", "report", "--store", folder]
            job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            peak = Peak(every=0.02)
            peak.of("report", psutil.Process(job.pid))
            if job.wait():
                sys.exit("the report failed")
            seconds = time.perf_counter() - began
            page = (Path(folder) / "report" / "index.html").stat().st_size
            memory = peak.bytes["report"]
            print(f"| {tracks:,} | {seconds:.0f} | {memory / 1e6:.0f} | {page / 1e6:.1f} |")


def write_store(root: Path, tracks: int) -> None:
    """Write a store's tables, a part at a time."""
    storage = Storage(str(root))
    storage.write(STORE_JSON, Settings(FEATURE_SET, 3.0).to_json())
    for name, schema, parts in (
        (TRACKS, TRACK, track_rows(tracks)),
        ("files", FILES, file_rows(tracks)),
        (SIMILARITY, similarity("track"), neighbour_rows(tracks)),
        (DUPLICATES, duplicates("track"), duplicate_rows(tracks)),
    ):
        for i, columns in enumerate(parts):
            count = len(columns["track_id"])
            arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
            table = pa.table([pa.array(one) for one in arrays], schema=schema)
            storage.write_table(f"{name}/part-{i:04}.parquet", table)


def names(places: np.ndarray) -> pa.Array:
    """Return the names of tracks."""
    return pa.array([f"artist {i % 997}/song {i:07}.mp3" for i in places.tolist()])


def pieces(tracks: int, size: int) -> Iterator[np.ndarray]:
    """Yield the tracks of each part."""
    for start in range(0, tracks, size):
        yield np.arange(start, min(start + size, tracks))


def track_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns of the tracks of each part."""
    rng = np.random.default_rng(0)
    for part in pieces(tracks, PART):
        columns = {name: pa.array(rng.normal(size=len(part))) for name in FEATURE_COLUMNS}
        columns["track_id"] = names(part)
        columns["label"] = pa.array([f"label {i % LABELS}" for i in part.tolist()])
        columns["length"] = pa.array(np.full(len(part), 661_500))
        yield columns


def file_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns of the files of each part: one in a hundred failed."""
    for part in pieces(tracks, PART):
        failed = part % 100 == 0
        yield {
            "track_id": names(part),
            "uri": names(part),
            "status": pa.array(np.where(failed, "failed", "ok")),
            "error": pa.array(np.where(failed, "unreadable", "")),
            "message": pa.array([f"is rotten at byte {i}" for i in part.tolist()]),
            "duration_s": pa.array(np.full(len(part), 30.0)),
            "sample_rate": pa.array(np.full(len(part), 44_100, np.int32)),
        }


def neighbour_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns of the neighbours of each part."""
    rng = np.random.default_rng(0)
    for part in pieces(tracks, PART // 2):
        count = len(part) * NEIGHBOURS
        yield {
            "track_id": names(np.repeat(part, NEIGHBOURS)),
            "rank": pa.array(np.tile(np.arange(1, NEIGHBOURS + 1, dtype=np.int32), len(part))),
            "neighbour_id": names(rng.integers(0, tracks, count)),
            "cosine": pa.array(rng.random(count)),
            "duplicate": pa.array(np.zeros(count, bool)),
        }


def duplicate_rows(tracks: int) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns of pairs of duplicates: one track in ten has one."""
    for part in pieces(tracks, PART):
        some = part[part % 10 == 0]
        yield {
            "track_id": names(some),
            "duplicate_id": names(some + 1),
            "cosine": pa.array(np.ones(len(some))),
        }


if __name__ == "__main__":
    main()
