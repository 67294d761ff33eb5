"""Connections that can't be held open, and that tell nothing of the software behind them.

aiohttp's own answer to a malformed request quotes it and names its version, and nothing limits how many
connections are open. Both are changed here, on the classes that aiohttp makes public.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from scanner.http.problems import SERVER, problem


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use.

    Attributes:
        idle_seconds: time to send a whole request, and to wait for the next one. Prometheus scrapes every
            15 to 60 s and doesn't mind to connect anew.
        connections: open at the same time; more are closed at once.
        line_bytes: of the request line and of each header.
        headers: of one request.
    """

    idle_seconds: float = 15.0
    connections: int = 64
    line_bytes: int = 4096
    headers: int = 64


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_most",)

    def __init__(self, server: web.Server, limits: Limits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle_seconds,
            lingering_time=1.0,  # for a body that nobody reads
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            max_headers=limits.headers,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp says: none
        )
        self._most = limits.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._manager is not None and len(self._manager.connections) >= self._most:
            cast(asyncio.Transport, transport).abort()
            return
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; neither the log nor the answer quotes it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun and can't be taken back")
        response = problem(status, {"Server": SERVER})
        response.force_close()
        return response


class Site(web.BaseSite):
    """A listening socket whose connections are `Connection`."""

    __slots__ = ("_host", "_limits", "_port")

    def __init__(self, runner: web.AppRunner, host: str, port: int, limits: Limits) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._limits = limits

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken, not ours, or may not be used.
        """
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("setup() comes before start()")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(server, self._limits), self._host, self._port, backlog=self._limits.connections
        )
