"""How SIGTERM and Ctrl-C end a command: at once, in the middle of whatever it does.

An exception out of a signal's handler may come between any two steps of Python. In code of others
it might come between taking a lock and the ``try`` that gives it back, and another thread, such as
that of Dask's client, would wait for the lock forever; or in the middle of what the garbage
collector calls, which drops it. So it waits for a step of songmill's own code, or until the command
itself waits, or computes for long.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import CodeType, FrameType

from jobs.errors import RunInterruptedError

OUR_OWN = ("jobs", "featurizer", "training", "recommend", "pages", "compiling")
"""Packages that can be left at any step: they take locks by ``with``, which is one step."""

AGAIN_S = 0.01
"""After as long a signal that was put off is tried again."""

ELSEWHERE_S = 1.0
"""For as long a signal waits for code of others to come back."""

TAKES_LOCKS = ("threading", "logging", "importlib._bootstrap")
"""Modules whose Python takes locks all the time: left only where they stand still."""

WAITS = ("wait", "join", "_wait_for_tstate_lock")
"""Functions of ``threading`` that put right what an exception leaves once they wait."""

WAITS_AFTER_S = 0.2
"""One of these that is at the same step for as long does wait."""

STUCK_AFTER_S = 5.0
"""What else takes a lock and is at the same step for as long may never go on."""

_pending: list[int] = []
"""Signals that asked the command to end and of which it is not known that they were heard.

Code of others may catch the exception, such as a library that tries an import.
"""


@dataclass
class _PutOff:
    """A signal that waits, and at which step of Python it finds the command, since when."""

    number: int
    first: float
    step: tuple[CodeType, int] | None = None
    since: float = 0.0


_put_off: list[_PutOff] = []
"""The one signal that waits, if one does."""


@contextmanager
def listening() -> Iterator[None]:
    """Have SIGTERM and SIGINT raise RunInterruptedError in the main thread in the body."""
    answers = {signal.SIGALRM: _hear_again, signal.SIGTERM: _hear, signal.SIGINT: _hear}
    before = {number: signal.signal(number, answer) for number, answer in answers.items()}
    hook = sys.unraisablehook
    sys.unraisablehook = partial(_hear_dropped, hook)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, before[number])
        # An alarm that came later would be the end of Python.
        _wait_no_more()
        signal.signal(signal.SIGALRM, before[signal.SIGALRM])
        sys.unraisablehook = hook


def raise_if_interrupted() -> None:
    """Raise RunInterruptedError where a signal waits, or where somebody has caught the first.

    Other threads than the main one, such as that of Dask's client, are not to end of it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    _pending.extend(one.number for one in _put_off)
    _wait_no_more()
    if _pending:
        raise RunInterruptedError(_pending[-1])


@contextmanager
def interruption_prevails() -> Iterator[None]:
    """Raise RunInterruptedError in place of what code of others has made of it in the body.

    Python itself makes a RuntimeError of what interrupts the creation of a class, for one.
    """
    try:
        yield
    except Exception:
        raise_if_interrupted()
        raise


def interruption_heard() -> None:
    """Note that the command is about to end: what it still says and writes is not in the way."""
    _pending.clear()
    _wait_no_more()


def _wait_no_more() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    _put_off.clear()


def _hear(number: int, frame: FrameType | None) -> None:
    # In the middle of the answer to another signal: what counts is what that one has interrupted.
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    if frame is not None and _is_to_wait(number, frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        return
    _wait_no_more()
    _pending.append(number)
    raise RunInterruptedError(number)


def _is_to_wait(number: int, frame: FrameType) -> bool:
    """Tell whether an exception here might lose a lock, or be lost itself."""
    module = str(frame.f_globals.get("__name__"))
    if module.partition(".")[0] in OUR_OWN:
        return False
    now = time.monotonic()
    if not _put_off:
        _put_off.append(_PutOff(number, now))
    one = _put_off[0]
    step = (frame.f_code, frame.f_lasti)
    if one.step != step:
        one.step, one.since = step, now
    if module not in TAKES_LOCKS:
        return now < one.first + ELSEWHERE_S
    return now < one.since + (WAITS_AFTER_S if frame.f_code.co_name in WAITS else STUCK_AFTER_S)


def _hear_again(_: int, frame: FrameType | None) -> None:
    for one in _put_off:
        _hear(one.number, frame)


def _hear_dropped(
    otherwise: Callable[["sys.UnraisableHookArgs"], object], dropped: "sys.UnraisableHookArgs"
) -> None:
    """Try again what the garbage collector has dropped, in place of printing it."""
    if isinstance(dropped.exc_value, RunInterruptedError):
        _put_off[:] = [_PutOff(dropped.exc_value.number, time.monotonic())]
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        otherwise(dropped)
