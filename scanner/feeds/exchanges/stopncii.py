"""StopNCII's hash API, version 1.

What is known of it (python-threatexchange, `clients/stopncii`): two keys go in headers; a page names the next
by a token that is good for a short time, and the last page names the time to begin with at the next turn. A
client that was away for 30 days begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from scanner.feeds.choices import chosen, whole, wrong
from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Reply
from scanner.feeds.exchanges.course import (
    OVERLAP,
    Course,
    News,
    document,
    is_ahead,
    is_stale,
    objects,
    second,
    server_now,
)
from scanner.feeds.formats.stopncii import OPTIONS
from scanner.model.errors import FeedFormatError

_OPTIONS = {**OPTIONS, "page_size": whole(1, 10_000)}

_STALE = 30  # days
_FIRST = 10  # seconds since 1970: the reference avoids 0
_MAX_TOKEN = 16 * 1024  # characters


class StopNciiExchange:
    """Follows the changes from the time on that the last answer named."""

    @property
    def name(self) -> str:
        return "stopncii"

    @property
    def format(self) -> str:
        return "stopncii"

    def check(self, options: Mapping[str, str]) -> str | None:
        return wrong(options, _OPTIONS, frozenset())

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        until = second(call.memory.get("until"))
        fresh = until >= 0 and not is_stale(call.memory, call, _STALE)
        asking = _Asking(call, client, max(until - OVERLAP, _FIRST) if fresh else None)
        reply = await asking.page("")
        if fresh and is_ahead(until, server_now(reply, call)):
            asking = _Asking(call, client, None)
            reply = await asking.page("")
        news, course = News(pages, call.memory, asking.start), Course()
        while True:
            page = document(reply)
            times = [second(record.get("lastModtimestamp")) for record in objects(page, "hashRecords")]
            await news.take(reply.body, times)
            if page.get("hasMoreRecords") is not True:
                break
            token = page.get("nextPageToken")
            if not isinstance(token, str) or not 0 < len(token) <= _MAX_TOKEN:
                raise FeedFormatError("the server has more records, and names no next page")
            course.step(token)
            reply = await asking.page(token)
        named = second(page.get("nextSetTimestamp"))
        if named < 0:
            raise FeedFormatError("expected a time `nextSetTimestamp` in the server's answer")
        return await news.outcome(min(named, server_now(reply, call)), call)


class _Asking:
    def __init__(self, call: Call, client: Client, start: int | None) -> None:
        self._url = f"{call.url.rstrip('/')}/FetchHashes"
        self._size = str(chosen(call.options, _OPTIONS, "page_size", "800"))
        self._client = client
        self.start = start

    async def page(self, token: str) -> Reply:
        params = {
            "startTimestamp": str(_FIRST if self.start is None else self.start),
            "pageSize": self._size,
        }
        return await self._client.get(self._url, params=params | ({"nextPageToken": token} if token else {}))
