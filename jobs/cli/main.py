"""The commands of the program, and their exit codes."""

import sys
import traceback
from typing import Annotated, Any

import typer
import typer.core

from jobs.cli import demo, exporting, extraction, learning, neighbours, nightly, reporting
from jobs.cli.tables import open_log, print_bug, print_error
from jobs.errors import RunInterruptedError, SongmillError
from jobs.interruption import listening
from jobs.redaction import redact


class _Commands(typer.core.TyperGroup):
    """The commands. Errors in their arguments are shown without secrets."""

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of a command, and run it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Typer's own exceptions, which quote arguments, have no public base class.
            message = getattr(error, "message", None)
            if isinstance(message, str):
                error.message = redact(message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    name="songmill",
    cls=_Commands,
    help="Turns a collection of recordings into tables of audio features, on a Dask cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many files failed or gone, "
    "129, 130 and 143 interrupted.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from jobs.cluster.fitness import songmill_version

        typer.echo(f"songmill {songmill_version()}")
        raise typer.Exit


@app.callback()
def songmill(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Turn a collection of recordings into tables of audio features, on a Dask cluster."""


for _command in (
    extraction.extract,
    extraction.import_features,
    learning.compare,
    learning.train,
    learning.predict,
    learning.suspects,
    learning.models,
    learning.promote,
    neighbours.similarity,
    neighbours.similar,
    nightly.run,
    exporting.export,
    reporting.inspect,
    reporting.report,
    reporting.status,
    reporting.verify,
    demo.demo,
):
    app.command()(_command)


def main() -> None:
    """Run the command line; expected errors end in one line and an exit code."""
    open_log("text")  # until the command opens its own
    with listening():
        try:
            app(standalone_mode=True)
        except (SongmillError, RunInterruptedError) as error:
            print_error(str(error))
            sys.exit(error.exit_code)
        except OSError as error:
            # Full disks, lost mounts, missing permissions: the system's message names the file.
            print_error(str(error))
            sys.exit(1)
        except Exception:
            # A bug: the traceback is for its report.
            print_bug(traceback.format_exc())
            sys.exit(1)
