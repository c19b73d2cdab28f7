"""Print the dependencies of a pyproject.toml, one per line, for an image layer of their own."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
sys.stdout.writelines(f"{line}\n" for line in project["dependencies"])
