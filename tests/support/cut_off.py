"""Detect texts that are cut off at the edge of a picture, by matplotlib's own measure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

TOLERANCE = 1.5  # pixels: antialiasing


@contextmanager
def watch_for_cut_off_texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the texts that extend beyond the edge of any picture drawn meanwhile."""
    cut: list[str] = []
    drawn: list[Text] = []
    draw_text, draw = Text.draw, FigureCanvasAgg.draw

    def drawing_text(text: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        # Tick labels beyond the ends of an axis exist, but are not drawn.
        drawn.append(text)
        draw_text(text, renderer, *args, **kwargs)

    def drawing(canvas: FigureCanvasAgg) -> None:
        drawn.clear()
        draw(canvas)
        width, height = canvas.get_width_height(physical=True)
        for text in drawn:
            box = text.get_window_extent()
            beside = min(box.x0, width - box.x1) < -TOLERANCE
            if text.get_text() and (beside or min(box.y0, height - box.y1) < -TOLERANCE):
                cut.append(f"{text.get_text()!r} at {box} of {width} x {height}")

    monkeypatch.setattr(Text, "draw", drawing_text)
    monkeypatch.setattr(FigureCanvasAgg, "draw", drawing)
    yield cut
