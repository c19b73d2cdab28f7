"""Settings and fixtures of every test."""

import gc
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from numba.core import config
from support.command_line import Command, in_process
from support.private_code import private_code

# Until all tests are collected: searching the imported modules for garbage takes seconds.
gc.disable()

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Numba's cache of librosa's functions is unsafe with concurrent processes: one folder each.
CACHES = Path(__file__).parent / "__pycache__"
COMPILED = private_code(CACHES / os.environ.get("PYTEST_XDIST_WORKER", "alone"))
os.environ["NUMBA_CACHE_DIR"] = str(COMPILED)
config.reload_config()
if (CACHES / "compiled").exists():  # by `make test`
    shutil.copytree(CACHES / "compiled", COMPILED, dirs_exist_ok=True)

# A shell's background jobs and nohup ignore these, and so would all processes that tests start.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Add a worker to those of ``-n auto``: many tests wait for other processes."""
    return (yield) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files without slow tests first."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path in slow)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from searching the imported modules and the tests: a sixth of
    the time of the quick tests.
    """
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let the interpreter collect all objects when it ends; DuckDB complains of those that stay."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def in_process_cluster() -> Iterator[str]:
    """The address of a real Dask cluster of two threads of this process."""
    from support import in_process

    with in_process.cluster() as address:
        yield address


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and published tables, next to the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"there are no recordings and published tables at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""
    return in_process(monkeypatch, capfd)


@pytest.fixture
def unlistable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make folders unlistable, also for root, who ignores permissions."""
    folders: set[str] = set()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path in folders:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return lambda folder: folders.add(str(folder))
