"""The demo: a small collection of its own making, and the main jobs on it."""

from pathlib import Path

from jobs.extract import Request, extract
from jobs.progress import Progress
from jobs.registry import champion
from jobs.report import PAGE, report
from jobs.schemas import SIMILARITY, TRACKS
from jobs.similarity import Request as Similarity
from jobs.similarity import find_similar
from jobs.status import read_status
from jobs.store import open_store
from jobs.synthesis import synthesise
from jobs.terminal import (
    print_features,
    print_outcome,
    print_page,
    print_similarity,
    print_status,
    print_training,
)
from jobs.train import Request as Training
from jobs.train import train


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
