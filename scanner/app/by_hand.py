"""Importing a list that somebody brought here, in place of what a feed's own source has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scanner.app.attempts import locked, log_refusal, recorded, remove
from scanner.app.importing import Candidate, FeedChange, Importer, opened_list
from scanner.app.lists import ListKeeper
from scanner.app.trusting import ListTrust, is_signed
from scanner.app.unhashed import log_feed
from scanner.config import Config, FeedConfig
from scanner.feeds.staging import copy_local
from scanner.feeds.trust import Accepted
from scanner.index import ListKey
from scanner.model.errors import FeedError, FeedTrustError
from scanner.model.ports import Clock


class HandImport:
    """Imports lists of files into the feeds of a configuration."""

    def __init__(
        self, config: Config, clock: Clock, keeper: ListKeeper, importer: Importer, trust: ListTrust
    ) -> None:
        self._config = config
        self._clock = clock
        self._keeper = keeper
        self._importer = importer
        self._trust = trust

    async def import_file(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        *,
        accept: bool = False,
        signature: bytes = b"",
        wait: float = 0.0,
    ) -> FeedChange:
        """Import a list by hand.

        Args:
            source: the list's path, for errors.
            descriptor: of the list, see `opened_list`.
            accept: take it whatever the guard finds.
            signature: what came with it, b"" for nothing.
            wait: seconds for another process that is syncing the feed to be done.

        Raises:
            BusyError: it was not done.
            FeedError: the list can't be used, or is not believed.
            StorageError: the index can't be written.
        """
        key = await asyncio.to_thread(self._keeper.keys.made)
        with await locked(self._keeper.store, feed.name, wait):
            if is_signed(feed):
                return await self._import_signed(feed, source, descriptor, accept, signature, key)
            try:
                change = await self._importer.by_hand(feed, source, descriptor, key=key, accept=accept)
            except FeedError as e:
                log_refusal(feed.name, e)
                raise
            log_feed(self._config, feed, self._keeper.store.state(feed.name).counts or {})
            return change

    @asynccontextmanager
    async def rehearsed(
        self, feed: FeedConfig, source: Path, descriptor: int, signature: bytes = b""
    ) -> AsyncIterator[Candidate]:
        """As `FeedSync.rehearsed`, for a list on this machine; arguments as of `import_file`."""
        staged = self._staged(feed)
        try:
            if is_signed(feed):
                await self._believed_copy(feed, descriptor, staged, signature)
            key = await asyncio.to_thread(self._keeper.keys.made)
            with opened_list(staged if is_signed(feed) else source) as again:
                made = self._importer.candidate(feed, source, again, key=key, accept=True)
                async with made as candidate:
                    yield candidate
        finally:
            remove(staged)

    async def _import_signed(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        accept: bool,
        signature: bytes,
        key: ListKey,
    ) -> FeedChange:
        staged = self._staged(feed)
        async with recorded(self._keeper.store, self._clock, feed.name, staged):
            try:
                trust = await self._believed_copy(feed, descriptor, staged, signature)
            except FeedTrustError as e:
                e.where = str(source)
                await asyncio.to_thread(self._trust.refuse, feed, e, staged, signature)
                raise
            with opened_list(staged) as copy:
                return await self._importer.by_hand(feed, source, copy, key=key, accept=accept, trust=trust)

    async def _believed_copy(
        self, feed: FeedConfig, descriptor: int, staged: Path, signature: bytes
    ) -> Accepted:
        """A copy of our own: somebody could change the file between its verifying and its reading."""
        await asyncio.to_thread(copy_local, os.dup(descriptor), staged, feed.max_bytes, "")
        with opened_list(staged) as copy:
            return await self._trust.believe(feed, signature, copy)

    def _staged(self, feed: FeedConfig) -> Path:
        return self._importer.work / f"{feed.name}-{self._importer.ids.new()}"
