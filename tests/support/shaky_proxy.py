"""A proxy in front of an object store: counts requests and refuses some of them."""

import contextlib
import http.client
import random
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>%s</Code><Message>please try again</Message></Error>"
)
REFUSALS = {503: b"SlowDown", 500: b"InternalError", 502: b"BadGateway"}


class Proxy:
    """State of the proxy: the share of refused requests, and counts of all requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused = 0.0
        self.corrupt: set[str] = set()
        self.random = random.Random(0)
        self.requests: Counter[str] = Counter()
        self.refusals: Counter[int] = Counter()
        self.sent: Counter[str] = Counter()
        self.guard = threading.Lock()

    def refusal(self, name: str) -> int | None:
        """Return the status that refuses the next request, or None to let it pass."""
        with self.guard:
            if name in self.corrupt:
                return 500
            if self.random.random() >= self.refused:
                return None
            status = self.random.choice(list(REFUSALS))
            self.refusals[status] += 1
            return status


@contextlib.contextmanager
def shaky_proxy(port: int) -> Iterator[tuple[Proxy, str]]:
    """Run a proxy of the local server at ``port``; yield its state and its address."""
    proxy = Proxy(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            name = urllib.parse.unquote(path)
            is_list = "list-type" in query
            status = proxy.refusal(name)
            with proxy.guard:
                proxy.requests["LIST" if is_list else f"{self.command} {name}"] += 1
            if status:
                text = SLOW_DOWN % REFUSALS[status]
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)
                return
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for header, value in self.headers.items():
                connection.putheader(header, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            self.send_response(answer.status)
            for header, value in answer.getheaders():
                own = {"transfer-encoding", "connection", "date", "server"}
                own |= set() if self.command == "HEAD" else {"content-length"}
                if header.lower() not in own:
                    self.send_header(header, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET" and not is_list:
                with proxy.guard:
                    proxy.sent[name] += len(data)
            if self.command != "HEAD":
                self.wfile.write(data)

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
