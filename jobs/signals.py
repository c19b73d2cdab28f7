"""How SIGTERM and Ctrl-C end a command: at once, in the middle of whatever it does.

An exception out of a signal's handler may come between any two steps of Python. Between taking a
lock and the ``try`` that gives it back it would lose the lock, and another thread, such as that of
Dask's client, would wait for it forever. In the middle of what the garbage collector calls it would
be printed and dropped. So it waits until the command is elsewhere.
"""

import signal
import time
import traceback
from dataclasses import dataclass
from types import CodeType, FrameType

from jobs.errors import RunInterruptedError

TAKES_LOCKS = ("threading", "logging", "importlib._bootstrap")
"""Modules whose Python takes locks; a ``with`` around a lock written in C is one step."""

COLLECTS_GARBAGE = ("distributed.gc", "weakref")
"""Modules that the garbage collector calls, as it calls any ``__del__``."""

AGAIN_S = 0.01
"""After as long a signal that was put off is tried again."""

WAITS = ("wait", "join", "_wait_for_tstate_lock")
"""Functions of ``threading`` that put right what an exception leaves once they wait."""

WAITS_AFTER_S = 0.2
"""One of these that is at the same step for as long does wait."""

STUCK_AFTER_S = 5.0
"""What is elsewhere at the same step for as long may never go on."""

_pending: list[int] = []
"""Signals that asked the command to end and of which it is not known that they were heard.

Code of others may catch the exception, such as a library that tries an import.
"""


@dataclass
class _PutOff:
    """A signal that waits, and the step of Python at which it finds the command, and since when."""

    number: int
    step: tuple[CodeType, int]
    since: float


_put_off: list[_PutOff] = []
"""The one signal that waits, if one does."""


def listen() -> None:
    """Have SIGTERM and SIGINT raise RunInterruptedError in the main thread from now on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _hear)
    signal.signal(signal.SIGALRM, _hear_again)


def raise_if_interrupted() -> None:
    """Raise RunInterruptedError once more, where somebody has caught the first."""
    if _pending:
        raise RunInterruptedError(_pending[-1])


def interruption_heard() -> None:
    """Note that the command is about to end: what it still says and writes is not in the way."""
    _pending.clear()


def _hear(number: int, frame: FrameType | None) -> None:
    if frame is not None and _breaks_at(frame):
        now = time.monotonic()
        step = (frame.f_code, frame.f_lasti)
        if not any(one.step == step for one in _put_off):
            _put_off[:] = [_PutOff(number, step, now)]
        waits = frame.f_code.co_name in WAITS
        if now < _put_off[0].since + (WAITS_AFTER_S if waits else STUCK_AFTER_S):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
    _put_off.clear()
    _pending.append(number)
    raise RunInterruptedError(number)


def _breaks_at(frame: FrameType) -> bool:
    """Tell whether an exception here might lose a lock, or be lost itself."""
    return frame.f_globals.get("__name__") in (*TAKES_LOCKS, *COLLECTS_GARBAGE) or any(
        outer.f_code.co_name == "__del__" for outer, _ in traceback.walk_stack(frame)
    )


def _hear_again(_: int, frame: FrameType | None) -> None:
    for one in _put_off:
        _hear(one.number, frame)
