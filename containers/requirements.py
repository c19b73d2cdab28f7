"""Print what a project needs, a line each: for a layer of an image that only they change."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
sys.stdout.writelines(f"{line}\n" for line in project["dependencies"])
