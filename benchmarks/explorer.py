"""Times of a report's explorer in Chromium: first paint, the drawn map, and hovering.

    python -m benchmarks.explorer CSV…

The first store has the published tables CSV…, and the second 20,000 synthetic tracks (see
:mod:`benchmarks.report`). Times are from the start of the navigation; a hover lasts from the event
of the mouse to the frame that shows the name.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.report import write_store
from jobs.extraction.import_features import import_features
from jobs.neighbours.similarity import similarity
from jobs.reporting.report import report

TRACKS = 20_000
HOVERS = 100
PAGES = 5

RECORD = """
new MutationObserver((_, observer) => {
  const explorer = document.getElementById("explorer");
  if (!explorer || explorer.hidden) return;
  observer.disconnect();
  const frame = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
  frame(() => { window.drawn = performance.now(); });
}).observe(document, { subtree: true, childList: true, attributes: true });
window.hovers = [];
addEventListener("pointermove", (event) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => window.hovers.push(performance.now() - event.timeStamp);
  channel.port2.postMessage(null);
}), true);
"""
"""Script of the page: notes when the map is drawn, and how long each hover takes."""

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        published, synthetic = Path(folder) / "published", Path(folder) / "synthetic"
        import_features(sys.argv[1:], store=str(published))
        similarity(store=str(published))
        write_store(synthetic, TRACKS)
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        print("| store | page, MB | first paint, s | map drawn, s | hover, ms | 95th percentile |")
        print("|---|---|---|---|---|---|")
        for name, store in (("published tables", published), (f"{TRACKS:,} tracks", synthetic)):
            page = Path(report(store=str(store)).page)
            print(f"| {name} | {page.stat().st_size / 1e6:.1f} | {measure(browser, page)} |")
        browser.close()


def measure(browser: Browser, path: Path) -> str:
    """Return the median times of some loads of a page, as cells of a table."""
    paints, drawn, hovers = [], [], []
    for _ in range(PAGES):
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.add_init_script(RECORD)
        page.goto(path.as_uri())
        page.wait_for_function("window.drawn")
        paints.append(page.evaluate(FIRST_PAINT) / 1000)
        drawn.append(page.evaluate("window.drawn") / 1000)
        canvas = page.locator("#explorer-frame canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        if box is None:
            sys.exit("the map has no size")
        for i in range(HOVERS):
            share = (i + 0.5) / HOVERS
            x, y = box["x"] + share * box["width"], box["y"] + (0.3 + 0.4 * share) * box["height"]
            page.mouse.move(x, y)
        page.wait_for_function(f"window.hovers.length >= {HOVERS}")
        hovers += page.evaluate("window.hovers")
        page.close()
    cells = (f"{statistics.median(one):.2f}" for one in (paints, drawn))
    slow = statistics.quantiles(hovers, n=20)[-1]
    return f"{' | '.join(cells)} | {statistics.median(hovers):.0f} | {slow:.0f}"


if __name__ == "__main__":
    main()
