"""The cluster of a default run, seen by another user of the machine."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.cluster_processes import Processes, descendants, processes
from support.recordings import make_collection

from jobs.cluster.connect import _private_folder

NOBODY = 65534

INTRUDER = """
import json, os, socket, ssl, sys, urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from distributed.security import Security

PATHS = ("", "status", "info/main/workers.html", "info/main/logs.html", "json/identity.json",
         "api/v1/get_workers", "individual-plots.json", "metrics", "health", "eventstream")
STRANGER = Security.temporary().get_connection_args("client")["ssl_context"]
STRANGER.verify_mode = ssl.CERT_NONE
CONTEXTS = {"tcp": None, "tls": ssl._create_unverified_context(), "tls, own certificate": STRANGER}

def enter(port):
    # Dask's servers speak first to whom they let in.
    for name, context in CONTEXTS.items():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as entered:
                with context.wrap_socket(entered) if context else entered as entered:
                    if entered.recv(1):
                        yield f"{name} {port}"
        except OSError:
            pass

def read(port):
    for path in PATHS:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=1).close()
            yield f"http {port} {path}"
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
        except (OSError, HTTPException):
            return

def look(path):
    try:
        yield f"{path}: {os.listdir(path) if os.path.isdir(path) else open(path).read()}"
    except PermissionError:
        pass

user, ports, files = json.loads(sys.argv[1])
assert [*enter(1), *read(1)] == []  # imports what another user may be unable to read
if user != os.getuid():
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
with ThreadPoolExecutor(20) as threads:
    tries = [threads.submit(list, found(port)) for port in ports for found in (enter, read)]
    print(json.dumps(sum((one.result() for one in tries), [one for f in files for one in look(f)])))
"""


def intrude(user: int, ports: list[int], files: list[str]) -> list[str]:
    """Return what a user gets of some ports and files."""
    command = [sys.executable, "-c", INTRUDER, json.dumps([user, ports, files])]
    found = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    answers: list[str] = json.loads(found.stdout)
    return answers


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path / "processes") as found:
        yield found


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can act for another user")
def test_another_user_gets_nowhere(running: Processes, tmp_path: Path) -> None:
    music = make_collection(tmp_path / "music", 1)
    running.panel.shut("take000.wav")
    job = running.job(music, store=tmp_path / "store", local=2)
    worker = running.panel.waiting("take000.wav")
    family = [psutil.Process(job.process.pid), *descendants(job.process.pid)]
    listening = [
        one.laddr
        for process in family
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert len(listening) >= 5  # a scheduler, and two workers with their nannies
    for process in family:
        assert "PRIVATE KEY" not in " ".join(process.cmdline())
        assert "PRIVATE KEY" not in str(process.environ())
    files = [_private_folder(), f"/proc/{worker}/environ", f"/proc/{job.process.pid}/environ"]
    ports = sorted({address.port for address in listening})
    assert intrude(NOBODY, ports, files) == []
    assert len(intrude(os.getuid(), [], files)) == len(files)
    running.panel.open("take000.wav")
    result = job.wait()
    assert result.code == 0, result
    assert "dashboard" not in result.err


def test_the_folder_of_the_workers_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = Path(_private_folder())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert _private_folder() == str(folder)
    # Another user may have taken the name before.
    folder.chmod(0o777)
    another = Path(_private_folder())
    assert another != folder
    assert another.stat().st_mode & 0o777 == 0o700
    another.rmdir()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert Path(_private_folder()).parent == tmp_path
    assert _private_folder() != str(folder)
