"""Signals end a command: at its next check, at a second signal, or at the deadline."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.interruption import in_thread, wait_for

BEGIN = r"""
import hashlib, os, signal, sys, threading, time
from jobs import interruption
from jobs.errors import RunInterruptedError
from jobs.interruption import in_thread, listening, raise_if_interrupted, wait_for
from jobs.progress import JsonLog, Progress

signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

def ready():
    os.write(1, b"ready\n")

def compute():
    ready()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # compiled code, for many minutes
"""

COMPUTE = "with listening(): compute()"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts Python code and waits until it is ready."""
    with contextlib.ExitStack() as stack:

        def start(code: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", BEGIN + code],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "TERM": "xterm"},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def end(
    process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM
) -> tuple[int, str, str]:
    """Send a signal to a process; return its exit code and its remaining output."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_signal_raises_once_and_where_the_main_thread_looks(start: Start) -> None:
    process = start("""
with listening():
    ready()
    while not interruption._request.number:
        time.sleep(0.01)
    in_thread(raise_if_interrupted).result()
    try:
        raise_if_interrupted()
    except RunInterruptedError as error:
        print(error.exit_code)
    raise_if_interrupted()
""")
    assert end(process) == (0, "143\n", "Stopping…\n")


@pytest.mark.parametrize("wait", ["wait_for(in_thread(time.sleep, 60))", "look()"])
def test_a_wait_and_a_job_that_shows_progress_are_interrupted(start: Start, wait: str) -> None:
    process = start(f"""
def look():
    while True:
        Progress().update_live("")

with listening():
    ready()
    try:
        {wait}
    except RunInterruptedError as error:
        print(error)
""")
    code, out, err = end(process, signal.SIGHUP)
    assert (code, err) == (0, "Stopping…\n")
    assert out.startswith("ended by SIGHUP")


def test_a_wait_gives_the_result_or_the_error() -> None:
    assert wait_for(in_thread(pow, 2, exp=5)) == 32
    with pytest.raises(ValueError, match="invalid literal"):
        wait_for(in_thread(int, "x"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_compiled_code_is_ended_at_the_deadline(
    start: Start, number: signal.Signals, code: int
) -> None:
    process = start("interruption.GRACE_S = 0.5\n" + COMPUTE)
    assert end(process, number) == (code, "", "Stopping…\n")


@pytest.mark.parametrize(("repeat_s", "grace_s", "code"), [(0, 3600, 130), (3600, 1, 143)])
def test_a_second_signal_ends_the_process_at_once_unless_it_is_a_repetition(
    start: Start, repeat_s: int, grace_s: int, code: int
) -> None:
    limits = f"interruption.REPEAT_S = {repeat_s}; interruption.GRACE_S = {grace_s}\n"
    process = start(limits + COMPUTE)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert process.stderr.readline() == "Stopping…\n"
    assert end(process, signal.SIGINT) == (code, "", "")


def test_a_stderr_that_nobody_reads_does_not_hold_up_the_deadline(start: Start) -> None:
    process = start("""
interruption.GRACE_S = 0.5
os.set_blocking(2, False)
try:
    while True:
        os.write(2, bytes(4096))
except BlockingIOError:
    os.set_blocking(2, True)
with listening():
    compute()
""")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143


def test_a_json_log_has_a_line_for_the_signal(start: Start) -> None:
    process = start("""
with listening(), JsonLog().shown() as log:
    log.run_id = "a run"
    interruption.GRACE_S = 0.5
    compute()
""")
    code, _, err = end(process)
    line: dict[str, Any] = json.loads(err)
    assert (code, line["message"], line["run_id"]) == (143, "Stopping…", "a run")


def test_a_live_line_is_not_garbled_and_leaves_the_cursor_visible(start: Start) -> None:
    screen, terminal = pty.openpty()
    process = start(
        """
with listening(), Progress().shown() as progress:
    interruption.GRACE_S = 0.5
    progress.step("at work")
    compute()
""",
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while b"at work" not in shown:
        shown += os.read(screen, 4096)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(OSError):  # the terminal of a process that has ended
        while more := os.read(screen, 4096):
            shown += more
    os.close(screen)
    assert process.wait(60) == 143
    assert "\x1b[2KStopping…\r\n" in shown.decode()  # on a line that was cleared for it
    assert shown.endswith(b"\x1b[?25h")


def test_handlers_and_threads_are_restored_afterwards(start: Start) -> None:
    process = start("""
def state():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    wakeup = signal.set_wakeup_fd(-1)
    return handlers, wakeup, threading.enumerate(), os.listdir("/proc/self/fd")

ready()
before = state()
with listening():
    pass
print(state() == before)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with listening():
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
print(ignored, flush=True)
time.sleep(60)
""")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["True\n", "True\n"]
    assert end(process) == (-signal.SIGTERM, "", "")
