"""The state of a store, and its fingerprints in a file that may be damaged."""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.damaged_json import DAMAGED_JSON, short_id
from support.made_stores import NOON, make_store, put

from jobs.nightly.freshness import (
    STAGES_JSON,
    read_fingerprints,
    read_state,
    write_fingerprint,
)
from jobs.store.schemas import RUNS
from jobs.store.tables import Store


@pytest.mark.parametrize("text", [*DAMAGED_JSON, b'{"train": "\\ud800"}'], ids=short_id)
def test_a_damaged_file_has_no_fingerprints_and_is_replaced(tmp_path: Path, text: bytes) -> None:
    store = make_store(tmp_path / "store")
    (tmp_path / "store" / STAGES_JSON).write_bytes(text)
    assert read_fingerprints(store) == {}
    write_fingerprint(store, "train", "abc")
    assert read_fingerprints(store) == {"train": "abc"}


def put_runs(store: Store, *runs: tuple[str, str, str, int]) -> dict[str, Any]:
    """Replace the rows of ``runs``, each with an hour of its start; return the state."""
    names = ("run_id", "stage", "outcome")
    rows = [
        dict(zip(names, row, strict=True)) | {"started_at": NOON + timedelta(hours=hour)}
        for *row, hour in runs
    ]
    put(store, "runs", rows, RUNS)
    return read_state(store)


@pytest.mark.parametrize(
    ("stage", "table"),
    [
        ("import", "features"),
        ("compare", "comparison"),
        ("similarity", "similarity"),
        ("predict", "predictions"),
    ],
)
@pytest.mark.parametrize("hour", [-9, 9])
def test_a_table_changes_with_a_new_run_whenever_the_clock_says_it_was(
    tmp_path: Path, stage: str, table: str, hour: int
) -> None:
    store = make_store(tmp_path / "store", [("a.wav", "a")], level="track")
    known = ("1", stage, "done", 0)
    before = put_runs(store, known)
    after = put_runs(store, known, ("2", stage, "done", hour))
    assert {name for name in before if before[name] != after[name]} == {table}
    for outcome in ("skipped", "failed"):
        assert put_runs(store, known, ("2", stage, outcome, hour)) == before


def test_labels_change_with_each_value_null_and_column(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [("a.wav", "a")], level="track")

    def state_of(**columns: str | None) -> Any:
        types = [("track_id", pa.string()), *((name, pa.string()) for name in columns)]
        put(store, "labels", [{"track_id": "a.wav", **columns}], pa.schema(types))
        return read_state(store)["labels"]

    states = [
        state_of(label=None),
        state_of(label="None"),
        state_of(label="nan"),
        state_of(label=""),
        state_of(label="jazz"),
        state_of(label="jazz", artist=None),
        state_of(label="jazz", artist="Monk"),
        state_of(label="Monk", artist="jazz"),
        state_of(label="jazz", album="Monk"),
    ]
    assert all(one != other for one, other in itertools.combinations(states, 2))
    assert state_of(label="jazz") == states[4]
