"""Hash checks for others: who may ask, how often, and what is told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from scanner.config import Listen
from scanner.http import Limits, start
from scanner.http.checks import build_check_application
from scanner.http.clients import Clients, parse_clients
from scanner.model.errors import ConfigError

SECRET = "s3cret-of-small-host"
CLIENTS = f"# who may ask\nsmall {SECRET}\nslow another-long-secret 1\n"
LISTED = bytes(range(20))


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


GOOD = basic("small", SECRET)


@dataclass
class Lists:
    """Takes the lists' place."""

    sizes: dict[str, int] = field(default_factory=lambda: {"sha1": 20, "sha512": 64})
    under: Sequence[bytes] = (b"\x00\x01\x02" + bytes(17), b"\x00\x01\x02" + b"\xff" * 17)

    def listed(self, kind: str, value: bytes) -> bool:
        return value == LISTED

    def beginning(self, kind: str, value: int, bits: int) -> Sequence[bytes]:
        return self.under if (value, bits) == (0x000102, 24) else ()


@asynccontextmanager
async def service(now: list[float], answered: list[str]) -> AsyncIterator[aiohttp.ClientSession]:
    clients = Clients(parse_clients(CLIENTS, "clients"), lambda: now[0])
    lists = Lists()
    application = build_check_application(
        lambda: lists, clients, answered.append, lambda: b"x 1\n", limits=Limits(refusal_seconds=0)
    )
    runner = await start(application, Listen("127.0.0.1", 0))
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            yield session
    finally:
        await runner.cleanup()


async def test_a_whole_hash_is_answered_as_the_dutch_service_does() -> None:
    answered: list[str] = []
    async with service([0.0], answered) as session:
        for body, said in (
            (LISTED.hex(), "true"),
            (LISTED.hex().upper() + "\n", "true"),
            ("0" * 40, "false"),
        ):
            async with session.post("/v1/check/sha1", data=body, headers=GOOD) as response:
                assert (response.status, await response.text()) == (200, said)
    assert answered == ["true", "true", "false"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("sha1", "0" * 39, 400), ("sha1", "0" * 64, 400), ("sha1", "x" * 40, 400), ("sha1", "", 400),
        ("sha1", "0" * 5000, 413), ("md5", "0" * 32, 404), ("../x", "0" * 40, 404),
    ],
)  # fmt: skip
async def test_what_is_no_hash_is_told_and_is_no_false(path: str, body: str, status: int) -> None:
    async with service([0.0], []) as session:
        async with session.post(f"/v1/check/{path}", data=body, headers=GOOD) as response:
            assert response.status == status
            assert (await response.text()) not in ("true", "false")


async def test_a_prefix_is_answered_with_the_rest_and_filled_up() -> None:
    async with service([0.0], []) as session:
        bearer = {"Authorization": f"Bearer {SECRET}"}
        async with session.get("/v1/prefix/sha1/000102", headers=bearer) as response:
            lines = (await response.text()).split()
        async with session.get("/v1/prefix/sha1/000103", headers=bearer) as response:
            empty = (await response.text()).split()
    assert {"0" * 34, "f" * 34} <= set(lines)
    assert lines == sorted(lines)
    assert len(lines) == len(empty) == 16
    assert {len(line) for line in lines + empty} == {34}


@pytest.mark.parametrize("digits", ["0001", "000102030", "00010g", ""])
async def test_too_few_or_too_many_bits_are_refused(digits: str) -> None:
    async with service([0.0], []) as session:
        async with session.get(f"/v1/prefix/sha1/{digits}", headers=GOOD) as response:
            assert response.status in (400, 404)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic !"}, basic("small", "wrong"), {"Authorization": "Bearer x"},
     basic("slow", SECRET), {"Authorization": "Digest x"}],
)  # fmt: skip
async def test_strangers_are_told_nothing(headers: dict[str, str]) -> None:
    answered: list[str] = []
    async with service([0.0], answered) as session:
        for ask in (session.post("/v1/check/sha1", data=LISTED.hex(), headers=headers),
                    session.get("/v1/prefix/sha1/000102", headers=headers)):  # fmt: skip
            async with ask as response:
                assert response.status == 401
                assert "Basic" in response.headers["WWW-Authenticate"]
    assert answered == ["refused", "refused"]


async def test_each_client_is_held_to_its_own_rate() -> None:
    now, answered = [0.0], list[str]()
    slow = basic("slow", "another-long-secret")
    async with service(now, answered) as session:

        async def ask(who: dict[str, str]) -> int:
            async with session.post("/v1/check/sha1", data="0" * 40, headers=who) as response:
                if response.status == 429:
                    assert response.headers["Retry-After"] == "1"
                return response.status

        assert [await ask(slow) for _ in range(4)] == [200, 200, 429, 429]
        assert await ask(GOOD) == 200
        now[0] += 1
        assert await ask(slow) == 200
    assert answered.count("limited") == 2


@pytest.mark.parametrize(
    "text",
    ["", "# nobody\n", "one\n", "a short\n", f"a {SECRET}\na {SECRET}\n", f"a {SECRET} fast\n",
     f"a:b {SECRET}\n", f"a {SECRET} 0\n", f"a {SECRET} 1 2\n"],
)  # fmt: skip
def test_a_clients_file_that_is_wrong_is_refused_without_a_secret_in_the_error(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_clients(text, "/etc/clients")
    assert "/etc/clients" in str(error.value)
    assert SECRET not in str(error.value)


def test_the_event_loop_is_not_needed_to_recognise_a_client() -> None:
    clients = Clients(parse_clients(CLIENTS, "clients"), lambda: 0.0)
    assert clients.who(GOOD["Authorization"]) == "small"
    assert clients.who("bearer another-long-secret") == "slow"
    assert asyncio.iscoroutinefunction(clients.who) is False
