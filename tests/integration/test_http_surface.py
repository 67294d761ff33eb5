"""The HTTP surface, asked over real connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from scanner.config import Listen
from scanner.http import Check, Limits, Readiness, build_application, start
from scanner.model.errors import ConfigError
from scanner.observability import Metrics

READY = Readiness((Check("index", True),))
# Answers are made anew for every request, so that a test sees what it has just changed.
UNHURRIED = Limits(fresh_seconds=0)


@asynccontextmanager
async def serving(
    metrics: Callable[[], bytes | Awaitable[bytes]] = lambda: b"x 1\n",
    readiness: Callable[[], Readiness | Awaitable[Readiness]] = lambda: READY,
    health: Callable[[], bool | Awaitable[bool]] = lambda: True,
    limits: Limits | None = None,
) -> AsyncIterator[int]:
    """A server on a free port of this machine."""
    app = build_application(metrics=metrics, readiness=readiness, health=health, limits=limits or UNHURRIED)
    runner = await start(app, Listen("127.0.0.1", 0))
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Answer:
    status: int
    type: str
    body: str
    headers: str


async def ask(port: int, path: str, method: str = "GET", **options: str) -> Answer:
    async with aiohttp.ClientSession() as session:
        async with session.request(method, f"http://127.0.0.1:{port}{path}", **options) as r:  # type: ignore[arg-type]
            return Answer(r.status, r.headers.get("Content-Type", ""), await r.text(), str(dict(r.headers)))


async def send(port: int, raw: bytes) -> bytes:
    """Send raw bytes; everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 3)
    finally:
        writer.close()


async def test_metrics_are_served_in_prometheus_text_format() -> None:
    metrics = Metrics("1.2.3")
    async with serving(metrics.render) as port:
        answer = await ask(port, "/metrics")
        assert answer.status == 200
        assert answer.type.startswith("text/plain; version=")
        assert answer.body == metrics.render().decode()
        head = await ask(port, "/metrics", "HEAD")
        assert (head.status, head.body) == (200, "")


async def test_answers_may_come_from_coroutines() -> None:
    async def metrics() -> bytes:
        return b"y 2\n"

    async def readiness() -> Readiness:
        return READY

    async with serving(metrics, readiness) as port:
        assert (await ask(port, "/metrics")).body == "y 2\n"
        assert (await ask(port, "/readyz")).status == 200


async def test_readiness_is_503_and_names_exactly_what_is_missing() -> None:
    state = [
        Readiness((Check("index", True), Check("feed:police", False, "the list is 3 days old\n\x1b[2J")))
    ]
    async with serving(readiness=lambda: state[0]) as port:
        answer = await ask(port, "/readyz")
        assert answer.status == 503
        assert answer.body == (
            '{"ready": false, "not_ready": [{"name": "feed:police", '
            '"text": "the list is 3 days old\\\\x0a\\\\x1b[2J"}]}'
        )
        state[0] = READY
        answer = await ask(port, "/readyz")
        assert (answer.status, answer.body) == (200, '{"ready": true, "not_ready": []}')


async def test_health_is_503_when_the_process_says_so() -> None:
    alive = [True]
    async with serving(health=lambda: alive[0]) as port:
        assert (await ask(port, "/healthz")).body == '{"alive": true}'
        alive[0] = False
        assert (await ask(port, "/healthz")).status == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/SECRETPATH", 404),
        ("GET", "/%2e%2e/SECRETPATH?q=SECRETPATH", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/readyz", 405),
        ("PATCH", "/healthz?q=SECRETPATH", 405),
    ],
)
async def test_other_paths_and_methods_are_problems_that_echo_nothing(
    method: str, path: str, status: int
) -> None:
    async with serving() as port:
        answer = await ask(port, path, method)
    assert answer.status == status
    assert answer.type.startswith("application/problem+json")
    assert f'"status": {status}' in answer.body
    assert "SECRETPATH" not in answer.body + answer.headers


async def test_a_failing_answer_is_a_500_without_details_and_the_next_one_works() -> None:
    answers = iter([RuntimeError("S3CRET /srv/www"), b"x 1\n"])

    def metrics() -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with serving(metrics) as port:
        failed = await ask(port, "/metrics")
        assert failed.status == 500
        assert "S3CRET" not in failed.body
        assert (await ask(port, "/metrics")).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"SECRET\x01 nonsense\r\n\r\n",
        b"GET /" + b"SECRET" * 2_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"SECRET" * 2_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"SECRET%d: x\r\n" % n for n in range(200)) + b"\r\n",
    ],
)
async def test_what_is_no_proper_request_is_a_400_that_quotes_nothing(raw: bytes) -> None:
    async with serving() as port:
        answer = await send(port, raw)
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        assert b"SECRET" not in answer
        assert b"Server: hostsweep\r\n" in answer


async def test_no_answer_names_a_version_of_the_software() -> None:
    async with serving() as port:
        for path in ("/metrics", "/nothing"):
            headers = (await ask(port, path)).headers
            assert "'Server': 'hostsweep'" in headers
            assert "aiohttp" not in headers
            assert "Python" not in headers


@pytest.mark.parametrize("raw", [b"", b"GET /healthz HTTP/1.1\r\nHost:"])
async def test_a_connection_that_sends_no_whole_request_is_closed(raw: bytes) -> None:
    async with serving(limits=Limits(idle_seconds=0.2)) as port:
        assert await send(port, raw) == b""


async def test_connections_above_the_limit_are_closed_and_those_within_it_served() -> None:
    async with serving(limits=Limits(connections=2)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in held:  # a whole answer on each, so that both are surely counted
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"}")
        with pytest.raises(OSError):
            if await send(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == b"":
                raise ConnectionResetError
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


async def test_a_taken_port_is_told_with_the_address_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Listen("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigError) as caught:
            await start(build_application(metrics=lambda: b"", readiness=lambda: READY), listen)
    assert str(caught.value).startswith(f"{listen}: the port is taken")
    assert "http.listen" in caught.value.remedy


async def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:9797: can't listen there"):
        await start(
            build_application(metrics=lambda: b"", readiness=lambda: READY), Listen("192.0.2.1", 9797)
        )


async def test_ipv6_loopback_is_served_where_the_machine_has_it() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    runner = await start(build_application(metrics=lambda: b"", readiness=lambda: READY), Listen("::1", 0))
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://[::1]:{runner.addresses[0][1]}/healthz") as answer:
                assert answer.status == 200
    finally:
        await runner.cleanup()


async def test_an_answer_that_is_costly_is_made_once_for_all_who_ask_at_a_time() -> None:
    made, go = [0], asyncio.Event()

    async def readiness() -> Readiness:
        made[0] += 1
        await go.wait()
        return READY

    async with serving(readiness=readiness, limits=Limits(fresh_seconds=3600)) as port:
        asked = [asyncio.create_task(ask(port, "/readyz")) for _ in range(8)]
        while not made[0]:
            await asyncio.sleep(0)
        go.set()
        assert {a.status for a in await asyncio.gather(*asked)} == {200}
        assert (await ask(port, "/readyz")).status == 200
    assert made == [1]


async def test_a_failed_answer_is_not_kept_for_others() -> None:
    answers = iter([RuntimeError("x"), READY])

    def readiness() -> Readiness:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with serving(readiness=readiness, limits=Limits(fresh_seconds=3600)) as port:
        assert (await ask(port, "/readyz")).status == 500
        assert (await ask(port, "/readyz")).status == 200
