"""Counts of a store's labels."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.store.schemas import TRACKS
from jobs.store.tables import Store


def count_labels(store: Store) -> list[tuple[str | None, int]]:
    """Count the tracks of each label, most first."""
    found = Counter[Any]()
    for batch in store.read_batches(TRACKS, ["label"]):
        _count(found, batch["label"])
    return most_first(found)


def _count(into: Counter[Any], column: pa.Array) -> None:
    for row in pc.value_counts(column).to_pylist():
        into[row["values"]] += row["counts"]


def most_first(found: Counter[Any]) -> list[tuple[Any, int]]:
    """Return what was counted with its count, most first, then by name."""
    return sorted(found.items(), key=lambda item: (-item[1], str(item[0] or "")))
