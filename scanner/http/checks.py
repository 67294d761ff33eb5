"""Answering hash checks: `true` or `false` for a whole hash, or what is listed under a part of a keyed one.

The first in the shape of the Dutch hash check service: `POST /v1/check/<kind>` with the hash as the body. In
the second the asker sends 20 to 32 bits of HMAC-SHA-256 under a key that both have, and compares the rest
itself, so that nobody is told which files there are: `GET /v1/prefix/<kind>/<5 to 8 digits>`.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST

from scanner.http.clients import Clients
from scanner.http.limits import Limits, Nobody, Watcher
from scanner.http.problems import SERVER, problem, problems
from scanner.http.server import LIMITS, WATCHER

_PADDED_TO = 16  # lines: how many are listed under a prefix is nobody's business on the way
# 20 bits tell one value in a million from another, 32 bits one in four thousand million.
_PREFIX = re.compile(r"[0-9a-f]{5,8}")
_HASH = re.compile(r"[0-9A-Fa-f]{32,128}")


class Lookups(Protocol):
    """The lists of now. Quick; asked on the event loop."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of a value of each kind that may be asked for."""

    def listed(self, kind: str, value: bytes) -> bool:
        """Whether this value is listed, and acts."""

    def beginning(self, kind: str, value: int, bits: int) -> Sequence[bytes]:
        """The stored values that begin with these bits."""


def build_check_application(
    lookups: Callable[[], Lookups],
    clients: Clients,
    count: Callable[[str], None],
    metrics: Callable[[], bytes],
    *,
    limits: Limits | None = None,
    watcher: Watcher | None = None,
) -> web.Application:
    """Build the service.

    Args:
        lookups: gives the lists of now, each time.
        count: told of each answer: true, false, prefix, refused, limited, malformed.
        metrics: Prometheus' text format.
    """
    limits = limits or Limits()
    app = web.Application(middlewares=[problems], client_max_size=limits.body_bytes)
    app[LIMITS], app[WATCHER] = limits, watcher or Nobody()

    async def check(request: web.Request) -> web.Response:
        lists, kind = lookups(), request.match_info["kind"]
        size = lists.sizes.get(kind)
        text = (await request.text()).strip()
        if size is None or len(text) != 2 * size or not _HASH.fullmatch(text):
            count("malformed")
            return problem(404 if size is None else 400)
        listed = lists.listed(kind, bytes.fromhex(text))
        count("true" if listed else "false")
        return web.Response(text="true" if listed else "false")

    async def prefix(request: web.Request) -> web.Response:
        lists, kind, digits = lookups(), request.match_info["kind"], request.match_info["digits"].lower()
        size = lists.sizes.get(kind)
        if size is None or not _PREFIX.fullmatch(digits):
            count("malformed")
            return problem(404 if size is None else 400)
        found = lists.beginning(kind, int(digits, 16), 4 * len(digits))
        count("prefix")
        return web.Response(text="".join(_padded([v.hex()[len(digits) :] for v in found], size, digits)))

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/healthz", health)
    app.router.add_get("/metrics", figures)
    guarded = _Guard(clients, count, limits)
    app.router.add_post("/v1/check/{kind}", guarded.of(check))
    app.router.add_get("/v1/prefix/{kind}/{digits}", guarded.of(prefix), allow_head=False)
    app.on_response_prepare.append(_headers)
    return app


def _padded(rest: list[str], size: int, digits: str) -> list[str]:
    """Lines in order, filled up with values that no file has."""
    width = 2 * min(size, 32) - len(digits)
    missing = -len(rest) % _PADDED_TO or (0 if rest else _PADDED_TO)
    made = [secrets.token_hex(width // 2 + 1)[:width] for _ in range(missing)]
    return [f"{line}\n" for line in sorted(rest + made)]


class _Guard:
    """Lets in who has a secret, as often as agreed. Strangers wait, so that guessing is slow."""

    def __init__(self, clients: Clients, count: Callable[[str], None], limits: Limits) -> None:
        self._clients = clients
        self._count = count
        self._limits = limits

    def of(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            name = self._clients.who(request.headers.get("Authorization", ""))
            if name is None:
                self._count("refused")
                await asyncio.sleep(self._limits.refusal_seconds)
                return problem(401, {"WWW-Authenticate": 'Basic realm="hash check"'})
            wait = self._clients.wait(name)
            if wait:
                self._count("limited")
                return problem(429, {"Retry-After": str(math.ceil(wait))})
            return await handler(request)

        return guarded


async def _headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
