"""Output of commands on stdout and stderr: lines, tables and JSON."""

import json
import re
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.progress import printable

MOST_LABELS = 20


def show(what: str | Table) -> None:
    """Print a line or a table on stdout."""
    # Names and paths are shown as they are, also if they look like Rich's markup, and whole: a
    # narrow terminal folds a table's line where Rich would cut its cells.
    Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=1000).print(what)


def new_table(first: str, *others: str) -> Table:
    """Return an empty table; columns of numbers are aligned to the right."""
    texts = (
        "stage",
        "outcome",
        "what",
        "label",
        "predicted",
        "then",
        "rows of",
        "split",
        "track",
        "is also",
    )
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in texts else "right")
    return table


def cell(text: str) -> Text:
    """Return a table's cell without Rich's markup or control characters."""
    return Text(printable(text))


def counted(count: int, thing: str) -> str:
    """Return a count with its noun: ``1 track``, ``1,000 tracks``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def print_json(value: dict[str, Any]) -> None:
    """Print one object; a label that is missing is the key ``null``."""
    text = json.dumps(value, ensure_ascii=False, default=lambda moment: moment.isoformat())
    # Half of a surrogate pair, in the name of a file that is no UTF-8, has no bytes.
    typer.echo(re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text))


def print_error(text: str) -> None:
    """Print an error on stderr."""
    typer.echo(f"songmill: {printable(text)}", err=True)
