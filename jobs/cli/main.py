"""The commands of the program, and their exit codes."""

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
import typer.core

from jobs.cli import demo, exporting, extraction, learning, neighbours, nightly, reporting
from jobs.cli.command import EXIT_CODES, Command, PlainFlags, epilog
from jobs.cli.tables import open_log, print_bug, print_error
from jobs.errors import RunInterruptedError, SongmillError
from jobs.interruption import listening
from jobs.redaction import redact


class _Commands(PlainFlags, typer.core.TyperGroup):
    """The commands. Errors in their arguments are shown without secrets."""

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of a command, and run it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Typer's own exceptions, which quote arguments, have no public base class.
            message = vars(error).get("message")
            if isinstance(message, str):
                # Pydantic, which Typer checks values with, begins its messages so.
                text = redact(message.replace("Value error, ", ""))
                error.message = text  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    name="songmill",
    cls=_Commands,
    help="Turns a collection of recordings into tables of audio features, on a Dask cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
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


_COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    extraction.extract: (
        "songmill extract ~/music --store tables",
        "songmill extract ~/music --labels tag:genre --store tables",
    ),
    extraction.import_features: (
        "songmill import-features features_30_sec.csv features_3_sec.csv --store tables",
    ),
    learning.compare: ("songmill compare --models LDA,tuned-SVM --store tables",),
    learning.train: (
        "songmill train --store tables",
        "songmill train --split by-group:artist --store tables",
    ),
    learning.predict: (
        "songmill predict new/*.mp3 --store tables",
        "songmill predict --all --store tables",
    ),
    learning.suspects: ("songmill suspects --store tables",),
    learning.models: ("songmill models --store tables",),
    learning.promote: ("songmill promote 20261123T030011-31ed18 --store tables",),
    neighbours.similarity: ("songmill similarity --store tables",),
    neighbours.similar: (
        "songmill similar pop.00023 --store tables",
        "songmill similar new.mp3 --store tables",
    ),
    nightly.run: (
        "songmill run ~/music --store tables",
        "songmill run --config /etc/songmill.toml --log-format json",
    ),
    exporting.export: (
        "songmill export similarity --to postgresql://me@db/music --store tables",
        "songmill export files --to files.csv --store tables",
        "songmill export features --to features.db --store tables",
    ),
    reporting.inspect: ("songmill inspect song.mp3 --store tables",),
    reporting.report: ("songmill report --store tables",),
    reporting.status: (
        "songmill status --store tables",
        "songmill status --failed --store tables",
    ),
    reporting.verify: ("songmill verify --store tables",),
    demo.demo: ("songmill demo",),
}
"""The commands, in the order of the help, with examples."""

for _command, _examples in _COMMANDS.items():
    app.command(cls=Command, epilog=epilog(_examples))(_command)


def main() -> None:
    """Run the command line; expected errors end in one line and an exit code."""
    open_log()  # until the command opens its own
    with listening():
        try:
            app(prog_name="songmill")
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
