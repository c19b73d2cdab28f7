"""Print the dependencies of a pyproject.toml, one per line, for an image layer of their own.

All extras are included but those for the work on songmill, and ``all``, which names the others.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
lists = [project["dependencies"]]
for extra, dependencies in project["optional-dependencies"].items():
    if extra not in ("all", "dev", "docs"):
        lists.append(dependencies)
sys.stdout.writelines(f"{line}\n" for lines in lists for line in lines)
