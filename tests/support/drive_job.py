"""Run songmill's command line with faults: ``drive_job.py JSON ARGS``.

Keys of the JSON object, all optional:

``set``          {"jobs.module.NAME": value}: constants to replace, so that small tests suffice
``die_before``   number of the storage operation, from 0, before which the process kills itself
``die_at``       [operation, part of the name]: the same, for the first matching operation
``fill_before``  [number of the operation, path]: fill the disk with a file before the operation
``trace``        path of a file for the list of operations, one per line

Without arguments, the process is a server: it reads one command per line from stdin, [output, JSON,
ARG, ...], runs it in a forked process, which needs no imports, and prints the exit code.
"""

import importlib
import json
import os
import sys
from typing import Any

from support import faults, small_disk


def drive(plan: dict[str, Any], arguments: list[str]) -> None:
    """Install the faults of ``plan``, then run songmill."""
    for name, value in plan.get("set", {}).items():
        module, _, constant = name.rpartition(".")
        assert hasattr(importlib.import_module(module), constant), name
        setattr(importlib.import_module(module), constant, value)
    count = 0

    def notice(operation: str, name: str) -> None:
        nonlocal count
        if "trace" in plan:
            with open(plan["trace"], "a", encoding="utf-8") as trace:
                trace.write(f"{operation} {name}\n")
        wanted, part = plan.get("die_at", ("", ""))
        if count == plan.get("die_before") or (operation == wanted and part in name):
            faults.die()
        at, filler = plan.get("fill_before", (None, ""))
        if count == at:
            small_disk.fill(filler)
        count += 1

    if arguments[:1] == ["run"]:
        # Drawing takes half the time of a small run, and no test of faults looks at the pictures.
        import pages.picture

        pages.picture._png = lambda *_: b"png"

    faults.before_operations(notice)
    faults.name_attempts()

    from jobs.cli.main import main as songmill

    sys.argv = ["songmill", *arguments]
    songmill()


def serve() -> None:
    """Run a forked job for every line of stdin."""
    # Only imported: a forked process would lack any threads started here.
    for module in ("jobs.cli.main", "jobs.extraction.extract"):
        importlib.import_module(module)
    for line in sys.stdin:
        output, plan, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            for stream in (1, 2):
                os.dup2(os.open(f"{output}.{stream}", os.O_WRONLY | os.O_CREAT, 0o600), stream)
            drive(plan, arguments)
            sys.exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        drive(json.loads(sys.argv[1]), sys.argv[2:])
