"""A lock on the workers of a training, released when the client that holds it is gone.

Works around xgboost 3.2 and distributed 2026.3. ``xgboost.dask.train`` locks its workers with a
``distributed.MultiLock``. If the client dies or is stopped, that MultiLock stays locked forever.
The lock here is kept on the scheduler, by client, so that the next client can release what a dead
one left behind.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

_EXTENSION = "songmill-trainings"
"""Key of the lock's state in the scheduler's extensions."""


def try_acquire(client: "Client", workers: list[str]) -> bool:
    """Lock workers for a client's training; return False while another client holds one of them.

    ``workers`` are addresses. A client that already holds the lock acquires it again. The
    MultiLocks of clients that are gone are released first.
    """
    acquired: bool = client.run_on_scheduler(_try_acquire, client.id, workers)
    return acquired


def release(client: "Client") -> None:
    """Release the lock of a client whose training is over."""
    client.run_on_scheduler(_release, client.id)


def _try_acquire(client: str, workers: list[str], *, dask_scheduler: Any) -> bool:
    """Run :func:`try_acquire` on the scheduler.

    A MultiLock does not record its client. A client's MultiLock is the first one requested on
    exactly its workers after it acquired the lock here.
    """
    holders = dask_scheduler.extensions.setdefault(_EXTENSION, {})
    multi_locks = dask_scheduler.extensions["multi_locks"]
    for holder, (held, earlier) in list(holders.items()):
        if holder not in dask_scheduler.clients:
            for lock, names in list(multi_locks.requests.items()):
                if names == held and lock not in earlier:
                    multi_locks.release(id=lock)
                    break
            del holders[holder]
        elif holder != client and held & set(workers):
            return False
    holders[client] = (set(workers), set(multi_locks.requests))
    return True


def _release(client: str, *, dask_scheduler: Any) -> None:
    dask_scheduler.extensions.get(_EXTENSION, {}).pop(client, None)
