"""The fingerprints of a store, in a file that may be damaged."""

from pathlib import Path

import pytest
from support.damaged_json import DAMAGED_JSON, short_id
from support.made_stores import make_store

from jobs.nightly.freshness import STAGES_JSON, read_fingerprints, write_fingerprint


@pytest.mark.parametrize("text", [*DAMAGED_JSON, b'{"train": "\\ud800"}'], ids=short_id)
def test_a_damaged_file_has_no_fingerprints_and_is_replaced(tmp_path: Path, text: bytes) -> None:
    store = make_store(tmp_path / "store")
    (tmp_path / "store" / STAGES_JSON).write_bytes(text)
    assert read_fingerprints(store) == {}
    write_fingerprint(store, "train", "abc")
    assert read_fingerprints(store) == {"train": "abc"}
