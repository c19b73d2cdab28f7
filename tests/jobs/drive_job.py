"""Runs songmill's command line as its console script does, with faults: ``drive_job.py JSON ARGS``.

The JSON object may have

``set``          {"jobs.module.NAME": value}: constants to change, so that a test need not be large
``die_before``   the number of the storage operation, from 0, before which the process kills itself
``die_at``       [operation, part of the name]: the same, for the first such operation
``trace``        the path of a file that gets the operations, one a line
"""

import importlib
import json
import sys
from typing import Any

import faults


def main() -> None:
    """Install what the first argument asks for, then be songmill."""
    plan: dict[str, Any] = json.loads(sys.argv.pop(1))
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
        count += 1

    faults.before_operations(notice)

    from jobs.cli import main as songmill

    sys.argv[0] = "songmill"
    songmill()


if __name__ == "__main__":
    main()
