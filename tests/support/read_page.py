"""Parser of rendered pages: elements, text, facts and tables."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class ReadTable:
    """Table as texts: caption, coloured marks, and rows with the header first."""

    caption: str = ""
    marks: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        index = self.rows[0].index(name)
        return [row[index] for row in self.rows[1:]]


class Reader(HTMLParser):
    """Parser of one page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[ReadTable] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self.feed(html)

    @property
    def text(self) -> str:
        return _plain("".join(self._texts))

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def table(self, caption: str) -> ReadTable:
        """Return the first table with a caption that starts with this text."""
        return next(table for table in self.tables if table.caption.startswith(caption))

    def marks(self, caption: str) -> list[str]:
        """Return the class of the mark in each row of a table; "" for rows without a mark."""
        return self.table(caption).marks[1:]

    def facts(self) -> dict[str, str]:
        pairs = re.findall(r"\x01(.*?)\x02(.*?)\x03", "".join(self._texts), re.DOTALL)
        return {_plain(name): _plain(value) for name, value in pairs}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "table":
            self.tables.append(ReadTable())
        elif tag == "tr":
            self.tables[-1].rows.append([])
            self.tables[-1].marks.append("")
        elif tag == "span" and "mark-" in (dict(attrs).get("class") or ""):
            self.tables[-1].marks[-1] = dict(attrs)["class"] or ""
        elif tag in ("th", "td"):
            self.tables[-1].rows[-1].append("")
        elif tag == "dt":
            self._texts.append("\x01")
        elif tag == "dd":
            self._texts.append("\x02")

    def handle_endtag(self, tag: str) -> None:
        if tag == "dd":
            self._texts.append("\x03")
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self._texts.append(data)
        if "caption" in self._open:
            self.tables[-1].caption += data
        elif {"th", "td"} & set(self._open):
            row = self.tables[-1].rows[-1]
            row[-1] = _plain(row[-1] + data)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[\x01-\x03]", " ", text)).lstrip()
