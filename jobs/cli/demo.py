"""The demo: a small collection of its own making, and the main jobs on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.extraction import print_outcome
from jobs.cli.learning import print_training
from jobs.cli.neighbours import print_similarity
from jobs.cli.options import WorkersOption
from jobs.cli.reporting import print_page, print_status
from jobs.cli.tables import cell, new_table, show

if TYPE_CHECKING:
    import pyarrow as pa


def run_demo(folder: Path, workers: int | None) -> None:
    """Make a collection in ``folder``/collection, extract it into ``folder``/store, learn from it.

    Parameters
    ----------
    folder : Path
        Made where it is not there. The second run finds everything done.
    workers : int or None
        Processes of the local cluster; by default one a core.

    Raises
    ------
    SongmillError
        The extraction or the training cannot go on.
    """
    from jobs.demo.collection import synthesise
    from jobs.extraction.extract import Request, extract
    from jobs.learning.registry import champion
    from jobs.learning.train import Request as Training
    from jobs.learning.train import train
    from jobs.neighbours.similarity import Request as Similarity
    from jobs.neighbours.similarity import find_similar
    from jobs.progress import Progress
    from jobs.reporting.report import PAGE, report
    from jobs.reporting.status import read_status
    from jobs.store.schemas import SIMILARITY, TRACKS
    from jobs.store.tables import open_store

    collection, store = folder / "collection", folder / "store"
    with Progress().shown() as progress:
        progress.say("synthesising a collection")
        synthesise(
            collection, progress=lambda done, count: progress.show(f"{done} of {count} files")
        )
        request = Request(
            sources=[str(collection)],
            store=str(store),
            labels=str(collection / "labels.csv"),
            workers=workers,
        )
        outcome = extract(request, progress)
        trained = None
        if outcome.extracted or champion(open_store(str(store))) is None:
            trained = train(Training(store=str(store), workers=workers), progress)
        near = None
        if outcome.extracted or not open_store(str(store)).parts(SIMILARITY):
            near = find_similar(Similarity(store=str(store), workers=workers), progress)
        page = store / "report" / PAGE
        if outcome.extracted or trained or near or not page.exists():
            report(str(store), None, progress)
    print_outcome(outcome, str(store))
    print_status(read_status(str(store)))
    print_features(open_store(str(store)).read(TRACKS))
    if trained:
        print_training(trained)
    if near:
        print_similarity(near, str(store))
    print_page(str(page))


SHOWN_FEATURES = ("tempo", "rms_mean", "spectral_centroid_mean", "zero_crossing_rate_mean")


def print_features(tracks: "pa.Table") -> None:
    """Show what a few features of the track table say of each label."""
    means = tracks.group_by("label").aggregate([(name, "mean") for name in SHOWN_FEATURES])
    table = new_table("mean of", *SHOWN_FEATURES)
    for row in means.sort_by("label").to_pylist():
        cells = [f"{row[f'{name}_mean']:.4g}" for name in SHOWN_FEATURES]
        table.add_row(cell(row["label"] or "(none)"), *cells)
    show(table)


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the demo's files go.")
    ] = Path("songmill-demo"),
    workers: WorkersOption = None,
) -> None:
    """Synthesise a small collection of a few styles, extract it, learn from it: at a glance."""
    run_demo(folder, workers)
