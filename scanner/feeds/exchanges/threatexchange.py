"""ThreatExchange's `threat_updates` of one privacy group, over Meta's Graph API.

What is known of it (python-threatexchange, `clients/fb_threatexchange`): updates come in the order of their
last change, so the latest one is the cursor, in the server's own time. Tombstones are kept for 90 days; who
was away for longer can't know what is gone and fetches all anew, here after 85 days as the reference does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yarl import URL

from scanner.feeds.choices import chosen, numbers, whole, words, wrong
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
from scanner.feeds.formats.threatexchange import OPTIONS
from scanner.model.errors import FeedTransportError

_OPTIONS = {**OPTIONS, "privacy_group": numbers, "types": words, "page_size": whole(1, 10_000)}
_NEEDED = frozenset({"privacy_group"})

_STALE = 85  # days
_OPINION = "id,reactions,owner{id},tags,status,added_on"
_FIELDS = f"id,indicator,type,last_updated,should_delete,descriptors{{{_OPINION}}}"
_SECRET = "access_token"


class ThreatExchangeExchange:
    """Follows the updates from the latest one on; the token goes in a header only."""

    @property
    def name(self) -> str:
        return "threatexchange"

    @property
    def format(self) -> str:
        return "threatexchange"

    def check(self, options: Mapping[str, str]) -> str | None:
        return wrong(options, _OPTIONS, _NEEDED)

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        until = second(call.memory.get("until"))
        fresh = until >= 0 and not is_stale(call.memory, call, _STALE)
        start = max(until - OVERLAP, 0) if fresh else None
        reply = await _first(call, client, start)
        if start is not None and is_ahead(until, server_now(reply, call)):
            start = None
            reply = await _first(call, client, None)
        news, course = News(pages, call.memory, start), Course()
        while True:
            page = document(reply)
            times = [second(record.get("last_updated")) for record in objects(page, "data")]
            await news.take(reply.body, times)
            following = _next(page)
            if not following:
                break
            course.step(following)
            reply = await client.get(following)
        latest = max(news.latest, until if start is not None else 0)
        return await news.outcome(min(latest, server_now(reply, call)), call)


async def _first(call: Call, client: Client, start: int | None) -> Reply:
    group = call.options["privacy_group"]
    params = {"fields": _FIELDS, "limit": str(chosen(call.options, _OPTIONS, "page_size", "500"))}
    if "types" in call.options:
        params["types"] = ",".join(sorted(chosen(call.options, _OPTIONS, "types", "")))
    if start is not None:
        params["start_time"] = str(start)
    return await client.get(f"{call.url.rstrip('/')}/{group}/threat_updates/", params=params)


def _next(page: Mapping[str, Any]) -> str:
    """Where the next page is, "" for none; a token in it is taken out, since addresses are written down.

    Raises:
        FeedTransportError: it is no address.
    """
    paging = page.get("paging")
    told = paging.get("next") if isinstance(paging, dict) else None
    if told is None:
        return ""
    try:
        url = URL(told)
    except (TypeError, ValueError):
        url = URL()
    if not url.absolute:
        raise FeedTransportError("the server names a next page that is no address")
    return str(url.with_query([(key, value) for key, value in url.query.items() if key != _SECRET]))
