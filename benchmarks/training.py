"""Boosted trees over two workers, beside plain XGBoost with two threads.

    python -m benchmarks.training [ROWS]

Both begin with the store's Parquet (2,000,000 synthesised segments of ten labels by default) and
end with the same number of trees by the same parameters; by turns, medians. Peak memory is
resident memory: of plain XGBoost's process, and of the two workers' and the job's.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.processes import Peak, dask_cluster
from featurizer.columns import FEATURE_COLUMNS, FEATURE_SET
from jobs.cluster.connect import connect
from jobs.learning.dataset import RowPlan, Rows, labelled_tracks, load_share, write_roster
from jobs.store.folder import Storage
from jobs.store.levels import feature_matrix
from jobs.store.schemas import SEGMENT, SEGMENTS
from jobs.store.tables import STORE_JSON, Settings, open_store

ROWS = 2_000_000
LABELS = 10
SEGMENTS_PER_TRACK = 10
PART_ROWS = 100_000
ROUNDS = 10
REPEATS = 3
THREADS = 2


def make_store(folder: Path, rows: int) -> None:
    """Synthesise segments whose labels some of the features tell, more or less."""
    storage = Storage(str(folder))
    storage.write(STORE_JSON, Settings(FEATURE_SET, 3.0).to_json())
    centres = np.random.default_rng(0).normal(size=(LABELS, len(FEATURE_COLUMNS)))
    for first in range(0, rows, PART_ROWS):
        rng = np.random.default_rng((1, first))
        number = np.arange(first, min(first + PART_ROWS, rows))
        track = number // SEGMENTS_PER_TRACK
        label = track % LABELS
        values = 0.4 * centres[label] + rng.normal(size=(len(number), len(FEATURE_COLUMNS)))
        columns = {
            "track_id": [f"{i:07d}.wav" for i in track],
            "label": [f"label {i}" for i in label],
            "segment": number % SEGMENTS_PER_TRACK,
            "start_s": number % SEGMENTS_PER_TRACK * 3.0,
            "length": np.full(len(number), 66_149),
            **{name: values[:, i] for i, name in enumerate(FEATURE_COLUMNS)},
        }
        arrays = [pa.array(columns[field.name], field.type) for field in SEGMENT]
        name = f"{SEGMENTS}/part-{first:09d}.parquet"
        storage.write_table(name, pa.Table.from_arrays(arrays, schema=SEGMENT))


def plain(folder: str) -> None:
    """Train with plain XGBoost in this process, and print what it took."""
    import xgboost

    from training.boosting import PARAMETERS

    began = time.perf_counter()
    parts = sorted(Path(folder, SEGMENTS).iterdir())
    features = np.empty((sum(pq.read_metadata(part).num_rows for part in parts), 57), np.float32)
    classes = np.empty(len(features), np.int32)
    row = 0
    for part in parts:
        table = pq.ParquetFile(part).read(columns=["label", *FEATURE_COLUMNS])
        following = row + table.num_rows
        features[row:following] = feature_matrix(table)
        names = np.array(table["label"].to_pylist())
        classes[row:following] = np.unique(names, return_inverse=True)[1]
        row = following
    matrix = xgboost.QuantileDMatrix(features, classes, nthread=THREADS)
    parameters = {**PARAMETERS, "num_class": LABELS, "nthread": THREADS}
    booster = xgboost.train(parameters, matrix, ROUNDS)
    seconds = time.perf_counter() - began
    assert booster.num_boosted_rounds() == ROUNDS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "mb": peak}))


def run_plain(folder: Path) -> dict[str, float]:
    """Train with plain XGBoost in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", "--plain", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_workers(folder: Path, scratch: Path) -> dict[str, float]:
    """Train over two workers."""
    from training.boosting import Share, boost
    from training.splits import TRAIN

    scratch.mkdir()
    with dask_cluster(scratch, THREADS) as (address, _), connect(address, None) as client:
        client.wait_for_workers(THREADS)
        peak = Peak()
        for i, pid in enumerate(client.run(os.getpid).values()):
            peak.of(f"worker {i}", psutil.Process(pid))
        peak.of("job", psutil.Process())
        began = time.perf_counter()
        store = open_store(str(folder))
        labelled = labelled_tracks(store, "segment")
        parts = np.full(len(labelled.tracks.ids), TRAIN)
        write_roster(store.storage, "_work/roster.parquet", labelled.tracks, parts)
        plan = RowPlan(store, labelled, "_work/roster.parquet", parts)

        def divide(n: int) -> list[Share]:
            found: list[Rows] = plan.shares((TRAIN,), n)
            return [Share(rows) for rows in found]

        boosted = boost(
            client,
            divide,
            load_share,
            n_classes=LABELS,
            rounds=ROUNDS,
            heard=lambda round_, loss: None,
            lost=lambda workers: None,
            waits=lambda: None,
        )
        seconds = time.perf_counter() - began
        assert boosted.workers == THREADS
        assert boosted.booster.num_boosted_rounds() == ROUNDS
    return {"seconds": seconds} | {name: size / 1e6 for name, size in peak.bytes.items()}


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--plain"]:
        plain(sys.argv[2])
        return
    rows = int(sys.argv[1]) if sys.argv[1:] else ROWS
    with tempfile.TemporaryDirectory() as name:
        store = Path(name, "store")
        make_store(store, rows)
        ours, theirs = [], []
        for repeat in range(REPEATS):
            theirs.append(run_plain(store))
            ours.append(run_workers(store, Path(name, f"cluster-{repeat}")))
    medians = [statistics.median(one["seconds"] for one in runs) for runs in (theirs, ours)]
    print(f"{rows:,} rows, {LABELS} labels, {ROUNDS} rounds:\n")
    print("| | seconds | times as long | peak memory, MB |")
    print("|---|---|---|---|")
    memory = max(one["mb"] for one in theirs)
    print(f"| plain XGBoost, two threads | {medians[0]:.1f} | 1 | {memory:,.0f} |")
    workers = " and ".join(
        f"{max(one[f'worker {i}'] for one in ours):,.0f}" for i in range(THREADS)
    )
    job = max(one["job"] for one in ours)
    print(
        f"| two workers | {medians[1]:.1f} | {medians[1] / medians[0]:.2f} | {workers} a worker, "
        f"{job:,.0f} the job |"
    )


if __name__ == "__main__":
    main()
