"""HTTP for the protocols of publishers: many small requests within one sync, each bounded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from yarl import URL

from scanner.feeds.addresses import is_loopback, parse, redirected
from scanner.feeds.exchanges.base import Reply
from scanner.feeds.transport import (
    FetchPolicy,
    FetchRequest,
    Opened,
    TryAgainError,
    network_errors,
    refused,
    retry_after,
    with_retries,
)
from scanner.model.errors import FeedRefusedError, FeedTransportError

if TYPE_CHECKING:
    import aiohttp

LIMIT = 64 << 20  # bytes of one answer
_MOST_REQUESTS = 100_000  # of one sync: a list of 40 million in pages of 400
_CHUNK = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpClient:
    """See `scanner.feeds.exchanges.base.Client`.

    Args:
        opened: holds the secret, read before the process gave up its rights.
    """

    def __init__(
        self,
        request: FetchRequest,
        session: aiohttp.ClientSession,
        opened: Opened,
        *,
        policy: FetchPolicy | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._request = request
        self._session = session
        self._opened = opened
        self._policy = policy or FetchPolicy()
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._start = parse(request.url, insecure=request.insecure)
        self._requests = 0
        if opened.authorization and self._start.scheme != "https" and not is_loopback(self._start.host):
            raise FeedTransportError(
                "a secret is sent by https:// only", remedy="Use https://, or leave the secret out"
            )

    @property
    def authorization(self) -> str:
        return self._opened.authorization

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = LIMIT,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        return await self._ask("GET", url, None, params, headers, limit, accept)

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = LIMIT,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        return await self._ask("POST", url, body, params, headers, limit, accept)

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        limit: int,
        accept: frozenset[int],
    ) -> Reply:
        target = self._target(url, params)

        async def attempt() -> Reply:
            return await self._followed(method, target, body, headers or {}, limit, accept)

        return await with_retries(attempt, self._policy, self._rng, self._sleep)

    def _target(self, url: str, params: Mapping[str, str] | None) -> URL:
        """The absolute address; one that a server named is held to the rules of redirects."""
        target = self._start.join(URL(url))
        if target.origin() != self._start.origin():
            target = redirected(
                self._start,
                self._start,
                str(target),
                insecure=self._request.insecure,
                other_hosts=self._request.allow_other_hosts,
            )
        return target.update_query(params) if params else target

    async def _followed(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str],
        limit: int,
        accept: frozenset[int],
    ) -> Reply:
        for _ in range(self._policy.redirects + 1):
            self._count()
            answer = await self._once(method, url, body, headers, limit, accept)
            if isinstance(answer, Reply):
                return answer
            url = redirected(
                self._start,
                url,
                answer,
                insecure=self._request.insecure,
                other_hosts=self._request.allow_other_hosts,
            )
        raise FeedTransportError(f"the server redirects more than {self._policy.redirects} times")

    def _count(self) -> None:
        self._requests += 1
        if self._requests > _MOST_REQUESTS:
            raise FeedTransportError(
                f"more than {_MOST_REQUESTS} requests in one sync",
                remedy="The publisher's pages go on without end; ask what is wrong there",
            )

    async def _once(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str],
        limit: int,
        accept: frozenset[int],
    ) -> Reply | str:
        """The answer, or where it is redirected to."""
        import aiohttp

        own = {"User-Agent": "hostsweep", **headers}
        if self._opened.authorization and url.origin() == self._start.origin():
            own.setdefault("Authorization", self._opened.authorization)
        limits = aiohttp.ClientTimeout(
            total=self._policy.total, sock_connect=self._policy.connect, sock_read=self._policy.read
        )
        with network_errors():
            async with self._session.request(
                method, url, data=body, headers=own, timeout=limits, allow_redirects=False
            ) as response:
                if response.status in _REDIRECTS:
                    return response.headers.get("Location", "")
                again = response.status in (408, 425, 429) or response.status >= 500
                if again and response.status not in accept:
                    raise TryAgainError(f"the server answered {response.status}", retry_after(response))
                if response.status // 100 != 2 and response.status not in accept:
                    raise refused(response.status)
                content = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    content += chunk
                    if len(content) > limit:
                        raise FeedRefusedError(f"an answer of the server has more than {limit} bytes")
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, names, bytes(content), str(url))
