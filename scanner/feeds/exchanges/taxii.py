"""TAXII 2.1: the indicators of one collection, page by page; later only what was added.

Laws of the protocol (OASIS TAXII 2.1, 3.4, 3.5, 5.4), and of servers as they are:
- objects come by the date they were added; `added_after` is strictly greater, so each poll begins some
  seconds before the last date (`overlap`), and what is read twice has the same key;
- the date of the last object stands in X-TAXII-Date-Added-Last; a collection of a server that doesn't send it
  is read in full each time;
- `next` goes on with a list, may be the same word on every page, and may expire: then the list goes on from
  the last date that was told;
- nothing on the wire says that an object was deleted: from time to time the whole collection is read again
  (`reconcile`), never later than that.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages
from scanner.feeds.exchanges.durations import must_be_whole
from scanner.feeds.exchanges.taxii_server import IDENTITY, Page, Server, Settings, settings_of
from scanner.model.errors import FeedFormatError, FeedTransportError

_EMPTY_PAGES = 20  # one after another, of which each says that there is more
_RESTARTS = 3  # of a list whose `next` expires before a page has brought it further
_RECENT = 30_000  # objects of which it is remembered that they are known: twelve digits each
_MICROSECOND = 1000  # the finest that servers tell and take


class TaxiiExchange:
    """One collection; `options` as in `taxii_server.Settings`."""

    @property
    def name(self) -> str:
        return "taxii"

    @property
    def format(self) -> str:
        return "stix"

    def check(self, options: Mapping[str, str]) -> str | None:
        found = settings_of(options)
        return found if isinstance(found, str) else None

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        settings = settings_of(call.options)
        if isinstance(settings, str):
            raise FeedTransportError(settings, where="options")
        server = Server(client, settings)
        url = await server.objects_url(call.url)
        memory = _Memory.of(call.memory, url)
        if memory.is_due(settings, call.now_ns):
            memory = _Memory(memory.collection, whole_ns=call.now_ns)
        course = _Course(server, url, settings, pages, memory)
        await course.run()
        return Outcome(
            memory=memory.after(course, settings, call.now_ns),
            partial=not course.whole,
            unchanged=not course.written,
        )


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is kept from one sync to the next.

    Attributes:
        collection: a digest of its address.
        last_ns: the date from which to go on; None: from the beginning.
        whole_ns: when all of it was read last.
        synced_ns: when the last sync was.
        recent: versions of objects that may come again because of the overlap.
    """

    collection: str
    last_ns: int | None = None
    whole_ns: int = 0
    synced_ns: int = 0
    recent: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, told: Mapping[str, Any], url: str) -> _Memory:
        """As it was stored; empty where it is of another collection, or can't be."""
        collection = hashlib.sha256(url.encode()).hexdigest()[:16]
        try:
            numbers = [told[name] for name in ("last_ns", "whole_ns", "synced_ns")]
            recent = bytes.fromhex(told["recent"])
            if told["collection"] != collection or any(type(n) is not int or n < 0 for n in numbers):
                return cls(collection)
        except (KeyError, TypeError, ValueError):
            return cls(collection)
        known = frozenset(recent[n : n + IDENTITY] for n in range(0, len(recent), IDENTITY))
        return cls(collection, numbers[0], numbers[1], numbers[2], known)

    def is_due(self, settings: Settings, now_ns: int) -> bool:
        """Whether all has to be read."""
        due = must_be_whole(now_ns, self.synced_ns, self.whole_ns, settings.reconcile_ns)
        return self.last_ns is None or due

    def after(self, course: _Course, settings: Settings, now_ns: int) -> dict[str, Any]:
        """What to remember after a sync."""
        if course.last_ns is None:
            return {}
        # A date that lies ahead would hide what is added until then.
        last = min(course.last_ns, now_ns)
        return {
            "collection": self.collection,
            "last_ns": last,
            "whole_ns": self.whole_ns,
            "synced_ns": now_ns,
            "recent": b"".join(course.recent(last - settings.overlap_ns)).hex(),
        }


class _Course:
    """The way through the pages of one sync.

    Attributes:
        whole: the pages are the whole collection.
        written: pages that were handed on.
        last_ns: the date that was reached; None where the server tells no dates.
    """

    def __init__(self, server: Server, url: str, settings: Settings, pages: Pages, memory: _Memory) -> None:
        self._server = server
        self._url = url
        self._pages = pages
        self._known = memory.recent
        self.whole = memory.last_ns is None
        self.last_ns = memory.last_ns
        self.written = 0
        self._begun = None if memory.last_ns is None else max(memory.last_ns - settings.overlap_ns, 0)
        self._after = self._begun
        self._next = ""
        self._insisted = True  # whether the server said that there is more, beyond naming a `next`
        self._seen: set[bytes] = set()
        self._empty = 0
        self._restarts = 0
        self._restarted_at = self.last_ns
        self._overlap = settings.overlap_ns
        # Versions of the last pages, with the date of each page: those that may come again.
        self._late: deque[tuple[int | None, tuple[bytes, ...]]] = deque(
            [(memory.last_ns, tuple(self._known))]
        )
        self._late_count = len(self._known)

    async def run(self) -> None:
        """Ask until there is no more.

        Raises:
            FeedError: the server fails, or goes on without end.
        """
        going_on = True
        number = 0
        while going_on:
            try:
                page = await self._server.page(self._url, self._after, self._next)
            except FeedFormatError as e:
                raise FeedFormatError(e.what, where=f"page {number + 1}: {e.where}", remedy=e.remedy) from e
            number += 1
            if page is None:
                going_on = self._insisted and self._restart()
            elif self._came_before(page):
                going_on = False
            else:
                await self._take(page)
                going_on = self._go_on(page)

    def recent(self, since_ns: int) -> list[bytes]:
        """Versions that may come again when the next sync asks for what was added after `since_ns`."""
        late = (ids for last, ids in self._late if last is None or last >= since_ns)
        return list(dict.fromkeys(itertools.chain.from_iterable(late)))[-_RECENT:]

    async def _take(self, page: Page) -> None:
        news = any(one not in self._known for one in page.objects)
        # Of a whole list one page is handed on in any case: an empty collection is refused, not overlooked.
        if news or (self.whole and (page.objects or not self.written)):
            await self._pages.write(page.body)
            self.written += 1
        if page.objects and page.last_ns is not None:
            self.last_ns = max(self.last_ns or 0, page.last_ns)
        self._late.append((page.last_ns, page.objects))
        self._late_count += len(page.objects)
        while len(self._late) > 1 and self._is_past(self._late[0][0], len(self._late[0][1])):
            self._late_count -= len(self._late.popleft()[1])

    def _is_past(self, last: int | None, count: int) -> bool:
        """Whether a page need not be remembered: too long ago, or too many came after it."""
        long_ago = last is not None and self.last_ns is not None and last < self.last_ns - self._overlap
        return long_ago or self._late_count - count >= _RECENT

    def _go_on(self, page: Page) -> bool:
        """Set what to ask for next; false at the end."""
        self._empty = 0 if page.objects else self._empty + 1
        if self._empty >= _EMPTY_PAGES:
            raise FeedTransportError(f"{self._empty} empty pages one after another, and there is to be more")
        self._insisted = page.more
        if page.next and (page.more or page.objects):
            self._next = page.next
            return True
        return page.more and bool(page.objects) and self._by_date(page)

    def _by_date(self, page: Page) -> bool:
        """There is more, but no `next`: go on from the last date, with all that was added at that moment."""
        if page.last_ns is None:
            raise FeedTransportError("the server says that there is more, and not how to get it")
        after = page.last_ns - _MICROSECOND
        if self._after is not None and after <= self._after:
            raise FeedTransportError(
                "more objects were added at one moment than the server sends in one page",
                remedy="Raise the option limit, or ask the publisher for pages that name the next one",
            )
        self._after, self._next = after, ""
        return True

    def _restart(self) -> bool:
        """The `next` is not known any more: go on from the last date that was told; before any was, from
        where this sync began."""
        came_further = self.last_ns is not None and self.last_ns != self._restarted_at
        self._restarts = 0 if came_further else self._restarts + 1
        if self._restarts >= _RESTARTS:
            raise FeedTransportError(
                "the server forgets its pages before they can be asked for",
                remedy="Give the option limit a larger number",
            )
        if came_further and self.last_ns is not None:
            self._begun = self.last_ns - _MICROSECOND
        self._restarted_at = self.last_ns
        self._after, self._next = self._begun, ""
        self._seen.clear()
        return True

    def _came_before(self, page: Page) -> bool:
        """Whether this very page has come already for the same question. A `next` that is the same on each
        page is usual; the same page is a circle, unless the server had said that there is no more."""
        asked = f"{self._after} {self._next}\n".encode("utf-8", "replace")
        mark = hashlib.blake2b(asked + page.body, digest_size=16).digest()
        if mark not in self._seen:
            self._seen.add(mark)
            return False
        if self._insisted:
            raise FeedTransportError(
                "the server sends the same page again and again",
                remedy="The last good list stays in use; tell the publisher",
            )
        return True
