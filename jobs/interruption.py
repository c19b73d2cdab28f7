"""Interruption by SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed terminal).

The first signal sets a flag, and the command ends when it next calls
:func:`raise_if_interrupted`. A second signal, or :data:`GRACE_S` seconds, ends the process at once:
the store survives both, as it survives SIGKILL.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from jobs.errors import RunInterruptedError

T = TypeVar("T")

GRACE_S = 9.0
"""Seconds between the first signal and the forced end of the process."""

REPEAT_S = 0.5
"""Seconds in which further signals are ignored: ``timeout``, for one, sends two."""

POLL_S = 0.1
"""Seconds between two checks of the flag while the main thread waits."""


def _write_line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@dataclass
class _Request:
    """The signal to raise (0 for none), and the function that announces it."""

    number: int = 0
    announce: Callable[[str], object] = _write_line


_request = _Request()


@contextmanager
def listening() -> Iterator[None]:
    """Handle signals while the body runs. Ignored signals stay ignored."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    # Python runs signal handlers in the main thread, and not while it is in compiled code. Another
    # thread can always react.
    watcher = threading.Thread(target=_watch, args=(receiver,), daemon=True, name="signals")
    watcher.start()
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    handlers = {
        number: signal.signal(number, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        sender.close()
        watcher.join()
        receiver.close()
        _request.number = 0


@contextmanager
def announcing(write: Callable[[str], object]) -> Iterator[None]:
    """Announce an interruption by ``write`` instead of on stderr while the body runs."""
    before, _request.announce = _request.announce, write
    try:
        yield
    finally:
        _request.announce = before


def raise_if_interrupted() -> None:
    """Raise an exception once after a signal, in the main thread only.

    Raises
    ------
    RunInterruptedError
        A signal has asked the command to end.
    """
    if _request.number and threading.current_thread() is threading.main_thread():
        number, _request.number = _request.number, 0
        raise RunInterruptedError(number)


def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> "Future[T]":
    """Call ``function`` in a daemon thread.

    Examples
    --------
    >>> wait_for(in_thread(pow, 2, 5))
    32
    """
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def wait_for(future: "Future[T]") -> T:
    """Return the result of ``future``; signals interrupt the wait.

    Raises
    ------
    RunInterruptedError
        A signal has asked the command to end. The thread of the future continues.
    """
    while not wait([future], POLL_S).done:
        raise_if_interrupted()
    return future.result()


def _watch(receiver: socket.socket) -> None:
    """Handle signals, which arrive as bytes, until the other end closes."""
    first = receiver.recv(1)
    if not first:
        return
    began = time.monotonic()
    # A blocked stderr must not delay the deadline.
    announcement = threading.Thread(target=_announce, daemon=True)
    announcement.start()
    announcement.join(POLL_S)
    _request.number = first[0]
    while (remaining := began + GRACE_S - time.monotonic()) > 0:
        receiver.settimeout(remaining)
        with suppress(TimeoutError):
            further = receiver.recv(1)
            if not further:
                announcement.join(remaining)
                return
            if time.monotonic() > began + REPEAT_S:
                _end(further[0])
    _end(first[0])


def _announce() -> None:
    with suppress(OSError, ValueError):
        _request.announce("Stopping…")


def _end(number: int) -> NoReturn:
    with suppress(OSError):
        # Rich hides the cursor. A stopped terminal (Ctrl-S) must not block the write.
        terminal = os.open(os.ttyname(2), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        os.write(terminal, b"\x1b[?25h")
    os._exit(128 + number)
