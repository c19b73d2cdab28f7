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
    RetryFailedOption,
    SchedulerOption,
    SchemaOption,
    SegmentSecondsOption,
    SplitOption,
    StageName,
    StoreOption,
    ToleranceOption,
    WorkersOption,
    check_segment_seconds,
)
from jobs.cli.tables import cell, new_table, print_json, show
from jobs.progress import clock

if TYPE_CHECKING:
    from jobs.nightly.run import Outcome as Run


def print_run(outcome: "Run") -> None:
    """Print how each stage of a run ended."""
    table = new_table("stage", "outcome", "took", "message")
    for one in outcome.stages:
        took = clock(one.seconds) if one.seconds else ""
        table.add_row(cell(one.stage), one.outcome, took, cell(one.message))
    show(table)
    show(f"Run {outcome.run_id}: {outcome.outcome}, in {clock(outcome.seconds)}.")


def _configure(context: typer.Context, path: Path | None) -> Path | None:
    """Use the options of a TOML file as defaults."""
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
        typer.Argument(metavar="SOURCE…", help="Recordings, as for `songmill extract`."),
    ],
    store: StoreOption,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            callback=_configure,
            is_eager=True,
            help="A TOML file with any of these options, such as sources, store or max-failed. "
            "Options of the command line take precedence.",
        ),
    ] = None,
    labels: LabelsOption = defaults.LABELS,
    segment_seconds: SegmentSecondsOption = SEGMENT_SECONDS,
    retry_failed: RetryFailedOption = False,
    max_failed: MaxFailedOption = defaults.MAX_FAILED,
    split: SplitOption = defaults.SPLIT,
    level: LevelOption = None,
    tolerance: ToleranceOption = defaults.TOLERANCE,
    neighbours: NeighboursOption = defaults.NEIGHBOURS,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE=URL",
            help="Export a table (similarity, duplicates, predictions, features or files) to a "
            "URL, as for `songmill export`. May be given several times.",
        ),
    ] = None,
    schema: SchemaOption = None,
    only: Annotated[
        StageName | None,
        typer.Option(help="Run only this stage, even if nothing has changed."),
    ] = None,
    first: Annotated[
        StageName | None,
        typer.Option("--from", help="Start with this stage, even if nothing has changed."),
    ] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(help="Log on stderr: text for people, or one JSON object per line."),
    ] = "text",
    as_json: JsonOption = False,
) -> None:
    """Bring everything in STORE up to date, for example every night.

    Extract new and changed files, train and evaluate a model, promote it unless it is worse, find
    similar tracks, predict, export, report. A stage is skipped if its input has not changed. After
    an interruption run the same command again.
    """
    from jobs.nightly.run import run as work
    from jobs.progress import JsonLog, Progress

    with (JsonLog() if log_format == "json" else Progress()).shown() as progress:
        outcome = work(
            sources,
            store=store,
            labels=labels,
            segment_seconds=check_segment_seconds(segment_seconds),
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
