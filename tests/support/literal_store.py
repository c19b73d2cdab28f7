"""An object store that keeps every key as it is. SeaweedFS takes ``//`` for ``/``."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

import pytest

from support.object_store import forget_clients


@contextlib.contextmanager
def literal_store(objects: dict[str, bytes], bucket: str = "music") -> Iterator[None]:
    """Serve these objects of a bucket to this process; nobody's credentials are checked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            name, _, key = path[1:].partition("/")
            if name != bucket:
                self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            elif not key:
                prefix = parse_qs(query).get("prefix", [""])[0]
                self.answer(200, listing(prefix))
            elif (data := objects.get(unquote(key))) is None:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            else:
                self.answer(200, data)

        do_HEAD = do_GET  # noqa: N815

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Fri, 27 Nov 2026 12:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    def listing(prefix: str) -> bytes:
        rows = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><Size>{len(objects[key])}</Size>"
            "<LastModified>2026-11-27T12:00:00Z</LastModified></Contents>"
            for key in sorted(objects)
            if key.startswith(prefix)
        )
        return (
            f"<ListBucketResult><EncodingType>url</EncodingType>{rows}</ListBucketResult>".encode()
        )

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        forget_clients()
        try:
            yield
        finally:
            forget_clients()
            server.shutdown()
            server.server_close()
            thread.join()
