"""Read a store in a loop, with the readers that users have: ``read_in_a_loop.py STORE STOP``.

It ends when the file STOP exists and prints the number of reads. A wrong row ends it at once.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from featurizer.feature_set import feature_set

GTZAN = feature_set("gtzan")


def by_pyarrow(folder: Path) -> pd.DataFrame:
    """Read a table with pyarrow."""
    return ds.dataset(folder, format="parquet", partitioning="hive").to_table().to_pandas()


def by_pandas(folder: Path) -> pd.DataFrame:
    """Read a table with pandas."""
    return pd.read_parquet(folder)


def by_duckdb(folder: Path) -> pd.DataFrame:
    """Read a table with DuckDB."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        while True:
            before = state(folder)
            try:
                rows = connection.sql(f"SELECT * FROM '{folder}/*.parquet'").to_arrow_table()
            except duckdb.Error:
                # DuckDB opens a part twice, and fails if the part was replaced in between.
                if state(folder) == before:
                    raise
            else:
                return rows.to_pandas()


def state(folder: Path) -> set[tuple[str, int]]:
    """Return the names and inodes of the parts of a table."""
    return {(entry.name, entry.inode()) for entry in os.scandir(folder)}


READERS: list[Callable[[Path], pd.DataFrame]] = [by_pyarrow, by_pandas, by_duckdb]


def check(frame: pd.DataFrame, keys: list[str]) -> None:
    """Check that all rows are unique and whole."""
    twice = frame[frame.duplicated(keys)]
    assert twice.empty, f"twice: {twice[keys].values.tolist()}"
    numbers = [column for column in GTZAN.names if column in frame]
    assert np.isfinite(frame[numbers].to_numpy()).all(), "not a number"
    assert frame["track_id"].notna().all(), "no track"


def main() -> None:
    """Read until STOP exists."""
    store, stop = Path(sys.argv[1]), Path(sys.argv[2])
    reads = 0
    while not stop.exists():
        for read in READERS:
            for table in ("features/level=track", "features/level=segment", "files"):
                keys = ["track_id", "segment"] if table.endswith("segment") else ["track_id"]
                try:
                    check(read(store / table), keys)
                except Exception as error:
                    raise SystemExit(f"{read.__name__} {table}: {error!r}") from error
                reads += 1
    sys.stdout.write(json.dumps(reads))


if __name__ == "__main__":
    main()
