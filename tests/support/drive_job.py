"""Run songmill's command line with faults: ``drive_job.py JSON ARGS``.

Keys of the JSON object, all optional:

``set``          {"jobs.module.NAME": value}: constants to replace, so that small tests suffice
``die_before``   number of the storage operation, from 0, before which the process kills itself
``die_at``       [operation, part of the name]: the same, for the first matching operation
``fill_before``  [number of the operation, path]: fill the disk with a file before the operation
``trace``        path of a file for the list of operations, one per line
"""

import importlib
import json
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

        pages.picture._png = lambda *_: (b"png", pages.picture.Box(0, 0, 1, 1))

    faults.before_operations(notice)
    faults.name_attempts()

    from jobs.cli.main import main as songmill

    sys.argv = ["songmill", *arguments]
    songmill()


if __name__ == "__main__":
    drive(json.loads(sys.argv[1]), sys.argv[2:])
