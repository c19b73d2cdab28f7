"""What every test may use."""

import os
from pathlib import Path

import pytest
from numba.core import config

import jobs.cluster

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# librosa leaves the keeping of its machine code to Numba, which mixes up what two processes keep at
# once (see compiling/machine_code.py); what the tests' processes compile is thus kept apart.
config.CACHE_DIR = str(
    Path(__file__).parent / "__pycache__" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
)


# Of two processes that find one port free at the same time, one leaves an open socket.
jobs.cluster.DASHBOARD_PORT = 0


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and published tables, beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the recordings and published tables are not there: {SHARED_DATA}")
    return SHARED_DATA
