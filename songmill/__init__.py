"""songmill: audio features, models and neighbours of a collection of recordings, as tables.

The public Python API. Each name is imported on first use, so ``import songmill`` is fast.

In a script, call functions that start a cluster (``extract``, ``train`` and others) below
``if __name__ == "__main__":``, because every worker imports the script.

Examples
--------
>>> import songmill
>>> songmill.features("music/rock/0.wav")[["tempo", "rms_mean"]].round(3).to_dict()
{'tempo': 123.047, 'rms_mean': 0.142}
>>> songmill.extract(["music"], store="tables").listed
6
>>> store = songmill.open_store("tables")
>>> store.tracks()[["track_id", "label"]].head(2)
      track_id  label
0  blues/0.wav  blues
1  blues/1.wav  blues
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.errors import SongmillError
    from jobs.exporting.export import export
    from jobs.extraction.extract import extract
    from jobs.extraction.import_features import import_features
    from jobs.learning.compare import compare
    from jobs.learning.predict_files import predict_files
    from jobs.learning.predict_store import predict_all
    from jobs.learning.promote import promote
    from jobs.learning.train import train
    from jobs.neighbours.query import similar
    from jobs.neighbours.similarity import similarity
    from jobs.nightly.run import run
    from jobs.reporting.inspection import inspect
    from jobs.reporting.report import report
    from jobs.reporting.verify import verify
    from songmill.arrays import features, nearest
    from songmill.store import Store, open_store

    __version__: str

__all__ = [
    "SongmillError",
    "Store",
    "__version__",
    "compare",
    "export",
    "extract",
    "features",
    "import_features",
    "inspect",
    "nearest",
    "open_store",
    "predict_all",
    "predict_files",
    "promote",
    "report",
    "run",
    "similar",
    "similarity",
    "train",
    "verify",
]

_MODULES = {
    "SongmillError": "jobs.errors",
    "Store": "songmill.store",
    "compare": "jobs.learning.compare",
    "export": "jobs.exporting.export",
    "extract": "jobs.extraction.extract",
    "features": "songmill.arrays",
    "import_features": "jobs.extraction.import_features",
    "inspect": "jobs.reporting.inspection",
    "nearest": "songmill.arrays",
    "open_store": "songmill.store",
    "predict_all": "jobs.learning.predict_store",
    "predict_files": "jobs.learning.predict_files",
    "promote": "jobs.learning.promote",
    "report": "jobs.reporting.report",
    "run": "jobs.nightly.run",
    "similar": "jobs.neighbours.query",
    "similarity": "jobs.neighbours.similarity",
    "train": "jobs.learning.train",
    "verify": "jobs.reporting.verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("songmill")
    if name not in _MODULES:
        raise AttributeError(f"module 'songmill' has no attribute {name!r}")
    from songmill.own_packages import check_not_hidden

    check_not_hidden()
    found = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
