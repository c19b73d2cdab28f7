import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from featurizer.machine_code import first_writable

ROWS = """
import numpy as np
from featurizer.extract import features
track, _ = features(np.sin(np.arange(20000) * 0.1).astype(np.float32))
print(track.tobytes().hex())
"""

# A folder in which nobody can make anything, not even root.
NOWHERE = Path("/proc")


def test_the_first_folder_that_can_be_written_to_is_taken(tmp_path: Path) -> None:
    found = first_writable([NOWHERE, tmp_path / "new" / "folder", tmp_path])
    assert found is not None
    assert found.parent == tmp_path / "new" / "folder"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert first_writable([tmp_path / "new" / "folder"]) == found
    assert list(found.iterdir()) == []


def test_there_may_be_none() -> None:
    assert first_writable([]) is None
    assert first_writable([NOWHERE]) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_folder_of_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    found = first_writable([tmp_path])
    assert found is not None
    os.chown(found, 12345, 12345)
    assert first_writable([tmp_path]) is None


def test_a_folder_that_everybody_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    found = first_writable([tmp_path])
    assert found is not None
    found.chmod(0o777)
    assert first_writable([tmp_path]) is None


def test_code_that_is_long_unused_is_removed(tmp_path: Path) -> None:
    for name, age in (("kernels-old", 40), ("kernels-new", 20), ("other-old", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code").touch()
        time = (tmp_path / name).stat().st_mtime - age * 24 * 3600
        os.utime(tmp_path / name, (time, time))
    first_writable([tmp_path])
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept >= {"kernels-new", "other-old"}
    assert "kernels-old" not in kept
    assert len(kept) == 3


def rows(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ROWS],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.slow
def test_a_second_process_compiles_nothing(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "code"
    first = rows(NUMBA_CACHE_DIR=str(folder))
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    assert len(kept) > 15
    second = rows(NUMBA_CACHE_DIR=str(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")} == kept
    assert second.stdout == first.stdout
    assert second.stderr == ""


@pytest.mark.slow
def test_without_any_folder_the_log_says_so_and_the_rows_are_there() -> None:
    found = rows(NUMBA_CACHE_DIR=str(NOWHERE))
    assert found.stdout == rows().stdout
    assert found.stderr.startswith("compiled code cannot be kept")
    assert "/proc" in found.stderr
    assert found.stderr.count("\n") == 1
