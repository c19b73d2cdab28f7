"""Gradient boosted trees over the workers of a Dask cluster, by ``xgboost.dask``.

Each worker loads its own share of the rows. Shares are cut in the order in which XGBoost ranks the
workers, so that the same rows on as many workers give the same trees, byte for byte. A worker that
dies ends the training of all: it is begun anew with the workers that are there then.
"""

import ctypes
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem
from types import FrameType
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xgboost
import xgboost.dask

if TYPE_CHECKING:
    from distributed import Client, Future

PARAMETERS: dict[str, Any] = {
    "objective": "multi:softprob",
    "eval_metric": "mlogloss",
    "tree_method": "hist",
    "max_depth": 6,
    "learning_rate": 0.1,
    "subsample": 0.7,
    "colsample_bytree": 0.5,
    "seed": 42,
}
"""XGBoost's. Those that differ from its defaults scored best by track on the GTZAN table."""

MOST_ROUNDS = 1000

PATIENCE = 30
"""Training stops when the loss of the validation part has not fallen for so many rounds."""

ROUNDS_UNSTOPPED = 150
"""Rounds where there is no validation part: what GTZAN stops at."""

ATTEMPTS = 5
"""So often is a training begun before worker after worker that dies ends it."""

SETTLE_S = 10.0
"""For so long, after one has died, as many workers as before are waited for."""

NO_WORKERS_S = 30.0
"""For so long, after one has died, any worker is waited for."""

MEET_S = 30
"""For so long the workers wait for one another to begin. One that dies just then, they miss."""

_NOTICE_S = 5.0
"""So long may a scheduler take to notice that a worker is gone."""

_BLOW_S = 1.0
"""So long may those still be counted that are to die of the same blow as one that has died."""

_TELL_S = 0.5

_TURN_S = 0.25
"""So often a job asks whether the training of another, on the same workers, is over."""

_AT_WORK = "songmill-trainings"
"""Names what the scheduler knows of trainings."""

Load = Callable[[Any], tuple[np.ndarray, np.ndarray]]
"""Returns a share's features [shape=(n, n_columns), float32] and classes [shape=(n,), int]."""


class TrainingError(Exception):
    """The training cannot go on; the text says why, and what would do."""


@dataclass(frozen=True)
class Share:
    """What one worker loads.

    Parameters
    ----------
    learn : Any
        For ``load``: rows to learn from, at least one.
    stop : Any or None
        For ``load``: rows of the validation part, at least one. All shares have some, or none.
    """

    learn: Any
    stop: Any = None


@dataclass(frozen=True)
class Boosted:
    """A trained booster.

    Parameters
    ----------
    booster : xgboost.Booster
        Where it was stopped early, only the rounds up to the best.
    losses : list of float
        Log loss of the validation part after each round; empty where there is none.
    workers : int
        How many have taken part.
    """

    booster: Any
    losses: list[float]
    workers: int


def boost(
    client: "Client",
    divide: Callable[[int], Sequence[Share]],
    load: Load,
    *,
    n_classes: int,
    rounds: int,
    heard: Callable[[int, float | None], None],
    lost: Callable[[int], None],
    waits: Callable[[], None],
) -> Boosted:
    """Train with the workers that are there.

    Parameters
    ----------
    client : Client
        The cluster.
    divide : callable
        Given a number of workers, returns a share for each, or for fewer where rows are few.
    load : callable
        Runs on a worker and returns the rows of what a share says.
    n_classes : int
        Number of classes. A worker, or all of them, need not have rows of each.
    rounds : int
        Boosting rounds, or the most of them where shares have rows to stop by.
    heard : callable
        Called now and then with the number of rounds and, where it is known, the loss. In a
        thread of the client's.
    lost : callable
        Called with the number of workers that are there when one was lost and training begins
        anew.
    waits : callable
        Called, once an attempt, where another job's training on these workers has to end first.

    Returns
    -------
    Boosted

    Raises
    ------
    TrainingError
        Workers die again and again, none is left, or a share cannot be loaded.
    """
    topic = f"songmill-boost-{uuid.uuid4().hex}"
    client.subscribe_topic(topic, lambda event: heard(event[1]["round"], event[1]["loss"]))
    try:
        ranked = _gather(client, 1)
        for attempt in range(ATTEMPTS):
            if attempt:
                lost(len(ranked))
            training = _Training(client, ranked, divide(len(ranked)), load)
            try:
                training.take_turn(waits)
                return training.run(n_classes=n_classes, rounds=rounds, topic=topic)
            except _WorkerLostError:
                time.sleep(_BLOW_S)
                # Who is left to go on is to be known before those that hang are waited for; these
                # come back under other addresses.
                before = len(ranked)
                _gather(client, before)
                training.end(topic)
                ranked = _gather(client, before)
    finally:
        client.unsubscribe_topic(topic)
    raise TrainingError(
        f"the training was begun {ATTEMPTS} times, and each time a worker died or did not come: "
        "their own logs say why (too little memory? another job's work?)"
    )


class _WorkerLostError(Exception):
    """A worker that takes part is gone."""


class _Training:
    """One attempt, with workers that are all to stay."""

    def __init__(
        self, client: "Client", ranked: list[str], shares: Sequence[Share], load: Load
    ) -> None:
        self.client = client
        self.workers = ranked[: len(shares)]
        self.shares = shares
        self.load = load
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None

    def take_turn(self, waits: Callable[[], None]) -> None:
        """Wait until no other job trains with these workers; _WorkerLostError where one goes."""
        told = False
        while not self.client.run_on_scheduler(_enter, self.client.id, self.workers):
            if not told:
                waits()
                told = True
            time.sleep(_TURN_S)
            if not self._all_there():
                raise _WorkerLostError

    def run(self, *, n_classes: int, rounds: int, topic: str) -> Boosted:
        """Train; _WorkerLostError where it has to be done again."""
        parameters = {**PARAMETERS, "num_class": n_classes}
        # XGBoost waits inside, where it hears of no worker that is gone for good.
        self.thread = threading.Thread(
            target=self._work, args=(parameters, rounds, topic), daemon=True, name="boosting"
        )
        self.thread.start()
        gone_since: float | None = None
        while self.thread.is_alive():
            self.thread.join(0.25)
            if self._all_there():
                gone_since = None
            else:
                gone_since = gone_since or time.monotonic()
                if time.monotonic() - gone_since > _NOTICE_S:
                    raise _WorkerLostError
        if self.error is None:
            # After an error the job ends, and its client with it, or it begins anew.
            self.client.run_on_scheduler(_leave, self.client.id)
            losses = self.result["history"].get("valid", {}).get("mlogloss", [])
            return Boosted(self.result["booster"], losses, len(self.workers))
        end = time.monotonic() + _NOTICE_S
        while time.monotonic() < end:
            if not self._all_there():
                raise _WorkerLostError
            time.sleep(0.25)
        if isinstance(self.error, _WorkerLostError):
            raise self.error
        if isinstance(self.error, xgboost.core.XGBoostError) and "/collective/" in str(self.error):
            raise _WorkerLostError  # one has not come, or not answered: it has other work to do
        raise TrainingError(f"the workers could not train: {_first_line(self.error)}")

    def end(self, topic: str) -> None:
        """See that an attempt that lost a worker is over: it holds a lock on the others.

        They hear of the loss, or give up. But one may wait for ever, in XGBoost's own code (3.2),
        which only the end of its process ends; a nanny starts another.
        """
        if self.thread is None:
            return  # it had not begun
        for patience, last in ((MEET_S + _NOTICE_S, False), (_NOTICE_S, True)):
            end = time.monotonic() + patience
            while (waiting := self._at_work(topic)) or self.thread.is_alive():
                if time.monotonic() > end:
                    break
                time.sleep(0.25)
            else:
                return
            if not last:
                self.client.run(os._exit, 1, workers=waiting, on_error="return")
        raise TrainingError(
            "a worker was lost, and the others do not end the training that it took part in: "
            "restart the workers, and run the same command again"
        )

    def _at_work(self, topic: str) -> list[str]:
        """Return the workers that are inside the training."""
        there = [worker for worker in self.workers if worker in _names(self.client)]
        answers = self.client.run(_trains, topic, workers=there, on_error="return")
        return [worker for worker, answer in answers.items() if answer is True]

    def _all_there(self) -> bool:
        return set(self.workers) <= set(_names(self.client))

    def _work(self, parameters: dict[str, Any], rounds: int, topic: str) -> None:
        try:
            learn = self._matrix([share.learn for share in self.shares])
            evals, callbacks = [], [_Tell(topic)]
            if self.shares[0].stop is not None:
                stop = self._matrix([share.stop for share in self.shares], ref=learn)
                evals.append((stop, "valid"))
                callbacks.append(
                    xgboost.callback.EarlyStopping(
                        rounds=PATIENCE, metric_name="mlogloss", data_name="valid", save_best=True
                    )
                )
            # Again, for what is asked for since: the next request is XGBoost's.
            self.client.run_on_scheduler(_enter, self.client.id, self.workers)
            self.result = xgboost.dask.train(
                self.client,
                parameters,
                learn,
                num_boost_round=rounds,
                evals=evals,
                verbose_eval=False,
                callbacks=callbacks,
                coll_cfg=xgboost.collective.Config(
                    tracker_timeout=MEET_S,
                    tracker_host_ip=meeting_place(self.client, self.workers[0]),
                ),
            )
        except BaseException as error:  # asyncio's CancelledError is no Exception
            self.error = error

    def _matrix(self, shares: list[Any], ref: Any = None) -> Any:
        """Return the matrix of which each worker holds its own share."""
        import dask.array as da

        features, classes, counts = [], [], []
        for share, worker in zip(shares, self.workers, strict=True):
            loaded = self._submit(worker, _load, self.load, share)
            features.append(self._submit(worker, getitem, loaded, 0))
            classes.append(self._submit(worker, getitem, loaded, 1))
            counts.append(self._submit(worker, np.shape, features[-1]))
        shapes = self.client.gather(counts)
        parts = zip(features, classes, shapes, strict=True)
        blocks = [
            (da.from_delayed(x, shape, np.float32), da.from_delayed(y, shape[:1], np.int32))
            for x, y, shape in parts
        ]
        matrix = xgboost.dask.DaskQuantileDMatrix(
            self.client,
            da.concatenate([x for x, _ in blocks]),
            da.concatenate([y for _, y in blocks]),
            ref=ref,
        )
        # Dask computes the share of a lost worker again, anywhere.
        if sorted(matrix.worker_map) != sorted(self.workers):
            raise _WorkerLostError
        return matrix

    def _submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> "Future":
        # Without leave to go elsewhere a task would wait for a dead worker for ever.
        return self.client.submit(
            function, *arguments, workers=[worker], allow_other_workers=True, pure=False
        )


def _enter(client: str, workers: list[str], *, dask_scheduler: Any) -> bool:
    """Note on the scheduler that a client trains with workers; False while another one does.

    ``xgboost.dask`` (3.2) locks the workers for its training, by a MultiLock of Dask's (2026.3)
    that a client which dies, or is stopped, leaves locked for ever. What clients that are gone
    have left is released here. Whose a lock is, it does not say: the first one asked for on just
    these workers, after they were noted.
    """
    trainings = dask_scheduler.extensions.setdefault(_AT_WORK, {})
    locks = dask_scheduler.extensions["multi_locks"]
    for other, (others, earlier) in list(trainings.items()):
        if other not in dask_scheduler.clients:
            for lock, names in list(locks.requests.items()):
                if names == others and lock not in earlier:
                    locks.release(id=lock)
                    break
            del trainings[other]
        elif other != client and others & set(workers):
            return False
    trainings[client] = (set(workers), set(locks.requests))
    return True


def _leave(client: str, *, dask_scheduler: Any) -> None:
    """Note on the scheduler that a client's training is over."""
    dask_scheduler.extensions.get(_AT_WORK, {}).pop(client, None)


def _trains(topic: str) -> bool:
    """Tell whether a thread of this worker is inside the training that tells ``topic``."""
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            if frame.f_code.co_name == "do_train":
                callbacks = frame.f_locals.get("callbacks") or []
                if any(isinstance(one, _Tell) and one.topic == topic for one in callbacks):
                    return True
            frame = frame.f_back
    return False


def meeting_place(client: "Client", worker: str) -> str | None:
    """Return the address of the scheduler's host under which the workers meet there.

    XGBoost would take that of the default route; of a host in several networks it may be one that
    no worker can reach.

    Parameters
    ----------
    client : Client
        The cluster.
    worker : str
        The address of a worker that takes part.

    Returns
    -------
    str or None
        The IP address by which that worker reaches the scheduler. None where it is not the host's
        own, but that of something between: there XGBoost's guess is the better one. None also
        where Dask's configuration says ``xgboost.scheduler_address``.
    """
    if dask.config.get("xgboost.scheduler_address", None):
        return None  # XGBoost's own setting, which it will not have contradicted
    seen: str = client.run(_scheduler_seen, workers=[worker])[worker]
    return seen if client.run_on_scheduler(_is_of_this_host, seen) else None


def _scheduler_seen(dask_worker: Any) -> str:
    from distributed.comm import get_address_host

    host = get_address_host(dask_worker.scheduler.address)
    return str(socket.getaddrinfo(host, None)[0][4][0])


def _is_of_this_host(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _load(load: Load, share: Any) -> tuple[np.ndarray, np.ndarray]:
    _silence()
    return load(share)


_drop = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda message: None)


def _silence() -> None:
    """Keep this thread's XGBoost from printing each rank on the terminal of a local cluster."""
    library = ctypes.CDLL(xgboost.build_info()["libxgboost"])
    library.XGBRegisterLogCallback(_drop)


class _Tell(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Tells the client now and then how far the training is; ends it when that is gone."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._told = 0.0

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Tell it, from one worker; stop where the client has gone, all after the same round."""
        from distributed import get_worker

        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
        unwanted = np.array([task is None or task.state == "cancelled"], dtype=np.int32)
        if xgboost.collective.allreduce(unwanted, xgboost.collective.Op.MAX)[0]:
            return True
        now = time.monotonic()
        if now - self._told >= _TELL_S and xgboost.collective.get_rank() == 0:
            self._told = now
            losses = evals_log.get("valid", {}).get("mlogloss")
            loss = float(losses[-1]) if losses else None
            worker.log_event(self.topic, {"round": epoch + 1, "loss": loss})
        return False


def _names(client: "Client") -> dict[str, str]:
    """Return the names that the workers' owner gave them, by address."""
    info = client.scheduler_info(n_workers=-1)
    if "workers" not in info:  # what a client knows that has lost its scheduler
        raise ConnectionError("the scheduler was lost")
    return {address: str(worker["name"]) for address, worker in info["workers"].items()}


def _ranked(client: "Client") -> list[str]:
    """Return the workers' addresses in the order in which XGBoost ranks them."""
    names = _names(client)
    return sorted(names, key=lambda address: f"[xgboost.dask-{names[address]}]:{address}")


def _gather(client: "Client", wanted: int) -> list[str]:
    """Return the workers, ranked, when so many are there or some are and others do not come."""
    began = time.monotonic()
    while True:
        ranked = _ranked(client)
        waited = time.monotonic() - began
        if len(ranked) >= wanted or (ranked and waited > SETTLE_S):
            return ranked
        if waited > NO_WORKERS_S:
            raise TrainingError(
                f"all workers were lost, and for {NO_WORKERS_S:g} s no other came: start some, "
                "and run the same command again"
            )
        time.sleep(0.25)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
