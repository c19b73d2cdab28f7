"""Jobs in the test's own process: a Dask cluster of threads, and recorded boosting."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
import numpy as np
import pytest
from distributed import LocalCluster

from jobs.cluster.connect import UNWATCHED
from jobs.learning import distributed_boosting, train
from training import boosting
from training.boosting import Share, TrainedBooster

WORKERS = 2


@contextlib.contextmanager
def cluster(workers: int = WORKERS) -> Iterator[str]:
    """Start a cluster of single-threaded workers; yield its address."""
    with dask.config.set(UNWATCHED):
        started = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        )
    with started:
        yield started.scheduler_address


class RecordedBoosting:
    """Boosting of few rounds, which records the rows of each share.

    Attributes
    ----------
    workers : int
        Workers that the recorded shares are for.
    importance : callable
        The real :func:`jobs.learning.judge.importance`; trainings get an empty list instead.
    rows, valid_rows : list of list of int
        Number of training and validation rows of each share, a list for each call.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workers = WORKERS
        self.rows: list[list[int]] = []
        self.valid_rows: list[list[int]] = []
        self._boost = distributed_boosting.boost
        monkeypatch.setattr(distributed_boosting, "boost", self)
        monkeypatch.setattr(boosting, "MAX_ROUNDS", 6)
        monkeypatch.setattr(boosting, "FIXED_ROUNDS", 6)
        self.importance = train.importance
        # Its 57 tasks and 342 predictions would take longer than everything else.
        monkeypatch.setattr(train, "importance", lambda *args, **options: [])

    def __call__(
        self,
        client: Any,
        divide: Callable[[int], Sequence[Share]],
        load: Callable[[Any], tuple[np.ndarray, np.ndarray]],
        **options: Any,
    ) -> TrainedBooster:
        shares = divide(self.workers)
        self.rows.append([len(load(share.train)[1]) for share in shares])
        self.valid_rows.append([len(load(share.valid)[1]) for share in shares if share.valid])
        return self._boost(client, divide, load, **options)
