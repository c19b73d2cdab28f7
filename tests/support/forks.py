"""Processes that start at once: a server imports everything and loads the kernels, and forks them.

Each runs and ends as ``python -m MODULE ARGUMENTS`` does. Its parent, also forked from the server,
waits for it and writes its exit code to a file. All of them are killed when the tests end or die.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import psutil

from containers import compile_kernels

TESTS = str(Path(__file__).parents[1])

IMPORTED = (
    "distributed.cli.dask_scheduler",
    "distributed.cli.dask_worker",
    "featurizer.extract",
    "jobs.cli.main",
    "jobs.extraction.batch",
    "jobs.extraction.dispatch",
    "jobs.extraction.extract",
    "jobs.learning.train",
    "jobs.reporting.report",
    "pyarrow.acero",
    "pyarrow.dataset",
    "pytest",
    "s3fs",
    "sklearn.decomposition",
    "sklearn.svm",
    "songmill.worker",
    "typer._adapters",  # imported by each command's options
    "xgboost",
)
"""Modules that the server imports. None may start a thread: a forked process would lack it.

Only Arrow's allocator has one, and survives a fork without it. DuckDB is not imported either: when
a process ends, it would complain of its objects, which are frozen.
"""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "PYTHONFAULTHANDLER": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")])),
}
"""Variables of every process."""


class Forked:
    """A process. Its output goes to the files ``output``.out and .err, its exit code to .code."""

    def __init__(self, pid: int, output: Path) -> None:
        self.pid = pid
        self.output = output

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        code = Path(f"{self.output}.code")
        return int(code.read_text()) if code.exists() else None

    def read(self, stream: str) -> str:
        """Return what the process has written to ``out`` or ``err``."""
        return Path(f"{self.output}.{stream}").read_text()

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end of the process and return its exit code."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.output), timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server() -> "subprocess.Popen[str]":
    """Start the server, which ends with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(process.communicate)
    return process


def start(arguments: list[str], environment: dict[str, str], folder: Path, output: Path) -> Forked:
    """Start Python with these arguments in a session of its own.

    It is a new interpreter, with imports of its own, if the first argument is not ``-m`` or if
    PYTHONPATH differs from that in ``ENVIRONMENT``.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([arguments, environment, str(folder), str(output)]) + "\n")
    server.stdin.flush()
    pid = server.stdout.readline()
    assert pid, "the server of forked processes has ended"
    return Forked(int(pid), output)


def _serve() -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    compile_kernels.main()
    assert threading.active_count() == 1, threading.enumerate()
    gc.freeze()  # Otherwise each process would traverse all imported objects when it ends.
    for line in sys.stdin:
        arguments, environment, folder, output = json.loads(line)
        if os.fork() == 0:
            _watch(arguments, environment, folder, output)
            return
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _watch(arguments: list[str], environment: dict[str, str], folder: str, output: str) -> None:
    """Fork the process, and write its exit code when it ends."""
    child = os.fork()
    if child == 0:
        _run(arguments, environment, folder, output)
        return
    for stream in (0, 1):
        os.close(stream)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    Path(f"{output}.part").write_text(str(code))
    os.rename(f"{output}.part", f"{output}.code")
    os._exit(0)


def _run(arguments: list[str], environment: dict[str, str], folder: str, output: str) -> None:
    os.setsid()
    os.write(1, b"%d\n" % os.getpid())  # Not before: tests may signal the group at once.
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(output + suffix, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    option, module, *options = arguments
    if option != "-m" or environment["PYTHONPATH"] != os.environ["PYTHONPATH"]:
        os.execve(sys.executable, [sys.executable, *arguments], environment)
    os.environ.clear()
    os.environ.update(environment)
    dask.config.refresh()  # Dask read the environment when it was imported.
    sys.argv[1:] = options
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
