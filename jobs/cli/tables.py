"""Output of commands on stdout and stderr: lines, tables, JSON, and the outcome of a job."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any, Literal, TypeVar

import typer
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
    *("stage", "outcome", "message", "label", "predicted"),
    *("then", "rows of", "split", "track", "is also", "suggested"),
    *("same recording as", "its label"),
)


def show(what: str | Table) -> None:
    """Print a line or a table on stdout."""
    # Names and paths may look like Rich's markup. The width keeps Rich from cutting cells; a
    # narrow terminal wraps the lines instead.
    Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=1000).print(what)


def show_table(names: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; columns of numbers are right-aligned."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i == 0 or name in _TEXT_COLUMNS else "right")
    for row in rows:
        table.add_row(*(Text(printable(text)) for text in row))
    show(table)


def counted(count: int, thing: str) -> str:
    """Return a count with its noun: ``1 track``, ``1,000 tracks``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


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
