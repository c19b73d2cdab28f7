"""What a run tells about itself, on a terminal and in a log."""

import io
import sys

import pytest
from rich.console import Console

from jobs import progress as module
from jobs.batch import Summary
from jobs.extract import Outcome
from jobs.progress import Progress, clock, printable


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Progress:
    """A progress with the console that it makes itself, which writes into ``log``."""
    monkeypatch.setattr(sys, "stderr", log)
    return Progress()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (41.6, "42 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (18730, "5 h 12 min"),
        (400000, "111 h 6 min"),
    ],
)
def test_a_time_span_is_said_as_people_do(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain name.wav", "plain name.wav"),
        ("caf\xe9 \N{GUITAR} 'q' \"q\".wav", "caf\xe9 \N{GUITAR} 'q' \"q\".wav"),
        ("two\nlines\r\ttab", r"two\nlines\r\ttab"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202egnol", r"\u202egnol"),
        ("\udcff", r"\udcff"),
        ("\u2028\x85", r"\u2028\x85"),
    ],
)
def test_a_name_cannot_write_to_the_terminal_what_it_wants(name: str, text: str) -> None:
    assert printable(name) == text
    assert "\n" not in printable(name)


def test_what_is_said_is_one_line_and_no_markup(log: io.StringIO, progress: Progress) -> None:
    name = "a [red]name[/x] of many words that is longer than the screen is wide\n:cat:"
    with progress.shown():
        progress.say(name)
        progress.warn(name)
    shown = name.replace("\n", r"\n")
    assert log.getvalue() == f"{shown}\nwarning: {shown}\n"


def test_the_plan_is_said_in_numbers(log: io.StringIO, progress: Progress) -> None:
    outcome = Outcome("run", listed=12, new=3, changed=2, retried=1, unchanged=6, gone=4)
    progress.plan(outcome, 6)
    outcome.kept = 5
    progress.plan(outcome, 1)
    first = "12 files: 3 new, 2 changed, 1 to try again, 6 unchanged, 4 gone"
    assert log.getvalue() == f"{first}\n{first}, 5 finished by an earlier run\n"


def test_a_log_gets_a_line_now_and_then(
    log: io.StringIO, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress.plan(Outcome("run", listed=10), 10)
    progress.begin("http://127.0.0.1:8787/status", 2)
    log.seek(0)
    log.truncate()
    progress.advance(Summary("done", extracted=3, failures={"empty": 1}, audio_s=900.0))
    for moment in (1001.0, 1010.0, 1014.9, 1015.0, 1016.0, 1029.9, 1030.0):
        now = moment
        progress.tick(2)
    # 900 s of audio in 15 s are 60 x realtime; 4 of 10 files in 15 s leave 22.5 s for 6.
    assert log.getvalue().splitlines() == [
        "4 of 10 files, 1 failed, 60 x realtime, 22 s left",
        "4 of 10 files, 1 failed, 30 x realtime, 45 s left",
    ]


def test_a_cluster_without_workers_is_said_to_be_so(
    log: io.StringIO, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress.begin("http://127.0.0.1:8787/status", 2)
    now = 100.0
    progress.tick(0)
    assert "0 of 0 files, 0 failed; the cluster has no worker, waiting" in log.getvalue()


def test_a_terminal_gets_a_live_line_that_goes_and_warnings_that_stay(log: io.StringIO) -> None:
    console = Console(file=log, force_terminal=True, width=80, highlight=False)
    progress = Progress(console)
    with progress.shown():
        progress.begin("http://127.0.0.1:8787/status", 2)
        progress.say("working on [it]")
        progress.tick(2)
        progress.warn("look at this")
    assert "look at this" in log.getvalue()
    assert "http://127.0.0.1:8787/status" in log.getvalue()
    # The live line is erased at the end: its last control code clears the line.
    assert log.getvalue().rstrip().endswith("\x1b[2K")


def test_by_default_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().say("hello")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")
