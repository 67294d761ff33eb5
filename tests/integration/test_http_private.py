"""The private endpoints: what they do with the token, and what they don't tell without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from scanner.config import Listen
from scanner.http import Limits, Private, Readiness, build_application, start

TOKEN = "t0k3n" * 8
GOOD = {"Authorization": f"Bearer {TOKEN}"}
QUICK = Limits(refusal_seconds=0)
PRIVATE = [("GET", "/v1/status"), ("POST", "/v1/volumes/web/scan"), ("POST", "/v1/feeds/police/sync")]


@dataclass
class Asked:
    """Takes the daemon's place: notes what it is asked for, and what the surface counts."""

    wakes: list[tuple[str, str]] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)

    def scan(self, volume: str) -> bool:
        return volume == "web" and self._note("scan", volume)

    def sync(self, feed: str) -> bool:
        return feed == "police" and self._note("sync", feed)

    def _note(self, what: str, name: str) -> bool:
        self.wakes.append((what, name))
        return True

    def http_request(self, endpoint: str, status: int) -> None:
        self.requests.append((endpoint, status))

    def http_limited(self, reason: str) -> None:
        self.limited.append(reason)


async def _status() -> Mapping[str, Any]:
    return {"volumes": [{"name": "web", "path": "/srv/www"}]}


def surface(asked: Asked, limits: Limits = QUICK, token: str = TOKEN) -> web.Application:
    return build_application(
        metrics=lambda: b"x 1\n",
        readiness=Readiness,
        private=Private(token, _status, asked) if token else None,
        limits=limits,
        watcher=asked,
    )


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = await start(app, Listen("127.0.0.1", 0))
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(
    base: str, method: str, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session:
        async with session.request(method, base + path, headers=headers) as r:
            shown = {k: v for k, v in r.headers.items() if k != "Date"}
            return r.status, await r.text(), shown


async def test_with_the_token_the_daemon_is_asked_and_the_status_is_told() -> None:
    asked = Asked()
    async with serving(surface(asked)) as base:
        status, text, _ = await ask(base, "GET", "/v1/status", GOOD)
        assert (status, text) == (200, '{"volumes": [{"name": "web", "path": "/srv/www"}]}')
        assert (await ask(base, "POST", "/v1/volumes/web/scan", GOOD))[0] == 202
        assert (await ask(base, "POST", "/v1/feeds/police/sync", GOOD))[0] == 202
        lower = {"authorization": f"bearer {TOKEN}"}
        assert (await ask(base, "POST", "/v1/feeds/police/sync", lower))[0] == 202
    assert asked.wakes == [("scan", "web"), ("sync", "police"), ("sync", "police")]
    assert ("scan", 202) in asked.requests


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_without_a_configured_token_there_is_no_such_endpoint(method: str, path: str) -> None:
    asked = Asked()
    async with serving(surface(asked, token="")) as base:
        for headers in ({}, GOOD, {"Authorization": "Bearer "}):
            assert (await ask(base, method, path, headers))[0] == 404
    assert not asked.wakes


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_every_refusal_is_the_same_whatever_was_wrong(method: str, path: str) -> None:
    asked, answers = Asked(), []
    wrong = [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        "Bearer S3CRET",
    ]
    async with serving(surface(asked)) as base:
        for said in wrong:
            answers.append(await ask(base, method, path, {"Authorization": said} if said else None))
        other = path.replace("web", "none").replace("police", "none")
        answers.append(await ask(base, method, other))
    assert all(a == answers[0] for a in answers)
    status, text, headers = answers[0]
    assert status == 401 and headers["WWW-Authenticate"] == "Bearer"
    assert text == '{"type": "about:blank", "title": "Unauthorized", "status": 401}'
    assert not asked.wakes


async def test_a_refusal_takes_its_time_and_the_right_token_does_not_wait() -> None:
    asked, limits = Asked(), Limits(refusal_seconds=3600, request_seconds=7200)
    async with serving(surface(asked, limits)) as base:
        refused = [
            asyncio.create_task(ask(base, "GET", "/v1/status", h))
            for h in ({}, {"Authorization": "Bearer x"})
        ]
        assert (await ask(base, "GET", "/v1/status", GOOD))[0] == 200
        assert not any(t.done() for t in refused)
        for t in refused:
            t.cancel()


async def test_guessing_is_limited_and_does_not_lock_out_who_has_the_token() -> None:
    asked, limits = Asked(), Limits(refusal_seconds=0, refusal_rate=0.001, refusal_burst=3)
    async with serving(surface(asked, limits)) as base:
        answers = [await ask(base, "GET", "/v1/status", {"Authorization": f"Bearer {n}"}) for n in range(5)]
        assert [a[0] for a in answers] == [401, 401, 401, 429, 429]
        assert int(answers[4][2]["Retry-After"]) >= 1
        assert (await ask(base, "GET", "/v1/status", GOOD))[0] == 200
    assert asked.limited == ["token", "token"]


@pytest.mark.parametrize(
    "name", ["SECRET", "%2e%2e%2fSECRET", "%ff%feSECRET", "SECRET%0d%0aX-A:%20b", "a%00SECRET"]
)
async def test_a_name_that_is_not_ours_is_a_404_that_echoes_nothing(name: str) -> None:
    asked = Asked()
    async with serving(surface(asked)) as base:
        for path in (f"/v1/volumes/{name}/scan", f"/v1/feeds/{name}/sync"):
            status, text, headers = await ask(base, "POST", path, GOOD)
            assert status in (400, 404)
            assert "SECRET" not in text + str(headers)
    assert not asked.wakes
    assert {endpoint for endpoint, _ in asked.requests} <= {"scan", "sync", "other"}


async def test_no_endpoint_takes_a_hash() -> None:
    """Whoever could ask "is this listed?" could learn the list: the surface has no such question."""
    routes = {(r.method, r.resource.canonical) for r in surface(Asked()).router.routes() if r.resource}
    assert routes == {
        ("GET", "/metrics"), ("HEAD", "/metrics"),
        ("GET", "/healthz"), ("HEAD", "/healthz"),
        ("GET", "/readyz"), ("HEAD", "/readyz"),
        ("GET", "/v1/status"), ("POST", "/v1/volumes/{name}/scan"), ("POST", "/v1/feeds/{name}/sync"),
    }  # fmt: skip
    async with serving(surface(Asked())) as base:
        plain = await ask(base, "GET", "/readyz")
        for digest in ("d41d8cd98f00b204e9800998ecf8427e", "ab" * 32):
            assert await ask(base, "GET", f"/readyz?sha256={digest}") == plain
            assert (await ask(base, "POST", f"/v1/volumes/{digest}/scan", GOOD))[0] == 404
