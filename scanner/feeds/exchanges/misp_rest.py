"""MISP's search for attributes (`attributes/restSearch`), page by page; later only what changed.

Laws (MISP's automation API):
- a page that is shorter than `limit` is the last one; nothing else tells the end;
- `timestamp` asks for attributes that were changed since then, itself included; those that were deleted, or
  are no more for detection, come along where they are asked for, and are taken back;
- an attribute that was deleted for good, or whose event was, is not told: from time to time all are read
  again (`reconcile`), never later than that.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages
from scanner.feeds.exchanges.durations import duration_ns, must_be_whole
from scanner.feeds.formats.misp_attribute import DIGESTS, NAMED, SAMPLE, time_of, uuid_of
from scanner.feeds.pages import MAX_PAGE
from scanner.feeds.shallow import ANY, Shallow
from scanner.feeds.times import SECOND
from scanner.model.errors import FeedFormatError, FeedTransportError

_TYPES = sorted({*DIGESTS, *(NAMED + kind for kind in DIGESTS), SAMPLE})
_OVERLAP = 60  # seconds that are asked for again: an attribute is stamped some time before it can be found
_ATTRIBUTE = ("response", "Attribute", ANY)
_RECENT = 30_000  # versions of attributes of which it is remembered that they are known: twelve digits each
_IDENTITY = 6  # bytes


@dataclass(frozen=True, slots=True)
class _Settings:
    limit: int
    reconcile_ns: int


def _settings(options: Mapping[str, str]) -> _Settings | str:
    for key in options:
        if key not in ("limit", "reconcile"):
            return "misp-rest has the options limit and reconcile"
    limit, reconcile = options.get("limit", "5000"), duration_ns(options.get("reconcile", "24h"))
    if not re.fullmatch("[1-9][0-9]{0,5}", limit):
        return "limit: expected a number from 1 to 999999"
    if not reconcile:
        return "reconcile: expected a time such as 30m, 24h or 7d"
    return _Settings(int(limit), reconcile)


class MispRestExchange:
    """The address is that of the MISP server. Options: `limit` (attributes of a page), `reconcile`."""

    @property
    def name(self) -> str:
        return "misp-rest"

    @property
    def format(self) -> str:
        return "misp-event"

    def check(self, options: Mapping[str, str]) -> str | None:
        found = _settings(options)
        return found if isinstance(found, str) else None

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        settings = _settings(call.options)
        if isinstance(settings, str):
            raise FeedTransportError(settings, where="options")
        last, recent, whole_ns, synced_ns = _remembered(call.memory)
        whole = last is None or must_be_whole(call.now_ns, synced_ns, whole_ns, settings.reconcile_ns)
        search = _Search(call.url, client, pages, settings.limit, frozenset() if whole else recent)
        await search.run(None if whole or last is None else max(last - _OVERLAP, 0))
        # A time that lies ahead would hide what is changed until then.
        reached = min(max(search.last, 0 if whole else last or 0), call.now_ns // SECOND)
        memory = {
            "last": reached,
            "whole_ns": call.now_ns if whole else whole_ns,
            "synced_ns": call.now_ns,
            "recent": search.late(reached - _OVERLAP),
        }
        return Outcome(memory, partial=not whole, unchanged=not search.written)


def _remembered(memory: Mapping[str, Any]) -> tuple[int | None, frozenset[bytes], int, int]:
    """The last second that was reached, what may come again, and the times of the last syncs; no second where
    all has to be read."""
    numbers = [memory.get(name) for name in ("last", "whole_ns", "synced_ns")]
    try:
        recent = bytes.fromhex(memory["recent"])
    except (KeyError, TypeError, ValueError):
        return None, frozenset(), 0, 0
    if any(type(number) is not int or number < 0 for number in numbers):
        return None, frozenset(), 0, 0
    known = frozenset(recent[n : n + _IDENTITY] for n in range(0, len(recent), _IDENTITY))
    return memory["last"], known, memory["whole_ns"], memory["synced_ns"]


class _Search:
    """One search through all of its pages.

    Attributes:
        last: the latest second at which an attribute was changed.
        written: pages that were handed on.
    """

    def __init__(self, url: str, client: Client, pages: Pages, limit: int, known: frozenset[bytes]) -> None:
        self._url = _search_url(url)
        self._client = client
        self._pages = pages
        self._limit = limit
        self._known = known
        self._dated: dict[bytes, int] = {}
        self._seen: set[bytes] = set()
        self.last = 0
        self.written = 0

    async def run(self, since: int | None) -> None:
        """Ask until a page is not full.

        Raises:
            FeedError: the server fails, or sends the same page again.
        """
        number, count = 0, self._limit
        while count >= self._limit:
            number += 1
            body = await self._page(number, since)
            try:
                count = await self._take(body, whole=since is None)
            except FeedFormatError as e:
                raise FeedFormatError(e.what, where=f"page {number}: {e.where}", remedy=e.remedy) from e

    def late(self, since: int) -> str:
        """Versions that may come again when the next search asks for changes since then."""
        late = [identity for identity, second in self._dated.items() if second >= since]
        return b"".join(late[-_RECENT:]).hex()

    def _forget(self) -> None:
        """Drop what lies too long ago to come again, before it is too much."""
        if len(self._dated) > 2 * _RECENT:
            late = [pair for pair in self._dated.items() if pair[1] >= self.last - _OVERLAP]
            self._dated = dict(late[-_RECENT:])

    async def _page(self, number: int, since: int | None) -> bytes:
        asked: dict[str, Any] = {
            "returnFormat": "json", "type": _TYPES, "page": number, "limit": self._limit,
            "includeEventTags": True,
        }  # fmt: skip
        if since is None:
            asked["to_ids"] = 1  # and none that are deleted, unless they are asked for
        else:
            asked |= {"timestamp": str(since), "deleted": ["0", "1"]}
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        key = self._client.authorization.removeprefix("Bearer ")
        if key:  # MISP wants its key alone, without the word before it
            headers["Authorization"] = key
        reply = await self._client.post(
            self._url, json.dumps(asked).encode(), headers=headers, limit=MAX_PAGE
        )
        return reply.body

    async def _take(self, body: bytes, *, whole: bool) -> int:
        """Hand a page on if it says something new; how many attributes it has."""
        count, news = 0, False
        shallow = Shallow({_ATTRIBUTE: frozenset({"uuid", "timestamp"})}, max_value=MAX_PAGE)
        for _, records in shallow.read(io.BytesIO(body)):
            own, second = uuid_of(records[-1], "an attribute"), time_of(records[-1]) // SECOND
            identity = hashlib.blake2b(f"{own} {second}".encode(), digest_size=_IDENTITY).digest()
            news = news or identity not in self._known
            self.last = max(self.last, second)
            self._dated[identity] = second
            count += 1
        self._forget()
        if _ATTRIBUTE[:-1] not in shallow.lists:
            raise FeedFormatError("expected a list of attributes", where="the outermost object")
        mark = hashlib.blake2b(body, digest_size=16).digest()
        if count and mark in self._seen:
            raise FeedTransportError("the server sends the same page again and again")
        self._seen.add(mark)
        # Of a whole list one page is handed on in any case: an empty one is refused, not overlooked.
        if news or (whole and (count or not self.written)):
            await self._pages.write(body)
            self.written += 1
        return count


def _search_url(url: str) -> str:
    start = URL(url)
    return str(start.with_path(f"{start.path.rstrip('/')}/attributes/restSearch").with_query(start.query))
