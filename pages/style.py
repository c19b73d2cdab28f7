"""Style of every picture: colour schemes, screen widths, and the colours of labels.

The label colours can be told apart by people with red-green colour blindness, and each label also
has a marker shape.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from cycler import cycler


@dataclass(frozen=True)
class ColourScheme:
    """Colours of a picture and of the page around it, as ``#rrggbb``.

    Parameters
    ----------
    name : str
        ``light`` or ``dark``, as in the CSS media query ``prefers-color-scheme``.
    background, text, muted, grid : str
        Background, text, secondary text, and grid lines.
    first, second : str
        Two contrasting colours, such as for a waveform and a curve over it.
    """

    name: str
    background: str
    text: str
    muted: str
    grid: str
    first: str
    second: str


LIGHT = ColourScheme("light", "#ffffff", "#1b1f24", "#57606a", "#d8dee4", "#2f6db3", "#c2500a")
DARK = ColourScheme("dark", "#14181d", "#e6e9ed", "#a8b1bb", "#333b44", "#74a9f0", "#ff9d57")
SCHEMES = (LIGHT, DARK)


@dataclass(frozen=True)
class ScreenWidth:
    """Width of a picture on a kind of screen.

    Parameters
    ----------
    name : str
        ``wide`` or ``narrow``.
    pixels : int
        Width of the picture in CSS pixels.
    font_size : float
        Font size in points; 72 points are 100 CSS pixels.
    """

    name: str
    pixels: int
    font_size: float


WIDE = ScreenWidth("wide", 960, 9.5)
NARROW = ScreenWidth("narrow", 360, 8.2)
WIDTHS = (WIDE, NARROW)

DPI = 100
"""CSS pixels per inch of a matplotlib figure."""

PIXEL_RATIO = 1.6
"""Image pixels per CSS pixel: many screens have more than one."""

_NARROW_CHARACTERS = 45
"""Characters of average width that fit on a line of a narrow picture."""

_MARK_CHARACTERS = 5
"""Width of a legend's mark and the space around it, in characters."""

_FALLBACK_FONTS = (
    *(
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "WenQuanYi Micro Hei",
        "IPAGothic",
        "Droid Sans Fallback",
    ),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Hebrew", "Noto Sans Arabic"),
    *(
        "Arial Unicode MS",
        "Hiragino Sans",
        "Apple SD Gothic Neo",
        "Microsoft YaHei",
        "Malgun Gothic",
    ),
)


@functools.cache
def _fonts() -> list[str]:
    """Return matplotlib's own font and the installed fallbacks for other scripts."""
    from matplotlib import font_manager

    installed = font_manager.fontManager.get_font_names()
    return ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]


@dataclass(frozen=True)
class LegendPosition:
    """Position of a legend outside the axes, so that it covers no data.

    Parameters
    ----------
    loc : str
        As for :meth:`matplotlib.figure.Figure.legend`.
    columns : int
        Number of columns.
    """

    loc: Literal["outside lower center", "outside right upper"]
    columns: int


@dataclass(frozen=True)
class Variant:
    """Colour scheme and screen width that a picture is drawn for."""

    scheme: ColourScheme
    width: ScreenWidth

    @property
    def narrow(self) -> bool:
        """Whether legends and colour bars must go below the axes."""
        return self.width is NARROW

    def legend_position(self, names: Iterable[str]) -> LegendPosition:
        """Return the position of a legend: below a narrow picture, beside a wide one.

        Examples
        --------
        >>> Variant(DARK, NARROW).legend_position(["rock", "jazz"])
        LegendPosition(loc='outside lower center', columns=3)
        """
        if not self.narrow:
            return LegendPosition("outside right upper", 1)
        longest = max(len(name) for name in names) + _MARK_CHARACTERS
        columns = max(1, min(3, _NARROW_CHARACTERS // longest))
        return LegendPosition("outside lower center", columns)

    def rc_params(self) -> dict[str, Any]:
        """Return the settings of matplotlib that differ from its defaults."""
        scheme = self.scheme
        return {
            "axes.edgecolor": scheme.muted,
            "axes.facecolor": scheme.background,
            "axes.grid": False,
            "axes.labelcolor": scheme.text,
            "axes.prop_cycle": cycler(color=[scheme.first, scheme.second]),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.h_pad": 0.08,
            "figure.constrained_layout.w_pad": 0.08,
            "figure.facecolor": scheme.background,
            "font.family": _fonts(),
            "font.size": self.width.font_size,
            "grid.color": scheme.grid,
            "legend.frameon": False,
            "savefig.facecolor": scheme.background,
            "text.color": scheme.text,
            "timezone": "UTC",
            # Names come from outside: a dollar sign in one must not start a formula.
            "text.parse_math": False,
            "xtick.color": scheme.muted,
            "xtick.labelcolor": scheme.text,
            "ytick.color": scheme.muted,
            "ytick.labelcolor": scheme.text,
        }


NARROW_VARIANT = Variant(LIGHT, NARROW)

COLOURS = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
"""Seaborn's palette `colorblind`."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")

OTHER_COLOUR = "#8a8f95"
OTHER_LABELS = "(other labels)"
NO_LABEL = "(no label)"

MAX_LABELS = 20
"""Labels with a style of their own; all others share :data:`OTHER_COLOUR`."""

_MAX_NAME_LENGTH = 22


class LabelStyles:
    """Colour and marker of each label, the same in every picture of a page.

    Parameters
    ----------
    labels : list of str
        Labels with a style of their own. Styles are assigned in alphabetical order.

    Examples
    --------
    >>> styles = LabelStyles(["rock", "blues"])
    >>> styles.colour("blues"), styles.marker("blues")
    ('#0173b2', 'o')
    >>> "jazz" in styles, styles.colour("jazz") == OTHER_COLOUR
    (False, True)
    """

    def __init__(self, labels: list[str]) -> None:
        self._index = {label: i for i, label in enumerate(sorted(labels))}

    def __contains__(self, label: str) -> bool:
        return label in self._index

    def colour(self, label: str) -> str:
        """Return the colour of a label; grey if it has no style of its own."""
        index = self._index.get(label)
        return OTHER_COLOUR if index is None else COLOURS[index % len(COLOURS)]

    def marker(self, label: str) -> str:
        """Return the matplotlib marker of a label's points."""
        return MARKERS[self._index.get(label, 0) % len(MARKERS)]


def display_name(name: str) -> str:
    """Return a name, or ``(blank)`` if it has no visible characters.

    Examples
    --------
    >>> display_name("rock"), display_name("  ")
    ('rock', '(blank)')
    """
    return name if name.strip() else "(blank)"


def shorten(name: str) -> str:
    """Return a name that fits beside an axis: at most 22 printable characters.

    Examples
    --------
    >>> shorten("symphony no. 9 in D minor, op. 125")
    'symphony n…r, op. 125'
    """
    name = display_name(name)
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if len(clean) <= _MAX_NAME_LENGTH:
        return clean
    half = (_MAX_NAME_LENGTH - 1) // 2
    return f"{clean[:half]}…{clean[-half:]}"
