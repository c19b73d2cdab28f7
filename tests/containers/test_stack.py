"""docker-compose.yml: build its images, run its one command, and check its promises."""

import ipaddress
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
WORKERS = 2
IMAGES = ("songmill", "songmill-object-store", "songmill-database")
IN_JOB = ("run", "--rm", "--no-TTY", "--no-deps")
LONG_RUNNING = {"scheduler": 1, "worker": WORKERS, "object-store": 1, "database": 1}


def run(*command: str, environment: dict[str, str] | None = None, code: int | None = 0) -> str:
    """Run a command and return its output."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if code is not None:
        assert done.returncode == code, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


@dataclass
class Stack:
    """Stack of one Compose project, and observations made while it ran."""

    compose: list[str]
    environment: dict[str, str]
    secrets: list[str]
    code: int = -1
    log: str = ""
    processes: set[str] = field(default_factory=set)
    inspected: dict[str, dict[str, Any]] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)

    def run(self, *arguments: str, code: int | None = 0) -> str:
        return run(*self.compose, *arguments, environment=self.environment, code=code)

    def up(self) -> None:
        """Run the one command and inspect every container meanwhile."""
        process = subprocess.Popen(
            [
                *(*self.compose, "--ansi", "never", "up", "--build", "--exit-code-from", "job"),
                *("--scale", f"worker={WORKERS}"),
            ],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,))
        watcher.start()
        try:
            self.log, _ = process.communicate(timeout=1200)
        finally:
            process.kill()
            over.set()
            watcher.join()
        self.code = process.returncode
        for container in self.run("ps", "--all", "--quiet").split():
            (ended,) = json.loads(run("docker", "inspect", container))
            self.exit_codes[ended["Name"].split("-", 3)[3]] = ended["State"]["ExitCode"]

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(1):
            for container in self.run("ps", "--quiet", code=None).split():
                found = run("docker", "inspect", container, code=None)
                state = json.loads(found)[0] if found.startswith("[") else None
                # A stopped container counts as unhealthy.
                if state and state["State"]["Running"]:
                    self.inspected[state["Name"]] = state
                self.processes |= set(run("docker", "top", container, code=None).splitlines())

    def in_job(self, *command: str, options: Sequence[str] = (), code: int = 0) -> str:
        """Run another command in a container of the job, beside the running services."""
        return self.run(*IN_JOB, *options, "job", *command, code=code)

    def query(self, sql: str) -> list[str]:
        line = ("exec", "-T", "database", "psql", "--no-align", "--tuples-only", "--command", sql)
        return self.run(*line).splitlines()


def layers(image: str) -> Iterator[bytes]:
    """Yield the contents of an image's layers in overlapping pieces, decompressed if necessary."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        assert saved.stdout is not None
        with tarfile.open(fileobj=saved.stdout, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                head, before = file.read(2), b""
                unpack = zlib.decompressobj(31) if head == b"\x1f\x8b" else None
                piece = head + file.read(1 << 24)
                while piece:
                    yield before + (unpack.decompress(piece) if unpack else piece)
                    before, piece = piece[-100:] if unpack is None else b"", file.read(1 << 24)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not shutil.which("docker"):
        pytest.skip("there is no docker")
    if (version := run("docker", "version", code=None)) and "Server:" not in version:
        pytest.skip(f"no Docker daemon answers: {version.splitlines()[-1]}")
    project = f"songmill-test-{secrets.token_hex(3)}"
    compose = Path(sys.executable).with_name("docker-compose")
    key, secret, password, decoy = (secrets.token_hex(12) for _ in range(4))
    # The folder that the documentation suggests for secrets.
    (ROOT / "containers" / "secrets" / project).write_text(decoy)
    given = tmp_path_factory.mktemp("secrets")
    # One secret is given in a file, the others in the environment.
    (given / "database_password").write_text(f"{password}\n")
    given.chmod(0o755)
    for folder in given.parents:
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o711)
    found = Stack(
        [*([str(compose)] if compose.exists() else ["docker", "compose"]), "-p", project],
        {
            "SONGMILL_OBJECT_STORE_KEY": key,
            "SONGMILL_OBJECT_STORE_SECRET": secret,
            "SONGMILL_SECRETS": str(given),
        },
        [secret, password, decoy],
    )
    try:
        found.up()
        yield found
    finally:
        (ROOT / "containers" / "secrets" / project).unlink()
        found.run("down", "--volumes", code=None)


@pytest.fixture(scope="module")
def again(stack: Stack) -> Stack:
    """The stack, up once more without the job."""
    assert stack.code == 0, stack.log
    scale = ("--scale", f"worker={WORKERS}")
    stack.run("up", "--detach", "--wait", *scale, "database", "worker", "demo-collection")
    return stack


def test_one_command_runs_from_the_bucket_to_the_database(again: Stack) -> None:
    assert "extract: 56 extracted, 1 failed" in again.log
    assert again.query("SELECT count(*), count(DISTINCT track_id) FROM similarity") == ["1120|56"]
    assert again.query("SELECT count(*) FROM duplicates") == ["1"]
    assert again.query("SELECT count(*) FROM predictions WHERE predicted IS NOT NULL") == ["56"]


def test_the_next_night_does_nothing(again: Stack) -> None:
    output = again.run(*IN_JOB, "job")
    assert "nothing new, changed or gone among 57 files" in output
    assert output.count("skipped") >= 6


def test_every_service_ends_before_docker_kills_it(again: Stack) -> None:
    assert LONG_RUNNING.keys() <= {name.rsplit("-", 1)[0] for name in again.exit_codes}
    killed = {name: code for name, code in again.exit_codes.items() if code == 137}
    assert not killed


def test_containers_have_no_more_privileges_than_they_need(again: Stack) -> None:
    containers = {name.split("-", 3)[3]: container for name, container in again.inspected.items()}
    names = [name.rsplit("-", 1)[0] for name in containers]
    assert {name: names.count(name) for name in LONG_RUNNING} == LONG_RUNNING
    assert {"job", "first-start", "demo-collection"} < set(names)
    writers: dict[str, set[str]] = {}
    for name, container in containers.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        if not name.startswith("first-start"):
            for mount in container["Mounts"]:
                if mount["RW"]:
                    writers.setdefault(mount["Source"], set()).add(name.rsplit("-", 1)[0])
            for secret in again.secrets:
                assert secret not in str(container["Config"]), name
        for ports in (container["HostConfig"]["PortBindings"] or {}).values():
            assert [port["HostIp"] for port in ports] == ["127.0.0.1"], name
    assert {service for services in writers.values() for service in services} > {"job", "worker"}
    assert [services for services in writers.values() if len(services) > 1] == []
    for name in LONG_RUNNING:
        assert containers[f"{name}-1"]["State"]["Health"]["Status"] == "healthy", name
        assert again.run("exec", "-T", name, "id", "--user").strip() == "10001", name
    assert not [line for line in again.processes if line.split()[:1] == ["root"]]


def published(stack: Stack, service: str, port: str, path: str) -> HTTPResponse:
    """Return the answer of a published port, which is closed."""
    address = stack.run("port", service, port).strip()
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer


def test_published_ports_answer_on_this_host(again: Stack) -> None:
    for service, port, path in (
        ("scheduler", "8787", "/health"),
        ("scheduler", "8787", "/metrics"),
        ("object-store", "8333", "/healthz"),
    ):
        assert published(again, service, port, path).status == 200


def test_a_browser_opens_the_report_and_nothing_else_in_the_bucket(again: Stack) -> None:
    report = published(again, "object-store", "8333", "/music/tables/report/index.html")
    assert report.headers["Content-Type"].startswith("text/html")
    for path in ("/music/tables/store.json", "/music", "/"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            published(again, "object-store", "8333", path)


def test_workers_and_job_cannot_reach_this_host(again: Stack) -> None:
    program = """
import socket, sys
for address in sys.argv[2:]:
    try:
        socket.create_connection((address, int(sys.argv[1])), 1).close()
        print("reached", address)
    except OSError as error:
        print("tried", address, error)
"""
    networks = run("docker", "network", "inspect", f"{again.compose[-1]}_inside")
    (subnet,) = [entry["Subnet"] for entry in json.loads(networks)[0]["IPAM"]["Config"]]
    addresses = {str(ipaddress.ip_network(subnet)[1])} | {
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET and not entry.address.startswith("127.")
    }
    with socket.create_server(("0.0.0.0", 0)) as server:
        arguments = (str(server.getsockname()[1]), *addresses)
        output = again.in_job("python", "-c", program, *arguments)
        output += again.run("exec", "-T", "worker", "python", "-c", program, *arguments)
    assert output.count("tried") == 2 * len(addresses), output


def test_workers_know_their_memory_limit_and_are_as_many_as_requested(again: Stack) -> None:
    program = (
        "from distributed import Client; import json; "
        "client = Client('tls://scheduler:8786'); client.wait_for_workers(2, timeout=60); "
        "workers = client.scheduler_info(n_workers=-1)['workers'].values(); "
        "print('limits', json.dumps([worker['memory_limit'] for worker in workers]))"
    )
    output = again.in_job("python", "-c", program)
    (line,) = [line for line in output.splitlines() if line.startswith("limits")]
    limits = json.loads(line.removeprefix("limits"))
    assert len(limits) == WORKERS
    assert all(0.8 * 2 * 1024**3 < limit < 0.95 * 2 * 1024**3 for limit in limits)


def test_a_client_without_the_certificate_is_refused(again: Stack) -> None:
    tls = "DASK_DISTRIBUTED__COMM__TLS"
    bare = [f"{tls}__{name}=" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")]
    environment = [part for variable in bare for part in ("--env", variable)]
    line = ("songmill", "extract", "s3://music/demo", "--store", "s3://music/no", "--scheduler")
    for address, message in (
        ("tls://scheduler:8786", "requires a certificate"),
        ("tcp://scheduler:8786", "encryption"),
    ):
        output = again.in_job(*line, address, options=environment, code=1)
        assert message in output
        assert "Traceback" not in output


def test_the_object_store_is_reachable_only_through_its_s3_interface(again: Stack) -> None:
    program = """
import socket, ssl
for port in (9333, 8080, 8888):
    try:
        socket.create_connection(("object-store", port), 5)
    except OSError:
        print("closed", port)
talk = ssl.create_default_context()
talk.check_hostname, talk.verify_mode = False, ssl.CERT_NONE
talk.set_alpn_protocols(["h2"])
try:
    with talk.wrap_socket(socket.create_connection(("object-store", 18333), 5)) as line:
        line.sendall(b"PRI * HTTP/2.0")
        line.settimeout(5)
        print("taken", line.recv(100), line.recv(100))
except ssl.SSLError as error:
    print("certificate required" if "CERTIFICATE_REQUIRED" in str(error) else error)
"""
    output = again.in_job("python", "-c", program)
    assert output.count("closed") == 3
    assert "certificate required" in output, output


def test_no_secret_leaks(again: Stack, tmp_path: Path) -> None:
    places = {
        "the log": again.log + again.run("logs", "--no-color"),
        "the list of processes": "\n".join(again.processes),
        "the database": again.run("exec", "-T", "database", "pg_dump"),
    }
    assert "weed" in places["the list of processes"]
    assert "similarity" in places["the database"]
    for place, text in places.items():
        for secret in again.secrets:
            assert secret not in text, place
    program = (
        "import fsspec, sys; system = fsspec.filesystem('s3'); "
        "data = [system.cat(path) for path in system.find('music')]; "
        "words = sys.stdin.read().split(); "
        "print('objects', len(data), sum(word.encode() in one for one in data for word in words))"
    )
    done = subprocess.run(
        [*again.compose, *IN_JOB, "job", "python", "-c", program],
        cwd=ROOT,
        env={**os.environ, **again.environment},
        input=" ".join(again.secrets),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("objects")]
    _, count, found = line.split()
    assert int(count) > 60
    assert int(found) == 0
    for image in IMAGES:
        size = 0
        for data in layers(image):
            size += len(data)
            for secret in again.secrets:
                assert secret.encode() not in data, image
        assert size > 100_000_000, image
