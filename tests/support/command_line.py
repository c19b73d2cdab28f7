"""The command line, run in the process of the test."""

import signal
import sys
from collections.abc import Callable

import pytest

from jobs.cli import main as cli

Command = Callable[..., tuple[int, str, str]]
"""Runs songmill with arguments; returns its exit code, stdout and stderr."""


def in_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Return a :data:`Command` without signal handlers and with wide lines."""
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["songmill", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out, err

    return run
