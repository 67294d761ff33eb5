"""A publisher's web server on this machine, whose answers a test gives one after the other."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from scanner.feeds import FetchPolicy

LIST = b"md5\n" + hashlib.md5(b"a").hexdigest().encode() + b"\n"
# Time enough for a machine that is busy; a test that waits for a limit sets its own.
QUICK = FetchPolicy(total=110, connect=60, answer=90, read=90, attempts=3)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Publisher:
    """A server whose answers a test gives one after the other; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[Handler] = []
        self.requests: list[web.Request] = []
        self.url = ""
        self.staging = Path()  # where the list is written to: `cut` waits for it
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def cut(self, body: bytes, at: int, head: str = 'ETag: "1"', status: str = "200 OK") -> Handler:
        """An answer whose connection breaks once `at` bytes of it have arrived in `staging`."""

        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            # No more requests on this connection: where `at` is the whole body, the next one could be made,
            # and the file be begun anew, before we have seen that it was complete.
            start = f"HTTP/1.1 {status}\r\n{head}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            request.transport.write(start.encode() + body[:at])
            while _size(self.staging) < begin + at:
                await asyncio.sleep(0.002)
            request.transport.close()
            return web.Response()

        return answer


@asynccontextmanager
async def serving(
    made: Publisher, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Publisher]:
    """Serve `made` on a port of its own."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    made.port = runner.addresses[0][1]
    made.url = f"{'http' if tls is None else 'https'}://{host}:{made.port}/list"
    try:
        yield made
    finally:
        await runner.cleanup()


class Waits(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def text(status: int = 200, body: bytes = LIST, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


def raw(data: bytes, *, hang: bool = False) -> Handler:
    """Bytes on the wire as they are, then the end, or silence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(data)
        if hang:
            await asyncio.Event().wait()
        request.transport.close()
        return web.Response()

    return answer


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
