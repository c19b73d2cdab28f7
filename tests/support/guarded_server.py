"""A web server of recordings that requires a password or a signature, as object stores do."""

import base64
import contextlib
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class GuardedServer:
    """State of the server: its secrets, and the requests that it has answered.

    A signature is valid for GET only, as it is in most object stores.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.password = ""
        self.signatures: set[str] = set()
        self.requests: list[str] = []  # method and path

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def admits(self, method: str, query: str, authorization: str) -> bool:
        """Return whether a request has a valid password or signature."""
        expected = base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.password and authorization == f"Basic {expected}":
            return True
        given = urllib.parse.parse_qs(query)
        return method == "GET" and given.get("X-Signature", [""])[0] in self.signatures

    def content(self, path: str) -> bytes | None:
        """Return a file, or the page with the links of a folder; None if there is neither."""
        found = self.folder / path.strip("/")
        if found.is_dir():
            names = sorted(one.name + "/" * one.is_dir() for one in found.iterdir())
            return "\n".join(f'<a href="{name}">{name}</a>' for name in names).encode()
        return found.read_bytes() if found.is_file() else None


@contextlib.contextmanager
def guarded_server(folder: Path) -> Iterator[GuardedServer]:
    """Serve a folder; yield the server's state."""
    state = GuardedServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            state.requests.append(f"{self.command} {self.path}")
            path, _, query = self.path.partition("?")
            body, status = state.content(urllib.parse.unquote(path)), 200
            is_page = (state.folder / path.strip("/")).is_dir()
            headers = {"Content-Type": "text/html" if is_page else "audio/wav"}
            if not state.admits(self.command, query, self.headers.get("Authorization", "")):
                body, status = b"no", 403
            elif body is None:
                body, status = b"no", 404
            elif "Range" in self.headers:
                first, last = self.headers["Range"].removeprefix("bytes=").split("-")
                size, status = len(body), 206
                body = body[int(first) : int(last) + 1]
                headers["Content-Range"] = f"bytes {first}-{int(first) + len(body) - 1}/{size}"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client may close before the end of an answer
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
