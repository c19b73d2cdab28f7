"""Pages in a real browser, the installed Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

UNTIL_PLAYING = """audio => new Promise((done, fail) => {
    if (!audio.paused && audio.currentTime) done(audio.currentTime);
    audio.addEventListener("timeupdate", () => done(audio.currentTime));
    audio.addEventListener("error", () => fail("cannot be played"));
})"""
"""Function of an audio element: the position in seconds at which it plays."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; skip the test if there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is missing: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """An open page, with its console messages and requests."""

    def __init__(self, browser: Browser, path: Path, width: int, scheme: Any, **how: Any) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **how
        )
        self.page: Page = context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: self.messages.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("load")

    def violations(self, part: str | None = None) -> list[str]:
        """Return the rules of accessibility that the page or a part violates, by axe-core."""
        return [one["id"] for one in Axe().run(self.page, part).response["violations"]]

    def close(self) -> None:
        self.page.context.close()
