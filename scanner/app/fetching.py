"""Fetching a feed's list, and whether what came is believed."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from scanner.app.importing import Importer, opened_list
from scanner.app.trusting import ListTrust, is_signed
from scanner.config import FeedConfig
from scanner.feeds import Fetched, FetchRequest
from scanner.feeds.trust import Accepted
from scanner.model.errors import FeedTrustError

log = structlog.get_logger("hostsweep.feeds")


class Fetching:
    """Fetches lists and verifies those of feeds with keys.

    Args:
        importer: whose processes fetch.
    """

    def __init__(self, importer: Importer, trust: ListTrust) -> None:
        self._importer = importer
        self._trust = trust

    async def fetched(
        self, feed: FeedConfig, request: FetchRequest, staged: Path, *, aside: bool = True
    ) -> tuple[Fetched, Accepted | None]:
        """Fetch a list.

        Args:
            staged: where it is put.
            aside: keep what is not believed.

        Returns:
            what was fetched, and why it is believed, None for a feed without keys.

        Raises:
            FeedTrustError: it is not believed.
            FeedError: it can't be fetched.
        """
        try:
            fetched = await self._importer.processes.fetch(request, self._importer.work, staged)
        except FeedTrustError as e:  # of a protocol that brings its own trust
            if aside:
                await asyncio.to_thread(self._trust.refuse, feed, e, None, b"")
            raise
        # How much of the publisher's server and of the line a feed takes; never what was asked.
        log.debug("feed_fetched", feed=feed.name, **asdict(fetched.traffic))
        if not is_signed(feed):
            return fetched, None
        try:
            trust = await self._believed(feed, fetched, staged)
            if trust is None:  # signed anew in a way that takes the list itself to verify
                again = replace(request, etag="", last_modified="")
                return await self.fetched(feed, again, staged, aside=aside)
            return fetched, trust
        except FeedTrustError as e:
            if aside:
                await asyncio.to_thread(self._trust.refuse, feed, e, staged, fetched.signature)
            raise

    async def _believed(self, feed: FeedConfig, fetched: Fetched, staged: Path) -> Accepted | None:
        """Why it is believed; None where that takes the list itself, which is not at hand."""
        if feed.exchange is not None:
            return await self._believed_tree(feed, fetched, staged)
        if fetched.not_modified:
            return await self._trust.believe_still(feed, fetched.signature)
        with opened_list(staged) as descriptor:
            return await self._trust.believe(feed, fetched.signature, descriptor)

    async def _believed_tree(self, feed: FeedConfig, fetched: Fetched, staged: Path) -> Accepted:
        if fetched.not_modified:
            return await asyncio.to_thread(self._trust.tree_still, feed)
        with opened_list(staged) as descriptor:
            return await self._trust.believe_tree(feed, descriptor)
