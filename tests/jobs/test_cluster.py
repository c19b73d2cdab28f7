"""A local cluster whose workers end while they start."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cluster_processes import Job, processes


@pytest.fixture
def extract(tmp_path: Path) -> Iterator[Callable[[str], Job]]:
    soundfile.write(tmp_path / "one.wav", np.zeros(22050), 22050)

    def start(as_they_start: str) -> Job:
        (tmp_path / "as_they_start.py").write_text(as_they_start)
        started.variables["DASK_DISTRIBUTED__WORKER__PRELOAD"] = str(tmp_path / "as_they_start.py")
        store = tmp_path / "store"
        return started.songmill("extract", tmp_path / "one.wav", "--store", store, "--workers", "1")

    with processes(tmp_path / "processes") as started:
        yield start


def test_the_cause_is_told(extract: Callable[[str], Job]) -> None:
    result = extract("import no_such_module").wait(60)
    assert result.code == 1
    assert "did not start: No module named 'no_such_module'" in result.complaint


def test_ctrl_c_that_reaches_them_first_ends_the_job(extract: Callable[[str], Job]) -> None:
    ctrl_c = "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise RuntimeError"
    result = extract(ctrl_c).wait(60)
    assert result.code == 130
    assert "ended by SIGINT" in result.complaint
