"""`songmill export`: the command and its output."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.cli import options
from jobs.cli.tables import run_job, show
from jobs.exporting import table_names
from jobs.exporting.table_names import TableName
from jobs.progress import clock, counted, printable

if TYPE_CHECKING:
    from jobs.exporting.export import Outcome as Export


def print_export(outcome: "Export") -> None:
    """Print what was exported."""
    if outcome.to == "stdout":
        return
    where = outcome.to if outcome.table == outcome.to else f"{outcome.table} of {outcome.to}"
    show(
        f"{counted(outcome.rows, 'row')} of {outcome.name} are in {printable(where)}, "
        f"after {clock(outcome.seconds)}."
    )


def export(
    *,
    name: Annotated[TableName, typer.Argument(metavar="TABLE", help=f"{table_names.LISTED}.")],
    store: options.Store,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            envvar="SONGMILL_EXPORT_TO",
            help="postgresql://user@host/database (its password in PGPASSWORD or ~/.pgpass), "
            "sqlite:///FILE or FILE.db, duckdb:///FILE or FILE.duckdb, a FILE that ends in .csv, "
            ".tsv, .jsonl (each also with .gz), .parquet or .arrow, or - for CSV on stdout.",
        ),
    ],
    level: Annotated[
        Literal["track", "segment"], typer.Option(help="Level of the rows, for tables with both.")
    ] = "track",
    schema: options.Schema = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the table there; by default the same."),
    ] = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Export a table of STORE to a database or a file.

    Exports are atomic: readers see the old table or the new one.
    """
    if to == "-" and as_json:
        raise typer.BadParameter("--json and --to - both write to stdout: use one of them")
    arguments = dict(locals())
    from jobs.exporting.export import export as run

    run_job(run, print_export, **arguments)
