"""A lost scheduler as one clear error."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from jobs.errors import ClusterError, SongmillError
from jobs.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from distributed import Client, Future

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}


def wait_for_finished(client: "Client", futures: list["Future"]) -> list["Future"]:
    """Return the futures that have finished; wait up to one second for the first.

    Raise SchedulerLostError if the scheduler is lost.
    """
    from distributed import wait

    raise_if_interrupted()
    with contextlib.suppress(TimeoutError):
        wait(futures, timeout=1, return_when="FIRST_COMPLETED")
    # The client cancels its futures when it has lost their scheduler.
    if client.status != "running" or any(future.status == "cancelled" for future in futures):
        raise SchedulerLostError
    # A future whose result was lost with its worker is pending again.
    return [future for future in futures if future.status not in ("pending", "lost")]


class SchedulerLostError(Exception):
    """The scheduler is lost."""


@contextlib.contextmanager
def translate_errors(client: "Client") -> Iterator[None]:
    """Translate the many errors of a lost scheduler into one ClusterError."""
    where = f" at {client.scheduler.address}" if client.scheduler else ""
    try:
        yield
    except Exception as error:
        if not _is_loss(client, error):
            raise
        raise ClusterError(
            f"the scheduler{where} was lost. Finished work is kept: start the scheduler, and run "
            "the same command again"
        ) from None


def _is_loss(client: "Client", error: Exception) -> bool:
    if isinstance(error, SongmillError):
        return False
    if isinstance(error, OSError):
        return not _is_local(error)
    # A closed client raises different errors: its own ClosedClientError, an AttributeError.
    return isinstance(error, SchedulerLostError | CancelledError) or client.status != "running"


def _is_local(error: OSError) -> bool:
    """Return whether an error, such as a full disk, is not from a connection."""
    of_connection = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    return error.errno is not None and not of_connection and error.errno not in _UNREACHABLE
