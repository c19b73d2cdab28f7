"""Gradient boosted trees on the workers of a Dask cluster.

One worker trains by itself. Several train by ``xgboost.dask`` and exchange histograms over
connections of XGBoost's own, which are neither encrypted nor authenticated.

Each worker loads its own share of the rows. Shares are cut in the order in which XGBoost ranks the
workers, so that the same rows on the same number of workers give the same trees, byte for byte. A
worker that dies ends the attempt. The next attempt uses the workers present at that time. The last
attempt uses one worker, so that no stranger's connection can end a training.

Works around these faults of xgboost 3.2 and distributed 2026.3:

- ``xgboost.dask.train`` does not return when a worker is gone for good. It runs in a thread of its
  own, while the job watches the workers.
- A worker may wait forever in XGBoost's native code for one that died. Its process is killed; a
  nanny starts another.
- Rounds continue on the workers after the client is gone. A callback ends them.
- The rows of a lost worker wait for that worker. The end of the attempt cancels them.
"""

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import getitem
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost

from jobs.cluster.failures import wait_for_finished
from jobs.interruption import raise_if_interrupted
from jobs.learning import training_lock
from jobs.learning.workers import ranked_workers, rendezvous_address, worker_names
from training.boosting import (
    PARAMETERS,
    VALIDATION,
    Load,
    Share,
    TrainedBooster,
    early_stopping,
    silence_log,
    validation_losses,
)

if TYPE_CHECKING:
    from distributed import Future

    from jobs.cluster.pool import WorkerPool

MAX_ATTEMPTS = 5
"""Attempts before training fails."""

REPLACEMENT_TIMEOUT_S = 10.0
"""Seconds to wait for as many workers as before, after one died."""

NO_WORKERS_TIMEOUT_S = 30.0
"""Seconds to wait for any worker, after one died."""

RENDEZVOUS_TIMEOUT_S = 30
"""Seconds that workers wait for one another to join. They do not notice if one dies just then."""

COLLECTIVE_TIMEOUT_S = 300
"""Seconds that a worker waits for the others in each exchange, and for the tracker's answer.

A tracker answers one connection after the other. It waits without end for one that sends nothing.
"""

RESULT_TIMEOUT_S = 60.0
"""Seconds to wait for the booster of a worker that has finished."""

_LOSS_NOTICE_S = 5.0
"""Seconds that a scheduler may take to notice that a worker is gone."""

_CASCADE_S = 1.0
"""Seconds to wait after a loss, because other workers may be dying of the same cause."""

_REPORT_INTERVAL_S = 0.5
"""Seconds between reports of the round."""

_POLL_S = 0.25
"""Seconds between checks of the workers and of another job's lock."""


class TrainingError(Exception):
    """Training cannot continue; the text says why and what to do."""


class _WorkerLostError(Exception):
    """A worker of the attempt is gone."""


def boost(
    pool: "WorkerPool",
    divide: Callable[[int], Sequence[Share]],
    load: Load,
    *,
    n_classes: int,
    rounds: int,
    on_round: Callable[[int, float | None], None],
    on_worker_lost: Callable[[int], None],
    on_wait: Callable[[], None],
    seed: int = PARAMETERS["seed"],
) -> TrainedBooster:
    """Train on the workers of a pool.

    ``divide`` returns one share per worker for a number of workers, or fewer if rows are few.
    ``load`` loads the rows of a share on a worker; the shares need not contain all classes. With
    validation rows, ``rounds`` is a maximum. ``seed`` is XGBoost's.

    ``on_round`` is called now and then, in a thread of the client, with the number of finished
    rounds and the validation loss, or None without validation rows. ``on_worker_lost`` is called
    before each further attempt with the number of workers that are left, and ``on_wait`` at most
    once per attempt, if another job is training on these workers.

    Raises
    ------
    TrainingError
        Workers keep dying, none is left, or a share cannot be loaded.
    RunInterruptedError
        A signal has asked the command to end. The workers stop once the client is closed.
    """
    topic, client = f"songmill-boost-{uuid.uuid4().hex}", pool.client
    client.subscribe_topic(topic, lambda event: on_round(event[1]["round"], event[1]["loss"]))
    try:
        workers = _wait_for_workers(pool, 1)
        for number in range(MAX_ATTEMPTS):
            if number == MAX_ATTEMPTS - 1:
                workers = workers[:1]
            if number:
                on_worker_lost(len(workers))
            shares = divide(len(workers))
            attempt = _Attempt(pool, workers[: len(shares)], shares, load, topic)
            try:
                attempt.acquire_lock(on_wait)
                run = attempt.run_alone if len(shares) == 1 else attempt.run
                return run({**PARAMETERS, "num_class": n_classes, "seed": seed}, rounds)
            except _WorkerLostError:
                _poll(lambda: False, _CASCADE_S)
                # Without any worker, fail before waiting for those that hang. These return under
                # new addresses, so the workers are listed again afterwards.
                _wait_for_workers(pool, len(workers))
                attempt.stop()
                workers = _wait_for_workers(pool, len(workers))
    finally:
        client.unsubscribe_topic(topic)
    raise TrainingError(
        f"in each of {MAX_ATTEMPTS} attempts a worker died or did not join. The workers' logs say "
        "why; they may lack memory, or be busy with another job"
    )


def _wait_for_workers(pool: "WorkerPool", wanted: int) -> list[str]:
    """Return the ranked workers: at least ``wanted``, or fewer after REPLACEMENT_TIMEOUT_S."""
    start = time.monotonic()
    request = None
    while True:
        raise_if_interrupted()
        workers = ranked_workers(pool)
        if not workers and not request:
            request = pool.submit(os.getpid)  # An adaptive cluster starts workers for tasks only.
        waited = time.monotonic() - start
        if len(workers) >= wanted or (workers and waited > REPLACEMENT_TIMEOUT_S):
            return workers
        if waited > NO_WORKERS_TIMEOUT_S:
            raise TrainingError(
                f"all workers were lost, and none joined within {NO_WORKERS_TIMEOUT_S:g} s. Start "
                "workers, and run the same command again"
            )
        time.sleep(_POLL_S)


def _poll(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for a condition; return whether it was met within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        raise_if_interrupted()
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


@dataclass
class _Attempt:
    """One attempt to train, with a share for each worker. It fails if a worker is lost."""

    pool: "WorkerPool"
    workers: list[str]
    shares: Sequence[Share]
    load: Load
    topic: str
    result: Any = None
    error: BaseException | None = None
    thread: threading.Thread | None = None
    loading: list["Future"] = field(default_factory=list)  # tasks that may wait for a lost worker

    def __post_init__(self) -> None:
        self.client = self.pool.client

    def acquire_lock(self, on_wait: Callable[[], None]) -> None:
        """Wait until no other job trains on these workers; _WorkerLostError if one is lost."""
        waiting = False
        while not training_lock.try_acquire(self.client, self.workers):
            raise_if_interrupted()
            if not waiting:
                on_wait()
                waiting = True
            time.sleep(_POLL_S)
            if self._worker_lost():
                raise _WorkerLostError

    def run_alone(self, parameters: dict[str, Any], rounds: int) -> TrainedBooster:
        """Train as :meth:`run` does, on one worker and without connections of XGBoost's."""
        arguments = (self.load, self.shares[0], parameters, rounds)
        future = self.pool.submit(train_alone, *arguments, topic=self.topic, workers=self.workers)
        while not wait_for_finished(self.client, [future]):
            if self._worker_lost():
                raise _WorkerLostError
        try:
            found = future.result(timeout=RESULT_TIMEOUT_S)
        except TimeoutError:
            raise _WorkerLostError from None
        except Exception as error:
            raise _training_error(error) from None
        training_lock.release(self.client)
        return TrainedBooster(found["booster"], validation_losses(found["history"]), 1)

    def run(self, parameters: dict[str, Any], rounds: int) -> TrainedBooster:
        """Train; _WorkerLostError if another attempt may succeed, TrainingError if none would."""
        self.thread = threading.Thread(
            target=self._train, args=(parameters, rounds), daemon=True, name="boosting"
        )
        self.thread.start()
        complete = time.monotonic()
        while self.thread.is_alive():
            raise_if_interrupted()
            self.thread.join(_POLL_S)
            if not self._worker_lost():
                complete = time.monotonic()
            # XGBoost usually notices the loss itself, which ends the thread.
            elif time.monotonic() - complete > _LOSS_NOTICE_S:
                raise _WorkerLostError
        if self.error is None:
            # After an error the lock stays: the next attempt acquires it again, or the job ends.
            training_lock.release(self.client)
            losses = validation_losses(self.result["history"])
            return TrainedBooster(self.result["booster"], losses, len(self.workers))
        worker_lost = _poll(self._worker_lost, _LOSS_NOTICE_S)
        kind, text = type(self.error), str(self.error).strip()
        # A worker that is busy with other work does not join or does not answer.
        silent = issubclass(kind, xgboost.core.XGBoostError) and "/collective/" in text
        if worker_lost or silent or issubclass(kind, _WorkerLostError):
            raise _WorkerLostError
        raise _training_error(self.error)

    def stop(self) -> None:
        """End an attempt that lost a worker, because XGBoost holds a lock on the other workers.

        Most workers notice the loss or time out. The processes of those that hang are killed.
        """
        self.client.cancel(self.loading, force=True)
        if self.thread is None or _poll(self._is_over, RENDEZVOUS_TIMEOUT_S + _LOSS_NOTICE_S):
            return
        self.client.run(os._exit, 1, workers=self._training_workers(), on_error="return")
        if not _poll(self._is_over, _LOSS_NOTICE_S):
            raise TrainingError(
                "a worker was lost, and the other workers do not end its training. Restart the "
                "workers, and run the same command again"
            )

    def _is_over(self) -> bool:
        return not self._training_workers() and not (self.thread and self.thread.is_alive())

    def _training_workers(self) -> list[str]:
        """Return the workers that are inside ``xgboost.dask.train``."""
        names = worker_names(self.pool)
        present = [worker for worker in self.workers if worker in names]
        answers = self.client.run(_is_training, self.topic, workers=present, on_error="return")
        return [worker for worker, answer in answers.items() if answer is True]

    def _worker_lost(self) -> bool:
        return not set(self.workers) <= set(worker_names(self.pool))

    def _train(self, parameters: dict[str, Any], rounds: int) -> None:
        import xgboost.dask

        try:
            train = self._matrix([share.train for share in self.shares])
            evals, callbacks = [], [_RoundReport(self.topic)]
            if self.shares[0].valid is not None:
                valid = self._matrix([share.valid for share in self.shares], ref=train)
                evals.append((valid, VALIDATION))
                callbacks.append(early_stopping())
            # Acquired again, so that the next MultiLock on these workers is XGBoost's.
            training_lock.try_acquire(self.client, self.workers)
            self.result = xgboost.dask.train(
                self.client,
                parameters,
                train,
                num_boost_round=rounds,
                evals=evals,
                verbose_eval=False,
                callbacks=callbacks,
                coll_cfg=xgboost.collective.Config(
                    timeout=COLLECTIVE_TIMEOUT_S,
                    tracker_timeout=RENDEZVOUS_TIMEOUT_S,
                    tracker_host_ip=rendezvous_address(self.client, self.workers[0]),
                ),
            )
        except BaseException as error:  # asyncio.CancelledError is not an Exception
            self.error = error

    def _matrix(self, rows: list[Any], ref: Any = None) -> Any:
        """Return a matrix in which each worker holds its own rows."""
        import dask.array as da
        import xgboost.dask

        features, classes, shapes = [], [], []
        for share, worker in zip(rows, self.workers, strict=True):
            loaded = self._submit(worker, _load_share, self.load, share)
            features.append(self._submit(worker, getitem, loaded, 0))
            classes.append(self._submit(worker, getitem, loaded, 1))
            shapes.append(self._submit(worker, np.shape, features[-1]))
        parts = list(zip(features, classes, self.client.gather(shapes), strict=True))
        matrix = xgboost.dask.DaskQuantileDMatrix(
            self.client,
            da.concatenate([da.from_delayed(x, shape, np.float32) for x, _, shape in parts]),
            da.concatenate([da.from_delayed(y, shape[:1], np.int32) for _, y, shape in parts]),
            ref=ref,
        )
        # Dask may have loaded the share of a lost worker elsewhere.
        if sorted(matrix.worker_map) != sorted(self.workers):
            raise _WorkerLostError
        return matrix

    def _submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> "Future":
        # With `allow_other_workers`, Dask would also ignore that only checked workers may run it.
        future = self.pool.submit(function, *arguments, workers=[worker])
        self.loading.append(future)
        return future


def _training_error(error: BaseException) -> TrainingError:
    first_line = next(iter(str(error).strip().splitlines()), "")
    return TrainingError(f"the workers could not train: {type(error).__name__}: {first_line}")


def train_alone(
    load: Load,
    share: Share,
    parameters: dict[str, Any],
    rounds: int,
    *,
    topic: str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train on one worker; return the booster and its history, as ``xgboost.dask.train`` does.

    Without a ``topic``, rounds are not reported. By default all ``threads`` of the worker are used.
    """
    from distributed import get_worker

    threads = threads or get_worker().state.nthreads

    def matrix(rows: Any, ref: Any = None) -> Any:
        features, classes = _load_share(load, rows)
        return xgboost.QuantileDMatrix(features, classes, ref=ref, nthread=threads)

    train = matrix(share.train)
    evals, callbacks = [], [_RoundReport(topic)]
    if share.valid is not None:
        evals.append((matrix(share.valid, ref=train), VALIDATION))
        callbacks.append(early_stopping())
    history: dict[str, Any] = {}
    booster = xgboost.train(
        {**parameters, "nthread": threads},
        train,
        num_boost_round=rounds,
        evals=evals,
        evals_result=history,
        verbose_eval=False,
        callbacks=callbacks,
    )
    return {"booster": booster, "history": history}


def _load_share(load: Load, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    silence_log()
    return load(rows)


class _RoundReport(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Reports finished rounds to the client, and ends training when the client is gone."""

    def __init__(self, topic: str | None) -> None:
        self.topic = topic
        self._last_report = 0.0

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Report from rank 0. If the client is gone, return True on all workers in one round."""
        from distributed import get_worker

        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
        cancelled = np.array([task is None or task.state == "cancelled"], dtype=np.int32)
        if xgboost.collective.allreduce(cancelled, xgboost.collective.Op.MAX)[0]:
            return True
        now = time.monotonic()
        is_due = self.topic is not None and now - self._last_report >= _REPORT_INTERVAL_S
        if is_due and xgboost.collective.get_rank() == 0:
            self._last_report = now
            losses = validation_losses(evals_log)
            loss = float(losses[-1]) if losses else None
            worker.log_event(self.topic, {"round": epoch + 1, "loss": loss})
        return False


def _is_training(topic: str) -> bool:
    """Tell whether a thread of this process is inside the training that reports to ``topic``."""
    for innermost in sys._current_frames().values():
        frame: FrameType | None = innermost
        while frame is not None:
            # ``do_train`` is the function that xgboost.dask runs on each worker.
            if frame.f_code.co_name == "do_train":
                callbacks = frame.f_locals.get("callbacks") or []
                if any(isinstance(one, _RoundReport) and one.topic == topic for one in callbacks):
                    return True
            frame = frame.f_back
    return False
