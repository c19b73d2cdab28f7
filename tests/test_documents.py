"""Command lines in README and docs/ have commands and options that exist."""

import shlex
from pathlib import Path

import pytest
import typer.main
from support.documents import DOCUMENTS, commands

from jobs.cli.main import app


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_commands_exist_and_have_their_options(document: Path) -> None:
    known = typer.main.get_command(app).commands
    for line in commands(document):
        _, name, *arguments = shlex.split(line.partition(" | ")[0], comments=True)
        command = known[name]
        command.make_parser(command.context_class(command)).parse_args(arguments)


def test_most_documents_have_commands() -> None:
    assert sum(1 for document in DOCUMENTS if commands(document)) > len(DOCUMENTS) / 2
