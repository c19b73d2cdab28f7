"""A real object store for the tests of buckets."""

from collections.abc import Iterator

import pytest
from support.object_store import ObjectStore, as_our_own, object_store


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as found, as_our_own(found):
        found.system().mkdir("music")
        yield found
