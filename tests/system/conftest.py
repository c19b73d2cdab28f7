"""Fixtures of tests of the whole."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.chromium import chromium


# Not of the session: while Playwright is started, its event loop is that of the process.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
