"""The command line: options in, exit codes out, one-line errors."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from support.command_line import Command
from support.made_stores import make_store, put

import jobs.extraction.extract
from jobs.errors import ClusterError, RunInterruptedError, StoreError, UsageError
from jobs.extraction.extract import Outcome
from jobs.store.schemas import FILES, RUNS

DEFAULTS = {
    "labels": "parent",
    "scheduler": None,
    "workers": None,
    "features": "gtzan,rich",
    "segment_seconds": 3.0,
    "force": False,
    "retry_failed": False,
    "max_failed": 0.1,
    "max_gone": 0.1,
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each call of the job, which does nothing."""
    asked: list[dict[str, Any]] = []

    def extract(sources: list[str], *, progress: object, **options: Any) -> Outcome:
        asked.append({"sources": sources, **options})
        return Outcome("run")

    monkeypatch.setattr(jobs.extraction.extract, "extract", extract)
    return asked


# Help


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["extract", "--help"], ["status", "-h"], ["import-features", "--help"]],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv[1:] = {arguments}\n"
        "from jobs.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    heavy = {"numpy", "pandas", "pyarrow", "scipy", "librosa", "numba", "dask", "distributed"}
    heavy |= {"av", "bokeh", "fsspec", "psutil", "soundfile", "soxr", "sklearn"}
    assert not loaded & heavy


def test_help_names_the_commands_and_the_exit_codes(command: Command) -> None:
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    for word in ("extract", "status", "demo", "0 done, 1 failed, 2 wrong usage, 3 too many"):
        assert word in out
    code, out, _ = command("extract", "--help")
    assert code == 0
    for option in (
        *("--store", "--labels", "--scheduler", "--workers", "--segment-seconds", "--force"),
        *("--retry-failed", "--max-failed", "--json", "SOURCE"),
    ):
        assert option in out


def test_the_version_is_the_installed_ones(command: Command) -> None:
    from importlib.metadata import version

    assert command("--version") == (0, f"songmill {version('songmill')}\n", "")


# Options


def test_options_reach_the_job_and_have_the_documented_defaults(
    command: Command, requests: list[dict[str, Any]]
) -> None:
    assert command("extract", "a", "b c", "--store", "s")[0] == 0
    command(
        *("extract", "a", "--store", "s", "--labels", "l.csv", "--scheduler", "tcp://x:1"),
        *("--segment-seconds", "2.5", "--force", "--retry-failed", "--max-failed", "1"),
        *("--max-gone", "0", "--features", "rich"),
    )
    command("extract", "--store", "s", "--workers", "7", "--", "-a.wav")
    given = {"labels": "l.csv", "scheduler": "tcp://x:1", "segment_seconds": 2.5}
    given |= {"force": True, "retry_failed": True, "max_failed": 1.0, "max_gone": 0.0}
    given |= {"features": "rich"}
    assert requests == [
        {**DEFAULTS, "sources": ["a", "b c"], "store": "s"},
        {**DEFAULTS, "sources": ["a"], "store": "s", **given},
        {**DEFAULTS, "sources": ["-a.wav"], "store": "s", "workers": 7},
    ]


def test_the_schedulers_address_may_come_from_the_environment(
    command: Command, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://from-the-environment:8786")
    command("extract", "a", "--store", "s")
    command("extract", "a", "--store", "s", "--scheduler", "tcp://given:8786")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "")
    command("extract", "a", "--store", "s")
    found = [request["scheduler"] or None for request in requests]
    assert found == ["tcp://from-the-environment:8786", "tcp://given:8786", None]


SEGMENT = "extract a --store s --segment-seconds"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("extract a", "--store"),
        ("extract --store s", "SOURCE"),
        ("extract a --store s --wrokers 1", "--wrokers"),
        *((f"extract a --store s --workers {value}", "--workers") for value in ("0", "two")),
        *((f"extract a --store s --max-failed {value}", "--max-failed") for value in (1.5, "nan")),
        *((f"extract a --store s --max-gone {value}", "--max-gone") for value in (1.5, "nan")),
        *((f"{SEGMENT} {value}", "0.1 to 600 seconds") for value in (0, -3, "nan", "inf", 0.04)),
        ("extrac", "extrac"),
        ("status", "--store"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_what_was_given(
    command: Command, requests: list[dict[str, Any]], line: str, error: str
) -> None:
    code, out, err = command(*line.split())
    assert (code, out) == (2, "")
    assert error in err
    assert "Traceback" not in err
    assert requests == []


# Exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("of\nuse [red]"), 2),
        (StoreError("of the store"), 1),
        (ClusterError("of the cluster"), 1),
        (RunInterruptedError(signal.SIGTERM), 143),
        (RunInterruptedError(signal.SIGINT), 130),
        (OSError(28, "No space left on device", "/store/x"), 1),
        (PermissionError(13, "Permission denied", "/store/x"), 1),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(jobs.extraction.extract, "extract", Mock(side_effect=error))
    for options in ([], ["--json"]):
        ended, out, err = command("extract", "a", "--store", "s", *options)
        assert (ended, out) == (code, "")
        assert err.startswith("songmill: ")
        assert len(err.strip().splitlines()) == 1
        assert str(error).replace("\n", r"\n") in err


NO_STORE = ("--store", "no-store")


@pytest.mark.parametrize(
    "line",
    [
        ("extract", "no-source", *NO_STORE),
        ("import-features", "no.csv", *NO_STORE),
        ("compare", *NO_STORE),
        ("train", *NO_STORE),
        ("predict", "--all", *NO_STORE),
        ("predict", "no.wav", *NO_STORE),
        ("similarity", *NO_STORE),
        ("similar", "pop.1", *NO_STORE),
        ("export", "files", "--to", "x.csv", *NO_STORE),
        ("inspect", "no.wav"),
        ("report", *NO_STORE),
        ("run", "no-source", *NO_STORE, "--only", "train", "--from", "train"),
    ],
    ids=lambda line: " ".join(line[:2]),
)
def test_errors_are_json_in_a_log_in_json(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = command(*line)
    found = command(*line, "--log-format", "json")
    assert found[:2] == text[:2]
    assert found[0] in (1, 2)
    *_, last = (json.loads(entry) for entry in found[2].splitlines())
    assert last["level"] == "error"
    assert text[2].endswith(f"songmill: {last['message']}\n")


def test_a_bug_is_json_in_a_log_in_json(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.extraction.extract, "extract", Mock(side_effect=ZeroDivisionError))
    code, _, err = command("extract", "a", "--store", "s", "--log-format", "json")
    assert code == 1
    assert "ZeroDivisionError" in json.loads(err)["message"]


def test_every_command_with_a_log_has_its_format(command: Command) -> None:
    for name in ("demo", "extract", "predict", "run"):
        assert "--log-format" in command(name, "--help")[1]


def test_an_interrupt_while_the_command_line_is_loaded_is_no_traceback() -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from importlib.metadata import entry_points\n"
        "[program] = entry_points(group='console_scripts', name='songmill')\n"
        "program.load()()"
    )
    done = run(sys.executable, "-c", code)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_too_many_failed_files_are_3_and_the_counts_are_printed_all_the_same(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome("run", outcome="too-many-failed", message="5 of 9 files", listed=9)
    outcome.failures = {"empty": 5}
    monkeypatch.setattr(jobs.extraction.extract, "extract", lambda *_, **options: outcome)
    code, out, err = command("extract", "a", "--store", "s")
    assert (code, err) == (3, "songmill: 5 of 9 files\n")
    assert "5 empty" in out
    code, out, err = command("extract", "a", "--store", "s", "--json")
    assert (code, err) == (3, "songmill: 5 of 9 files\n")
    found = json.loads(out)
    assert (found["outcome"], found["failed"]) == ("too-many-failed", 5)
    assert found["failures"] == {"empty": 5}


def test_too_many_gone_files_are_3_and_nothing_is_said_to_be_done(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome("run", "too-many-gone", "8 of 9 known files of /music are gone", listed=1)
    monkeypatch.setattr(jobs.extraction.extract, "extract", lambda *_, **options: outcome)
    code, out, err = command("extract", "a", "--store", "s")
    assert (code, err) == (3, "songmill: 8 of 9 known files of /music are gone\n")
    assert out.splitlines()[0] == "Nothing was extracted or removed."
    code, out, _ = command("extract", "a", "--store", "s", "--json")
    assert (code, json.loads(out)["outcome"]) == (3, "too-many-gone")


def test_json_is_one_object_with_the_counts_of_the_run(
    command: Command, requests: list[dict[str, Any]]
) -> None:
    code, out, _ = command("extract", "a", "--store", "caf\xe9 \N{GUITAR}", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["store"] == "caf\xe9 \N{GUITAR}"
    counts = {"listed", "new", "changed", "retried", "unchanged", "gone", "relabelled", "kept"}
    counts |= {"extracted", "failed", "segments", "failed_in_all", "audio_s", "compute_s"}
    assert {name: found[name] for name in counts} == dict.fromkeys(counts, 0)
    assert found["failures"] == {}


# Status


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = make_store(tmp_path / "store", [("b", None)], level="track")
    failed = {"track_id": "a\n\N{GUITAR}\x1b[31m.wav", "status": "failed"}
    remarked = {"track_id": "b", "status": "ok", "message": "The file is cut off."}
    failed |= {"error": "empty", "message": "holds no bytes"}
    put(made, "files", [failed, remarked, {"track_id": "c", "status": "ok"}], FILES)
    counts = dict.fromkeys(("seconds", "extracted", "failed", "unchanged", "gone"), 1)
    run = {"run_id": "1", "outcome": "done", "started_at": datetime(2026, 1, 2, tzinfo=UTC)}
    put(made, "runs", [run | counts], RUNS)
    return tmp_path / "store"


def test_status_shows_a_store(command: Command, store: Path) -> None:
    code, out, err = command("status", "--store", store)
    assert (code, err) == (0, "")
    assert str(store) in out
    assert "2026-01-02" in out
    code, out, err = command("status", "--store", store, "--failed")
    assert (code, err) == (0, "")
    heading, names, line = out.splitlines()
    assert (heading, names.split()) == ("1 file failed:", ["track", "failure", "why"])
    assert line == "a\\n\N{GUITAR}\\x1b[31m.wav  empty    Holds no bytes."
    code, out, err = command("status", "--store", store, "--warnings")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].split() == ["b", "The", "file", "is", "cut", "off."]


def test_status_as_json_is_one_object(command: Command, store: Path) -> None:
    for options in ([], ["--warnings"], ["--failed"]):
        code, out, err = command("status", "--store", store, "--json", *options)
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        assert (found["tracks"], found["files"], found["warnings"]) == (1, 3, 1)
        assert found["labels"] == [{"label": None, "tracks": 1}]
        assert (found["failed"], found["failures"]) == (1, {"empty": 1})
        assert found["runs"][0]["started_at"] == "2026-01-02T00:00:00+00:00"
        assert ("failed_files" in found) == ("--failed" in options)
        warned = {"track_id": "b", "message": "The file is cut off.", "uri": None}
        assert found.get("warned_files") == ([warned] if "--warnings" in options else None)
    assert [row["track_id"] for row in found["failed_files"]] == ["a\n\N{GUITAR}\x1b[31m.wav"]


def test_status_without_a_store_is_wrong_usage(command: Command, tmp_path: Path) -> None:
    code, out, err = command("status", "--store", tmp_path / "missing")
    assert (code, out) == (2, "")
    assert (
        err == f"songmill: there is no store at {tmp_path}/missing. "
        f"Create it: songmill extract SOURCE --store {tmp_path}/missing\n"
    )


def test_a_tilde_is_the_home_folder_although_no_shell_expands_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert f"no store at {tmp_path}/home/x." in command("status", "--store=~/x")[2]
    (tmp_path / "home").mkdir()
    (tmp_path / "home/night.toml").write_text("sources = ['~/music']\nstore = '~/x'\n")
    code, _, err = command("run", "--config=~/night.toml")
    assert (code, "there is no ~/music" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("options", [[], ["--json"], ["--failed"], ["--failed", "--json"]])
def test_a_terminal_without_unicode_does_not_end_the_command(
    store: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run(sys.executable, "-m", "songmill", "status", "--store", str(store), *options)
    assert (done.returncode, done.stderr) == (0, "")
    if "--json" in options:
        json.loads(done.stdout)


def test_a_store_whose_name_is_no_utf8_is_refused(command: Command, store: Path) -> None:
    name = os.fsdecode(os.fsencode(store.parent) + b"/caf\xe9")
    store.rename(name)
    for arguments in (["status"], ["extract", str(store.parent)]):
        code, out, err = command(*arguments, "--store", name)
        assert (code, out) == (2, "")
        assert r"caf\udce9 is not UTF-8" in err
