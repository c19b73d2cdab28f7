"""`songmill extract` and `songmill import-features`: the commands and their output."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from featurizer.columns import SEGMENT_SECONDS
from jobs import defaults
from jobs.cli import options
from jobs.cli.tables import print_error, run_job, show
from jobs.errors import command_for
from jobs.progress import clock, counted, printable

if TYPE_CHECKING:
    from jobs.extraction.extract import Outcome
    from jobs.extraction.import_features import ImportOutcome


def print_outcome(outcome: "Outcome", store: str) -> None:
    """Print what an extraction did."""
    worked = outcome.extracted + outcome.failed
    speed = f", {outcome.audio_s / outcome.seconds:.0f} x realtime" if outcome.seconds else ""
    if outcome.outcome == "too-many-gone":
        show("Nothing was extracted or removed.")
    elif worked:
        show(
            f"Processed {counted(worked, 'file')} in {clock(outcome.seconds)}{speed}: "
            f"{outcome.extracted} extracted, {counted(outcome.segments, 'segment')}, "
            f"{outcome.failed} failed."
        )
    else:
        show("No file is new or changed: there was nothing to extract.")
    if outcome.unlabelled:
        show(f"Labels lost: {outcome.unlabelled:,}. By --labels these tracks have none.")
    if outcome.gone and outcome.outcome != "too-many-gone":
        show(f"The features of {counted(outcome.gone, 'file')} that are gone were removed.")
    found = [f"{count} {kind}" for kind, count in sorted(outcome.failures.items())]
    if outcome.failed_in_all > outcome.failed:
        found.append(f"{outcome.failed_in_all - outcome.failed} in earlier runs")
    if found:
        listing = command_for(printable(store), "status --failed")
        show(f"Failed: {', '.join(found)}. List them: {listing}")
    show(f"The tables are in {printable(store)}.")


def print_import(outcome: "ImportOutcome", store: str) -> None:
    """Print what an import did."""
    counts = (counted(outcome.tracks, "track"), counted(outcome.segments, "segment"))
    if outcome.tracks > outcome.listed:  # of several feature sets
        counts = (f"{outcome.tracks:,} rows of {counted(outcome.listed, 'track')}", counts[1])
    if outcome.tracks:
        text = " and ".join(counts) if outcome.segments else counts[0]
    else:
        text = f"{counts[1]} of {counted(outcome.listed, 'track')}"
    if outcome.unlabelled:
        show(f"Without a label: {counted(outcome.unlabelled, 'track')}.")
    show(f"Imported {text}; the tables are in {printable(store)}.")


def extract(
    *,
    sources: options.Sources,
    store: options.Store,
    labels: options.Labels = defaults.LABELS,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    features: options.Features = options.DEFAULT_FEATURES,
    segment_seconds: options.SegmentSeconds = SEGMENT_SECONDS,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Extract every file again, changed or not. Feature sets that --features leaves "
            "out are dropped.",
        ),
    ] = False,
    retry_failed: options.RetryFailed = False,
    max_failed: options.MaxFailed = defaults.MAX_FAILED,
    max_gone: options.MaxGone = defaults.MAX_GONE,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Extract the features of every recording, and of every 3-second segment, into STORE.

    Only new and changed files are extracted; deleted files leave the tables. A feature set that
    STORE lacks is added to known files. After an interruption run the same command again: finished
    work is kept.
    """
    arguments = {**locals(), "segment_seconds": options.check_segment_seconds(segment_seconds)}
    from jobs.extraction.extract import extract as run

    outcome = run_job(
        run,
        partial(print_outcome, store=store),
        to_json=lambda found: {**asdict(found), "failed": found.failed, "store": store},
        **arguments,
    )
    if outcome.outcome in ("too-many-failed", "too-many-gone"):
        print_error(outcome.message or "")
        raise typer.Exit(3)


def import_features(
    *,
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE…",
            help="CSV or Parquet files with the columns filename (or track), label (or genre), "
            "length and the features of a set, such as GTZAN's features_30_sec.csv (tracks) and "
            "features_3_sec.csv (segments). Other columns, such as artist, go to the labels.",
        ),
    ],
    store: options.Store,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="A CSV with the column track_id and others, such as artist. A column label "
            "replaces the labels of the tables.",
        ),
    ] = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Import published tables of features into STORE, without any recording.

    Imported rows replace all rows of the same feature set and level. Tracks of several tables are
    joined by their names, with or without the suffix.
    """
    arguments = dict(locals())
    from jobs.extraction.import_features import import_features as run

    show_outcome = partial(print_import, store=store)
    run_job(run, show_outcome, to_json=lambda found: {**asdict(found), "store": store}, **arguments)
