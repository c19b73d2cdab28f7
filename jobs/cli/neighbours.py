"""`songmill similarity` and `songmill similar`: the commands and their output."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs import defaults
from jobs.cli.options import (
    JsonOption,
    NeighboursOption,
    SchedulerOption,
    StoreOption,
    WorkersOption,
)
from jobs.cli.tables import cell, counted, new_table, print_json, show
from jobs.progress import clock, printable

if TYPE_CHECKING:
    from jobs.neighbours.query import Outcome as Similar
    from jobs.neighbours.similarity import Outcome as Similarity


def print_similarity(outcome: "Similarity", store: str) -> None:
    """Print what was found."""
    what = "track" if outcome.level == "track" else "segment"
    show(f"The {outcome.k} nearest of {counted(outcome.rows, what)}, in {clock(outcome.seconds)}.")
    if outcome.duplicates:
        across = f", {outcome.across_labels} of them with different labels"
        show(
            f"Duplicates: {counted(outcome.duplicates, 'pair')}"
            f"{across if outcome.across_labels else ''}."
        )
        table = new_table("track", "is also", "label", "label", "cosine")
        for pair in outcome.shown:
            names = (pair.track_id, pair.duplicate_id, pair.label or "", pair.duplicate_label or "")
            table.add_row(*map(cell, names), f"{pair.cosine:.6f}")
        show(table)
        if outcome.duplicates > len(outcome.shown):
            show(f"… and {outcome.duplicates - len(outcome.shown)} more.")
    else:
        show("There are no duplicates.")
    folders = "similarity, duplicates" + (", similarity-matrix" if outcome.full else "")
    show(f"The tables are in {printable(store)}: {folders}.")


def print_similar(outcome: "Similar") -> None:
    """Show the most similar tracks of a recording."""
    if outcome.track_id:
        label = f" ({printable(outcome.label)})" if outcome.label else ""
        show(f"Most like {printable(outcome.track_id)}{label}:")
    else:
        show(f"Most like {printable(outcome.file or '')}:")
    table = new_table("", "track", "label", "cosine", "same recording")
    for one in outcome.neighbours:
        names = (one.track_id, one.label or "")
        same = "yes" if one.duplicate else ""
        table.add_row(str(one.rank), *map(cell, names), f"{one.cosine:.6f}", same)
    show(table)


def similarity(
    *,
    store: StoreOption,
    k: NeighboursOption = defaults.NEIGHBOURS,
    level: Annotated[
        Literal["track", "segment"], typer.Option(help="Level of the rows to compare.")
    ] = "track",
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
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the nearest neighbours of every track, exactly, into STORE/similarity.

    Features are z-scored over the store and compared by cosine. Pairs of the same recording, with
    equal or different labels, are also written to STORE/duplicates.
    """
    from jobs.neighbours.similarity import similarity as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(
            store=store,
            k=k,
            level=level,
            duplicate_from=duplicate_from,
            full=full,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(asdict(outcome))
    else:
        print_similarity(outcome, store)


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
    store: StoreOption,
    k: Annotated[
        int,
        typer.Option("-k", "--neighbours", min=1, metavar="K", help="Number of tracks to show."),
    ] = defaults.SHOWN_NEIGHBOURS,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Omit tracks that are the same recording.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the tracks of STORE that are most similar to one of them, or to another recording."""
    from jobs.neighbours.query import similar as run
    from jobs.progress import Progress

    with Progress().shown() as progress:
        outcome = run(recording, store=store, k=k, duplicates=not no_duplicates, progress=progress)
    if as_json:
        print_json(asdict(outcome))
    else:
        print_similar(outcome)
