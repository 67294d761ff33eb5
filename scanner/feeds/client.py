"""HTTP for the protocols of publishers: many small requests in one sync, each bounded, and all together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from yarl import URL

from scanner.feeds.compression import ACCEPTED, Unpacker, known_encoding
from scanner.feeds.exchanges.base import Reply
from scanner.feeds.fetching import FetchPolicy, FetchRequest, Traffic
from scanner.feeds.objects import locate
from scanner.feeds.opening import Opened, named, start_of
from scanner.feeds.retrying import check_status, with_retries
from scanner.feeds.wire import Wire
from scanner.model.errors import FeedError, FeedRefusedError, FeedTransportError

if TYPE_CHECKING:
    import aiohttp

LIMIT = 64 << 20  # bytes of one answer, unpacked
MOST_REQUESTS = 100_000  # of one sync: a list of 40 million in pages of 400


class HttpClient:
    """See `scanner.feeds.exchanges.base.Client`.

    Args:
        opened: holds the secrets, read before the process gave up its rights.
        most_requests: of one sync, redirects and tries included.
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
        most_requests: int = MOST_REQUESTS,
    ) -> None:
        self._wire = Wire(request, start_of(request), session, opened, policy or FetchPolicy())
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._most_requests = most_requests
        self._unpacked = 0

    @property
    def authorization(self) -> str:
        return self._wire.opened.authorization

    @property
    def traffic(self) -> Traffic:
        """What was asked and came so far."""
        return self._wire.meter.traffic()

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
            return await self._once(method, target, body, headers or {}, limit, accept)

        try:
            return await with_retries(
                attempt, self._wire.policy, self._rng, self._sleep, repeatable=method == "GET"
            )
        except FeedError as e:
            # Of a hundred requests it matters which one it was; its query may be secret.
            e.where = e.where or named(self._wire.request, str(target))
            raise

    def _target(self, url: str, params: Mapping[str, str] | None) -> URL:
        """The absolute address; one that a server named is held to the rules of redirects."""
        start = self._wire.start
        try:
            request = self._wire.request
            stored = url.startswith("s3://")  # beside a list in an object store, a signature say
            target = URL(locate(url, request.store), encoded=True) if stored else start.join(URL(url))
        except ValueError as e:
            raise FeedTransportError("the server names an address that can't be read") from e
        if target.scheme != start.scheme or target.authority != start.authority:
            target = self._wire.leads_to(start, str(target))
        elif target.user or target.password:
            raise FeedTransportError("the server names an address with a user or password in it")
        return target.update_query(params) if params else target

    async def _once(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str],
        limit: int,
        accept: frozenset[int],
    ) -> Reply:
        if self._wire.meter.requests >= self._most_requests:
            raise FeedTransportError(
                f"more than {self._most_requests} requests in one sync",
                remedy="The publisher's pages go on without end; ask what is wrong there",
            )
        sent = {"Accept-Encoding": ACCEPTED, **headers}
        async with self._wire.answer(method, url, sent, body) as response:
            if response.status // 100 != 2:
                check_status(response, accept)
            names = {name.lower(): value for name, value in response.headers.items()}
            content = await self._content(response, limit)
            return Reply(response.status, names, content, str(response.url))

    async def _content(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        encoding = known_encoding(response.headers.get("Content-Encoding", ""))
        if encoding is None:
            raise FeedTransportError("the server answered in an encoding that was not asked for")
        content = bytearray()
        unpacker, came = Unpacker(encoding) if encoding else None, False
        async for piece in self._wire.body(response):
            came = True
            for part in (piece,) if unpacker is None else unpacker.feed(piece):
                content += part
                self._check(len(content), limit)
        if unpacker is not None and came:  # an answer without a body may name an encoding all the same
            unpacker.finish()
        self._unpacked += len(content)
        return bytes(content)

    def _check(self, size: int, limit: int) -> None:
        if size > limit:
            raise FeedRefusedError(f"an answer of the server has more than {limit} bytes")
        most = self._wire.request.max_bytes
        if self._unpacked + size > most:
            raise FeedRefusedError(
                f"the server's answers have more than {most} bytes in all",
                remedy="If it is right, raise the feed's max_bytes",
            )
