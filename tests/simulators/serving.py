"""A publisher's service on this machine, and a follower that keeps its list as the index does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from scanner.feeds import FetchPolicy, FetchRequest, FormatOptions, Opened
from scanner.feeds.client import HttpClient
from scanner.feeds.exchanges import Call, Exchange, Outcome
from scanner.feeds.formats import FeedFormat
from scanner.model.feeds import Entry, ImportCounts, Item, Removal

NOW = 1_790_000_000  # seconds: when the tests play
DAY = 24 * 3600
QUICK = FetchPolicy(total=5, connect=2, read=2, attempts=3)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def md5(text: object) -> str:
    return hashlib.md5(str(text).encode()).hexdigest()


def pdq(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


class Service:
    """A real HTTP server on loopback. A subclass names its paths in `paths` and answers them.

    Attributes:
        clock: the server's own, in seconds.
        requests: all that came, as path with query.
        troubles: answers that are given instead, one after the other.
        unwanted: a predicate of requests that are answered with `trouble` (a status).
    """

    base = ""

    def __init__(self) -> None:
        self.clock = NOW
        self.requests: list[web.Request] = []
        self.troubles: list[Handler] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    def paths(self) -> Mapping[str, Handler]:
        raise NotImplementedError

    async def __aenter__(self) -> Service:
        app = web.Application()
        for path, handler in self.paths().items():
            app.router.add_route("*", self.base + path, self._with_date(handler))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.base}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _with_date(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.requests.append(request)
            response = await (self.troubles.pop(0) if self.troubles else handler)(request)
            date = datetime.fromtimestamp(self.clock, UTC)
            response.headers["Date"] = format_datetime(date, usegmt=True)
            return response

        return answer

    def asked(self, path: str) -> list[Mapping[str, str]]:
        """The parameters of each request for a path."""
        return [dict(r.query) for r in self.requests if r.path.endswith(path)]


def status(code: int, body: bytes = b"", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=code, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Waits(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


class Pages(list[bytes]):
    async def write(self, page: bytes) -> None:
        self.append(page)


@dataclass
class Follower:
    """Our side: syncs, reads what came, and merges it into what it has by the laws of `Entry` and `Removal`.

    Attributes:
        now: our clock, in seconds.
        records: the newest item of each key.
    """

    service: Service
    exchange: Exchange
    format: FeedFormat
    authorization: str = ""
    options: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    now: int = NOW
    memory: dict[str, Any] = field(default_factory=dict)
    records: dict[str, Item] = field(default_factory=dict)
    counts: ImportCounts = field(default_factory=ImportCounts)
    waits: Waits = field(default_factory=Waits)
    pages: Pages = field(default_factory=Pages)

    async def sync(self) -> Outcome:
        self.pages, self.waits, self.counts = Pages(), Waits(), ImportCounts()
        assert self.exchange.check(self.options) is None
        request = FetchRequest("f", self.service.url)
        more: dict[str, Any] = {"headers": self.headers} if self.headers else {}
        call = Call(self.service.url, self.options, self.memory, self.now * 10**9)
        async with aiohttp.ClientSession() as session:
            client = HttpClient(
                request,
                session,
                Opened(authorization=self.authorization, **more),
                policy=QUICK,
                rng=random.Random(1),
                sleep=self.waits,
            )
            outcome = await self.exchange.sync(call, client, self.pages)
        assert not (outcome.unchanged and self.pages), "an unchanged list has no page"
        if not outcome.unchanged:
            self._merge(read(self.format, self.pages, self.options, self.counts), partial=outcome.partial)
        self.memory = json.loads(json.dumps(outcome.memory))
        return outcome

    def _merge(self, items: list[Item], *, partial: bool) -> None:
        if not partial:
            self.records.clear()
        for item in items:
            assert isinstance(item, Entry | Removal) and item.key
            had = self.records.get(item.key)
            if had is None or newer(item, had):
                self.records[item.key] = item

    @property
    def entries(self) -> list[Entry]:
        return [item for item in self.records.values() if isinstance(item, Entry)]

    @property
    def listed(self) -> list[str]:
        """All values, once for each entry that has it."""
        return sorted(value.hex() for entry in self.entries for _, value in entry.hashes)


def newer(item: Item, had: Item) -> bool:
    assert isinstance(item, Entry | Removal) and isinstance(had, Entry | Removal)
    if item.changed_ns == had.changed_ns:
        return not isinstance(had, Removal)
    return item.changed_ns > had.changed_ns


def read(
    format: FeedFormat, pages: list[bytes], options: Mapping[str, str], counts: ImportCounts
) -> list[Item]:
    found: list[Item] = []
    for page in pages:
        found += format.parse(io.BytesIO(page), FormatOptions(options=options), counts)
    return found
