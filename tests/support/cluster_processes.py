"""Real processes on loopback: a Dask scheduler, Dask workers and songmill jobs."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import pandas as pd
import psutil
import pyarrow.parquet as pq

from jobs.cluster.connect import UNWATCHED
from jobs.reporting.verify import verify
from jobs.store.manifest import MANIFEST
from support import faults, forks
from support.forks import Forked

TABLES = {
    "features/level=track": ["track_id"],
    "features/level=segment": ["track_id", "segment"],
    "files": ["track_id"],
}
"""The tables that a disturbed and an undisturbed run must agree on, and their keys."""

VOLATILE = ["extracted_at", "run_id"]


def wait_until(condition: Callable[[], Any], *, seconds: float = 60.0, what: str = "") -> Any:
    """Poll ``condition`` until its result is true, and return the result."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what or condition}"
        time.sleep(0.03)
    return found


class Panel:
    """Control panel of the faults (see faults.py), and the log of extractions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("gate", "waiting", "die"):
            (folder / name).mkdir(parents=True)
        self.log = folder / "extracted.log"
        self.log.touch()

    def extracted(self, but_for: Collection[int] = ()) -> list[str]:
        """Return the paths of all extractions, except by jobs with these process ids."""
        lines = [line.split(" ", 1) for line in self.log.read_text().splitlines()]
        return [path for attempt, path in lines if int(attempt.split("-")[0]) not in but_for]

    def slow(self, seconds: float) -> None:
        """Delay every extraction."""
        (self.folder / "slow").write_text(str(seconds))

    def shut(self, name: str) -> None:
        """Block the extraction of files with this name."""
        (self.folder / "gate" / name).touch()

    def waiting(self, name: str) -> int:
        """Wait for a process at the gate and return its id. Each call returns another process."""
        found = wait_until(
            lambda: list((self.folder / "waiting").glob(f"{name} *")), what=f"{name} at its gate"
        )
        found[0].unlink()
        return int(found[0].name.rpartition(" ")[2])

    def open(self, name: str, pid: int | None = None) -> None:
        """Unblock the extraction, for every process or for one."""
        gate = self.folder / "gate" / name
        if pid is None:
            gate.unlink()
        else:
            gate.write_text(str(pid))

    def die(self, operation: str, name: str) -> None:
        """Kill the next worker just before this storage operation."""
        (self.folder / "die" / f"{operation} {name.replace('/', '|')}").touch()

    def deaths_to_come(self) -> int:
        """Count the requested deaths that have not happened yet."""
        return len(list((self.folder / "die").iterdir()))


@dataclass
class Result:
    """A finished job: its exit code, output and duration."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def outcome(self) -> dict[str, Any]:
        """The object printed by ``--json``."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def complaint(self) -> str:
        """The error message, which must be a single line and the last one on stderr."""
        lines = [line for line in self.err.splitlines() if line.startswith("songmill: ")]
        assert len(lines) == 1, self
        assert self.err.splitlines()[-1] == lines[0], self
        self.assert_quiet()
        return lines[0]

    def assert_quiet(self) -> None:
        """Check stderr for tracebacks and library logs."""
        assert "Traceback" not in self.err, self.err
        assert not re.search(r"distributed|tornado|asyncio|Exception ignored", self.err), self.err


class Job:
    """A songmill process."""

    def __init__(self, process: Forked) -> None:
        self.process = process
        self.started = time.monotonic()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.wait()

    def running(self) -> bool:
        """Return whether the process is alive."""
        return self.process.poll() is None

    def wait(self, seconds: float = 150.0) -> Result:
        """Wait for the end of the process; fail after ``seconds``."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            error = self.process.read("err")
            raise AssertionError(f"the job has not ended after {seconds} s:\n{error}") from None
        seconds = time.monotonic() - self.started
        return Result(code, self.process.read("out"), self.process.read("err"), seconds)


@dataclass
class Processes:
    """The processes of a test; all of them end with the test."""

    folder: Path
    panel: Panel
    started: list[Forked] = field(default_factory=list)
    workers: list[Forked] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    scheduler: Forked | None = None
    generation: int = 0

    @property
    def scheduler_file(self) -> str:
        """The scheduler file of the current scheduler."""
        return str(self.folder / f"scheduler-{self.generation}.json")

    @property
    def address(self) -> str:
        """The address of the current scheduler."""
        found = json.loads(Path(self.scheduler_file).read_text())
        return str(found["address"])

    def environment(self) -> dict[str, str]:
        """Return the environment of every process: faults, and single-threaded arithmetic."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("DASK_")},
            **forks.ENVIRONMENT,
            faults.PANEL: str(self.panel.folder),
            "DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(UNWATCHED),
            "DASK_DISTRIBUTED__WORKER__PRELOAD": json.dumps(["support.faults"]),
            "DASK_TEMPORARY_DIRECTORY": str(self.folder),
            **self.variables,
        }

    def start_scheduler(
        self, address: str = "tcp://127.0.0.1:0", *, allowed_failures: int = 3
    ) -> None:
        """Start a scheduler, by default on a free port, with its own scheduler file."""
        self.generation += 1
        port = address.rpartition(":")[2]
        self.scheduler = self._spawn(
            "scheduler",
            *("-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"),
            *("--scheduler-file", self.scheduler_file),
            environment={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures)},
        )
        path = Path(self.scheduler_file)
        wait_until(lambda: path.exists() and path.read_text().endswith("}"), what="the scheduler")

    def start_worker(
        self,
        *,
        nanny: bool = False,
        threads: int = 1,
        bare: bool = False,
        port: str = "0",
        **environment: str,
    ) -> None:
        """Start a worker of the current scheduler; ``bare``: without songmill installed."""
        line = [
            *("-m", "dask", "worker", "--scheduler-file", self.scheduler_file, "--no-dashboard"),
            *("--host", "127.0.0.1", "--nthreads", str(threads), "--memory-limit", "0"),
            *("--worker-port", port),
            "--nanny" if nanny else "--no-nanny",
        ]
        if bare:
            # Without site, an editable installation is not on the path.
            environment["PYTHONPATH"] = os.pathsep.join(
                [forks.TESTS, sysconfig.get_path("purelib")]
            )
            line = ["-S", *line]
        worker = self._spawn("worker", *line, environment=environment)
        self.workers.append(worker)

    def start_cluster(self, workers: int = 2, *, nanny: bool = False, threads: int = 1) -> None:
        """Start a scheduler and its workers, without waiting for the workers."""
        self.start_scheduler()
        for _ in range(workers):
            self.start_worker(nanny=nanny, threads=threads)

    def kill_scheduler(self) -> None:
        """Kill the scheduler with SIGKILL."""
        assert self.scheduler is not None
        self.end(self.scheduler)

    def end_workers(self) -> None:
        """Kill all workers with SIGKILL, each after its nanny."""
        for worker in self.workers:
            self.end(worker)
        self.workers.clear()

    def worker_pids(self) -> list[int]:
        """Return the worker processes of the nannies."""
        found = [child for worker in self.workers for child in descendants(worker.pid)]
        return [child.pid for child in found if "spawn_main" in command_line(child)]

    def reader(self, store: Path, stop: Path) -> Job:
        """Start a process that reads a store in a loop (see read_in_a_loop.py)."""
        arguments = ("-m", "support.read_in_a_loop", str(store), str(stop))
        return Job(self._spawn("reader", *arguments))

    def job(
        self,
        *arguments: str | Path,
        store: Path,
        local: int | None = None,
        segment_seconds: float = 1.0,
        faulty: dict[str, Any] | None = None,
    ) -> Job:
        """Start ``songmill extract`` on the cluster, or on a local one with ``local`` workers."""
        where = ["--workers", str(local)] if local else ["--scheduler", self.scheduler_file]
        options = ["--store", store, "--json", "--segment-seconds", str(segment_seconds), *where]
        return self.songmill("extract", *arguments, *options, faulty=faulty)

    def songmill(self, *arguments: str | Path, faulty: dict[str, Any] | None = None) -> Job:
        """Start songmill with any arguments."""
        plan = json.dumps(faulty or {})
        return Job(self._spawn("job", "-m", "support.drive_job", plan, *map(str, arguments)))

    def run(self, *arguments: str | Path, store: Path, **options: Any) -> Result:
        """Run ``songmill extract`` and wait for it."""
        return self.job(*arguments, store=store, **options).wait()

    def _spawn(
        self, name: str, *arguments: str, environment: dict[str, str] | None = None
    ) -> Forked:
        output = self.folder / f"{name}-{len(self.started)}"
        environment = {**self.environment(), **(environment or {})}
        process = forks.start(list(arguments), environment, self.folder, output)
        self.started.append(process)
        return process

    def end(self, process: Forked) -> None:
        """Kill a process and its descendants with SIGKILL, and wait for the process."""
        if process.poll() is not None:
            return  # Another process may have its id by now.
        family = descendants(process.pid)
        process.kill()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()

    def close(self) -> None:
        """End everything."""
        for process in reversed(self.started):
            self.end(process)


def command_line(process: psutil.Process) -> str:
    """Return the command line of a process; empty if the process has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def descendants(pid: int) -> list[psutil.Process]:
    """Return the descendants of a process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Yield an empty set of processes, and end all that were started."""
    folder.mkdir()
    found = Processes(folder, Panel(folder / "panel"))
    try:
        yield found
    finally:
        found.close()


def sorted_tables(
    read: Callable[[str], pd.DataFrame], keys: dict[str, list[str]], without: list[str]
) -> dict[str, pd.DataFrame]:
    """Read the tables in ``keys``, sorted by their keys, without the columns ``without``."""
    return {
        name: read(name).drop(columns=without, errors="ignore").sort_values(by, ignore_index=True)
        for name, by in keys.items()
    }


def tables(store: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of a store without the columns that differ between equal runs."""
    return sorted_tables(lambda name: pd.read_parquet(store / name), TABLES, [*VOLATILE, "level"])


def assert_equal_tables(store: Path, expected: dict[str, pd.DataFrame]) -> None:
    """Compare a store with the tables of an undisturbed run, bit for bit."""
    for name, frame in tables(store).items():
        assert frame["track_id"].tolist() == expected[name]["track_id"].tolist(), name
        pd.testing.assert_frame_equal(frame, expected[name], check_exact=True, obj=name)


def assert_tidy(store: Path) -> None:
    """Check that a finished run has left a sound store, and no internal files but the manifest."""
    left = [str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()]
    assert [name for name in left if name.startswith("_")] == [MANIFEST]
    assert verify(store=str(store)).findings == []


def finished(store: Path) -> set[str]:
    """Return the addresses of the files in finished batches, committed or not."""
    found = set[str]()
    parts = [*store.glob("_work/done/*.files.parquet"), *store.glob("files/part-*.parquet")]
    for path in parts:
        with contextlib.suppress(FileNotFoundError):
            found |= set(pq.ParquetFile(path).read(columns=["uri"])["uri"].to_pylist())
    return found
