"""Picture: its text, and PNGs for wide and narrow screens in light and dark."""

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

from pages.style import DPI, LIGHT, PIXEL_RATIO, SCHEMES, WIDE, WIDTHS, Variant

Painter = Callable[[Figure, Variant], None]

_PALETTE_SIZE = 256


@dataclass(frozen=True)
class Box:
    """Rectangle in a picture, in fractions of its width and height.

    Parameters
    ----------
    left, top, width, height : float [range=[0, 1]]
        Position, from the top left, and size.
    """

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Rendering:
    """PNG of a picture for one variant.

    Parameters
    ----------
    png : bytes
        The PNG file.
    axes : Box
        Position of its first axes.
    width, height : int
        Size in CSS pixels.
    """

    png: bytes
    axes: Box
    width: int
    height: int

    @property
    def data_uri(self) -> str:
        """The PNG as a ``data:`` address, which embeds it in a page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Picture:
    """Picture with a text alternative.

    Parameters
    ----------
    name : str
        File name without the suffix.
    title : str
        Title.
    alt : str
        What the picture shows, for readers who cannot see it.
    caption : str
        Help for reading the picture.
    renderings : dict of (str, str) to Rendering
        By the names of the screen width and of the colour scheme.
    seconds : float or None
        Time at the right end of the first axes, which begin at 0; None if they do not show time.
    """

    name: str
    title: str
    alt: str
    caption: str
    renderings: dict[tuple[str, str], Rendering]
    seconds: float | None = None

    @property
    def default(self) -> Rendering:
        """The wide, light rendering: shown by default and saved as a file."""
        return self.renderings[WIDE.name, LIGHT.name]


def draw(
    paint: Painter,
    *,
    name: str,
    title: str,
    alt: str,
    caption: str,
    heights: tuple[int, int],
    seconds: float | None = None,
) -> Picture:
    """Draw a picture in every variant.

    Parameters
    ----------
    paint : callable
        Draws on a matplotlib figure, for a variant.
    name, title, alt, caption : str
        As for :class:`Picture`.
    heights : (int, int)
        In CSS pixels, for the wide screen and for the narrow one.
    seconds : float, optional
        As for :class:`Picture`.

    Examples
    --------
    >>> picture = draw(
    ...     lambda figure, variant: figure.suptitle(variant.scheme.name),
    ...     name="empty",
    ...     title="Nothing",
    ...     alt="An empty picture.",
    ...     caption="",
    ...     heights=(60, 60),
    ... )
    >>> sorted(picture.renderings)
    [('narrow', 'dark'), ('narrow', 'light'), ('wide', 'dark'), ('wide', 'light')]
    >>> picture.default.width, picture.default.height
    (960, 60)
    """
    renderings = {}
    for width, height in zip(WIDTHS, heights, strict=True):
        for scheme in SCHEMES:
            png, axes = _png(paint, Variant(scheme, width), height)
            renderings[width.name, scheme.name] = Rendering(png, axes, width.pixels, height)
    return Picture(name, title, alt, caption, renderings, seconds)


def _png(paint: Painter, variant: Variant, height: int) -> tuple[bytes, Box]:
    """Return a picture as PNG, and the position of its first axes."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # the user's matplotlibrc may ask for LaTeX
        mpl.rcParams.update(variant.rc_params())
        # Scripts without an installed font are drawn as boxes; the page's text shows them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(
            figsize=(variant.width.pixels / DPI, height / DPI),
            dpi=DPI * PIXEL_RATIO,
            layout="constrained",
        )
        canvas = FigureCanvasAgg(figure)
        # librosa requests a redraw after every waveform, as if the figure were on a screen.
        canvas.draw_idle = lambda: None
        paint(figure, variant)
        canvas.draw()
        pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # A figure without axes is all axes.
        (left, bottom), (right, top) = (
            figure.axes[0].get_position().get_points() if figure.axes else ((0, 0), (1, 1))
        )
    file = io.BytesIO()
    # A palette cuts the file to a third of its size without a visible difference.
    pixels.quantize(_PALETTE_SIZE, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue(), Box(left, 1 - top, right - left, top - bottom)
