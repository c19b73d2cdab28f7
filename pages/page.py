"""Pages of facts, pictures and tables, each rendered as one self-contained HTML file.

A page loads nothing over the network, and its Content-Security-Policy forbids it. All content is
escaped, because names come from outside. Scripts sort tables, play recordings and explore tracks;
everything else works without them.
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

MAX_WORD_WIDTH = 18
"""Characters of the longest word that a text column makes room for; longer words are broken."""

_FOLDER = Path(__file__).parent / "templates"

_SCRIPTS = ("sort.js", "listening.js", "timeline.js")
"""Files in ``templates``, each a script of its own in every page."""

_EXPLORER_SCRIPTS = ("map.js", "explorer.js")
"""Further scripts of a page with an explorer."""


@dataclass(frozen=True)
class Recording:
    """Recording that the reader can play.

    Parameters
    ----------
    name : str
        Name, for the label of the button.
    addresses : sequence of str
        Addresses of its file or of an excerpt, percent-encoded. The first that plays is taken.
    start_s : float >= 0
        Where to begin, in seconds. Excerpts (relative addresses) are played from their start.
    """

    name: str
    addresses: Sequence[str]
    start_s: float = 0.0


@dataclass(frozen=True)
class Cell:
    """Cell of a table.

    Parameters
    ----------
    text : str
        Text.
    value : float or None
        Sort key of a number; None for texts.
    colour : str or None
        Colour of the mark for a label, shown before ``subtext`` if there is one, else before
        ``text``.
    subtext : str
        Secondary text, in smaller letters on a line of its own.
    recording : Recording or None
        The recording that the text names.
    track : str
        The track that the text names, which becomes a link to it in the explorer; empty for none.
    """

    text: str
    value: float | None = None
    colour: str | None = None
    subtext: str = ""
    recording: Recording | None = None
    track: str = ""


_BREAK_AFTER = re.compile(r"(?<=[/_ -])")


def _words(text: str) -> list[str]:
    """Split a text after each character that a line may be broken after."""
    return _BREAK_AFTER.split(text)


def _breakable(text: str) -> Markup:
    """Escape a text and mark where its lines may be broken."""
    return Markup("<wbr>").join(_words(text))


def number(value: float | None, form: str = ",.0f") -> Cell:
    """Return a cell with a number.

    Parameters
    ----------
    value : float or None
        The number. None is shown as a dash and sorted below all numbers.
    form : str
        Format specification.

    Examples
    --------
    >>> number(1234.5, ",.1f")
    Cell(text='1,234.5', value=1234.5, colour=None, subtext='', recording=None, track='')
    >>> number(None).text
    '–'
    """
    if value is None:
        return Cell("–", -sys.float_info.max)
    return Cell(format(value, form), float(value))


@dataclass(frozen=True)
class Table:
    """Table.

    Parameters
    ----------
    caption : str
        Heading.
    columns : sequence of str
        Names of the columns.
    rows : sequence of sequence of Cell
        The first cell of each row is its heading.
    note : str
        Text below the table.
    collapsed : bool
        Whether the table is hidden until the reader opens it.
    recording : Recording or None
        The recording that the caption names.

    Examples
    --------
    >>> table = Table("Tracks", ("label", "tracks"), [[Cell("hip hop"), number(12)]])
    >>> table.is_number(0), table.is_number(1)
    (False, True)
    >>> table.min_width(0)
    4
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    collapsed: bool = False
    recording: Recording | None = None

    def min_width(self, column: int) -> int:
        """Return the minimum width of a column in characters: the length of its longest word."""
        texts = [row[column].text for row in self.rows]
        longest = max(len(word) for text in [*texts, "  "] for word in _words(text))
        return min(longest, MAX_WORD_WIDTH)

    def is_number(self, column: int) -> bool:
        """Return whether a column holds numbers."""
        return bool(self.rows) and all(row[column].value is not None for row in self.rows)


@dataclass(frozen=True)
class Line:
    """Line of a card.

    Parameters
    ----------
    text : str
        Text.
    anchor : str
        Anchor of the section with the details; empty for none.
    """

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Card:
    """Answer to a question.

    Parameters
    ----------
    title : str
        The question.
    answer : str
        The answer in a few words.
    lines : sequence of Line
        Grounds of the answer, with links to the details.
    """

    title: str
    answer: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Content:
    """Content of a section, from top to bottom.

    Parameters
    ----------
    text : str
        Introduction.
    command : str
        If there are no data yet: the command that creates them.
    cards : sequence of Card
        Answers, side by side.
    facts : sequence of (str, str)
        Names and values.
    pictures : sequence of Picture
        Pictures.
    tables : sequence of Table
        Tables.
    explorer : str
        Tracks to explore, from :func:`pages.explorer.pack`; empty for none.
    """

    text: str = ""
    command: str = ""
    cards: Sequence[Card] = ()
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    explorer: str = ""


@dataclass(frozen=True)
class Section:
    """Section of a page.

    Parameters
    ----------
    anchor : str
        Fragment identifier for links.
    title : str
        Heading.
    content : Content
        Content below the heading.
    """

    anchor: str
    title: str
    content: Content


@dataclass(frozen=True)
class Page:
    """Page.

    Parameters
    ----------
    title : str
        Heading.
    text : str
        Introduction below the heading.
    sections : sequence of Section
        From top to bottom.
    recording : Recording or None
        The recording that the page is about. Pictures with a time axis follow it.
    """

    title: str
    text: str
    sections: Sequence[Section]
    recording: Recording | None = None


def render(page: Page) -> bytes:
    """Render a page as an HTML file in UTF-8.

    Examples
    --------
    >>> html = render(Page("Rock & roll", "", [Section("facts", "Facts", Content("Loud."))]))
    >>> b"<h1>Rock &amp; roll</h1>" in html
    True
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    style = environment.get_template("page.css").render(
        light=LIGHT, dark=DARK, colours=[*COLOURS, OTHER_COLOUR], max_width=MAX_WORD_WIDTH
    )
    names: tuple[str, ...] = _SCRIPTS
    if any(section.content.explorer for section in page.sections):
        style += _read("explorer.css")
        names += _EXPLORER_SCRIPTS
    scripts = [_read(name) for name in names]
    html = environment.get_template("page.html").render(
        page=page,
        style=Markup(style),
        style_hash=_digest(style),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_digest(script) for script in scripts],
        narrow=2 * NARROW.pixels - 1,
    )
    # File names that are not valid text contain lone surrogates, which UTF-8 cannot encode.
    return html.encode("utf-8", errors="replace")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
