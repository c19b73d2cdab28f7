"""The interactive part of a report in a real browser, Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Locator, Page, expect
from support.chromium import UNTIL_PLAYING, Opened
from support.made_stores import LABELS, make_store, put

from jobs.reporting.report import report
from jobs.store.schemas import FILES, predictions, similarity
from pages import picture
from pages.picture import Box

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
    recording = root.parent / "Café del Mar.wav"
    soundfile.write(recording, rng.uniform(-0.1, 0.1, 10 * 22050), 22050)
    file = {"track_id": recording.name, "uri": str(recording), "source": str(recording.parent)}
    put(store, "files", [file | {"status": "ok"}], FILES)
    put(store, "similarity", near, similarity("track"))
    predicted = [
        {"track_id": name, "learnt": False}
        | dict(zip([f"p_{one}" for one in CLASSES], p, strict=True))
        for name, p in zip(names, rng.dirichlet(np.ones(3), len(names)).tolist(), strict=True)
    ]
    put(store, "predictions/level=track", predicted, predictions(CLASSES, segments=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "_png", lambda *_: (b"png", Box(0, 0, 1, 1)))
        yield Path(report(store=str(root)).page)


@pytest.fixture
def opened(browser: Browser, path: Path) -> Iterator[Opened]:
    """The page on a wide screen, with nothing but itself loaded and no message at the end."""
    opened = Opened(browser, path, 1600, "light")
    expect(opened.page.locator("#explorer")).to_be_visible()
    yield opened
    assert opened.messages == []
    assert {url for url in opened.requests if not url.startswith("data:")} == {path.as_uri()}
    opened.close()


def open_track(page: Page, name: str) -> None:
    page.evaluate("name => { location.hash = `#track=${encodeURIComponent(name)}`; }", name)
    expect(page.locator("#explorer-title")).to_have_text(name)


def centre(ring: Locator) -> tuple[float, float]:
    box = ring.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_search_ignores_case_and_accents(opened: Opened) -> None:
    page, status = opened.page, opened.page.locator("#explorer-status")
    search = page.get_by_role("combobox", name="Search tracks")
    search.fill("FOLDER/00")
    expect(status).to_have_text("10 tracks found")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#explorer-hits [aria-selected=true]")).to_contain_text(
        "some folder/009.wav"
    )
    search.fill("CAFE")
    expect(status).to_have_text("1 track found")
    assert opened.violations("#explorer") == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#explorer-title")).to_have_text("Café del Mar.wav")
    expect(page.locator("#explorer-panel")).to_be_focused()
    assert page.url.endswith("#track=Caf%C3%A9%20del%20Mar.wav")
    expect(status).to_contain_text("Open: Café del Mar.wav, jazz, predicted: ")


def test_the_panel_of_a_track_leads_to_its_neighbours_and_back(opened: Opened) -> None:
    page, panel = opened.page, opened.page.locator("#explorer-panel")
    title = page.locator("#explorer-title")
    open_track(page, "Café del Mar.wav")
    for caption in ("Prediction", "Nearest tracks", "Most unusual gtzan features"):
        expect(panel.get_by_role("region", name=caption)).to_be_visible()
    assert panel.locator("svg[role=img]").count() == 4
    panel.get_by_text("All 57 gtzan features").click()
    expect(panel.get_by_role("region", name="All 57").locator("tbody tr")).to_have_count(57)
    assert opened.violations("#explorer") == []
    neighbour = panel.get_by_role("region", name="Nearest tracks").get_by_role("link").first
    name = neighbour.inner_text()
    neighbour.click()
    expect(title).to_have_text(name)
    page.go_back()
    expect(title).to_have_text("Café del Mar.wav")
    named = page.locator("[aria-labelledby=neighbours] td a").first
    name = named.inner_text()
    named.click()
    expect(title).to_have_text(name)
    page.emulate_media(media="print")
    expect(page.locator("#explorer")).to_be_hidden()
    page.emulate_media(media="screen")


def test_the_recording_of_an_open_track_is_played(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 1600, "dark")
    open_track(opened.page, "Café del Mar.wav")
    panel = opened.page.locator("#explorer-panel")
    panel.get_by_role("button", name="Play Café del Mar.wav where tempo is highest").click()
    panel.get_by_role("button", name="Play Café del Mar.wav", exact=True).click()
    assert panel.locator("audio").first.evaluate(UNTIL_PLAYING) > 0
    assert opened.messages == []
    opened.close()


def test_the_map_by_the_mouse(opened: Opened) -> None:
    page, tip, pinned = opened.page, opened.page.locator(".tip"), opened.page.locator(".pinned")
    frame = page.locator("#explorer-frame")
    open_track(page, "Café del Mar.wav")
    frame.scroll_into_view_if_needed()
    before = centre(pinned)
    page.mouse.move(*before)
    expect(tip).to_contain_text("Café del Mar.wav")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    expect(tip).to_be_hidden()
    # The point under the mouse stays where it is.
    page.mouse.move(before[0] + 2, before[1])
    expect(tip).to_contain_text("Café del Mar.wav")
    assert centre(pinned) == pytest.approx(before, abs=1)
    page.get_by_role("button", name="Show all").click()
    open_track(page, "some folder/007.wav")
    x, y = before
    page.mouse.click(x, y)
    expect(page.locator("#explorer-title")).to_have_text("Café del Mar.wav")
    page.get_by_role("button", name="Zoom in").click()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y - 40)
    page.mouse.up()
    expect(page.locator("#explorer-title")).to_have_text("Café del Mar.wav")


def test_the_map_by_the_keyboard(opened: Opened) -> None:
    page, status = opened.page, opened.page.locator("#explorer-status")
    pinned, cursor = page.locator(".ring.pinned"), page.locator(".ring:not(.pinned)")
    canvas = page.get_by_role("application", name="Map of the tracks")
    open_track(page, "Café del Mar.wav")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    expect(cursor).to_be_visible()
    assert centre(cursor)[0] < centre(pinned)[0]
    seen = status.inner_text()
    page.keyboard.press("Enter")
    expect(status).to_have_text(f"Open: {seen}")
    expect(canvas).to_be_focused()
    assert centre(cursor) == centre(pinned)
    for _ in range(12):  # a zoom around the middle would lose it
        page.keyboard.press("+")
    expect(cursor).to_be_visible()
    assert centre(cursor) == pytest.approx(centre(pinned), abs=1)


def test_the_table_behind_the_map_has_what_it_shows(opened: Opened) -> None:
    page, rows = opened.page, opened.page.locator("#explorer-shown tbody tr")
    page.get_by_text("Table of the tracks on the map").click()
    expect(rows).to_have_count(len(TRACKS))
    for name, expected in (("blues", 50), ("jazz", 34)):
        page.get_by_role("checkbox", name=name).uncheck()
        expect(rows).to_have_count(expected)
    page.locator("#explorer-axes").select_option("discriminants of the labels: gtzan")
    expect(page.locator("#explorer-directions")).to_contain_text("discriminant 2")
    expect(rows).to_have_count(34)
    page.get_by_role("application", name="Map of the tracks").focus()
    for _ in range(3):
        page.keyboard.press("+")
    expect(rows).not_to_have_count(34)
    page.keyboard.press("0")
    expect(rows).to_have_count(34)


def test_a_cell_of_the_matrix_lists_its_tracks_the_most_confident_first(opened: Opened) -> None:
    page, words = opened.page, re.compile("^blues, predicted as jazz: ")
    cell = page.get_by_role("button", name=words)
    number = int(cell.inner_text())
    cell.focus()
    page.keyboard.press("Enter")
    listed = page.get_by_role("region", name=words)
    expect(listed).to_be_focused()
    shares = [int(text.split(" ")[0]) for text in listed.locator("td:last-child").all_inner_texts()]
    assert len(shares) == number > 1
    assert shares == sorted(shares, reverse=True)
    assert opened.violations("#explorer") == []


def test_hostile_names_are_texts(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 380, "dark")
    page = opened.page
    for name in HOSTILE:
        page.locator("#explorer-search").fill(name)
        page.keyboard.press("Enter")
        expect(page.locator("#explorer-title")).to_have_text(name)
        expect(page.locator("#explorer-title")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert opened.violations("#explorer") == []
    # The panel is below the map.
    page.locator("#explorer-frame").scroll_into_view_if_needed()
    page.mouse.click(*centre(page.locator(".pinned")))
    expect(page.locator("#explorer-title")).to_be_in_viewport()
    page.get_by_text("Table of the tracks on the map").click()
    expect(page.locator("#explorer-shown tbody tr")).to_have_count(len(TRACKS))
    links = page.locator("#explorer a").evaluate_all("all => all.map(a => a.protocol)")
    assert set(links) == {"file:"}
    assert page.locator("#explorer b, #explorer script").count() == 0
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
    assert opened.page.locator("td a").count() == 0
    opened.close()
