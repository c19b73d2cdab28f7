"""Faults on demand during a training, on the control panel of faults.py.

``die/train MOMENT``   kills the next worker at this moment of a training: ``load``, before it loads
                       its share; ``meet``, before it connects to the other workers; or ``round N``,
                       after N rounds
``hold``               keeps workers from connecting to the others as long as it exists
``rounds.log``         gets a line ``pid N`` after every round

This is a preload module of Dask workers (``distributed.worker.preload``).
"""

import os
import time
from pathlib import Path
from typing import Any

from support import faults


def dask_setup(worker: object) -> None:
    """Install the faults; called by Dask in each worker that preloads this module."""
    import xgboost.dask

    from jobs.learning import distributed_boosting

    panel = Path(os.environ[faults.PANEL])
    load = distributed_boosting._load_share
    report = distributed_boosting._RoundReport.after_iteration
    meet = xgboost.dask.CommunicatorContext.__enter__

    def loading(*arguments: Any) -> Any:
        die_on_demand(panel, "load")
        return load(*arguments)

    def meeting(self: Any) -> Any:
        die_on_demand(panel, "meet")
        while (panel / "hold").exists():
            time.sleep(0.02)
        return meet(self)

    def reporting(self: Any, model: Any, epoch: int, evals_log: Any) -> bool:
        with open(panel / "rounds.log", "ab", buffering=0) as log:
            log.write(f"{os.getpid()} {epoch + 1}\n".encode())
        die_on_demand(panel, f"round {epoch + 1}")
        return report(self, model, epoch, evals_log)

    distributed_boosting._load_share = loading
    distributed_boosting._RoundReport.after_iteration = reporting  # type: ignore[method-assign]
    xgboost.dask.CommunicatorContext.__enter__ = meeting


def die_on_demand(panel: Path, moment: str) -> None:
    for key in os.listdir(panel / "die"):
        if key == f"train {moment}":
            try:
                os.unlink(panel / "die" / key)
            except FileNotFoundError:
                continue  # another worker has died of it
            faults.die()
