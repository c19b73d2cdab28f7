"""The interactive part of a report in a real browser, Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, expect
from support.chromium import Opened
from support.made_stores import LABELS, make_store, put

from jobs.reporting.report import report
from jobs.store.schemas import predictions, similarity
from pages import picture

pytestmark = pytest.mark.slow

CLASSES = ["blues", "jazz", "<b>rock</b>"]
HOSTILE = [
    "</script><script>alert(1)</script>.wav",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.\"'`${alert(2)}",
    "javascript:alert(3)",
    "long" * 1000,
]
TRACKS = [(f"some folder/{i:03}.wav", LABELS[i % 4]) for i in range(60)]
TRACKS += [("Café del Mar.wav", "jazz"), *((name, "<b>rock</b>") for name in HOSTILE)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A report of tracks with predictions, neighbours and segments."""
    root = tmp_path_factory.mktemp("explorer") / "store"
    store = make_store(root, [track for track in TRACKS for _ in range(4)])
    make_store(root, TRACKS, level="track")
    rng = np.random.default_rng(0)
    names = [name for name, _ in TRACKS]
    near = [
        {"track_id": name, "rank": rank, "neighbour_id": other, "score": 0.9, "metric": "rich"}
        for name in names
        for rank, other in enumerate(rng.permutation(names)[:5].tolist(), start=1)
    ]
    put(store, "similarity", near, similarity("track"))
    predicted = [
        {"track_id": name, "learnt": False}
        | dict(zip([f"p_{one}" for one in CLASSES], p, strict=True))
        for name, p in zip(names, rng.dirichlet(np.ones(3), len(names)).tolist(), strict=True)
    ]
    put(store, "predictions/level=track", predicted, predictions(CLASSES, segments=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "_png", lambda *_: b"png")
        yield Path(report(store=str(root)).page)


def centre(ring: Locator) -> tuple[float, float]:
    box = ring.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_tracks_are_found_seen_and_followed(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 1600, "light")
    page, status = opened.page, opened.page.locator("#explorer-status")
    title, panel = page.locator("#explorer-title"), page.locator("#explorer-panel")
    assert opened.violations("#explorer") == []

    # The search, by the keyboard.
    page.get_by_role("combobox", name="Search tracks").fill("CAFE")
    expect(status).to_have_text("1 track found")
    assert opened.violations("#explorer") == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(title).to_have_text("Café del Mar.wav")
    expect(panel).to_be_focused()
    assert page.url.endswith("#track=Caf%C3%A9%20del%20Mar.wav")
    expect(status).to_contain_text("Open: Café del Mar.wav, jazz, predicted: ")
    for caption in ("Prediction", "Nearest tracks", "Most unusual gtzan features"):
        expect(panel.get_by_role("region", name=caption)).to_be_visible()
    assert panel.locator("svg[role=img]").count() == 4
    panel.get_by_text("All 57 gtzan features").click()
    expect(panel.get_by_role("region", name="All 57").locator("tbody tr")).to_have_count(57)
    assert opened.violations("#explorer") == []

    # A neighbour, and back.
    neighbour = panel.get_by_role("region", name="Nearest tracks").get_by_role("link").first
    name = neighbour.inner_text()
    neighbour.click()
    expect(title).to_have_text(name)
    page.go_back()
    expect(title).to_have_text("Café del Mar.wav")

    # The map, by the mouse.
    frame, tip = page.locator("#explorer-frame"), page.locator(".tip")
    pinned, cursor = page.locator(".ring.pinned"), page.locator(".ring:not(.pinned)")
    frame.scroll_into_view_if_needed()
    page.mouse.move(*centre(pinned))
    expect(tip).to_contain_text("Café del Mar.wav")
    before = centre(pinned)
    page.mouse.wheel(0, 300)  # without Ctrl it scrolls the page
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Show all").click()
    frame.scroll_into_view_if_needed()
    expect(tip).to_be_hidden()
    page.mouse.move(*centre(pinned))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.mouse.move(*(x + 1 for x in centre(pinned)))
    expect(tip).to_contain_text("Café del Mar.wav")
    assert centre(pinned) != before
    page.get_by_role("button", name="Show all").click()

    # The map, by the keyboard.
    canvas = page.get_by_role("application", name="Map of the tracks")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    expect(cursor).to_be_visible()
    assert centre(cursor)[0] < centre(pinned)[0]
    seen = status.inner_text()
    page.keyboard.press("Enter")
    expect(status).to_have_text(f"Open: {seen}")
    expect(canvas).to_be_focused()
    assert centre(cursor) == centre(pinned)

    # The table behind the map, and the filter.
    page.get_by_text("Table of the tracks on the map").click()
    rows = page.locator("#explorer-shown tbody tr")
    expect(rows).to_have_count(len(TRACKS))
    for name, expected in (("blues", 50), ("jazz", 34)):
        page.get_by_role("checkbox", name=name).uncheck()
        expect(rows).to_have_count(expected)
    page.locator("#explorer-axes").select_option("discriminants of the labels: gtzan")
    expect(page.locator("#explorer-directions")).to_contain_text("discriminant 2")
    expect(rows).to_have_count(34)
    page.keyboard.press("Tab")
    canvas.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(rows).not_to_have_count(34)
    page.keyboard.press("0")
    expect(rows).to_have_count(34)

    # A cell of the confusion matrix lists its tracks, the most confident first.
    cell = page.get_by_role("button", name=re.compile("^blues, predicted as jazz: "))
    number = int(cell.inner_text())
    cell.focus()
    page.keyboard.press("Enter")
    listed = page.get_by_role("region", name=re.compile("^blues, predicted as jazz: "))
    expect(listed).to_be_focused()
    shares = [int(text.split(" ")[0]) for text in listed.locator("td:last-child").all_inner_texts()]
    assert len(shares) == number > 1
    assert shares == sorted(shares, reverse=True)
    assert opened.violations("#explorer") == []

    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [path.as_uri()]
    page.emulate_media(media="print")
    expect(page.locator("#explorer")).to_be_hidden()
    opened.close()


def test_hostile_names_are_texts(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 380, "dark")
    page = opened.page
    for name in HOSTILE:
        page.locator("#explorer-search").fill(name)
        page.keyboard.press("Enter")
        expect(page.locator("#explorer-title")).to_have_text(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.get_by_text("Table of the tracks on the map").click()
    expect(page.locator("#explorer-shown tbody tr")).to_have_count(len(TRACKS))
    links = page.locator("#explorer a").evaluate_all("all => all.map(a => a.protocol)")
    assert set(links) == {"file:"}
    assert page.locator("#explorer b, #explorer script").count() == 0
    assert opened.violations("#explorer") == []
    page.goto(f"{path.as_uri()}#track=nothing")
    expect(page.locator("#explorer-status")).to_have_text(
        "The track of this address is not on this page."
    )
    assert opened.messages == []
    opened.close()


def test_without_scripts_there_is_the_text_only(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 1000, "light", java_script_enabled=False)
    assert opened.page.get_by_text("This part needs JavaScript").is_visible()
    assert opened.page.locator("#explorer").is_hidden()
    opened.close()
