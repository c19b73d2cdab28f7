"""The package: quick to import, complete, and clear if another package hides one of its names."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support.cluster_processes import processes
from support.recordings import make_collection

import songmill
from songmill.own_packages import OWN

ROOT = Path(__file__).parents[2]


def python(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_every_public_name_exists_and_has_a_docstring() -> None:
    assert sorted(songmill.__all__) == sorted(dir(songmill))
    for name in songmill.__all__:
        assert getattr(songmill, name).__doc__, name
    assert songmill.__version__ == metadata.version("songmill")
    with pytest.raises(AttributeError, match="no attribute 'feature'"):
        songmill.feature  # noqa: B018


def test_the_import_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import songmill, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(python("-c", code, cwd=tmp_path).stdout.split())
    assert "songmill" in loaded
    assert not loaded & {"numpy", "pandas", "pyarrow", "numba", "dask", "distributed", *OWN}


@pytest.mark.parametrize("hiding", ["jobs.py", "featurizer/__init__.py"])
def test_a_package_that_hides_ours_is_named(tmp_path: Path, hiding: str) -> None:
    target = tmp_path / hiding
    target.parent.mkdir(exist_ok=True)
    target.touch()
    found = python("-c", "import songmill; songmill.features", cwd=tmp_path)
    name = hiding.partition("/")[0].partition(".")[0]
    last = found.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: songmill's package '{name}' is hidden by {target}: ")


def test_a_folder_without_python_files_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    assert python("-c", "import songmill; songmill.features", cwd=tmp_path).returncode == 0


def test_the_command_line_is_not_affected(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("raise SystemExit('the wrong jobs')")
    done = python("-m", "songmill", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"songmill {songmill.__version__}\n"


def test_no_locked_dependency_ships_one_of_our_names() -> None:
    ours = {*OWN, "songmill"}
    owners = metadata.packages_distributions()
    assert {name: set(owners.get(name, [])) - {"songmill"} for name in ours} == dict.fromkeys(
        ours, set()
    )


@pytest.mark.slow
def test_workers_are_not_affected(tmp_path: Path) -> None:
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "jobs.py").write_text("raise SystemExit('the wrong jobs')")
    with processes(tmp_path / "processes") as running:
        running.variables = {"DASK_DISTRIBUTED__WORKER__PRELOAD": "[]"}
        running.start_scheduler()
        path = [str(hiding), *filter(None, [os.environ.get("PYTHONPATH")])]
        running.start_worker(PYTHONPATH=os.pathsep.join(path))
        music = make_collection(tmp_path / "music", 3)
        result = running.run(music, store=tmp_path / "store")
    assert result.code == 0, result
    assert result.outcome["extracted"] == 3


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    make_collection(tmp_path / "music", 1)
    script = tmp_path / "script.py"
    script.write_text("import songmill\nsongmill.extract(['music'], store='tables', workers=1)")
    last = python(str(script), cwd=tmp_path).stderr.splitlines()[-1]
    assert 'In a script, call songmill below `if __name__ == "__main__":`' in last
