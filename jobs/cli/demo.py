"""`songmill demo`: the command and its output."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli import options
from jobs.cli.extraction import print_outcome
from jobs.cli.learning import print_training
from jobs.cli.neighbours import print_similarity
from jobs.cli.reporting import print_page, print_status
from jobs.cli.tables import open_log, show_table
from jobs.extras import require

if TYPE_CHECKING:
    import pyarrow as pa


SHOWN_FEATURES = ("tempo", "rms_mean", "spectral_centroid_mean", "zero_crossing_rate_mean")


def print_features(tracks: "pa.Table") -> None:
    """Show the means of a few features for each label."""
    means = tracks.group_by("label").aggregate([(name, "mean") for name in SHOWN_FEATURES])
    rows = [
        [row["label"] or "(none)", *(f"{row[f'{name}_mean']:.4g}" for name in SHOWN_FEATURES)]
        for row in means.sort_by("label").to_pylist()
    ]
    show_table(["mean of", *SHOWN_FEATURES], rows)


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder of the demo's files.")
    ] = Path("songmill-demo"),
    workers: options.Workers = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Synthesise a small collection, extract it, train a model, and show the results."""
    require("report")
    from jobs.demo.collection import synthesise
    from jobs.extraction.extract import extract
    from jobs.learning.registry import champion
    from jobs.learning.train import train
    from jobs.neighbours.similarity import similarity
    from jobs.reporting.report import report
    from jobs.reporting.status import read_status
    from jobs.stage import open_session
    from jobs.store.schemas import REPORT, SIMILARITY, TRACKS

    collection, store = folder / "collection", folder / "store"
    page = store / REPORT
    with open_log(log_format, quiet=quiet, verbose=verbose).shown() as progress:
        progress.step("synthesising a collection")
        synthesise(
            collection,
            progress=lambda done, count: progress.update_live(f"{done} of {count} files"),
        )
        session = open_session(str(store), create=True, workers=workers, progress=progress)
        with session.held():
            outcome = extract(
                [str(collection)], store=session, labels=str(collection / "labels.csv")
            )
            trained = near = None
            if outcome.extracted or champion(session.store) is None:
                trained = train(store=session)
            if outcome.extracted or not session.store.parts(SIMILARITY):
                near = similarity(store=session)
        if outcome.extracted or trained or near or not page.exists():
            report(store=session.store, progress=progress)
    print_outcome(outcome, str(store))
    print_status(read_status(session.store))
    print_features(session.store.read(TRACKS))
    if trained:
        print_training(trained)
    if near:
        print_similarity(near, str(store))
    print_page(str(page))
