"""Signals end a command at once, and lose no lock for which a thread of others may wait."""

import subprocess
import sys

import pytest

BEGIN = """
import logging, os, queue, random, signal, sys, threading, time, types
from jobs.errors import RunInterruptedError
from jobs.signals import interruption_heard, listening, raise_if_interrupted

listening = listening()
listening.__enter__()
__name__ = "jobs.this"

def of_others(code):
    module = types.ModuleType("others")
    exec(code, vars(module))
    return module

def ask_to_end(after):
    threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()

def start(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
"""

LOCKS = """
NAMES = [f"distributed.{number}" for number in range(60)]
CONDITION = threading.Condition()

def talk():
    while True:
        logging.getLogger(NAMES[3]).info("a word")
        sum(range(1000))

def silence():
    while True:
        for name in NAMES:
            logging.getLogger(name).setLevel(60)
            sum(range(1000))

def notify():
    while True:
        with CONDITION:
            CONDITION.notify()
        sum(range(1000))

LIBRARY = of_others('''
import threading
LOCK, CONDITION = threading.RLock(), threading.Condition()

def take():
    LOCK.acquire()
    for _ in range(1000):
        pass
    try:
        sum(range(1000))
    finally:
        LOCK.release()

def never_come_back():
    while True:
        with CONDITION:
            pass
''')

def use_a_library():
    while True:
        LIBRARY.take()
        sum(range(1000))

for work in (talk, notify):
    start(work)
WORK = 10 * [silence, notify, use_a_library] + 6 * [LIBRARY.never_come_back]
for attempt, work in enumerate(WORK):
    try:
        ask_to_end(after=random.uniform(0.005, 0.02))
        work()
    except RunInterruptedError:
        pass
    for lock in (logging._lock, CONDITION, LIBRARY.LOCK, LIBRARY.CONDITION):
        if lock._is_owned():
            os.write(1, f"{lock} is lost at attempt {attempt}".encode())
            os._exit(1)
os.write(1, b"none is lost")
os._exit(0)
"""

GARBAGE = """
import distributed.gc, gc, weakref

diagnosis = distributed.gc.GCDiagnosis()
diagnosis.enable()

class Garbage:
    def __init__(self):
        self.itself = self

    def __del__(self):
        sum(range(1000))

def litter():
    while True:
        known = weakref.WeakSet(Garbage() for _ in range(20))
        gc.collect(0)
        sum(range(20_000))

for _ in range(30):
    try:
        ask_to_end(after=random.uniform(0.005, 0.02))
        litter()
    except RunInterruptedError:
        pass
os.write(1, b"all are heard")
os._exit(0)
"""

WAITS = {
    "for an event": "threading.Event().wait(60)",
    "for a queue": "queue.Queue().get(timeout=60)",
    "for a thread": "start(lambda: time.sleep(60)).join()",
    "in turns": "while True: threading.Event().wait(0.05)",
    "for a lock": "condition = threading.Condition(); start(condition.acquire).join(); "
    "condition.__enter__()",
    "for time": "time.sleep(60)",
    "for nothing": "while True: sum(range(1000))",
    "for code of others": "of_others('while True: sum(range(1000))')",
    "for others that wait": "of_others('import time; time.sleep(60)')",
}

END = """
def wait():
    WAIT

ask_to_end(after=0.3)
try:
    wait()
except RunInterruptedError as error:
    os.write(1, str(error.exit_code).encode())
os._exit(0)
"""

HEARD_ELSEWHERE = """
of_others("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
try:
    raise_if_interrupted()
except RunInterruptedError:
    interruption_heard()
    listening.__exit__(None, None, None)
    time.sleep(0.1)
    os.write(1, b"all is over")
"""


def test_an_interruption_never_loses_a_lock() -> None:
    done = run(BEGIN + LOCKS)
    assert done.stdout == "none is lost", done.stderr


def test_an_interruption_is_not_lost_with_the_garbage() -> None:
    done = run(BEGIN + GARBAGE)
    assert (done.stdout, done.stderr) == ("all are heard", "")


def test_a_signal_that_was_put_off_and_then_heard_is_over() -> None:
    done = run(BEGIN + HEARD_ELSEWHERE)
    assert (done.returncode, done.stdout) == (0, "all is over")


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_whatever_a_command_waits_for_it_is_interrupted(wait: str) -> None:
    assert run(BEGIN + END.replace("WAIT", wait)).stdout == "143"


def run(code: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
