"""Clients that mean harm: they ask too often, send too much, read nothing, or speak something else."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from scanner.config import Listen
from scanner.http import Limits, Private, Readiness, build_application, start
from scanner.http.connections import network_of
from scanner.http.rates import Rates
from scanner.model.errors import ConfigError

TOKEN = "t0k3n" * 8
POST = b"POST /v1/volumes/web/scan HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
LAST = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LARGE = b"x 1\n" * (4 << 20)  # more than all buffers of a loopback connection


class Counts:
    """What the surface says of limits; and a daemon that takes any order."""

    def __init__(self) -> None:
        self.limited: list[str] = []
        self.wakes: list[str] = []
        self.seen = asyncio.Event()

    def http_request(self, endpoint: str, status: int) -> None:
        return

    def http_limited(self, reason: str) -> None:
        self.limited.append(reason)
        self.seen.set()

    def scan(self, volume: str) -> bool:
        self.wakes.append(volume)
        return True

    sync = scan


async def _status() -> dict[str, object]:
    return {}


@asynccontextmanager
async def serving(
    counts: Counts, limits: Limits | None = None, body: bytes = b"x 1\n", listen: Listen | None = None
) -> AsyncIterator[int]:
    app = build_application(
        metrics=lambda: body,
        readiness=Readiness,
        private=Private(TOKEN, _status, counts),
        limits=limits or Limits(refusal_seconds=0),
        watcher=counts,
    )
    runner = await start(app, listen or Listen("127.0.0.1", 0))
    try:
        yield 0 if listen else runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def send(port: int, raw: bytes) -> bytes:
    """Send raw bytes; everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    try:
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    return [int(s) for s in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)]


# Too often


@pytest.fixture
def now() -> Iterator[list[float]]:
    yield [1000.0]


def test_a_peer_gets_its_burst_then_its_rate_and_others_are_not_held_up(now: list[float]) -> None:
    rates = Rates(peer=(2.0, 3.0), all=(100.0, 100.0), peers=10, now=lambda: now[0])
    assert [rates.take("a") for _ in range(3)] == [0, 0, 0]
    assert rates.take("a") == pytest.approx(0.5)
    assert rates.take("b") == 0
    now[0] += 0.5
    assert rates.take("a") == 0
    assert rates.take("a") > 0
    now[0] -= 100  # a clock that goes back gives nothing and takes nothing
    assert rates.take("a") > 0


def test_all_peers_together_have_a_limit_and_their_table_stays_small(now: list[float]) -> None:
    rates = Rates(peer=(1.0, 5.0), all=(1.0, 50.0), peers=8, now=lambda: now[0])
    granted = sum(rates.take(f"peer {n}") == 0 for n in range(1000))
    assert granted == 50
    assert len(rates) == 8


def test_monitoring_once_a_second_is_never_limited_by_the_defaults(now: list[float]) -> None:
    limits = Limits()
    rates = Rates(
        peer=(limits.peer_rate, limits.peer_burst), all=(limits.rate, limits.burst),
        peers=limits.peers, now=lambda: now[0],
    )  # fmt: skip
    for _ in range(3600):
        now[0] += 1
        assert not any(rates.take("192.0.2.1") for _ in range(24))


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_peer_is_an_address_or_a_whole_network_of_ipv6(host: str, peer: str) -> None:
    assert network_of(host) == peer


async def test_who_asks_too_often_is_told_when_to_come_back(counts: Counts) -> None:
    limits = Limits(peer_rate=0.01, peer_burst=2)
    get = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serving(counts, limits) as port:
        answer = await send(port, get * 3 + LAST)
        assert statuses(answer) == [200, 200, 429, 429]
        assert int(re.findall(rb"Retry-After: ([0-9]+)", answer)[0]) > 1
        assert b"application/problem+json" in answer
        assert statuses(await send(port, POST + b"Connection: close\r\n\r\n")) == [
            202
        ]  # who has the token is not held up
    assert counts.limited == ["rate", "rate"]


# Too much, too slowly


async def test_an_answer_that_is_never_taken_ends_with_its_connection(counts: Counts) -> None:
    async with serving(counts, Limits(answer_seconds=0.2), LARGE) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(counts.seen.wait(), 10)
        assert counts.limited == ["slow"]
        taken = 0
        with pytest.raises(ConnectionError):
            while part := await reader.read(1 << 16):
                taken += len(part)
            raise ConnectionResetError  # an end instead of a reset: it must come early all the same
        assert taken < len(LARGE)
        writer.close()


async def test_an_answer_that_is_taken_may_be_large(counts: Counts) -> None:
    async with serving(counts, Limits(answer_seconds=60), LARGE) as port:
        answer = await send(port, LAST)
        assert answer.endswith(LARGE)
    assert not counts.limited


async def test_a_request_sent_byte_by_byte_is_cut_off_when_its_time_is_over(counts: Counts) -> None:
    async with serving(counts, Limits(idle_seconds=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(reader.read())
        for byte in b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 10_000:
            if ended.done():
                break
            writer.write(bytes([byte]))
            await asyncio.wait([ended], timeout=0.02)
        assert await ended == b""
        writer.close()


async def test_an_answer_that_is_never_made_is_given_up(counts: Counts) -> None:
    async def never() -> Readiness:
        await asyncio.Event().wait()
        raise AssertionError

    app = build_application(
        metrics=lambda: b"", readiness=never, limits=Limits(request_seconds=0.1), watcher=counts
    )
    runner = await start(app, Listen("127.0.0.1", 0))
    try:
        port = runner.addresses[0][1]
        assert statuses(await send(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")) == [503]
        assert statuses(await send(port, LAST)) == [200]
    finally:
        await runner.cleanup()
    assert counts.limited == ["time"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (POST + b"Content-Length: 1025\r\n\r\n" + b"S" * 1025, 413),
        (POST + b"Content-Length: 99999999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\n0\r\n\r\n", 413),
        (POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSECRET", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nSECRET", 400),
        (POST + b"Content-Length: 6\r\nContent-Length: 7\r\n\r\nSECRETS", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 0x6\r\n\r\nSECRET", 400),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\nSECRET", 400),
        (POST + b"X: " + b"SECRET" * 1000 + b"\r\n\r\n", 400),
        (POST + b"".join(b"SECRET%d: x\r\n" % n for n in range(100)) + b"\r\n", 400),
        (POST + b"SECRET \x00: x\r\n\r\n", 400),
    ],
)
async def test_a_body_or_header_that_is_no_good_is_refused_and_starts_nothing(
    counts: Counts, raw: bytes, status: int
) -> None:
    async with serving(counts) as port:
        answer = await send(port, raw + LAST)
    assert statuses(answer) == [status]  # and what follows on that connection is not looked at
    assert b"SECRET" not in answer and TOKEN.encode() not in answer
    assert not counts.wakes


async def test_a_small_body_is_not_looked_at_and_requests_in_a_row_are_told_apart(counts: Counts) -> None:
    small = POST + b"Content-Length: 2\r\n\r\n{}"
    async with serving(counts) as port:
        assert statuses(await send(port, small + small + LAST)) == [202, 202, 200]
    assert counts.wakes == ["web", "web"]


@pytest.mark.parametrize(
    "line",
    [
        b"GET /\xff\xfeSECRET HTTP/1.1",
        b"GET /%ff%fe%00SECRET HTTP/1.1",
        b"GET //SECRET/../metrics HTTP/1.1",
        b"GET http://[SECRET/ HTTP/1.1",
        b"GET /metrics\x0bSECRET HTTP/1.1",
        b"SECRET /metrics HTTP/1.1",
        b"GET /v1/volumes/\xed\xa0\x80SECRET/scan HTTP/1.1",
        b"GET * HTTP/1.1",
        b"CONNECT SECRET:443 HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01SECRET",
    ],
)
async def test_paths_and_lines_of_any_bytes_get_an_error_that_echoes_nothing(
    counts: Counts, line: bytes
) -> None:
    async with serving(counts) as port:
        answer = await send(port, line + b"\r\nHost: SECRET\r\nConnection: close\r\n\r\n")
        assert all(400 <= s < 500 for s in statuses(answer)) and statuses(answer)
        assert b"SECRET" not in answer and b"Traceback" not in answer
        assert statuses(await send(port, LAST)) == [200]


# A socket of ours


@pytest.fixture
def counts() -> Counts:
    return Counts()


async def get(path: Path) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        async with session.get("http://x/healthz") as answer:
            return answer.status


async def test_a_socket_serves_is_for_user_and_group_and_is_gone_at_the_end(
    counts: Counts, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "http.sock"
    async with serving(counts, listen=Listen("", 0, str(path))):
        assert await get(path) == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        with pytest.raises(ConfigError, match="another program listens there"):
            async with serving(counts, listen=Listen("", 0, str(path))):
                pass
        assert await get(path) == 200
    assert not path.exists()


async def test_a_socket_left_by_a_killed_process_is_replaced(counts: Counts, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(counts, listen=Listen("", 0, str(path))):
        assert await get(path) == 200


@pytest.mark.parametrize("kind", ["file", "link", "link to a socket"])
async def test_anything_else_in_the_socket_s_place_is_left_alone(
    counts: Counts, tmp_path: Path, kind: str
) -> None:
    path, other = tmp_path / "http.sock", tmp_path / "other"
    if kind == "link to a socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(other))
    else:
        other.write_text("kept")
    other.rename(path) if kind == "file" else path.symlink_to(other)
    with pytest.raises(ConfigError, match="no socket stands there"):
        async with serving(counts, listen=Listen("", 0, str(path))):
            pass
    assert path.is_symlink() or path.read_text() == "kept"
    assert kind == "file" or other.exists()


async def test_a_socket_is_only_made_where_nobody_else_may_write(counts: Counts, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose").chmod(0o777)
    (tmp_path / "loose" / "in").mkdir(0o700)
    for place in ("open", "link", "loose/in"):
        with pytest.raises(ConfigError, match=r"others may write|symbolic link"):
            async with serving(counts, listen=Listen("", 0, str(tmp_path / place / "http.sock"))):
                pass
    assert os.listdir(tmp_path / "open") == []
