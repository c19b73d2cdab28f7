"""Planning time: many known files and a few new ones.

    python -m benchmarks.planning [COUNT] [s3://BUCKET/PREFIX]

A folder, or a prefix of a bucket, gets COUNT empty files (1,000,000 by default). A store knows all
but 1,000 of them. The table gives the seconds until ``songmill extract`` has listed the files,
compared them with the store and reported the new ones; the seconds until it ends; and its peak
memory at both times. Empty files fail at once, so nothing is extracted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.processes import PeakMemory, extract_command
from featurizer.feature_set import feature_set
from jobs.inputs.listing import list_sources
from jobs.inputs.sources import SourceFile
from jobs.store.address import storage_of
from jobs.store.s3 import file_system
from jobs.store.schemas import FILES, TRACK
from jobs.store.tables import Settings, open_to_write

GTZAN = feature_set("gtzan")

NEW = 1_000
FILES_PER_FOLDER = 1_000
ROWS_PER_PART = 100_000


def make_files(source: str, count: int) -> None:
    """Create empty files, a thousand per folder: local ones as names of one file per folder."""
    for start in range(0, count, FILES_PER_FOLDER):
        folder = f"{source}/{start // FILES_PER_FOLDER:04d}"
        paths = [
            f"{folder}/{i:07d}.wav" for i in range(start, min(start + FILES_PER_FOLDER, count))
        ]
        if source.startswith("s3://"):
            file_system().pipe(dict.fromkeys(paths, b""))
            continue
        Path(folder).mkdir(parents=True)
        Path(paths[0]).touch()
        for path in paths[1:]:
            os.link(paths[0], path)


def make_store(root: str, known: Iterable[SourceFile]) -> None:
    """Create a store that knows the files, with features of zero."""
    storage = storage_of(root)
    open_to_write(storage, Settings({"gtzan": GTZAN.version}, 3.0), force=False)
    left, start = iter(known), 0
    while rows := list(islice(left, ROWS_PER_PART)):
        names = pa.array([row.track_id for row in rows], pa.string())
        now = pa.array([datetime.now(UTC)] * len(rows), FILES.field("extracted_at").type)
        values = {
            "track_id": names,
            "uri": pa.array([row.uri for row in rows], pa.string()),
            "source": pa.array([row.source for row in rows], pa.string()),
            "bytes": pa.array([row.size for row in rows], pa.int64()),
            "modified": pa.array([row.modified for row in rows], FILES.field("modified").type),
            "status": pa.array(["ok"] * len(rows), pa.string()),
            "extracted_at": now,
            "run_id": pa.array(["20260101T000000-000000"] * len(rows), pa.string()),
        }
        storage.write_table(f"files/part-{start}.parquet", _table(FILES, values))
        labels = pa.array([row.track_id[:4] for row in rows], pa.string())
        features = dict.fromkeys(GTZAN.names, pa.array(np.zeros(len(rows))))
        length = pa.array([0] * len(rows), pa.int64())
        tracks = {"track_id": names, "label": labels, "length": length, **features}
        storage.write_table(f"features/level=track/part-{start}.parquet", _table(TRACK, tracks))
        start += len(rows)


def _table(schema: pa.Schema, values: dict[str, pa.Array]) -> pa.Table:
    count = len(values["track_id"])
    return pa.Table.from_arrays(
        [values.get(one.name, pa.nulls(count, one.type)) for one in schema], schema=schema
    )


def measure(source: str, count: int, folder: Path) -> dict[str, float]:
    """Create the files and the store, run the job, and return the row of the table."""
    make_files(source, count)
    new = set(np.random.default_rng(1).choice(count, NEW, replace=False).tolist())
    store = str(folder / "store")
    with (listing := list_sources([source])).database:
        assert len(listing) == count
        make_store(store, (one for i, one in enumerate(listing.recordings()) if i not in new))
    began = time.monotonic()
    job = subprocess.Popen(
        extract_command(source, store, "--workers", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = PeakMemory()
    peak.watch("job", psutil.Process(job.pid))
    planned = None
    assert job.stderr is not None
    for line in job.stderr:
        if planned is None and f"{NEW} new" in line:
            planned = time.monotonic() - began
            planned_mb = peak.megabytes()["job"]
    output, _ = job.communicate()
    outcome = json.loads(output)
    assert planned is not None
    assert (outcome["new"], outcome["unchanged"]) == (NEW, count - NEW), outcome
    return {
        "planned": planned,
        "planned_mb": planned_mb,
        "ended": time.monotonic() - began,
        "ended_mb": peak.megabytes()["job"],
    }


def main() -> None:
    """Print the table."""
    count = int(next(iter(sys.argv[1:]), "1000000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = next(iter(sys.argv[2:]), str(folder / "music"))
        row = measure(source, count, folder)
    print("| files | new | planned after, s | peak so far, MB | ended after, s | peak, MB |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {count:,} | {NEW} | {row['planned']:.0f} | {row['planned_mb']:,.0f} | "
        f"{row['ended']:.0f} | {row['ended_mb']:,.0f} |"
    )


if __name__ == "__main__":
    main()
