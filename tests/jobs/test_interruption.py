"""Signals end a command at once, and lose no lock for which a thread of others may wait."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
import soundfile
from support.made_stores import make_store

BEGIN = """
import logging, os, queue, random, signal, sys, threading, time, types
from jobs.errors import RunInterruptedError
from jobs.interruption import interruption_heard, listening, raise_if_interrupted

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


HEARD_BY_ANOTHER_THREAD = """
heard = queue.Queue()

def say():
    try:
        heard.put(raise_if_interrupted())
    except RunInterruptedError as error:
        heard.put(error)

try:
    of_others('''
import os, signal, threading
def ask_to_end(say):
    os.kill(os.getpid(), signal.SIGTERM)
    thread = threading.Thread(target=say)
    thread.start()
    thread.join()
''').ask_to_end(say)
    for _ in range(20_000):
        sum(range(1000))
    os.write(1, b"it was lost")
except RunInterruptedError:
    os.write(1, f"the other one heard {heard.get()}".encode())
os._exit(0)
"""

TURNED_INTO_AN_ERROR = """
import importlib
interruption_heard()
listening.__exit__(None, None, None)

def interrupted(*_, **__):
    of_others('''
import os, signal
class Named:
    def __set_name__(self, owner, name):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                pass
        except BaseException as error:  # as Python 3.11 does itself
            raise RuntimeError("Error calling __set_name__") from error
class Owner:
    name = Named()
''')

place, *arguments = sys.argv[1:]
module, name = place.split(":")
holder = importlib.import_module(module)
*classes, name = name.split(".")
for one in classes:
    holder = getattr(holder, one)
setattr(holder, name, interrupted)
sys.argv = ["songmill", *arguments]
from jobs.cli.main import main
main()
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


def test_another_thread_does_not_take_a_signal_that_was_put_off() -> None:
    done = run(BEGIN + HEARD_BY_ANOTHER_THREAD)
    assert done.stdout == "the other one heard None", done.stderr


@pytest.mark.parametrize(
    ("place", "stage"),
    [
        ("jobs.extraction.extract:list_sources", None),
        ("jobs.extraction.extract:_Run.adopt", "extract"),
        ("jobs.neighbours.similarity:read_vectors", "similarity"),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["run", "stage"])
def test_what_others_make_of_an_interruption_is_the_interruption(
    tmp_path: Path, place: str, stage: str | None, whole: bool
) -> None:
    source, store = tmp_path / "takes", tmp_path / "store"
    (source / "blues").mkdir(parents=True)
    soundfile.write(source / "blues/one.wav", np.zeros(22050), 22050)
    if stage == "similarity":
        make_store(store, [("blues/one.wav", "blues")], level="track")
    command = ["extract", str(source)] if stage != "similarity" else ["similarity"]
    if whole:
        command = ["run", str(source), "--only", command[0], "--json"]
    done = run(BEGIN + TURNED_INTO_AN_ERROR, place, *command, "--store", str(store))
    assert done.returncode == 143, done.stderr
    assert "ended by SIGTERM" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    if whole:
        assert json.loads(done.stdout)["outcome"] == "interrupted"
    if stage is not None:
        row = ds.dataset(store / "runs").to_table().to_pylist()[-1]
        assert (row["stage"], row["outcome"]) == (stage, "interrupted")


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_whatever_a_command_waits_for_it_is_interrupted(wait: str) -> None:
    assert run(BEGIN + END.replace("WAIT", wait)).stdout == "143"


def run(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
