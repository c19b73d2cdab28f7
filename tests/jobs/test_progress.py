"""Progress messages on a terminal and in a log."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from rich.console import Console

from jobs import progress as module
from jobs.progress import JsonLog, Progress, Verbosity, clock, printable


def test_a_time_span_is_written_as_people_do() -> None:
    spans = {0: "0 s", 0.4: "0 s", 41.6: "42 s", 59.6: "1 min 0 s", 200: "3 min 20 s"}
    spans |= {3599.4: "59 min 59 s", 3600: "1 h 0 min", 18730: "5 h 12 min", 400000: "111 h 6 min"}
    assert {seconds: clock(seconds) for seconds in spans} == spans


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


def test_messages_are_lines_of_stderr_without_markup(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a [red]name[/x] of many words that is longer than the screen is wide\n:cat:"
    with Progress().shown() as progress:
        progress.step(name)
        progress.warn(name)
    shown = name.replace("\n", r"\n")
    assert capsys.readouterr() == ("", f"{shown}\nwarning: {shown}\n")


def test_a_terminal_gets_a_live_line_that_goes_and_warnings_that_stay() -> None:
    log = io.StringIO()
    console = Console(file=log, force_terminal=True, width=80, highlight=False)
    with Progress(console).shown() as progress:
        progress.write("info", "http://127.0.0.1:8787/status")
        progress.step("working on [it]")
        progress.update("1 of 2")
        progress.warn("look at this")
    assert "look at this" in log.getvalue()
    assert "http://127.0.0.1:8787/status" in log.getvalue()
    # The live line is erased at the end: its last control code clears the line.
    assert log.getvalue().rstrip().endswith("\x1b[2K")


def test_a_line_of_a_log_has_the_time_and_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.run_id = "20261123T030011-31ed18"
    progress.warn("look at this")
    moment, _, line = capsys.readouterr().err.partition(" ")
    assert datetime.now(UTC) - datetime.fromisoformat(moment) < timedelta(minutes=1)
    assert line == "20261123T030011-31ed18 warning: look at this\n"


def test_a_quiet_log_has_only_warnings_and_a_verbose_one_every_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    shown = {"quiet": ["warning: c"], "normal": ["a", "warning: c"]}
    shown["verbose"] = ["a", "b", "warning: c", "d"]
    for verbosity in get_args(Verbosity):
        progress = Progress(verbosity=verbosity)
        progress.step("a")
        now += 2
        progress.update_live("b")
        progress.warn("c")
        progress.update("too soon")
        now += 2
        progress.update("d")
        assert capsys.readouterr().err.splitlines() == shown[verbosity]


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    log = io.StringIO()
    progress = Progress(Console(file=log, force_terminal=True))
    progress.run_id = "20261123T030011-31ed18"
    with progress.shown():
        progress.step("working")
    assert log.getvalue() == "working\n"


def test_a_log_in_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = JsonLog()
    log.run_id, log.stage = "20261123T030011-31ed18", "extract"
    log.warn("two\nlines")
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert line.pop("time").endswith("+00:00")
    assert line == {
        **{"level": "warning", "run_id": log.run_id, "stage": "extract"},
        "message": "two\nlines",
    }
