"""Local clusters: workers that end while they start, certificates; schedulers without TLS."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import psutil
import pytest
import soundfile
from cryptography import x509
from support.cluster_processes import Job, command_line, descendants, processes, wait_until
from support.made_stores import make_store

from jobs.cluster import connect
from jobs.stage import open_session


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


def test_the_error_names_the_cause(extract: Callable[[str], Job]) -> None:
    result = extract("import no_such_module").wait(60)
    assert result.code == 1
    assert "did not start: No module named 'no_such_module'" in result.complaint


def test_ctrl_c_that_reaches_them_first_ends_the_job(extract: Callable[[str], Job]) -> None:
    ctrl_c = "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise RuntimeError"
    result = extract(ctrl_c).wait(60)
    assert result.code == 130
    assert "ended by SIGINT" in result.complaint


@pytest.mark.parametrize("after", [0.1, 0.4, 0.8])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_terminals_signal_does_not_reach_workers_that_start(
    extract: Callable[[str], Job], number: signal.Signals, code: int, after: float
) -> None:
    job = extract("")
    family = starting_workers(job)
    time.sleep(after)
    os.killpg(job.process.pid, number)  # as a terminal does
    result = job.wait(30)
    assert result.code == code
    assert f"ended by {number.name}" in result.complaint
    wait_until(lambda: not any(p.is_running() for p in family), seconds=15, what="no worker")


@pytest.mark.parametrize("after", [0, 0.8])
def test_workers_do_not_outlive_a_killed_job(extract: Callable[[str], Job], after: float) -> None:
    job = extract("")
    family = starting_workers(job)
    time.sleep(after)
    job.process.kill()
    result = job.wait(30)
    result.assert_quiet()
    wait_until(lambda: not any(p.is_running() for p in family), seconds=15, what="no worker")


def starting_workers(job: Job) -> list[psutil.Process]:
    """Wait until the job has started a worker, and return its processes."""
    return list(
        wait_until(
            lambda: [p for p in descendants(job.process.pid) if "spawn_main" in command_line(p)]
        )
    )


def test_the_certificate_of_a_local_cluster_is_valid_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = MagicMock()
    monkeypatch.setattr(connect, "_start_cluster", start)
    with connect._local_cluster(1):
        security = start.call_args.kwargs["security"]
    assert security.require_encryption
    roles = [security.get_tls_config_for_role(one) for one in ("client", "scheduler", "worker")]
    for text in {role[name] for role in roles for name in ("cert", "ca_file")}:
        certificate = x509.load_pem_x509_certificate(text.encode())
        assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
        assert certificate.not_valid_after_utc.year == 9999


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://192.0.2.1:8786", True),
        ("ws://192.0.2.1:8786", True),
        ("tcp://no-such-host.invalid:8786", True),
        ("tls://192.0.2.1:8786", False),
        ("wss://192.0.2.1:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
        ("inproc://192.0.2.1/1/1", False),
    ],
)
def test_only_schedulers_without_tls_that_others_reach_are_exposed(
    address: str, exposed: bool
) -> None:
    assert connect._is_exposed(address) == exposed


@pytest.mark.parametrize("exposed", [False, True])
def test_a_session_warns_once_of_an_exposed_scheduler(
    in_process_cluster: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    exposed: bool,
) -> None:
    make_store(tmp_path / "store", [("a.wav", "a")], level="track")
    monkeypatch.setattr(connect, "_is_exposed", lambda address: exposed)
    session = open_session(str(tmp_path / "store"), scheduler=in_process_cluster)
    with session.held():
        assert session.client() is session.client()
    warned = f"warning: the scheduler {in_process_cluster} is not under TLS: "
    assert capsys.readouterr().err.count(warned) == exposed
