"""Tables and lines on terminals of any width."""

import io
from typing import Any

import pytest
from rich.console import Console

from jobs.cli import tables

NAMES = ("track", "label", "cosine", "message")
TRACK = "blues/a long folder/blues.00000.wav"
ROWS = [(TRACK, "blues", "0.5", "all is well with this recording"), ("b.wav", "", "1.0", "")]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what is printed on a terminal of a width."""

    def run(width: int) -> list[str]:
        screen = io.StringIO()

        def console(fixed: int | None = None, **options: Any) -> Console:
            return Console(
                file=screen, width=fixed or width, force_terminal=True, color_system=None, **options
            )

        monkeypatch.setattr(tables, "Console", lambda width=None, **kw: console(width, **kw))
        tables.show_table(NAMES, ROWS)
        return [line.rstrip() for line in screen.getvalue().splitlines()]

    return run


def test_a_wide_terminal_has_a_line_for_each_row(printed: Any) -> None:
    lines = printed(200)
    assert [line.split() for line in lines[::2]] == [list(NAMES), ["b.wav", "1.0"]]
    assert len(lines) == 3


def test_a_narrower_terminal_breaks_only_prose(printed: Any) -> None:
    lines = printed(75)
    assert max(map(len, lines)) <= 75
    assert TRACK in lines[1]
    assert len(lines) == 4
    assert "all is well" in lines[1]


def test_a_narrow_terminal_has_a_line_for_each_value(printed: Any) -> None:
    assert printed(60) == [
        f"track    {TRACK}",
        "label    blues",
        "cosine   0.5",
        "message  all is well with this recording",
        "",
        "track   b.wav",
        "cosine  1.0",
        "",
    ]
