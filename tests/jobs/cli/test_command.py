"""Options from the environment and from a file in the working folder; the help."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from support.command_line import Command

import jobs.extraction.extract
import jobs.learning.train
import jobs.reporting.status
from jobs.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.delenv("SONGMILL_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Takes the options of every command in place of its job, which then ends with an error."""
    mock = Mock(side_effect=UsageError("asked"))
    monkeypatch.setattr(jobs.extraction.extract, "extract", mock)
    monkeypatch.setattr(jobs.learning.train, "train", mock)
    monkeypatch.setattr(jobs.reporting.status, "read_status", mock)
    return mock


def options_of(job: Mock) -> dict[str, Any]:
    return dict(job.call_args.kwargs)


def test_the_environment_names_the_store_unless_an_option_does(
    folder: Path, command: Command, job: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "songmill.toml").write_text('store = "of the file"\n')
    command("train")
    assert options_of(job)["store"] == "of the file"
    monkeypatch.setenv("SONGMILL_STORE", "of the environment")
    command("train")
    assert options_of(job)["store"] == "of the environment"
    command("train", "--store", "given")
    assert options_of(job)["store"] == "given"


def test_a_file_in_the_working_folder_serves_every_command(
    folder: Path, command: Command, job: Mock
) -> None:
    (folder / "songmill.toml").write_text(
        'sources = ["a", "b"]\nstore = "tables"\nsplit = "random"\nmax-failed = 0.5\n'
        'features = "gtzan"\n'
    )
    command("extract")
    found = options_of(job)
    assert (found["sources"], found["store"], found["max_failed"]) == (["a", "b"], "tables", 0.5)
    assert found["features"] == "gtzan"
    command("train")
    found = options_of(job)
    assert (found["store"], found["split"]) == ("tables", "random")
    # In `run`, the features to learn from are `train-features`.
    assert found["features"] is None
    command("status")
    assert job.call_args.args == ("tables",)


def test_an_unknown_option_in_the_file_is_wrong_usage(
    folder: Path, command: Command, job: Mock
) -> None:
    (folder / "songmill.toml").write_text('stor = "tables"\n')
    code, _, err = command("status")
    assert (code, "did you mean store?" in err) == (2, True)
    job.assert_not_called()


def test_a_wrong_choice_is_named_with_the_right_ones(command: Command) -> None:
    code, _, err = command("run", "x", "--store", "s", "--only", "foo")
    assert code == 2
    assert "Invalid value for '--only': 'foo' is not one of 'extract', 'train'" in err


def test_a_log_is_not_both_quiet_and_verbose(folder: Path, command: Command, job: Mock) -> None:
    assert command("train", "--store", "s", "-qv")[0] == 2
    job.assert_not_called()


def test_the_help_marks_only_what_is_still_required(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("extract", "--help")[1].count("[required]") == 2
    monkeypatch.setenv("SONGMILL_STORE", "tables")
    assert command("extract", "--help")[1].count("[required]") == 1
    (folder / "songmill.toml").write_text('sources = ["a"]\n')
    assert "[required]" not in command("extract", "--help")[1]


@pytest.mark.parametrize("name", ["", "extract", "promote", "demo"])
def test_the_help_has_exit_codes_and_no_types_of_flags(command: Command, name: str) -> None:
    out = command(*filter(None, [name]), "--help")[1]
    assert "Exit codes: 0 done" in out
    assert "bool" not in out
    assert not name or f"• songmill {name}" in out


def test_the_shell_completes_commands_and_tables(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_SONGMILL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "songmill export dupl")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert command()[1].split() == ["duplicates"]
