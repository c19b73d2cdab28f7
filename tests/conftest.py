"""What every test may use."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and published tables, beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the recordings and published tables are not there: {SHARED_DATA}")
    return SHARED_DATA
