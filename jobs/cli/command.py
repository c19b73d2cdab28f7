"""A command, with defaults of its options from the environment and a TOML file."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer.core

from jobs.cli.config import read_config

CONFIG = Path("songmill.toml")
"""File of options, in the working folder."""

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many files failed or gone, "
    "129, 130 and 143 interrupted."
)


class PlainFlags:
    """Mixin of commands: their help shows no type of a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with the option for help."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class Command(PlainFlags, typer.core.TyperCommand):
    """A command that reads options from :data:`CONFIG`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; options that are not given get their values elsewhere."""
        if CONFIG.is_file():
            use_config(ctx, CONFIG)
        for parameter in self.params:
            in_environment = isinstance(parameter.envvar, str) and os.environ.get(parameter.envvar)
            if in_environment or parameter.name in (ctx.default_map or {}):
                parameter.required = False
        return super().parse_args(ctx, args)


def use_config(ctx: Any, path: Path) -> None:
    """Use the options of a TOML file as defaults of a command.

    The file has options of ``songmill run``. Another command uses those that it shares with it.
    UsageError if the file is not valid.
    """
    of_run = _by_name(ctx.parent.command.commands["run"])
    shared = {
        name: parameter
        for name, parameter in _by_name(ctx.command).items()
        if name in of_run and parameter.help == of_run[name].help
    }
    given = read_config(path, list(of_run))
    ctx.default_map = {shared[key].name: value for key, value in given.items() if key in shared}


def epilog(examples: Iterable[str]) -> str:
    """Return the end of a command's help in Markdown: examples, and the exit codes."""
    lines = [f"- `{example}`" for example in examples]
    return "\n".join(["Examples:", "", *lines, "", EXIT_CODES])


def _by_name(command: Any) -> dict[str, Any]:
    """Return the parameters of a command by their names in a TOML file."""
    names = {
        parameter.name
        if parameter.param_type_name == "argument"
        else max(parameter.opts, key=len).removeprefix("--"): parameter
        for parameter in command.params
    }
    return {name: one for name, one in names.items() if name not in ("config", "help")}
