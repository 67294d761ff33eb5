"""NCMEC's hash-sharing API, version 2, by ranges of time.

What is known of it (python-threatexchange, `exchanges/impl/ncmec_api.py`): the entries of a range come in no
order at all, so a range says nothing until its last page was read, and only then the next one may begin where
it ended. Large ranges cost the server dearly; it may fail, or announce far more than can be fetched at once.
Where a next page is, is told relative to the service's base, and needs no other parameters.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from scanner.feeds.choices import chosen, day, whole, wrong
from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages, Reply
from scanner.feeds.exchanges.course import OVERLAP, Course, is_ahead, second, server_now
from scanner.feeds.formats.ncmec import OPTIONS, ROOT, SECTIONS
from scanner.feeds.times import iso_text
from scanner.feeds.xml_reading import nodes
from scanner.model.errors import ConfigError, FeedRefusedError, FeedTransportError

_OPTIONS = {**OPTIONS, "since": day, "pages_per_sync": whole(1, 1_000_000)}
_ALL_PAGES = "1000000"

_MARGIN = 30  # seconds before the server's now where a range ends: what is being written then comes later
_MOST_IN_RANGE = 400_000  # entries; the reference client fetches no more by one cursor
_SHRINK, _GROW = 4, 2
_FEW = 2_000  # entries of a range from which on the next may be larger
# What a server says to a range that is too much for it. A range of one second is asked for as anything else
# is, with waits and another try.
_TOO_MUCH = frozenset({413, 500, 502, 504})


class _TooMuch(Exception):
    """A range is too large.

    Attributes:
        share: what part of it would do, by what the server announced; 0 where it told nothing.
    """

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.share = share


@dataclass(frozen=True, slots=True)
class _Told:
    """What is needed of a page: how many records it has, and where the next one is ("" for none)."""

    records: int
    next: str


class NcmecExchange:
    """Fetches changes range by range; a cursor is remembered for exhausted ranges only.

    Args:
        most_pages: of one range.
        most_bytes: of one page; those of 1000 entries have some 600 KiB.
    """

    def __init__(self, most_pages: int = 20_000, most_bytes: int = 64 << 20) -> None:
        self._limits = most_pages, most_bytes

    @property
    def name(self) -> str:
        return "ncmec"

    @property
    def format(self) -> str:
        return "ncmec"

    def check(self, options: Mapping[str, str]) -> str | None:
        return wrong(options, _OPTIONS, frozenset())

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        base = call.url.rstrip("/")
        now = server_now(await client.get(f"{base}/v2/status"), call)
        known = second(call.memory.get("until"))
        if is_ahead(known, now):
            known = -1
        since = chosen(call.options, _OPTIONS, "since", "1970-01-01")
        budget = chosen(call.options, _OPTIONS, "pages_per_sync", _ALL_PAGES)
        start = max(known - OVERLAP, 0) if known >= 0 else since
        if known < 0 and start >= now - _MARGIN:
            raise ConfigError("the server's clock has not come to the day of options.since yet")
        reading = _Reading(base, client, pages, self._limits, whole=known < 0)
        until = await reading.all(start, now - _MARGIN, budget)
        return Outcome(
            {"until": max(until, known)}, partial=known >= 0, unchanged=known >= 0 and not reading.records
        )


class _Reading:
    """One sync: ranges one after another, each as large as the server can bear.

    Args:
        limits: pages of a range, and bytes of a page.
        whole: the whole list is read, of which at least one page is written.

    Attributes:
        records: that came.
    """

    def __init__(
        self, base: str, client: Client, pages: Pages, limits: tuple[int, int], *, whole: bool
    ) -> None:
        self._base = base
        self._whole = whole
        self._client = client
        self._pages = pages
        self._most_pages, self._most_bytes = limits
        self._read = 0  # pages
        self.records = 0

    async def all(self, start: int, end: int, budget: int) -> int:
        """Read from `start` to before `end`, both in seconds; ends early at `budget` pages of exhausted
        ranges, but not before something came: an empty list would be refused, and all would begin anew.

        Returns:
            as far as everything was read.
        """
        length, calm, pages, found = end - start, 0, 0, 0
        while start < end and (pages < budget or not found):
            length, before = min(max(length, 1), end - start), self._read
            try:
                records = await self._range(start, start + length)
            except _TooMuch as e:
                length, calm = int(length * min(e.share or 1 / _SHRINK, 1 / _SHRINK)), 0
                continue
            start, pages, found = start + length, pages + self._read - before, found + records
            calm = calm + 1 if records < _FEW else 0
            if calm > 1:
                length *= _GROW
            elif records > _MOST_IN_RANGE // _SHRINK:
                length //= _SHRINK
        return start

    async def _range(self, start: int, end: int) -> int:
        """Read one range to its last page; the number of its records.

        Raises:
            _TooMuch: a smaller one would do; what was read of it may be read again.
            FeedTransportError: its pages go in a circle, or don't end.
        """
        course, records = Course(self._most_pages), 0
        url, params = f"{self._base}/v2/entries", {"from": iso_text(start), "to": iso_text(end)}
        reply = await self._ask(url, params, smallest=end - start <= 1)
        while True:
            told = _told(reply)
            if not records and end - start > 1:
                _check_announced(told)
            records += told.records
            if told.records or (self._whole and not self._read):
                await self._pages.write(reply.body)
                self.records += told.records
            self._read += 1
            if not told.next:
                return records
            course.step(told.next)
            reply = await self._ask(_address(self._base, told.next), None, smallest=end - start <= 1)

    async def _ask(self, url: str, params: Mapping[str, str] | None, *, smallest: bool) -> Reply:
        accept = frozenset[int]() if smallest else _TOO_MUCH
        try:
            reply = await self._client.get(url, params=params, limit=self._most_bytes, accept=accept)
        except FeedRefusedError:  # more bytes than an answer may have
            if smallest:
                raise
            raise _TooMuch from None
        if reply.status in accept:
            raise _TooMuch
        return reply


def _told(reply: Reply) -> _Told:
    """Read of a page what is needed to go on.

    Raises:
        FeedFormatError: it is no page.
    """
    records, following = 0, ""
    for node in nodes(io.BytesIO(reply.body), ROOT, (*SECTIONS, "paging")):
        if node.parent != "paging":
            records += 1
        elif node.name == "next":
            following = node.text.strip()
    return _Told(records, following)


def _check_announced(told: _Told) -> None:
    """By the next page's address: its `max` is the number of the range's last record, roughly."""
    if not told.next:
        return
    try:
        query = URL(told.next).query
    except ValueError:
        raise _no_path() from None
    announced = second(query.get("max")) - max(second(query.get("start")), 0) + told.records
    if announced > _MOST_IN_RANGE:
        raise _TooMuch(_MOST_IN_RANGE / announced)


def _address(base: str, following: str) -> str:
    """The address of the next page: told from the base of the service on, or from the root of its host.

    Raises:
        FeedTransportError: it is neither.
    """
    path = urlsplit(base).path
    if not following.startswith("/") or following.startswith("//"):
        raise _no_path()
    if path and following.startswith(f"{path}/"):
        return f"{base.removesuffix(path)}{following}"
    return f"{base}{following}"


def _no_path() -> FeedTransportError:
    return FeedTransportError("the server names a next page that is no path below the feed's url")
