"""Boosted trees on two workers, compared with plain XGBoost on two threads.

    python -m benchmarks.training [ROWS]

Both start from the store's Parquet files (2,000,000 synthetic segments of ten labels by default)
and train the same number of trees with the same parameters. All processes have imported what they
need before. They take turns, and the figures are medians. Peak memory is the resident memory of
plain XGBoost's process, of each of the two workers, and of the job.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.processes import PeakMemory, dask_cluster, run_module
from featurizer.feature_set import feature_set
from jobs.cluster.connect import connect
from jobs.cluster.pool import WorkerPool
from jobs.learning.dataset import RowPlan, Rows, labelled_tracks, load_share
from jobs.store.folder import Folder
from jobs.store.levels import feature_matrix
from jobs.store.schemas import SEGMENT, SEGMENTS
from jobs.store.tables import STORE_JSON, Settings, open_store

GTZAN = feature_set("gtzan")

ROWS = 2_000_000
LABELS = 10
SEGMENTS_PER_TRACK = 10
PART_ROWS = 100_000
ROUNDS = 10
REPEATS = 3
THREADS = 2


def make_store(folder: Path, rows: int) -> None:
    """Write a store of random segments around one centre per label."""
    storage = Folder(str(folder))
    storage.write(STORE_JSON, Settings({"gtzan": GTZAN.version}, 3.0).to_json())
    centres = np.random.default_rng(0).normal(size=(LABELS, len(GTZAN.names)))
    for first in range(0, rows, PART_ROWS):
        rng = np.random.default_rng((1, first))
        number = np.arange(first, min(first + PART_ROWS, rows))
        track = number // SEGMENTS_PER_TRACK
        label = track % LABELS
        values = 0.4 * centres[label] + rng.normal(size=(len(number), len(GTZAN.names)))
        columns = {
            "track_id": [f"{i:07d}.wav" for i in track],
            "label": [f"label {i}" for i in label],
            "segment": number % SEGMENTS_PER_TRACK,
            "start_s": number % SEGMENTS_PER_TRACK * 3.0,
            "length": np.full(len(number), 66_149),
            **{name: values[:, i] for i, name in enumerate(GTZAN.names)},
        }
        arrays = [pa.array(columns[field.name], field.type) for field in SEGMENT]
        name = f"{SEGMENTS}/part-{first:09d}.parquet"
        storage.write_table(name, pa.Table.from_arrays(arrays, schema=SEGMENT))


def plain(folder: str) -> None:
    """Train with plain XGBoost in this process; print the seconds and the peak memory in MB."""
    import xgboost

    from training.boosting import PARAMETERS

    began = time.perf_counter()
    parts = sorted(Path(folder, SEGMENTS).iterdir())
    features = np.empty((sum(pq.read_metadata(part).num_rows for part in parts), 57), np.float32)
    classes = np.empty(len(features), np.int32)
    row = 0
    for part in parts:
        table = pq.ParquetFile(part).read(columns=["label", *GTZAN.names])
        next_row = row + table.num_rows
        features[row:next_row] = feature_matrix(table, GTZAN.name)
        names = np.array(table["label"].to_pylist())
        classes[row:next_row] = np.unique(names, return_inverse=True)[1]
        row = next_row
    matrix = xgboost.QuantileDMatrix(features, classes, nthread=THREADS)
    parameters = {**PARAMETERS, "num_class": LABELS, "nthread": THREADS}
    booster = xgboost.train(parameters, matrix, ROUNDS)
    seconds = time.perf_counter() - began
    assert booster.num_boosted_rounds() == ROUNDS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "mb": peak}))


def run_workers(folder: Path, scratch: Path) -> dict[str, float]:
    """Train on two workers; return the seconds and each process's peak memory in MB."""
    from jobs.learning.distributed_boosting import boost
    from training.boosting import Share
    from training.splits import TRAIN

    scratch.mkdir()
    with dask_cluster(scratch, THREADS) as (address, _), connect(address, None, print) as client:
        client.wait_for_workers(THREADS)
        pool = WorkerPool(client, check=str, report=lambda level, text: None)
        pool.settle()
        client.run(import_module, "xgboost.dask")
        client.run_on_scheduler(import_module, "dask.array")
        peak = PeakMemory()
        peak.watch_cluster(client)
        began = time.perf_counter()
        store = open_store(str(folder))
        labelled = labelled_tracks(store, GTZAN.name, "segment")
        parts = np.full(len(labelled.tracks.ids), TRAIN)
        plan = RowPlan(store, labelled, "_work/roster.parquet", parts)

        def divide(n: int) -> list[Share]:
            found: list[Rows] = plan.shares((TRAIN,), n)
            return [Share(rows) for rows in found]

        boosted = boost(
            pool,
            divide,
            load_share,
            n_classes=LABELS,
            rounds=ROUNDS,
            on_round=lambda round_, loss: None,
            on_worker_lost=lambda workers: None,
            on_wait=lambda: None,
        )
        seconds = time.perf_counter() - began
        assert boosted.workers == THREADS
        assert boosted.booster.num_boosted_rounds() == ROUNDS
    return {"seconds": seconds, **peak.megabytes()}


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
            theirs.append(run_module("benchmarks.training", "--plain", str(store)))
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
        f"| two workers | {medians[1]:.1f} | {medians[1] / medians[0]:.2f} | {workers} per worker, "
        f"{job:,.0f} for the job |"
    )


if __name__ == "__main__":
    main()
