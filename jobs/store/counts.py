"""Counts of a store's labels."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.store.schemas import features_folder
from jobs.store.tables import Store


def count_tracks(store: Store) -> dict[str, int]:
    """Return the number of tracks that have a row in each feature set."""
    names = sorted(store.settings.feature_sets)
    return {name: store.count_rows(features_folder(name, "track")) for name in names}


def largest_table(store: Store) -> str:
    """Return the folder of the tracks of the feature set that has most of them.

    Tracks that are too short for one feature set may have a row in another one.
    """
    of_set = count_tracks(store)
    return features_folder(max(of_set, key=lambda name: of_set[name]), "track")


def count_labels(store: Store) -> list[tuple[str | None, int]]:
    """Return the number of tracks of each label, most frequent first."""
    counts = Counter[Any]()
    for batch in store.read_batches(largest_table(store), ["label"]):
        add_counts(counts, batch["label"])
    return most_first(counts)


def add_counts(counts: Counter[Any], column: pa.Array) -> None:
    """Add the number of occurrences of each value of ``column`` to ``counts``.

    Examples
    --------
    >>> counts = Counter(pop=1)
    >>> add_counts(counts, pa.array(["rock", "pop", None, "pop"]))
    >>> counts
    Counter({'pop': 3, 'rock': 1, None: 1})
    """
    for row in pc.value_counts(column).to_pylist():
        counts[row["values"]] += row["counts"]


def most_first(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """Return (value, count) pairs, most frequent first, equal counts by value.

    Examples
    --------
    >>> most_first(Counter(["pop", "rock", "rock", "jazz"]))
    [('rock', 2), ('jazz', 1), ('pop', 1)]
    """
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0] or "")))
