"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core import config

import jobs.cluster.connect

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# librosa leaves the keeping of its machine code to Numba, which mixes up what two processes keep at
# once (see compiling/machine_code.py); what the tests' processes compile is thus kept apart.
COMPILED = Path(__file__).parent / "__pycache__" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
_from_environment = config._env_reloader.process_environ


def _keep_apart(environment: dict[str, str]) -> None:
    _from_environment(environment)
    config.CACHE_DIR = str(COMPILED)


# Numba reads all its settings anew when one changes in the environment, where a local cluster's
# start leaves some. A function half of which came from another place ends the process.
config._env_reloader.process_environ = _keep_apart
_keep_apart(config._env_reloader.old_environ)


# Of two processes that find one port free at the same time, one leaves an open socket.
jobs.cluster.connect.DASHBOARD_PORT = 0


@pytest.fixture(scope="session")
def in_process_cluster() -> Iterator[str]:
    """The address of a real Dask cluster of two threads of this process."""
    from support import in_process

    with in_process.cluster() as address:
        yield address


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and published tables, beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the recordings and published tables are not there: {SHARED_DATA}")
    return SHARED_DATA
