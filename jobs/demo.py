"""The demo: a small collection of its own making, and the main job on it."""

from pathlib import Path

from jobs.extract import Request, extract
from jobs.progress import Progress
from jobs.schemas import TRACKS
from jobs.status import read_status
from jobs.store import open_store
from jobs.synthesis import synthesise
from jobs.terminal import print_features, print_outcome, print_status


def run_demo(folder: Path, workers: int | None) -> None:
    """Make the collection in ``folder``/collection and extract it into ``folder``/store.

    Parameters
    ----------
    folder : Path
        Made where it is not there. The second run finds everything done.
    workers : int or None
        Processes of the local cluster; by default one a core.

    Raises
    ------
    SongmillError
        The extraction cannot go on.
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
    print_outcome(outcome, str(store))
    print_status(read_status(str(store)))
    print_features(open_store(str(store)).read(TRACKS))
