"""A picture: what it shows in words, and its PNGs for wide and narrow screens, light and dark."""

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pages.style import LIGHT, PIXELS_AN_INCH, SCHEMES, SHARPNESS, WIDE, WIDTHS, Look

Painter = Callable[[Figure, Look], None]

_COLOURS = 256


@dataclass(frozen=True)
class Drawn:
    """One PNG of a picture.

    Parameters
    ----------
    png : bytes
        The file.
    width, height : int
        Its size as a page counts pixels.
    """

    png: bytes
    width: int
    height: int

    @property
    def address(self) -> str:
        """The PNG as an address, so that a page holds it itself."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Picture:
    """A picture of which nothing is lost to who does not see it.

    Parameters
    ----------
    name : str
        Of its file, without the suffix.
    title : str
        What it is.
    alt : str
        What it shows, in words.
    caption : str
        What helps to read it.
    drawn : dict of (str, str) to Drawn
        By the names of the width and of the scheme.
    """

    name: str
    title: str
    alt: str
    caption: str
    drawn: dict[tuple[str, str], Drawn]

    @property
    def file(self) -> Drawn:
        """The one to be kept as a file: wide and light."""
        return self.drawn[WIDE.name, LIGHT.name]


def draw(
    painter: Painter,
    *,
    name: str,
    title: str,
    alt: str,
    caption: str,
    heights: tuple[int, int],
) -> Picture:
    """Draw a picture for every screen.

    Parameters
    ----------
    painter : callable
        Draws it on a matplotlib figure.
    name, title, alt, caption : str
        As of a :class:`Picture`.
    heights : (int, int)
        In pixels of the page, for the wide screen and for the narrow one.
    """
    drawn = {}
    for width, height in zip(WIDTHS, heights, strict=True):
        for scheme in SCHEMES:
            png = _png(painter, Look(scheme, width), height)
            drawn[width.name, scheme.name] = Drawn(png, width.pixels, height)
    return Picture(name, title, alt, caption, drawn)


def _png(painter: Painter, look: Look, height: int) -> bytes:
    with mpl.rc_context(look.settings()), warnings.catch_warnings():
        # A name in a script that no font here has is shown as boxes; the page's text has it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(
            figsize=(look.width.pixels / PIXELS_AN_INCH, height / PIXELS_AN_INCH),
            dpi=PIXELS_AN_INCH * SHARPNESS,
            layout="constrained",
        )
        canvas = FigureCanvasAgg(figure)
        # librosa asks for a drawing after every wave, as if somebody looked on.
        canvas.draw_idle = lambda: None
        painter(figure, look)
        canvas.draw()
        pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()
    # A palette makes the file a third as large, and nobody sees it.
    pixels.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()
