"""The fingerprints of a store, in a file that may be damaged."""

from pathlib import Path

import pytest
from support.made_stores import make_store

from jobs.nightly.freshness import STAGES_JSON, read_fingerprints, write_fingerprint


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"x"',
        b"\xff",
        b'{"train": "\\ud800"}',
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_a_damaged_file_has_no_fingerprints_and_is_replaced(tmp_path: Path, text: bytes) -> None:
    store = make_store(tmp_path / "store")
    (tmp_path / "store" / STAGES_JSON).write_bytes(text)
    assert read_fingerprints(store) == {}
    write_fingerprint(store, "train", "abc")
    assert read_fingerprints(store) == {"train": "abc"}
