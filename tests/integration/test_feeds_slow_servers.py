"""Servers that keep a fetch busy without ever coming to an end, and those that send without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from simulators.publisher import QUICK

from scanner.feeds import FetchRequest, Opened, fetch
from scanner.feeds.client import HttpClient
from scanner.feeds.pace import Pace
from scanner.feeds.retrying import TryAgainError
from scanner.model.errors import FeedTransportError

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ONCE = replace(QUICK, attempts=1)


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """Bytes as a test wants them; gives the address."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(met, "127.0.0.1", 0, limit=1 << 14)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/list"
    finally:
        listening.close()


async def drip(writer: asyncio.StreamWriter, what: bytes) -> None:
    while True:
        writer.write(what)
        await writer.drain()
        await asyncio.sleep(0.01)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await drip(writer, b"#")


async def slow_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await drip(writer, b"#")


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100)))
        await writer.drain()


async def one_long_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"#" * 65536)
        await writer.drain()


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("talk", "answer", "message"),
    [
        (slow_body, 30, "less than 1000 bytes a second"),
        (slow_headers, 0.3, "in time"),
        (endless_headers, 30, "failed"),
        (one_long_header, 30, "failed"),
    ],
)
async def test_a_server_that_never_comes_to_an_end_is_left(session, staging, talk, answer, message):
    policy = replace(ONCE, total=60, read=60, answer=answer, least_rate=1000, window=0.2)
    async with server(talk) as url:
        with pytest.raises(FeedTransportError, match=message):
            async with asyncio.timeout(50):
                await fetch(FetchRequest("f", url), session, staging, policy=policy)
        assert not staging.exists()
        client = HttpClient(FetchRequest("f", url), session, Opened(), policy=policy)
        with pytest.raises(FeedTransportError, match=message):
            async with asyncio.timeout(50):
                await client.get("")


async def test_a_server_that_takes_nothing_of_what_is_sent_is_left(session):
    async with server(deaf) as url:
        client = HttpClient(FetchRequest("f", url), session, Opened(), policy=replace(ONCE, answer=0.3))
        with pytest.raises(FeedTransportError, match="in time"):
            async with asyncio.timeout(50):
                await client.post("", bytes(32 << 20))


def test_only_the_time_that_was_waited_counts_and_each_window_for_itself():
    pace = Pace(rate=100, window=10)
    pace.came(0, 9.9)  # not yet a window
    pace.came(1000, 0.1)  # 1000 bytes in 10 s
    for _ in range(1000):
        pace.came(1_000_000, 0.0)  # as fast as can be: no time is waited
    pace.came(1, 9.0)
    pace.came(1, 2.0)  # 11 s, but with what came before in this window
    with pytest.raises(TryAgainError, match="less than 100 bytes a second"):
        pace.came(999, 10)
