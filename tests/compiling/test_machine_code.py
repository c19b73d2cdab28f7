import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import config
from support.private_code import private_code

from compiling import machine_code
from compiling.machine_code import (
    KernelCache,
    cache_folder,
    fingerprint,
    first_private,
    has_code,
    private_folder,
)

PACKAGE = Path(machine_code.__file__).parent

# A folder in which nobody can create anything, not even root.
NOWHERE = Path("/proc")

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can act for another user")


def test_the_first_writable_folder_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    found = first_private([NOWHERE, folder, tmp_path], "kernels-1")
    assert found == folder / "kernels-1"
    assert first_private([folder], "kernels-1") == found
    assert list(found.iterdir()) == []
    with pytest.raises(PermissionError, match="^/proc \\(No such file or directory\\)$"):
        first_private([NOWHERE], "kernels-1")


def test_a_package_has_code_once_a_kernel_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(private_folder(tmp_path / "cache")))
    package = tmp_path / "package"
    assert not has_code(package)
    folder = cache_folder(package)
    assert folder is not None
    (folder / "package").mkdir()
    (folder / "package/kernel.py311.nbi").touch()
    assert has_code(package)


def test_new_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        found = private_folder(tmp_path / "new" / "folder")
    finally:
        os.umask(before)
    for folder in (found, found.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def give_away(folder: Path) -> None:
    os.chown(folder, 12345, 12345)


@pytest.mark.parametrize("part", ["cache/songmill/kernels", "cache/songmill", "cache"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: folder.chmod(0o702), "other users can write"),
        pytest.param(give_away, "belongs to user 12345", marks=AS_ROOT),
    ],
    ids=["writable by everybody", "of somebody else"],
)
def test_a_folder_that_others_can_change_or_replace_is_not_trusted(
    tmp_path: Path, part: str, change: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "cache" / "songmill" / "kernels"
    assert private_folder(folder) == folder
    assert private_folder(folder) == folder
    change(tmp_path / part)
    with pytest.raises(PermissionError, match=message):
        private_folder(folder)


@AS_ROOT
def test_the_folders_above_the_source_may_belong_to_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    give_away(above)
    folder = above / "kernels"
    with pytest.raises(PermissionError, match=f"{above} belongs to user 12345"):
        private_folder(folder)
    monkeypatch.setattr(machine_code, "_TRUSTED", [above])
    assert private_folder(folder) == folder
    give_away(folder)
    with pytest.raises(PermissionError, match=f"{folder} belongs to user 12345"):
        private_folder(folder)
    above.chmod(0o707)
    with pytest.raises(PermissionError, match=f"other users can write to {above}"):
        private_folder(folder)


def test_a_sticky_parent_is_trusted_and_a_sticky_folder_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    folder = private_folder(tmp_path / "kernels")
    folder.chmod(0o1777)
    with pytest.raises(PermissionError, match="other users can write"):
        private_folder(folder)


@AS_ROOT
def test_a_folder_of_another_user_in_a_sticky_parent_is_not_trusted(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "songmill").mkdir()
    give_away(tmp_path / "songmill")
    with pytest.raises(PermissionError, match="belongs to user 12345"):
        private_folder(tmp_path / "songmill" / "kernels")
    assert not (tmp_path / "songmill" / "kernels").exists()


@pytest.mark.parametrize(
    ("group", "members", "trusted"),
    [("me", [], True), ("me", ["me"], True), ("me", ["me", "you"], False), ("users", [], False)],
)
def test_only_the_users_private_group_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], trusted: bool
) -> None:
    def user_name(_: int) -> SimpleNamespace:
        return SimpleNamespace(pw_name="me")

    def group_entry(_: int) -> SimpleNamespace:
        return SimpleNamespace(gr_name=group, gr_mem=members)

    monkeypatch.setattr(pwd, "getpwuid", user_name)
    monkeypatch.setattr(grp, "getgrgid", group_entry)
    folder = private_folder(tmp_path / "kernels")
    folder.chmod(0o770)
    if trusted:
        assert private_folder(folder) == folder
    else:
        with pytest.raises(PermissionError, match="other users can write"):
            private_folder(folder)


def test_a_link_leads_to_the_folder_that_is_checked(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(target)
    assert private_folder(tmp_path / "link" / "kernels") == target / "kernels"
    target.chmod(0o702)
    with pytest.raises(PermissionError, match=f"can write to {target}$"):
        private_folder(tmp_path / "link" / "kernels")


def test_a_link_that_is_planted_during_the_check_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    mkdir = Path.mkdir

    def mkdir_too_late(path: Path, **options: Any) -> None:
        path.symlink_to(target)
        mkdir(path, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir_too_late)
    with pytest.raises(OSError, match="kernels is not a folder"):
        private_folder(tmp_path / "kernels")


def test_a_chosen_folder_that_others_can_write_to_is_refused_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(machine_code, "_uncached", [])
    uncached = cache_folder.__wrapped__
    assert uncached(PACKAGE).parent == tmp_path
    assert caplog.messages == []
    tmp_path.chmod(0o777)
    for package in (PACKAGE, PACKAGE.with_name("recommend")):
        assert uncached(package) is None
    (message,) = caplog.messages
    assert f"other users can write to {tmp_path}" in message
    assert "Set NUMBA_CACHE_DIR" in message


def test_code_that_is_long_unused_is_removed(tmp_path: Path) -> None:
    old, new = f"kernels-{'0a' * 8}", f"kernels-{'1b' * 8}"
    for name, age in ((old, 40), (new, 20), ("kernels-of-mine", 40), ("other-old", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code").touch()
        time = (tmp_path / name).stat().st_mtime - age * 24 * 3600
        os.utime(tmp_path / name, (time, time))
    found = first_private([tmp_path], f"kernels-{'2c' * 8}")
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {new, "kernels-of-mine", "other-old", found.name}


CACHED = {"NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]}

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
    assert found.stdout == run(KERNEL, **CACHED).stdout
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
        assert found.stdout == run(KERNEL, **CACHED).stdout
        kept = Path(folder) / "songmill-65534"
        assert stat.S_IMODE(next(kept.glob("kernels-*")).stat().st_mode) == 0o700
        assert list(kept.rglob("*.nbc"))


TOY = """
from compiling.compiled import compiled
@compiled
def inverse(x):
    return 1.0 / x
"""


def test_changed_flags_of_the_decorators_recompile_the_kernels(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "compiling", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "toy.py").write_text(TOY)
    code = tmp_path / "code"
    call = partial(
        run,
        "from toy import inverse; print(inverse(0.0))",
        {"cwd": tmp_path},
        NUMBA_CACHE_DIR=str(code),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert call().stdout == "inf\n"
    files = set(code.rglob("*.nbc"))
    assert len(files) == 1
    assert call().stdout == "inf\n"
    assert set(code.rglob("*.nbc")) == files
    decorators = tmp_path / "compiling" / "compiled.py"
    before = decorators.read_text()
    decorators.write_text(before.replace('error_model="numpy"', 'error_model="python"'))
    with pytest.raises(subprocess.CalledProcessError) as raised:
        call()
    assert "ZeroDivisionError" in raised.value.stderr


@pytest.mark.parametrize("library", ["llvmlite", "numba", "numpy"])
def test_another_version_of_the_compiler_has_another_cache(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    before = fingerprint(PACKAGE)
    assert fingerprint(PACKAGE) == before
    monkeypatch.setattr(f"{library}.__version__", "1.2.3")
    assert fingerprint(PACKAGE) != before


def test_settings_of_code_generation_have_caches_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fingerprint(PACKAGE)
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert fingerprint(PACKAGE) != before


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


def test_each_kind_of_processor_has_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    for expected, processor in ((1, None), (1, None), (2, "generic"), (2, None)):
        monkeypatch.setattr(config, "CPU_NAME", processor)
        kernel = numba.njit(total)
        kernel._cache = KernelCache(total)
        assert kernel(np.ones(3)) == 3
        assert len(list(tmp_path.rglob("*.nbc"))) == expected


def test_a_full_disk_prevents_only_the_caching(tmp_path: Path) -> None:
    # A limit on file sizes stands in for a full disk.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"
    found = run(limit + KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert found.stdout == run(KERNEL, **CACHED).stdout
    assert "Cannot save" in found.stderr
    assert "File too large" in found.stderr


def test_tests_keep_code_in_a_folder_that_is_used_whoever_owns_the_checkout(tmp_path: Path) -> None:
    assert private_code(tmp_path / "code") == tmp_path / "code"
    tmp_path.chmod(0o777)
    found = private_code(tmp_path / "code")
    assert found.parent == Path(tempfile.gettempdir())
    assert private_folder(found) == found
    used = Path(os.environ["NUMBA_CACHE_DIR"])
    assert private_folder(used) == used


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
    assert after == before == os.environ["NUMBA_CACHE_DIR"]
