"""Health check of the containers: what counts as healthy, and what the checks cost."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "containers" / "healthy.sh"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name is BaseHTTPRequestHandler's
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output free of requests."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check(folder: Path, *command: str) -> tuple[bool, str]:
    """Run a health check; return whether it succeeded, and the seconds that it slept before."""
    (folder / "sleep").write_text('#!/bin/sh\necho "$@" > "$TMPDIR/slept"')
    (folder / "sleep").chmod(0o755)
    slept = folder / "slept"
    slept.unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", SCRIPT, *command],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0, slept.read_text().strip() if slept.exists() else ""


def test_checks_are_rare_after_the_first_success(tmp_path: Path) -> None:
    for _ in range(2):
        assert check(tmp_path, "false") == (False, "")
    assert check(tmp_path, "true") == (True, "")
    assert check(tmp_path, "true") == (True, "60")
    assert check(tmp_path, "false") == (False, "60")
    assert check(tmp_path, "false") == (False, "")
    assert check(tmp_path, "true") == (True, "")


def test_only_a_server_that_answers_with_200_is_healthy(tmp_path: Path, port: int) -> None:
    assert check(tmp_path, "answers", str(port), "/health")[0]
    assert not check(tmp_path, "answers", str(port), "/starting")[0]
    assert not check(tmp_path, "answers", "1", "/health")[0]
