"""`songmill export`: the command and its output."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.cli.options import JsonOption, SchemaOption, StoreOption
from jobs.cli.tables import counted, print_json, show
from jobs.progress import clock, printable

if TYPE_CHECKING:
    from jobs.exporting.export import Outcome as Export


def print_export(outcome: "Export") -> None:
    """Print what was exported."""
    where = outcome.to if outcome.table == outcome.to else f"{outcome.table} of {outcome.to}"
    show(
        f"{counted(outcome.rows, 'row')} of {outcome.name} are in {printable(where)}, "
        f"after {clock(outcome.seconds)}."
    )


def export(
    *,
    name: Annotated[
        Literal["similarity", "duplicates", "predictions", "features", "files"],
        typer.Argument(
            metavar="TABLE", help="similarity, duplicates, predictions, features or files."
        ),
    ],
    store: StoreOption,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            envvar="SONGMILL_EXPORT_TO",
            help="postgresql://user@host/database (its password in PGPASSWORD or ~/.pgpass), "
            "sqlite:///FILE, duckdb:///FILE, or a FILE that ends in .csv, .csv.gz, .jsonl, "
            ".jsonl.gz, .parquet or .arrow.",
        ),
    ],
    level: Annotated[
        Literal["track", "segment"], typer.Option(help="Level of the rows, for tables with both.")
    ] = "track",
    schema: SchemaOption = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the table there; by default the same."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Export a table of STORE to a database or a file.

    Exports are atomic: readers see the old table or the new one.
    """
    from jobs.exporting.export import export as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(
            name,
            store=store,
            to=to,
            level=level,
            schema=schema,
            table=table,
            progress=progress,
        )
    if as_json:
        print_json(asdict(outcome))
    else:
        print_export(outcome)
