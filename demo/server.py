"""A publisher's server in small: one list and its signature over HTTP, on loopback, with an ETag."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

__all__ = ["SIGNATURE", "ListServer"]

SIGNATURE = ".minisig"
"""What the address of a list's signature ends with."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        if self.path.endswith(SIGNATURE):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.signature)))
            self.end_headers()
            self.wfile.write(self.server.signature)
            return
        unchanged = self.headers.get("If-None-Match") == self.server.etag
        self.server.statuses.append(304 if unchanged else 200)
        self.send_response(304 if unchanged else 200)
        self.send_header("ETag", self.server.etag)
        if not unchanged:
            self.send_header("Content-Type", "text/csv; charset=utf-8")
            self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        if not unchanged:
            self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are counted, not written."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    content = b""
    signature = b""
    etag = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []


class ListServer:
    """Serves what was published last, at a port that the kernel chooses, for as long as the block lasts."""

    def __init__(self) -> None:
        self._http = _Http()
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/hashes.csv"

    @property
    def statuses(self) -> tuple[int, ...]:
        """HTTP status of every answer so far, but for the signature, which is always sent."""
        return tuple(self._http.statuses)

    def publish(self, content: bytes, signature: bytes) -> None:
        """Put out a list; its ETag changes with its content."""
        self._http.signature = signature
        self._http.etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        self._http.content = content

    def __enter__(self) -> ListServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
