"""The seam of publishers' protocols: what to ask, in which order, and what to remember until the next time.

A protocol gathers pages and reads no more of them than it needs to go on; what they say is read by a format,
in another process (see `scanner.feeds.pages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP.

    Attributes:
        status: 200 to 299, or one of those the caller said it takes.
        headers: by name in lower case.
        body: unpacked.
        url: where it came from, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Client(Protocol):
    """HTTP for one sync of one feed: with the feed's secrets, certificates, limits, time-outs and retries.

    Secrets go to the origin of the feed's address only, redirects stay on https and within the allowed hosts.

    Raises (all methods):
        FeedTransportError: no answer, a status that is neither 2xx nor in `accept`, a redirect that leads
            away, or too many requests in one sync.
        FeedRefusedError: the answer is larger than `limit`.
    """

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = ...,
        accept: frozenset[int] = ...,
    ) -> Reply:
        """Ask for `url`, which may be relative to the feed's address."""

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = ...,
        accept: frozenset[int] = ...,
    ) -> Reply:
        """Send `body` to `url`. Not repeated unless the server said that it did nothing (429, 503)."""


class Pages(Protocol):
    """Where pages go; `scanner.feeds.pages.PageWriter`."""

    async def write(self, page: bytes) -> None: ...

    async def take(self, piece: bytes) -> None:
        """Take the next piece of a list that is one file and comes in no pages; it is read as it is."""


@dataclass(frozen=True, slots=True)
class Call:
    """One sync.

    Attributes:
        url: the feed's address.
        options: as the configuration has them; checked by `Exchange.check` before.
        memory: what the last sync returned whose list is in use; {} at the first, and when the list in use is
            not this one's.
        now_ns: UTC, nanoseconds since 1970.
        files: the content of the files that options named `…_file` name, by the option.
    """

    url: str
    options: Mapping[str, str]
    memory: Mapping[str, Any]
    now_ns: int
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync came to.

    Attributes:
        memory: for the next one; JSON, at most `MAX_MEMORY` bytes of it. Nothing secret, no hash.
        partial: the pages are changes to the list in use; else they are the whole list.
        unchanged: there is nothing new, and no page was written.
    """

    memory: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    unchanged: bool = False


MAX_MEMORY = 1 << 20


class Exchange(Protocol):
    """One protocol. Entry-point group: `hostsweep.feed_exchanges` (an instance or a class without arguments).

    Laws:
    - nothing is kept between two calls but `memory`, which is stored with the list it belongs to: a sync that
      fails anywhere leaves the memory before it;
    - a page is written as it came; `format` reads each on its own;
    - an endless or circular course of pages ends in a FeedTransportError.
    """

    @property
    def name(self) -> str:
        """As in the configuration's `exchange:`."""

    @property
    def format(self) -> str:
        """The format of the pages."""

    def check(self, options: Mapping[str, str]) -> str | None:
        """What is wrong with the options, in a sentence that names the key; None if nothing is."""

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        """Ask for all there is since the last time.

        Raises:
            FeedError: the publisher's side failed.
        """
