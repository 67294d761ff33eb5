"""A line between a client and a server that breaks where a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_PIECE = 16 << 10  # bytes passed on at once


@dataclass
class Line:
    """Passes connections on to `target`.

    Attributes:
        breaks: of each connection that is to break, after how many bytes from the server; the rest pass.
        before: done then.
        cuts: the line breaks by itself then; else `before` makes the server do it.
        passed: bytes from the server, by connection.
    """

    target: int
    breaks: list[int] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    cuts: bool = True
    port: int = 0
    passed: list[int] = field(default_factory=list)

    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running.add(asyncio.create_task(self.met(reader, writer), name="line"))

    async def end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.passed)
        self.passed.append(0)
        limit = self.breaks.pop(0) if self.breaks else None
        # Small buffers: what the server has sent is not far ahead of what has passed.
        there = socket.socket()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        there.connect(("127.0.0.1", self.target))
        from_server, to_server = await asyncio.open_connection(sock=there, limit=_PIECE)
        up = asyncio.create_task(_pass(reader, to_server), name="line up")
        with contextlib.suppress(ConnectionError):
            while data := await from_server.read(_PIECE):
                self.passed[number] += len(data)
                writer.write(data)
                await writer.drain()
                if limit is not None and self.passed[number] >= limit:
                    limit = None
                    self.before()
                    if self.cuts:
                        break
        up.cancel()
        to_server.close()
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def line(made: Line) -> AsyncIterator[Line]:
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0, limit=_PIECE)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
