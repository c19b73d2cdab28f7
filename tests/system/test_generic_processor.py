"""The features on a processor without any extension."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.published import errors, published

pytestmark = pytest.mark.slow

GENERIC = """
import sys
from pathlib import Path
from benchmarks.published import extracted
for table in extracted(Path(sys.argv[1])):
    table.to_json(sys.stdout, orient="split", double_precision=15)
    print()
"""


def test_a_processor_without_any_extension_gives_the_published_rows(
    shared_data: Path, tmp_path: Path
) -> None:
    """A second process gives the same rows and compiles nothing."""
    # The kernels are compiled for the x86-64 baseline.
    gtzan = tmp_path / "genres_original"
    for genre in ("blues", "metal", "reggae"):
        (gtzan / genre).mkdir(parents=True)
        found = sorted((shared_data / "gtzan" / "genres_original" / genre).iterdir())
        for path in found[:2]:
            (gtzan / genre / path.name).symlink_to(path)
    code = tmp_path / "code"
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CACHE_DIR": str(code),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def run() -> tuple[str, dict[Path, int]]:
        command = [sys.executable, "-c", GENERIC, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout, {path: path.stat().st_mtime_ns for path in code.rglob("*.nbc")}

    first, kept = run()
    assert len(kept) > 15
    for line, table in zip(first.splitlines(), published(shared_data / "gtzan"), strict=True):
        rows = pd.read_json(io.StringIO(line), orient="split")
        assert len(rows) >= 5
        assert errors(rows, table).max(axis=None) < 1e-3
    assert run() == (first, kept)
