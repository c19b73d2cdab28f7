"""`songmill similarity` and `songmill similar`: the commands and their output."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs import defaults
from jobs.cli import options
from jobs.cli.tables import run_job, show, show_table
from jobs.progress import clock, counted, printable

if TYPE_CHECKING:
    from jobs.neighbours.query import Outcome as Similar
    from jobs.neighbours.similarity import Outcome as Similarity


def print_similarity(outcome: "Similarity", store: str) -> None:
    """Print what was found."""
    what = "track" if outcome.level == "track" else "segment"
    show(
        f"The {outcome.k} nearest of {counted(outcome.rows, what)}, by the metric "
        f"{_describe(outcome)}, in {clock(outcome.seconds)}."
    )
    if outcome.duplicates:
        across = f", {outcome.across_labels} of them with different labels"
        show(
            f"Duplicates: {counted(outcome.duplicates, 'pair')}"
            f"{across if outcome.across_labels else ''}."
        )
        rows = []
        for pair in outcome.shown:
            labels = (pair.label or "", pair.duplicate_label or "")
            rows.append((pair.track_id, pair.duplicate_id, *labels, f"{pair.cosine:.6f}"))
        show_table(("track", "is also", "label", "label", "cosine"), rows)
        if outcome.duplicates > len(outcome.shown):
            show(f"… and {outcome.duplicates - len(outcome.shown)} more.")
    else:
        show("There are no duplicates.")
    folders = "similarity, duplicates" + (", similarity-matrix" if outcome.full else "")
    show(f"The tables are in {printable(store)}: {folders}.")


def print_similar(outcome: "Similar") -> None:
    """Show the most similar tracks of a recording."""
    label = f" ({printable(outcome.label)})" if outcome.label else ""
    name = printable(outcome.track_id or outcome.file or "")
    show(f"Most like {name}{label}:")
    # The score of the metric cosine is the cosine.
    numbers = ("cosine",) if outcome.metric == "cosine" else ("score", "cosine")
    rows = []
    for one in outcome.neighbours:
        values = [f"{getattr(one, number):.6f}" for number in numbers]
        same = "yes" if one.duplicate else "perhaps" if one.perhaps else ""
        rows.append((str(one.rank), one.track_id, one.label or "", *values, same))
    show_table(("", "track", "label", *numbers, "same recording"), rows)
    show(f"By the metric {_describe(outcome)}.")


def _describe(outcome: "Similar | Similarity") -> str:
    """Return the name of the metric, with the labels that it was fitted to."""
    labels = f" (labels: {printable(', '.join(outcome.labels))})" if outcome.labels else ""
    return f"{outcome.metric}{labels}"


def similarity(
    *,
    store: options.Store,
    k: options.Neighbours = defaults.NEIGHBOURS,
    level: Annotated[
        Literal["track", "segment"],
        typer.Option(help="Level of the rows to compare; segments by the metric cosine only."),
    ] = "track",
    metric: options.Metric = None,
    duplicate_from: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=1.0,
            metavar="COSINE",
            help="Minimum cosine of two rows of the same recording.",
        ),
    ] = defaults.DUPLICATE_COSINE,
    full: Annotated[
        bool,
        typer.Option("--full", help="Also write the full matrix of cosines (up to 20,000 tracks)."),
    ] = False,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Find the nearest neighbours of every track, exactly, into STORE/similarity.

    Pairs of the same recording, with equal or different labels, are also written to
    STORE/duplicates. The metric is kept in STORE/metrics, for `songmill similar`.
    """
    arguments = dict(locals())
    from jobs.neighbours.similarity import similarity as run

    run_job(run, partial(print_similarity, store=store), **arguments)


def similar(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="TRACK|FILE",
            help="A track of STORE, by its name or the end of it (pop.00023); otherwise the "
            "path of any recording.",
        ),
    ],
    *,
    store: options.Store,
    k: Annotated[
        int,
        typer.Option("-k", "--neighbours", min=1, metavar="K", help="Number of tracks to show."),
    ] = defaults.SHOWN_NEIGHBOURS,
    metric: options.Metric = None,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Omit tracks that are the same recording.")
    ] = False,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Show the tracks of STORE that are most similar to one of them, or to another recording."""
    arguments = dict(locals())
    arguments["duplicates"] = not arguments.pop("no_duplicates")
    from jobs.neighbours.query import similar as run

    run_job(run, print_similar, **arguments)
