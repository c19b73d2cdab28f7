"""`songmill run`: the command and its output."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurizer.columns import SEGMENT_SECONDS
from jobs import defaults
from jobs.cli import options
from jobs.cli.command import use_config
from jobs.cli.tables import open_log, print_error, print_json, show, show_table
from jobs.exporting import table_names
from jobs.extras import require
from jobs.progress import clock

if TYPE_CHECKING:
    from jobs.nightly.run import Outcome as Run


def print_run(outcome: "Run") -> None:
    """Print how each stage of a run ended, if one began."""
    if all(one.outcome == "not run" for one in outcome.stages):
        return
    rows = [
        (
            one.stage,
            one.outcome,
            clock(one.seconds) if one.seconds else "",
            # The command ends with the message of a failure.
            one.message if one.outcome in ("done", "skipped") else "",
        )
        for one in outcome.stages
    ]
    show_table(("stage", "outcome", "took", "message"), rows)
    show(f"Run {outcome.run_id}: {outcome.outcome}, in {clock(outcome.seconds)}.")


def _configure(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        use_config(context, path)
    return path


def run(
    *,
    sources: options.Sources,
    store: options.Store,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            callback=_configure,
            is_eager=True,
            help="A TOML file with any of these options, such as sources, store or max-failed. By "
            "default songmill.toml in this folder, which other commands read too. Options of the "
            "command line take precedence.",
        ),
    ] = None,
    labels: options.Labels = defaults.LABELS,
    features: options.Features = options.DEFAULT_FEATURES,
    segment_seconds: options.SegmentSeconds = SEGMENT_SECONDS,
    retry_failed: options.RetryFailed = False,
    max_failed: options.MaxFailed = defaults.MAX_FAILED,
    max_gone: options.MaxGone = defaults.MAX_GONE,
    split: options.Split = defaults.SPLIT,
    train_features: options.LearnFeatures = None,
    level: options.Level = None,
    model: options.Model = "auto",
    tolerance: options.Tolerance = defaults.TOLERANCE,
    retrain_above: options.RetrainAbove = defaults.RETRAIN_ABOVE,
    keep_models: options.KeepModels = defaults.KEEP_MODELS,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Also compare models, with the split of the training."),
    ] = False,
    models: options.Models = "tutorial",
    neighbours: options.Neighbours = defaults.NEIGHBOURS,
    metric: options.Metric = None,
    exports: Annotated[
        list[str],
        typer.Option(
            "--export",
            metavar="TABLE=URL",
            help=f"Export a table ({table_names.LISTED}) to a URL, as for `songmill export`. May "
            "be given several times.",
        ),
    ] = [],  # noqa: B006  # Typer requires a list
    schema: options.Schema = None,
    only: Annotated[
        options.StageName | None,
        typer.Option(help="Run only this stage, even if nothing has changed."),
    ] = None,
    first: Annotated[
        options.StageName | None,
        typer.Option("--from", help="Start with this stage, even if nothing has changed."),
    ] = None,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Bring everything in STORE up to date, for example every night.

    Extract new and changed files, train and evaluate a model, promote it unless it is worse, with
    --compare compare models, find similar tracks, predict, export, report. A stage is skipped if
    its input has not changed. After an interruption run the same command again.
    """
    arguments = {**locals(), "segment_seconds": options.check_segment_seconds(segment_seconds)}
    for name in ("sources", "config", "log_format", "quiet", "verbose", "as_json"):
        del arguments[name]
    require("report")
    from jobs.nightly.run import run as work

    with open_log(log_format, quiet=quiet, verbose=verbose).shown() as progress:
        outcome = work(sources, **arguments, progress=progress)
    if as_json:
        print_json(asdict(outcome))
    elif log_format == "text":
        print_run(outcome)
    if outcome.message:
        print_error(outcome.message)
    raise typer.Exit(outcome.exit_code)
