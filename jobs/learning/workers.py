"""The workers that train: their ranks, and the address at which they find one another.

Works around xgboost 3.2, which lets the workers meet at the address of the default route of the
scheduler's host. On a host in several networks the workers may not reach that address.
"""

import socket
from typing import TYPE_CHECKING, Any

import dask

if TYPE_CHECKING:
    from distributed import Client

    from jobs.cluster.pool import WorkerPool


def worker_names(pool: "WorkerPool") -> dict[str, str]:
    """Return the name of each fit worker by address."""
    return {address: str(worker["name"]) for address, worker in pool.list_workers().items()}


def ranked_workers(pool: "WorkerPool") -> list[str]:
    """Return the addresses of the fit workers in the order in which XGBoost ranks them."""
    names = worker_names(pool)
    return sorted(names, key=lambda address: f"[xgboost.dask-{names[address]}]:{address}")


def rendezvous_address(client: "Client", worker: str) -> str | None:
    """Return the IP address of the scheduler's host at which the workers find one another.

    It is the address by which ``worker``, one of them, reaches the scheduler. None, which leaves
    the choice to XGBoost, if that address belongs to something in between (such as a Kubernetes
    service) or if Dask's configuration sets ``xgboost.scheduler_address``.
    """
    if dask.config.get("xgboost.scheduler_address", None):
        return None  # XGBoost refuses a second, different address
    address: str = client.run(_scheduler_ip, workers=[worker])[worker]
    return address if client.run_on_scheduler(_is_local, address) else None


def _scheduler_ip(dask_worker: Any) -> str:
    """Return the IP address by which a worker reaches the scheduler. Runs on the worker."""
    from distributed.comm import get_address_host

    host = get_address_host(dask_worker.scheduler.address)
    return str(socket.getaddrinfo(host, None)[0][4][0])


def _is_local(address: str) -> bool:
    """Tell whether an IP address belongs to this host."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
