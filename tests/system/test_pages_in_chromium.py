"""The pages in a real browser, Chromium: narrow and wide, light and dark."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Browser, expect
from support.chromium import UNTIL_PLAYING, Opened
from support.made_models import model_tables, put_model
from support.made_stores import LABELS, NOON, make_store, put, write_part

from jobs.inputs.path_text import to_text
from jobs.neighbours.similarity import similarity
from jobs.reporting.inspection import inspect
from jobs.reporting.report import report
from jobs.store.schemas import COMPARISON, FILES, RUNS, SUSPECT, SUSPECTS
from pages import picture
from pages.page import _EXPLORER_SCRIPTS, _SCRIPTS
from pages.picture import Box
from pages.style import PIXEL_RATIO, Variant

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>.wav"
FILE_NAMES = [
    HOSTILE,
    "javascript:alert(1).wav",
    "a 'quoted\" name, 100 % & more?x=1#t=9.wav",
    "\u05d0\u05dc\u05e3 \u202etxt.wav",
    "caf\udce9.wav",
]
UNPLAYABLE = "no audio.wav"
SCREENS = [(width, scheme) for width in (380, 1600) for scheme in ("light", "dark")]


def plain_png(paint: object, variant: Variant, height: int) -> tuple[bytes, Box]:
    """Return a picture of one colour in the size of the real one, which takes long to draw."""
    size = (round(variant.width.pixels * PIXEL_RATIO), round(height * PIXEL_RATIO))
    file = io.BytesIO()
    Image.new("RGB", size, variant.scheme.background).save(file, "PNG")
    return file.getvalue(), Box(0.1, 0.2, 0.8, 0.6)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A report with every section, and the page of a recording with a hostile name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "_png", plain_png)
        yield make_pages(tmp_path_factory)


def write_noise(path: Path) -> None:
    """Write ten seconds of noise that becomes louder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y = np.random.default_rng(0).normal(size=10 * 22050) * np.linspace(0, 0.2, 10 * 22050)
    with open(path, "wb") as file:  # libsndfile refuses names that are not UTF-8
        soundfile.write(file, y, 22050, format="WAV")


def make_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages") / "store"
    tracks = [(f"some folder/{i:03}.wav", LABELS[i % 4]) for i in range(60)]
    tracks += [(HOSTILE, "<b>rock</b>"), ("a_name_without_any_space" * 6 + ".wav", "$x^2$")]
    store = make_store(root, [*tracks, *tracks], level="segment")
    make_store(root, tracks, level="track")
    make_store(root, tracks, level="track", features="rich")
    for version in ("v1", "v2"):
        put_model(store, version, ["blues", "jazz", "rock"], champion=version == "v2")
    model_tables(store, "v2", ["blues", "jazz", "rock"])
    music = root.parent / "music"
    files: list[dict[str, Any]] = [
        {"track_id": "b.mp3", "status": "failed", "error": "empty", "message": "has no <bytes>"}
    ]
    for name in [*FILE_NAMES, UNPLAYABLE]:
        write_noise(music / name)
        file = {"track_id": to_text(name), "uri": to_text(str(music / name)), "source": str(music)}
        files.append({**file, "status": "ok", "duration_s": 10.0, "sample_rate": 22050})
    (music / UNPLAYABLE).write_bytes(b"RIFF")
    put(store, "files", files, FILES)
    score = {"level": "segment", "rows": 900, "tracks": 90, "seconds": 1.25, "accuracy": 0.5}
    score |= {"macro_f1": 0.5, "accuracy_std": 0.01, "macro_f1_std": 0.01}
    compared: list[dict[str, Any]] = [
        {**score, "model": model, "split": split, "leaky": split == "random", "folds": 5}
        for split in ("random", "by-track")
        for model in ("logistic regression", "XGB")
    ]
    put(store, "comparison", compared, COMPARISON)
    run = {"stage": "extract", "outcome": "done", "started_at": NOON, "seconds": 20.0}
    put(store, "runs", [{**run, "extracted": 90, "failed": 10}, {**run, "stage": "train"}], RUNS)
    suspect = {"label": "<b>rock</b>", "suggested": "jazz", "reason": "<i>jazz</i>"}
    suspect |= {"probability": 0.9, "self_confidence": 0.1, "margin": 0.8}
    suspects = [
        {**suspect, "rank": i, "track_id": file["track_id"]} for i, file in enumerate(files[1:], 1)
    ]
    put(store, SUSPECTS, suspects, SUSPECT)
    similarity(store=str(root), k=61)
    # One pair is marked as the same recording.
    pair = {"track_id": HOSTILE, "duplicate_id": tracks[-1][0], "cosine": 1.0}
    part = store.parts("duplicates")[0]
    schema = store.storage.read_schema(part)
    write_part(store, part, pa.Table.from_pylist([pair], schema=schema))
    found = report(store=str(root))
    assert found.missing == []
    seen = inspect(str(music / HOSTILE), store=str(root), out=str(root.parent / "seen"))
    return {"report": Path(found.page), "recording": Path(seen.page)}


@pytest.fixture(params=["report", "recording"])
def path(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    return pages[request.param]


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_page_is_complete_and_accessible(
    browser: Browser, path: Path, width: int, scheme: str
) -> None:
    opened = Opened(browser, path, width, scheme)
    page = opened.page
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [path.as_uri()]
    images = page.evaluate(
        "[...document.images].map(i => [i.alt.length, i.complete, i.naturalWidth, i.width])"
    )
    assert len(images) >= 6
    for alt, complete, natural, shown in images:
        assert alt > 40
        assert complete
        # Enough pixels for screens with more than one per CSS pixel.
        assert natural == (576 if width == 380 else 1536)
        assert shown <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overflowing = page.evaluate(
        """width => [...document.querySelectorAll("body *")]
            .filter(e => !e.closest(".table") && e.getBoundingClientRect().right > width)
            .map(e => e.outerHTML.slice(0, 80))""",
        width,
    )
    assert overflowing == []
    # Further rows of a long table are like its first ones, and axe takes seconds for them.
    page.evaluate(
        "document.querySelectorAll('tbody tr:nth-child(n + 30)').forEach(row => row.remove())"
    )
    assert opened.violations() == []
    opened.close()


def test_every_screen_gets_its_own_pictures(browser: Browser, path: Path) -> None:
    pictures = set()
    for width, scheme in SCREENS:
        opened = Opened(browser, path, width, scheme)
        pictures.add(opened.page.evaluate("document.images[0].currentSrc"))
        background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")
        opened.close()
    assert len(pictures) == 4


def test_hostile_names_are_shown(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 1600, "light")
    assert HOSTILE.rpartition("/")[2] in opened.page.inner_text("body")
    if path.parent.name == "report":
        assert HOSTILE in opened.page.inner_text("body")
        assert "<b>rock</b>" in opened.page.inner_text("body")
        assert opened.page.locator("b").count() == 0
    scripts = _SCRIPTS + (_EXPLORER_SCRIPTS if path.parent.name == "report" else ())
    # The explorer removes the table that it has read.
    expect(opened.page.locator("script")).to_have_count(len(scripts))
    assert opened.messages == []
    opened.close()


def test_tables_are_sorted_by_a_click_and_by_the_keyboard(
    browser: Browser, pages: dict[str, Path]
) -> None:
    opened = Opened(browser, pages["report"], 1600, "light")
    table = opened.page.locator("table", has_text="Tempo by label: quartiles")
    head = table.locator("thead th").nth(3)
    assert head.inner_text() == "median"

    def medians() -> list[float]:
        return [float(text) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()]

    before = medians()
    head.get_by_role("button").click()
    assert medians() == sorted(before, reverse=True) != before
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").focus()
    opened.page.keyboard.press("Enter")
    assert medians() == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"
    name = table.locator("thead th").nth(0)
    name.get_by_role("button").click()
    labels = [text for text in table.locator("tbody th").all_inner_texts() if text.isalpha()]
    assert labels == ["blues", "jazz", "rock"]
    assert head.get_attribute("aria-sort") is None
    opened.close()


def test_the_keyboard_reaches_the_content_and_the_sections(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, 380, "dark")
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert opened.page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "content"
    for link in opened.page.locator("nav a").all():
        target = (link.get_attribute("href") or "")[1:]
        assert opened.page.locator(f"h2#{target}").count() == 1
    opened.close()


def test_a_page_can_be_read_without_scripts(browser: Browser, path: Path) -> None:
    with_scripts = Opened(browser, path, 1600, "light")
    without = Opened(browser, path, 1600, "light", java_script_enabled=False)
    for tag in ("img", "tr", "dd", "h2"):
        assert without.page.locator(tag).count() == with_scripts.page.locator(tag).count() > 0
    assert without.page.locator("th button").count() == 0
    with_scripts.close()
    without.close()


def test_recordings_play_where_they_are_named(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["report"], 1000, "light")
    page = opened.page
    rows = page.locator("table", has_text="labels that a model contradicts").locator("tbody tr")
    assert rows.count() == len(FILE_NAMES) + 1
    playing = "[...document.querySelectorAll('audio')].map(audio => !audio.paused)"
    for i in range(len(FILE_NAMES)):
        button = rows.nth(i).get_by_role("button")
        name = rows.nth(i).locator("td").first.inner_text().split("\n")[0].strip()
        assert button.get_attribute("aria-label") == f"Play {name}"
        button.focus()
        page.keyboard.press("Enter")
        rows.nth(i).locator("audio").evaluate(UNTIL_PLAYING)
        assert page.evaluate("document.activeElement.tagName") == "AUDIO"
        assert page.evaluate(playing) == [False] * i + [True]
    # One that a browser cannot play says so.
    rows.nth(len(FILE_NAMES)).get_by_role("button").click()
    rows.nth(len(FILE_NAMES)).get_by_role("alert").wait_for()
    assert "cannot" in rows.nth(len(FILE_NAMES)).inner_text()
    # A segment begins at its own time; where a file cannot be reached, the excerpt is played.
    addresses = ["file:///lost.wav", (pages["report"].parents[2] / "music" / HOSTILE).as_uri()]
    page.evaluate(
        "addresses => document.querySelector('h2').after(songmillPlayer('part', addresses, 3))",
        addresses,
    )
    after = "button => getComputedStyle(button, '::after').content"
    pair = page.locator("table", has_text="Pairs to look at").locator("tbody th")
    assert pair.get_by_role("button").evaluate(after) == "none"  # no arrow for sorting
    page.locator("h2 + .player button").click()
    assert page.locator("h2 + .player audio").evaluate(UNTIL_PLAYING) >= 3
    assert opened.violations("[aria-labelledby=suspects]") == []
    assert [text for text in opened.messages if "ERR_FILE_NOT_FOUND" not in text] == []
    opened.close()


def test_the_pictures_follow_the_recording(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["recording"], 1000, "dark")
    page = opened.page
    page.get_by_role("button", name=f"Play {HOSTILE.rpartition('/')[2]}").focus()
    page.keyboard.press("Enter")
    audio = page.locator("audio")
    audio.evaluate(UNTIL_PLAYING)
    page.keyboard.press("Space")
    assert audio.evaluate("audio => audio.paused")
    # In the middle of the axes of 80 % of the width, which begin at 10 %.
    page.locator("#picture-waveform .timeline").click()
    line = page.locator("#picture-spectrogram .cursor")
    line.wait_for()
    assert audio.evaluate("audio => audio.currentTime") == pytest.approx(5, abs=0.05)
    shown = line.evaluate("line => [line.style.left, line.style.top, line.style.height]")
    assert [float(text.rstrip("%")) for text in shown] == pytest.approx([50, 20, 60], abs=0.5)
    assert page.locator(".cursor:visible").count() == page.locator("figure").count()
    # With reduced motion, the line moves once a second.
    page.emulate_media(reduced_motion="reduce")
    audio.evaluate("""audio => new Promise((done) => {
        audio.addEventListener("timeupdate", () => done());
        audio.currentTime = 7.9;
    })""")
    left = line.evaluate("line => parseFloat(line.style.left)")
    assert left == pytest.approx(10 + 80 * 7 / 10)
    assert opened.violations(".follow") == []
    assert opened.messages == []
    opened.close()
