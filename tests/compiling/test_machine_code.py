import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import config

from compiling import machine_code
from compiling.machine_code import KernelCache, first_writable

PACKAGE = Path(machine_code.__file__).parent

# A folder in which nobody can create anything, not even root.
NOWHERE = Path("/proc")

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can act for another user")


def test_the_first_writable_folder_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    found = first_writable([NOWHERE, folder, tmp_path], PACKAGE)
    assert found.parent == folder
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert first_writable([folder], PACKAGE) == found
    assert list(found.iterdir()) == []
    assert first_writable([], PACKAGE) is None
    assert first_writable([NOWHERE], PACKAGE) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: folder.chmod(0o777),
        pytest.param(lambda folder: os.chown(folder, 12345, 12345), marks=AS_ROOT),
    ],
    ids=["writable by everybody", "of somebody else"],
)
def test_a_folder_that_others_control_is_not_trusted(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(first_writable([tmp_path], PACKAGE))
    assert first_writable([tmp_path], PACKAGE) is None


def test_code_that_is_long_unused_is_removed(tmp_path: Path) -> None:
    for name, age in (("kernels-old", 40), ("kernels-new", 20), ("other-old", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code").touch()
        time = (tmp_path / name).stat().st_mtime - age * 24 * 3600
        os.utime(tmp_path / name, (time, time))
    first_writable([tmp_path], PACKAGE)
    kept = {path.name for path in tmp_path.iterdir()}
    assert len(kept) == 3  # with the new folder
    assert kept & {"kernels-new", "other-old", "kernels-old"} == {"kernels-new", "other-old"}


KERNEL = """
import numpy as np
from featurizer.moments import Moments
moments = Moments(3)
moments.add(np.arange(30.0).reshape(10, 3))
print(moments.variance)
"""


def run(code: str, user: dict[str, Any] | None = None, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
        **(user or {}),
    )


def test_without_a_writable_folder_one_warning_is_logged_and_the_rows_are_the_same() -> None:
    found = run(KERNEL, NUMBA_CACHE_DIR=str(NOWHERE))
    assert found.stdout == run(KERNEL).stdout
    assert found.stderr.startswith("Cannot save compiled code")
    assert "/proc" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.slow
@AS_ROOT
def test_a_user_without_a_home_and_with_a_read_only_installation_keeps_the_code() -> None:
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        as_nobody = partial(run, user=nobody, HOME="/nonexistent", TMPDIR=folder)
        try:
            as_nobody("import featurizer")
        except (PermissionError, subprocess.CalledProcessError):
            pytest.skip("other users cannot read this installation")
        found = as_nobody(KERNEL)
        assert found.stderr == ""
        assert found.stdout == run(KERNEL).stdout
        kept = Path(folder) / "songmill-65534"
        assert stat.S_IMODE(next(kept.glob("kernels-*")).stat().st_mode) == 0o700
        assert list(kept.rglob("*.nbc"))


def test_truncated_code_is_compiled_again(tmp_path: Path) -> None:
    undisturbed = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    for kind in ("nbc", "nbi"):
        for path in list(tmp_path.rglob(f"*.{kind}")):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        disturbed = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
        assert disturbed.stdout == undisturbed.stdout
        assert "Cannot read" in disturbed.stderr
        again = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
        assert (again.stdout, again.stderr) == (undisturbed.stdout, "")


def total(values: np.ndarray) -> Any:
    return values.sum()


def test_processes_that_save_code_at_the_same_time_do_not_mix_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

    def new_kernel() -> Any:
        kernel = numba.njit(total)
        kernel._cache = KernelCache(total)
        return kernel

    one, other = new_kernel(), new_kernel()
    # Neither sees the other's entries in the index.
    for kernel in (one, other):
        monkeypatch.setattr(kernel._cache._cache_file, "_load_index", dict)
    files = one._cache._cache_file
    save = files._save_data

    def save_after_the_other(name: str, data: object) -> None:
        other(np.ones(3))
        save(name, data)

    monkeypatch.setattr(files, "_save_data", save_after_the_other)
    assert one(np.ones(3, np.int16)) == 3
    assert len(list(tmp_path.rglob("*.nbc"))) == 2
    for values in (np.array([1.5, 2.25]), np.array([1, 2], np.int16)):
        assert new_kernel()(values) == values.sum()


def test_a_full_disk_prevents_only_the_caching(tmp_path: Path) -> None:
    # A limit on file sizes stands in for a full disk.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"
    found = run(limit + KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert found.stdout == run(KERNEL).stdout
    assert "Cannot save" in found.stderr
    assert "File too large" in found.stderr


def test_the_cache_folder_of_the_tests_survives_changes_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = config.CACHE_DIR
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    config.reload_config()
    reloaded, after = config.BOUNDSCHECK, config.CACHE_DIR
    monkeypatch.undo()
    config.reload_config()
    assert reloaded == 1
    assert Path(after).parts[-3:-1] == ("tests", "__pycache__")
    assert after == before
