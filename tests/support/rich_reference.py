"""The reference implementation of the rich features, next to the project, and its tables."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "rich"


def _file(name: str) -> Path:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"there is no reference of the rich features at {path}")
    return path


@cache
def reference() -> Any:
    """Import ``reference.py``."""
    import sys

    spec = importlib.util.spec_from_file_location("rich_reference", _file("reference.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look up their module.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def golden() -> pd.DataFrame:
    """Return the rows of the 40 recordings, in double precision, by their names."""
    return pd.read_csv(_file("golden.csv"), index_col="file")


@cache
def spreads() -> pd.Series:
    """Return the standard deviation of each column over 615 tracks."""
    columns = list(reference().COLUMNS)
    return pd.read_parquet(_file("six_genres.parquet"), columns=columns).astype("float64").std()
