"""How every picture looks: the two schemes, the two widths, the colours of labels.

Colours are told apart by people who see red and green alike, and a label has a shape beside its
colour.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from cycler import cycler


@dataclass(frozen=True)
class Scheme:
    """Colours of a picture and of the page around it.

    Parameters
    ----------
    name : str
        As browsers call it: light or dark.
    paper, ink, quiet, lines : str
        Background, text, secondary text, and lines of the grid.
    first, second : str
        Two things that are set against each other, such as a wave and a curve over it.
    """

    name: str
    paper: str
    ink: str
    quiet: str
    lines: str
    first: str
    second: str


LIGHT = Scheme("light", "#ffffff", "#1b1f24", "#57606a", "#d8dee4", "#2f6db3", "#c2500a")
DARK = Scheme("dark", "#14181d", "#e6e9ed", "#a8b1bb", "#333b44", "#74a9f0", "#ff9d57")
SCHEMES = (LIGHT, DARK)


@dataclass(frozen=True)
class Width:
    """A size of screen.

    Parameters
    ----------
    name : str
        Wide or narrow.
    pixels : int
        Width of a picture, in pixels as a page counts them.
    text : float
        Size of the text, in points of which 72 are 100 pixels.
    """

    name: str
    pixels: int
    text: float


WIDE = Width("wide", 960, 9.5)
NARROW = Width("narrow", 360, 8.2)
WIDTHS = (WIDE, NARROW)

PIXELS_AN_INCH = 100
SHARPNESS = 1.6
"""Pixels of a picture for one of the page, since many screens have more than one."""


_NARROW_LETTERS = 45
"""So many letters stand in a line of a narrow picture, small ones and large ones."""

_MARK_LETTERS = 5
"""So many take a legend's mark and the space around it."""


@functools.cache
def _fonts() -> list[str]:
    """Return the fonts to look for a letter in: matplotlib's own, and those of the machine."""
    from matplotlib import font_manager

    there = font_manager.fontManager.get_font_names()
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in there)]


_OTHER_SCRIPTS = (
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


@dataclass(frozen=True)
class LegendPlace:
    """Where a legend stands, so that it covers no data: matplotlib's word, and its columns."""

    place: Literal["outside lower center", "outside right upper"]
    columns: int


@dataclass(frozen=True)
class Look:
    """What a picture is drawn with."""

    scheme: Scheme
    width: Width

    @property
    def narrow(self) -> bool:
        """Whether there is room for the picture alone, and for none of what stands beside it."""
        return self.width is NARROW

    def legend_beside(self, names: Iterable[str]) -> LegendPlace:
        """Return the place of a legend: below a narrow picture, beside a wide one."""
        if not self.narrow:
            return LegendPlace("outside right upper", 1)
        longest = max(len(name) for name in names) + _MARK_LETTERS
        return LegendPlace("outside lower center", max(1, min(3, _NARROW_LETTERS // longest)))

    def settings(self) -> dict[str, Any]:
        """Return matplotlib's."""
        scheme = self.scheme
        return {
            "axes.edgecolor": scheme.quiet,
            "axes.facecolor": scheme.paper,
            "axes.grid": False,
            "axes.labelcolor": scheme.ink,
            "axes.prop_cycle": cycler(color=[scheme.first, scheme.second]),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.h_pad": 0.08,
            "figure.constrained_layout.w_pad": 0.08,
            "figure.facecolor": scheme.paper,
            "font.family": _fonts(),
            "font.size": self.width.text,
            "grid.color": scheme.lines,
            "legend.frameon": False,
            "savefig.facecolor": scheme.paper,
            "text.color": scheme.ink,
            # Names come from outside: a dollar sign in one begins no formula.
            "text.parse_math": False,
            "xtick.color": scheme.quiet,
            "xtick.labelcolor": scheme.ink,
            "ytick.color": scheme.quiet,
            "ytick.labelcolor": scheme.ink,
        }


NARROW_LOOK = Look(LIGHT, NARROW)

COLOURS = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
"""Seaborn's palette `colorblind`."""

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")

OTHER_COLOUR = "#8a8f95"
OTHERS = "(other labels)"
NO_LABEL = "(no label)"

MOST_NAMED = 20
"""So many labels are told apart in a picture."""

_LONGEST = 22


class LabelStyles:
    """The colour and the shape of each label, the same in every picture of a page.

    Parameters
    ----------
    labels : list of str
        Those that are told apart. Their order by name gives the colours.
    """

    def __init__(self, labels: list[str]) -> None:
        self._place = {label: i for i, label in enumerate(sorted(labels))}

    def knows(self, label: str) -> bool:
        """Tell whether a label is told apart."""
        return label in self._place

    def colour(self, label: str) -> str:
        """Return the colour of a label; grey where it is not told apart."""
        place = self._place.get(label)
        return OTHER_COLOUR if place is None else COLOURS[place % len(COLOURS)]

    def shape(self, label: str) -> str:
        """Return the shape of a label's points."""
        return SHAPES[self._place.get(label, 0) % len(SHAPES)]


def named(name: str) -> str:
    """Return a name, or a word for one of nothing but blanks."""
    return name if name.strip() else "(blank)"


def short(name: str) -> str:
    """Return a name as it fits beside an axis: a long one loses its middle."""
    name = named(name)
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if len(clean) <= _LONGEST:
        return clean
    half = (_LONGEST - 1) // 2
    return f"{clean[:half]}…{clean[-half:]}"
