"""Output of commands on stdout and stderr: lines, tables, JSON, and the outcome of a job."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, Literal, TypeVar

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.errors import UsageError
from jobs.progress import JsonLog, Progress, Verbosity, printable
from jobs.redaction import redact

T = TypeVar("T")

MAX_LABELS = 20
"""Maximum number of labels in a table."""

_TEXT_COLUMNS = (
    *("stage", "stages", "outcome", "message", "label", "predicted"),
    *("then", "rows of", "split", "track", "is also", "suggested"),
    *("same recording as", "its label", "failure", "why", "remark"),
)

_WRAPPED_COLUMNS = ("message", "why", "remark", "stages", "then")
"""Columns of text that a narrow terminal breaks into lines. Names are never broken."""

_MIN_WRAPPED = 16
"""Minimum width of such a column."""

_GAP = 2
"""Blanks between two columns."""


def show(what: str) -> None:
    """Print a line on stdout; a terminal breaks it."""
    _console().print(what)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values on stdout, a pair a line."""
    pairs = list(facts)
    width = max(cell_len(name) for name, _ in pairs) + _GAP
    for name, value in pairs:
        show(f"{name}{' ' * (width - cell_len(name))}{printable(value)}")


def show_table(names: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; columns of numbers are right-aligned.

    On a terminal that is too narrow for it, each row is printed as a line for each value.
    """
    cells = [[printable(text) for text in row] for row in rows]
    columns = zip_longest(names, *cells, fillvalue="")
    widths = [
        max(cell_len(line) for text in column for line in text.split("\n")) for column in columns
    ]
    needed = sum(widths) + _GAP * (len(widths) - 1)
    console = _console()
    available = console.width if console.is_terminal else needed
    breakable = [i for i, name in enumerate(names) if name in _WRAPPED_COLUMNS]
    least = needed - sum(max(0, widths[i] - _MIN_WRAPPED) for i in breakable)
    if least > available:
        for row in cells:
            pairs = zip(names, row, strict=False)
            show_facts((" ".join(name.split()), text) for name, text in pairs if text)
            show("")
        return
    table = Table(box=None, header_style="bold", padding=(0, _GAP, 0, 0), pad_edge=False)
    for i, name in enumerate(names):
        is_text = i == 0 or name in _TEXT_COLUMNS
        table.add_column(name, justify="left" if is_text else "right", no_wrap=i not in breakable)
    for row in cells:
        table.add_row(*map(Text, row))
    _console(min(needed, available)).print(table, soft_wrap=False)


def _console(width: int | None = None) -> Console:
    # Names and paths may look like Rich's markup.
    return Console(width=width, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_json(value: dict[str, Any]) -> None:
    """Print a JSON object; a missing label becomes the key ``null``."""
    text = json.dumps(value, ensure_ascii=False, default=lambda moment: moment.isoformat())
    # Names that are not UTF-8 contain lone surrogates, which cannot be encoded.
    typer.echo(re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text))


_json_log: ContextVar[JsonLog | None] = ContextVar("json_log", default=None)
"""The log of the running command, if it is in JSON."""


def open_log(
    log_format: Literal["text", "json"] = "text", *, quiet: bool = False, verbose: bool = False
) -> Progress:
    """Return the log of a command. :func:`print_error` then uses the same format.

    UsageError if it is to be both quiet and verbose.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other: use one of them")
    verbosity: Verbosity = "quiet" if quiet else "verbose" if verbose else "normal"
    log = JsonLog(verbosity) if log_format == "json" else None
    _json_log.set(log)
    return log or Progress(verbosity=verbosity)


def print_error(text: str) -> None:
    """Print an error on stderr, without secrets."""
    if log := _json_log.get():
        log.write("error", text)
    else:
        typer.echo(f"songmill: {printable(redact(text))}", err=True)


def print_bug(text: str) -> None:
    """Print the traceback of a bug on stderr, without secrets."""
    if log := _json_log.get():
        log.write("error", text)
    else:
        typer.echo(redact(text), err=True, nl=False)


def run_job(
    job: Callable[..., T],
    show_outcome: Callable[[T], None],
    /,
    *,
    log_format: Literal["text", "json"],
    quiet: bool,
    verbose: bool,
    as_json: bool,
    to_json: Callable[[Any], dict[str, Any]] = asdict,
    **options: Any,
) -> T:
    """Run a job with the options of its command, and print its outcome as text or JSON.

    The parameters of a command have the names of the job's, so that a command can pass them all.
    """
    with open_log(log_format, quiet=quiet, verbose=verbose).shown() as progress:
        outcome = job(**options, progress=progress)
    if as_json:
        print_json(to_json(outcome))
    else:
        show_outcome(outcome)
    return outcome
