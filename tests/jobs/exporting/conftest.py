"""A PostgreSQL server for all tests of exports."""

from collections.abc import Iterator

import pytest
from support import postgres


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URI of a database in UTF-8."""
    with postgres.server() as uri:
        yield uri
