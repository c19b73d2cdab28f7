"""A cluster that is none: jobs that train and predict work in the test's own process."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xgboost

from training import boosting
from training.boosting import Boosted, Share

WORKERS = 2


def each(
    client: Any,
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    tick: Callable[[int], None] = lambda threads: None,
    ahead: int = 0,
) -> Iterator[tuple[int, Any]]:
    """Do as jobs.cluster.window.each; the last piece is finished first."""
    for place, given in reversed(list(enumerate(arguments))):
        yield place, function(*given)


@contextlib.contextmanager
def connect(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    yield SimpleNamespace(
        scheduler=None,
        dashboard_link="nowhere",
        nthreads=lambda: dict.fromkeys(range(workers or WORKERS), 1),
    )


class Booster:
    """Does as training.boosting.boost, on all shares together, and notes what it was given."""

    def __init__(self) -> None:
        self.shares: list[Sequence[Share]] = []
        self.rows: list[list[int]] = []

    def __call__(
        self,
        client: Any,
        divide: Callable[[int], Sequence[Share]],
        load: Callable[[Any], tuple[np.ndarray, np.ndarray]],
        *,
        n_classes: int,
        rounds: int,
        heard: Callable[[int, float | None], None],
        lost: Callable[[int], None],
        waits: Callable[[], None],
    ) -> Boosted:
        shares = divide(len(client.nthreads()))
        loaded = [load(share.learn) for share in shares]
        self.shares.append(shares)
        self.rows.append([len(classes) for _, classes in loaded])
        learn = _matrix(loaded)
        evals = []
        if shares[0].stop is not None:
            stops = [load(share.stop) for share in shares]
            assert all(len(classes) for _, classes in stops)
            evals.append((_matrix(stops), "valid"))
        # A share without rows would have the real workers wait for one another.
        assert all(self.rows[-1])
        booster = xgboost.train(
            {**boosting.PARAMETERS, "num_class": n_classes, "max_depth": 3, "nthread": 1},
            learn,
            min(rounds, boosting.MOST_ROUNDS),
            evals=evals,
            verbose_eval=False,
        )
        heard(rounds, None)
        return Boosted(booster, [], len(shares))


def _matrix(loaded: list[tuple[np.ndarray, np.ndarray]]) -> xgboost.DMatrix:
    features, classes = zip(*loaded, strict=True)
    return xgboost.DMatrix(np.concatenate(features), np.concatenate(classes))


def install(monkeypatch: pytest.MonkeyPatch) -> Booster:
    """Have jobs do without a cluster, and train quickly."""
    booster = Booster()
    monkeypatch.setattr("jobs.stage.connect", connect)
    monkeypatch.setattr("jobs.stage.ask_workers", lambda *_: None)
    for module in ("jobs.learning.judge", "jobs.learning.predict", "jobs.neighbours.similarity"):
        monkeypatch.setattr(f"{module}.each", each)
    monkeypatch.setattr(boosting, "boost", booster)
    monkeypatch.setattr(boosting, "MOST_ROUNDS", 6)
    monkeypatch.setattr(boosting, "ROUNDS_UNSTOPPED", 6)
    monkeypatch.setattr("jobs.learning.train.SHARE_ROWS", 10)
    # 342 predictions of a model take longer than all the rest.
    monkeypatch.setattr(
        "jobs.learning.judge.permutation_importance", lambda *args: (float(args[-1]), 0.0)
    )
    # So do waits for the disk.
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    return booster
