"""Keeping a feed's list up to date: fetched, verified, imported where it changed, and on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog

from scanner.app.attempts import locked, recorded
from scanner.app.by_hand import HandImport
from scanner.app.fetching import Fetching
from scanner.app.guarding import Guarding
from scanner.app.importing import Built, Candidate, FeedChange, Importer, opened_list
from scanner.app.lists import ListKeeper
from scanner.app.requesting import Requests
from scanner.app.state import StateDirectory
from scanner.app.trusting import ListTrust
from scanner.app.unhashed import log_feed
from scanner.config import Config, FeedConfig
from scanner.feeds import Fetched
from scanner.feeds.trust import Accepted
from scanner.model.errors import ConfigError, FeedError
from scanner.model.ports import Clock, Ids

log = structlog.get_logger("hostsweep.feeds")


class FeedSync:
    """Keeps the feeds of a configuration up to date in the state directory.

    Attributes:
        requests: what publishers are asked.
        importer: what reads their lists.
        by_hand: the same for lists that were brought here.
    """

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        clock: Clock,
        ids: Ids,
        keeper: ListKeeper,
        actor: str = "",
    ) -> None:
        self._config = config
        self._clock = clock
        self._ids = ids
        self._keeper = keeper
        self._store = store = keeper.store
        self._work = work = state.feeds_work
        guarding = Guarding(config, store, state.ledger if state.feeds_are_ours else None)
        self.importer = Importer(config, clock, ids, store, work, guarding=guarding, actor=actor)
        self.requests = Requests(config, state, clock, keeper)
        trust = ListTrust(lambda: self.importer.processes, clock, store, work)
        self._fetching = Fetching(self.importer, trust)
        self.by_hand = HandImport(config, clock, keeper, self.importer, trust)

    async def sync(self, name: str, *, accept: bool = False, wait: float = 0.0) -> FeedChange:
        """Fetch a feed if it changed and build its index; the last good list stays on any failure.

        Args:
            accept: take the list whatever the guard finds; that is on record.
            wait: seconds for another process that is syncing it to be done.

        Raises:
            BusyError: it was not done.
            FeedError: the publisher's side failed; recorded in the feed's state.
            StorageError: ours failed.
        """
        feed = self._keeper.feed(name)
        staged = self._work / f"{name}-{self._ids.new()}"
        with await locked(self._store, name, wait):
            async with recorded(self._store, self._clock, name, staged):
                return await self._sync(feed, staged, accept)

    @asynccontextmanager
    async def rehearsed(self, name: str) -> AsyncIterator[Candidate | None]:
        """Fetch a feed and build its index, and leave everything as it is: the candidate, which is gone
        after the block; None where the publisher's list is the one in use. Waits for nobody, as nothing is
        written.

        Raises:
            FeedError: the publisher's side failed; recorded nowhere.
            StorageError: ours failed.
        """
        feed = self._keeper.feed(name)
        staged = self._work / f"{name}-{self._ids.new()}"
        with _named(staged, name):
            request = await asyncio.to_thread(self.requests.next, feed)
            fetched, _ = await self._fetching.fetched(feed, request, staged, aside=False)
            if self.requests.unchanged(feed, fetched):
                yield None
                return
            with opened_list(staged) as descriptor:
                made = self.importer.candidate(
                    feed,
                    staged,
                    descriptor,
                    key=await asyncio.to_thread(self._keeper.keys.made),
                    accept=True,
                    memory=fetched.memory,
                    partial=await asyncio.to_thread(self.requests.changes, feed, fetched),
                )
                async with made as candidate:
                    yield candidate

    async def reset_trust(self, name: str, wait: float = 0.0) -> bool:
        """Forget what was accepted last of a feed, so that the next list may have any serial and time. Its
        signature is verified all the same.

        Returns:
            whether there was anything to forget.
        """
        feed = self._keeper.feed(name)
        with await locked(self._store, feed.name, wait):
            files, state = self._store.trust(name), self._store.state(name)
            found = files.remembered()
            if (found.known and found.accepted is None) or (not found.known and not state.trust):
                return False
            files.remember(None, "")
        log.warning("feed_trust_reset", feed=name)
        return True

    async def _sync(self, feed: FeedConfig, staged: Path, accept: bool) -> FeedChange:
        request = await asyncio.to_thread(self.requests.next, feed)
        fetched, trust = await self._fetching.fetched(feed, request, staged)
        now = self._clock.now_ns()
        if self.requests.unchanged(feed, fetched):
            await self._record_unchanged(feed, fetched, trust, now)
            return FeedChange(feed.name, "not_modified", self._keeper.entries(feed.name))
        with opened_list(staged) as descriptor:
            built = await self.importer.build(
                feed,
                staged,
                descriptor,
                key=await asyncio.to_thread(self._keeper.keys.made),
                accept=accept,
                memory=fetched.memory,
                partial=await asyncio.to_thread(self.requests.changes, feed, fetched),
                trust=trust,
            )
        await self._record_built(feed, fetched, built, now)
        log_feed(self._config, feed, self._store.state(feed.name).counts or {})
        return FeedChange(feed.name, "updated", built.answer.list.entries, built.findings)

    async def _record_unchanged(
        self, feed: FeedConfig, fetched: Fetched, trust: Accepted | None, now: int
    ) -> None:
        await asyncio.to_thread(
            self._store.record_not_modified,
            feed.name,
            now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            memory=fetched.memory,
            trust=trust,
        )

    async def _record_built(self, feed: FeedConfig, fetched: Fetched, built: Built, now: int) -> None:
        await asyncio.to_thread(
            self._store.record_success,
            feed.name,
            now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            source_sha256=fetched.sha256,
            format=built.answer.format,
            counts=built.answer.list_counts(),
            origin=self.requests.origin(feed),
            guard=built.guard,
            accepted=built.accepted,
        )


@contextmanager
def _named(staged: Path, feed: str) -> Iterator[None]:
    """Errors name the feed and no staged file, and that goes."""
    try:
        yield
    except (FeedError, ConfigError) as e:
        e.where = e.where.replace(str(staged), f"feed {feed}")
        raise
    finally:
        staged.unlink(missing_ok=True)
