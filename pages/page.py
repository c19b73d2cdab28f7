"""A page: sections of facts, pictures and tables, as one HTML file that needs nothing beside it.

It asks for nothing over the network and forbids itself to. What is put into it is text: names from
outside are escaped. The script that sorts tables is all that does not work without scripts.
"""

import base64
import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pages.picture import Picture
from pages.style import COLOURS, DARK, LIGHT, NARROW, OTHER_COLOUR

WIDEST = 18
"""Letters of a word that a column of texts has room for: names from outside may be longer."""

_FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Parameters
    ----------
    text : str
        What is shown.
    value : float or None
        What it is sorted by, of numbers.
    colour : str or None
        Of a mark before the text, or before what stands under it: that of a label.
    under : str
        What belongs to it, in smaller letters.
    """

    text: str
    value: float | None = None
    colour: str | None = None
    under: str = ""


_AFTER = re.compile(r"(?<=[/_ -])")


def _words(text: str) -> list[str]:
    """Cut a text where it may be broken."""
    return _AFTER.split(text)


def _breakable(text: str) -> Markup:
    """Escape a text, and say where it is best broken if it is long."""
    return Markup("<wbr>").join(_words(text))


def number(value: float | None, form: str = ",.0f") -> Cell:
    """Return a cell with a number, written as ``form`` says; a dash where there is none."""
    # Without a number it stays a number's cell, and is sorted below all others.
    if value is None:
        return Cell("–", -sys.float_info.max)
    return Cell(format(value, form), float(value))


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    caption : str
        What its rows are.
    columns : sequence of str
        Their names.
    rows : sequence of sequence of Cell
        The first cell of a row names it.
    note : str
        What is said below it.
    folded : bool
        Whether it is shown only when it is asked for.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False

    def least_width(self, column: int) -> int:
        """Return how many letters a column is to have room for: those of its longest word."""
        texts = [row[column].text for row in self.rows]
        return min(max(len(word) for text in [*texts, "  "] for word in _words(text)), WIDEST)

    def is_number(self, column: int) -> bool:
        """Tell whether a column holds numbers."""
        return bool(self.rows) and all(row[column].value is not None for row in self.rows)


@dataclass(frozen=True)
class Content:
    """What stands in a section, from the top down.

    Parameters
    ----------
    text : str
        What is said first.
    command : str
        Where there is nothing to show: the command that makes it.
    facts : sequence of (str, str)
        Names and values.
    pictures : sequence of Picture
        In order.
    tables : sequence of Table
        In order.
    """

    text: str = ""
    command: str = ""
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Parameters
    ----------
    anchor : str
        Names it in addresses.
    title : str
        Its heading.
    content : Content
        What stands below it.
    """

    anchor: str
    title: str
    content: Content


@dataclass(frozen=True)
class Page:
    """A page.

    Parameters
    ----------
    title : str
        Its heading.
    text : str
        What is said below it.
    sections : sequence of Section
        From the top down.
    """

    title: str
    text: str
    sections: Sequence[Section]


def render(page: Page) -> bytes:
    """Return a page as an HTML file, in UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    style = environment.get_template("page.css").render(
        light=LIGHT, dark=DARK, colours=[*COLOURS, OTHER_COLOUR], widest=WIDEST
    )
    script = (_FOLDER / "sort.js").read_text(encoding="utf-8")
    html = environment.get_template("page.html").render(
        page=page,
        style=Markup(style),
        style_hash=_digest(style),
        script=Markup(script),
        script_hash=_digest(script),
        narrow=2 * NARROW.pixels - 1,
    )
    # What is no text at all, half of a surrogate pair, has no bytes in UTF-8.
    return html.encode("utf-8", errors="replace")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
