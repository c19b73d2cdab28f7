"""Settings of the user's other programs, which reach no computation and no picture."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401  # adds its settings to those of Dask
import numpy as np

import songmill
from jobs.cluster.connect import _own_settings
from pages import models

NOISE = np.random.default_rng(0).normal(size=22_050).astype(np.float32) / 10

SCRIPT = """
import base64, json, os
from datetime import UTC, datetime
import numpy as np
import songmill
from pages import models
noise = np.random.default_rng(0).normal(size=22_050).astype(np.float32) / 10
picture = models.confusion_matrix(["a$b", "c"], np.array([[3, 1], [2, 9]]), "tracks")
print(json.dumps({
    "features": songmill.features((noise, 22_050)).tolist(),
    "picture": base64.b64encode(picture.default.png).decode(),
    "backend": os.environ["MPLBACKEND"],
}))
"""


def test_features_and_pictures_are_the_same_in_a_hostile_environment(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.size: 30\nimage.cmap: gray\ntimezone: Asia/Tokyo\n"
    )
    hostile = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # of a notebook
        "MATPLOTLIBRC": str(tmp_path),
        "NUMBA_DISABLE_JIT": "1",
        "DASK_DISTRIBUTED__DASHBOARD__LINK": "{NO_SUCH_VARIABLE}/{port}",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **hostile},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["features"] == songmill.features((NOISE, 22_050)).tolist()
    picture = models.confusion_matrix(["a$b", "c"], np.array([[3, 1], [2, 9]]), "tracks")
    assert base64.b64decode(found["picture"]) == picture.default.png
    assert found["backend"] == hostile["MPLBACKEND"]


def test_a_local_cluster_has_the_default_settings_of_dask() -> None:
    plain = dask.config.merge(*dask.config.defaults)
    hostile = {
        "distributed.dashboard.link": "{NO_SUCH_VARIABLE}",
        "distributed.scheduler.idle-timeout": "1s",
        "distributed.worker.multiprocessing-method": "fork",
        "distributed.comm.default-scheme": "ucx",
        "distributed.worker.preload": ["mine"],
    }
    with dask.config.set(hostile), dask.config.set(_own_settings()):
        for name in list(hostile)[:-1]:
            assert dask.config.get(name) == dask.config.get(name, config=plain)
        assert dask.config.get("distributed.worker.preload") == ["mine"]
