"""What every request has to pass before it is looked at: its body, its rate, its token, its time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import time
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

from scanner.http.connections import Connection
from scanner.http.limits import Limits, Watcher
from scanner.http.problems import problem
from scanner.http.rates import Rates

_BEARER = "bearer "


class Guard:
    """Holds what is remembered from request to request.

    Args:
        token: what `Authorization: Bearer` must say for the private endpoints; "" if there are none.
    """

    def __init__(self, limits: Limits, watcher: Watcher, token: str) -> None:
        self._limits = limits
        self._watcher = watcher
        # Digests have one length: comparing them takes the same time whatever was sent.
        self._token = _digest(token) if token else b""
        ask, refuse = (limits.peer_rate, limits.peer_burst), (limits.refusal_rate, limits.refusal_burst)
        both = (limits.rate, limits.burst)
        self._asked = Rates(peer=ask, all=both, peers=limits.peers, now=time.monotonic)
        self._refused = Rates(peer=refuse, all=both, peers=limits.peers, now=time.monotonic)
        # Who has the token is never held up by strangers, and can't hold us up either.
        self._trusted = Rates(peer=both, all=both, peers=1, now=time.monotonic)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse large bodies and requests that come too often."""
        if (status := self._body(request)) != 0:
            self._watcher.http_limited("body")
            response = problem(status)
            response.force_close()  # what follows on this connection could be anything
            return response
        wait = self._trusted.take("") if self._is_trusted(request) else self._asked.take(_peer(request))
        return self._too_often(wait, "rate") if wait else await handler(request)

    def private(self, handler: Handler) -> Handler:
        """A handler for those who have the token, a refusal for everybody else.

        It is bound to the handler, not to a path: no way of writing the path goes around it.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            if self._is_trusted(request):
                return await handler(request)
            await asyncio.sleep(self._limits.refusal_seconds)
            wait = self._refused.take(_peer(request))
            if wait:
                return self._too_often(wait, "token")
            return problem(401, {"WWW-Authenticate": "Bearer"})

        return guarded

    @web.middleware
    async def in_time(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give up on an answer that takes too long."""
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                return await handler(request)
        except TimeoutError:
            self._watcher.http_limited("time")
            response = problem(503, {"Retry-After": "30"})
            response.force_close()
            return response

    def _body(self, request: web.Request) -> int:
        """The status to refuse a body with; 0 if there is nothing against it."""
        length, chunked = request.headers.get("Content-Length"), "Transfer-Encoding" in request.headers
        if length is not None and chunked:
            return 400  # two ideas of where the next request begins: the base of request smuggling
        if chunked:
            return 413  # nothing says how long it will be, and none is wanted
        return 413 if (request.content_length or 0) > self._limits.body_bytes else 0

    def _is_trusted(self, request: web.Request) -> bool:
        said = request.headers.get("Authorization", "")
        given = said[len(_BEARER) :] if said[: len(_BEARER)].lower() == _BEARER else ""
        return hmac.compare_digest(_digest(given), self._token)

    def _too_often(self, wait: float, reason: str) -> web.Response:
        self._watcher.http_limited(reason)
        return problem(429, {"Retry-After": str(max(1, math.ceil(wait)))})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _peer(request: web.Request) -> str:
    return cast(Connection, request.protocol).peer
