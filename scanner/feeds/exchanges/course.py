"""What protocols of hash-sharing services have in common: cursors, clocks, and courses of pages that end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from scanner.feeds.exchanges.base import Call, Outcome, Pages, Reply
from scanner.model.errors import FeedFormatError, FeedTransportError

DAY = 24 * 3600  # seconds
OVERLAP = 600  # seconds that are read again: more than clocks of one service's machines differ
# Seconds a cursor may lie in the server's future before it is not believed: the server's clock was wrong
# then, and what it stamped since would be passed over.
_AHEAD = 3600
_MAX_PAGES = 50_000  # of one course: 40 million records in pages of 800
_MAX_HELD = 8 << 20  # bytes of pages that are held back until it is known that they are news
_MAX_SECOND = 1 << 40  # a time in seconds that can be right, and not in milliseconds


def document(reply: Reply) -> dict[str, Any]:
    """An answer as a JSON object.

    Raises:
        FeedFormatError: it is none. What it says is not quoted.
    """
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FeedFormatError(
            "the server's answer is no JSON object", remedy="Look at the feed's url, or ask the publisher"
        )
    return found


def objects(page: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The records of a page.

    Raises:
        FeedFormatError: there is no list of objects.
    """
    found = page.get(key)
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise FeedFormatError(f"expected a list `{key}` of objects in the server's answer")
    return found


def second(value: Any) -> int:
    """A time in seconds as a whole number, -1 where it is none."""
    try:
        seconds = -1 if isinstance(value, bool) or value is None else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return -1
    return seconds if 0 <= seconds < _MAX_SECOND else -1


def server_now(reply: Reply, call: Call) -> int:
    """The server's clock in seconds since 1970; ours where it does not tell. Its records carry its times."""
    try:
        return int(parsedate_to_datetime(reply.headers.get("date", "")).timestamp())
    except (TypeError, ValueError, OverflowError):
        return call.now_ns // 10**9


def is_ahead(until: int, now: int) -> bool:
    """Whether a cursor lies so far in the server's future that it was made by a wrong clock."""
    return until > now + _AHEAD


def is_stale(memory: Mapping[str, Any], call: Call, days: int) -> bool:
    """Whether the publisher may have forgotten deletions since the last sync, or a clock went back."""
    fetched, now = second(memory.get("fetched")), call.now_ns // 10**9
    return fetched < 0 or not -_AHEAD <= now - fetched <= days * DAY


class Course:
    """Watches the pages of one answer: they must end, and not come round again."""

    def __init__(self, most: int = _MAX_PAGES) -> None:
        self._most = most
        self._seen: set[str] = set()

    def step(self, cursor: str) -> None:
        """Note where the next page is.

        Raises:
            FeedTransportError: that was asked for already, or there are too many.
        """
        if cursor in self._seen:
            raise FeedTransportError(
                "the server's pages go in a circle", remedy="The last good list stays; ask the publisher"
            )
        self._seen.add(cursor)
        if len(self._seen) > self._most:
            raise FeedTransportError(
                f"the server's pages don't end: more than {self._most}",
                remedy="The last good list stays; ask the publisher",
            )


class News:
    """Writes pages, but not those of which all was there the last time.

    A part of the time before the cursor is read again. Without this every sync would bring the last record
    again and build the list anew. What came the last time is remembered as the number of records of each
    second: a record that changes gets a new time, so that the numbers tell; no hash is remembered.

    Args:
        start: second from which the changes were asked for, None for the whole list.
    """

    def __init__(self, pages: Pages, memory: Mapping[str, Any], start: int | None) -> None:
        self._pages = pages
        self._start = start
        self._before = _numbers(memory.get("again")) if start is not None else Counter()
        self._until = second(memory.get("until"))
        self._numbers: Counter[int] = Counter()
        self._held: list[bytes] | None = [] if start is not None else None
        self.latest = -1

    async def take(self, page: bytes, times: Iterable[int]) -> None:
        """Take a page with the times of its records, -1 for those that tell none."""
        told = list(times)
        self._numbers.update(told)
        self.latest = max([self.latest, *told])
        if self._held is None:
            await self._pages.write(page)
            return
        self._held.append(page)
        if any(not self._known(t) for t in told) or sum(map(len, self._held)) > _MAX_HELD:
            await self._release()

    def _known(self, time: int) -> bool:
        return self._start is not None and self._start <= time <= self._until and time in self._before

    async def _release(self) -> None:
        held, self._held = self._held or [], None
        for page in held:
            await self._pages.write(page)

    async def outcome(self, until: int, call: Call, **more: Any) -> Outcome:
        """The end of the course.

        Args:
            until: the cursor for the next time, in seconds of the server's.
            more: what else is to be remembered.
        """
        changed = self._held is None
        if self._held is not None and self._numbers != self._before:
            changed = True
            await self._release()
        since = until - OVERLAP
        again = {str(t): n for t, n in sorted(self._numbers.items()) if since <= t <= until}
        memory = {"until": until, "fetched": call.now_ns // 10**9, "again": again, **more}
        return Outcome(memory, partial=self._start is not None, unchanged=not changed)


def _numbers(value: Any) -> Counter[int]:
    if not isinstance(value, dict) or len(value) > OVERLAP + 1:
        return Counter()
    return Counter({second(t): n for t, n in value.items() if isinstance(n, int)})
