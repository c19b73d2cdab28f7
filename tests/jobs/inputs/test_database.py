"""The database of a plan."""

import os
import stat
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.errors import SongmillError
from jobs.inputs import database as module
from jobs.inputs.database import connect, explain_full_disk, insert


def test_tables_larger_than_the_memory_limit_move_to_a_private_folder_that_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "MEMORY_LIMIT", "30MB")
    batches = [pa.table({"track_id": [f"{i:0100}"] * 5_000}) for i in range(100)]
    with connect() as database:
        insert(database, "listed", batches)
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(os.stat(folder).st_mode) == stat.S_IRWXU
        assert sum(file.stat().st_size for file in folder.iterdir()) > 1_000_000
        counts = database.execute("SELECT count(*) FROM listed GROUP BY track_id").fetchall()
        assert counts == [(5_000,)] * 100
    del database
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "MEMORY_LIMIT", "30MB")
    batch = pa.table({"track_id": [f"{i:0100}" for i in range(50_000)]})
    with connect() as database:
        database.execute("SET max_temp_directory_size = '1MB'")
        with pytest.raises(SongmillError, match=f"{tmp_path}.* TMPDIR"), explain_full_disk():
            insert(database, "listed", [batch] * 20)
