"""`songmill run`: the command and its output."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from featurizer.columns import SEGMENT_SECONDS
from jobs import defaults
from jobs.cli.options import (
    JsonOption,
    LabelsOption,
    LevelOption,
    MaxFailedOption,
    NeighboursOption,
    RetryOption,
    SchedulerOption,
    SchemaOption,
    SegmentOption,
    SplitOption,
    Stages,
    StoreOption,
    ToleranceOption,
    WorkersOption,
    checked_segment,
)
from jobs.cli.tables import cell, new_table, print_json, show
from jobs.progress import clock

if TYPE_CHECKING:
    from jobs.nightly.run import Outcome as Run


def print_run(outcome: "Run") -> None:
    """Say how each stage of a night's run ended."""
    table = new_table("stage", "outcome", "took", "what")
    for one in outcome.stages:
        took = clock(one.seconds) if one.seconds else ""
        table.add_row(cell(one.stage), one.outcome, took, cell(one.message))
    show(table)
    show(f"Run {outcome.run_id}: {outcome.outcome}, in {clock(outcome.seconds)}.")


def _configure(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options of a TOML file for those that the command line does not give."""
    if path is not None:
        from jobs.cli.config import read_config

        names = {
            (parameter.name or "") if parameter.param_type_name == "argument" else option: parameter
            for parameter in context.command.params
            for option in [max(parameter.opts, key=len).removeprefix("--")]
            if option not in ("config", "help")
        }
        given = read_config(path, list(names))
        context.default_map = {str(names[option].name): value for option, value in given.items()}
    return path


def run(
    *,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="What to extract: as for `songmill extract`."),
    ],
    store: StoreOption,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            callback=_configure,
            is_eager=True,
            help="A TOML file with any of these options, such as sources, store or max-failed; "
            "what the command line says comes first.",
        ),
    ] = None,
    labels: LabelsOption = defaults.LABELS,
    segment_seconds: SegmentOption = SEGMENT_SECONDS,
    retry_failed: RetryOption = False,
    max_failed: MaxFailedOption = defaults.MAX_FAILED,
    split: SplitOption = defaults.SPLIT,
    level: LevelOption = None,
    tolerance: ToleranceOption = defaults.TOLERANCE,
    neighbours: NeighboursOption = defaults.NEIGHBOURS,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE=URL",
            help="Put a table where somebody else reads it: similarity, duplicates, predictions, "
            "features or files, and a URL as for `songmill export`. May be given several times.",
        ),
    ] = None,
    schema: SchemaOption = None,
    only: Annotated[
        Stages | None,
        typer.Option(help="Do this stage alone, whether or not anything has changed."),
    ] = None,
    first: Annotated[
        Stages | None,
        typer.Option("--from", help="Begin with this stage, whether or not anything has changed."),
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(help="Lines for people, or an object a line for machines, on stderr."),
    ] = "text",
    as_json: JsonOption = False,
) -> None:
    """Bring everything in STORE up to date: what a night's job does.

    Extract what is new or changed, train and judge a model and promote it unless it is worse, find
    what sounds alike, predict, export, report. A stage is skipped where nothing that it reads has
    changed. Run it again after anything that stopped it.
    """
    from jobs.nightly.run import run as work
    from jobs.progress import JsonLog, Progress

    with (JsonLog() if log_format == "json" else Progress()).shown() as progress:
        outcome = work(
            sources,
            store=store,
            labels=labels,
            segment_seconds=checked_segment(segment_seconds),
            retry_failed=retry_failed,
            max_failed=max_failed,
            split=split,
            level=level,
            tolerance=tolerance,
            neighbours=neighbours,
            exports=export or [],
            schema=schema,
            only=only,
            first=first,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
        if outcome.message:
            progress.write("error", outcome.message)
    if as_json:
        print_json(asdict(outcome))
    elif log_format == "text":
        print_run(outcome)
    raise typer.Exit(outcome.exit_code)
