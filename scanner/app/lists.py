"""The lists of a configuration: fetched and imported when they changed, opened as one index."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from scanner.app.adhoc import AdhocLists
from scanner.app.importing import FeedChange, Importer, opened_list
from scanner.app.listkeys import ListKeys, stored_under
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig, mask_url
from scanner.feeds import FeedState, FeedStore, FetchRequest
from scanner.index import Index, ListKey, OpenFeed, Snapshot, Threshold, right_key
from scanner.model.errors import (
    BusyError,
    ConfigError,
    FeedError,
    ListKeyError,
    ScannerError,
    SnapshotError,
    StorageError,
)
from scanner.model.feeds import FeedTerms, Polarity
from scanner.model.ports import Clock, Ids
from scanner.system.locking import FileLock

log = structlog.get_logger("hostsweep.feeds")

_LOCK_PAUSE = 0.2  # seconds between two looks whether another process is done with a feed


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists in use: immutable, so a scan finishes on the ones it began with.

    Attributes:
        places: the snapshot that was opened for each configured feed which has one.
        unusable: why the list of a feed that has one is not opened, by feed.
    """

    index: Index
    feeds: tuple[OpenFeed, ...]
    places: Mapping[str, Path]
    unusable: Mapping[str, str] = field(default_factory=dict)

    @property
    def terms(self) -> Mapping[str, FeedTerms]:
        return {f.terms.name: f.terms for f in self.feeds}


def terms_of(feed: FeedConfig) -> FeedTerms:
    """What the operator says of a feed."""
    return FeedTerms(
        name=feed.name,
        polarity=Polarity(feed.polarity),
        categories=None if feed.categories is None else frozenset(feed.categories),
        quarantine_exact=feed.on_match.exact == "quarantine",
        quarantine_perceptual=feed.on_match.perceptual == "quarantine",
    )


class ListKeeper:
    """Keeps the feeds of a configuration up to date in the state directory."""

    def __init__(self, config: Config, state: StateDirectory, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self._ids = ids
        self.store = FeedStore(state.feeds)
        self._importer = Importer(config, clock, ids)
        self.keys = ListKeys(config.sync.key_file, state.feeds)
        self.adhoc = AdhocLists(self._importer, state, ListKeys(config.sync.key_file, state.adhoc_feeds))

    def feed(self, name: str) -> FeedConfig:
        """The configuration of a feed.

        Raises:
            FeedError: there is no such feed.
        """
        for feed in self._config.feeds:
            if feed.name == name:
                return feed
        known = ", ".join(f.name for f in self._config.feeds) or "none is configured"
        raise FeedError("there is no such feed", where=name, remedy=f"Configured feeds: {known}")

    def shown_url(self, name: str) -> str:
        """A feed's address without secrets."""
        return mask_url(self.feed(name).url)

    # Fetching and importing

    async def sync(self, name: str, *, accept: bool = False, wait: float = 0.0) -> FeedChange:
        """Fetch a feed if it changed and build its index; the last good list stays on any failure.

        Args:
            accept: take the list even if it is far smaller than the one in use.
            wait: seconds for another process that is syncing it to be done.

        Raises:
            BusyError: it was not done.
            FeedError: the publisher's side failed; recorded in the feed's state.
            StorageError: ours failed.
        """
        feed = self.feed(name)
        staged = self._state.feeds_work / f"{name}-{self._ids.new()}"
        with await self._locked(name, wait):
            try:
                return await self._sync(feed, staged, accept)
            except (FeedError, ConfigError) as e:
                e.where = e.where.replace(str(staged), f"feed {name}")
                await asyncio.to_thread(self.store.record_failure, name, str(e), self._clock.now_ns())
                raise
            finally:
                staged.unlink(missing_ok=True)

    async def _locked(self, name: str, wait: float) -> FileLock:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            try:
                return self.store.lock(name)
            except BusyError:
                if loop.time() >= until:
                    raise
            await asyncio.sleep(_LOCK_PAUSE)

    async def _sync(self, feed: FeedConfig, staged: Path, accept: bool) -> FeedChange:
        state = self.store.state(feed.name)
        key = await asyncio.to_thread(self.keys.made)
        # A list that came from elsewhere, was read in another way or is stored under another key is no reason
        # not to fetch this one.
        have_list = state.origin == _origin(feed) and await asyncio.to_thread(
            stored_under, key, self.store.current(feed.name)
        )
        request = FetchRequest(
            feed=feed.name,
            url=feed.url,
            etag=state.etag if have_list else "",
            last_modified=state.last_modified if have_list else "",
            max_bytes=feed.max_bytes,
            insecure=feed.insecure,
            bearer_file=feed.bearer_file,
            basic_file=feed.basic_file,
            exchange=feed.exchange or "",
            options=dict(feed.options),
            memory=await asyncio.to_thread(self._memory, state) if have_list else "",
            now_ns=self._clock.now_ns(),
        )
        fetched = await self._importer.processes.fetch(request, self._state.feeds_work, staged)
        now = self._clock.now_ns()
        if fetched.not_modified or (
            have_list and fetched.sha256 == state.source_sha256 and not fetched.partial
        ):
            await asyncio.to_thread(
                self.store.record_not_modified,
                feed.name,
                now,
                etag=fetched.etag,
                last_modified=fetched.last_modified,
                memory=fetched.memory,
            )
            return FeedChange(feed.name, "not_modified", self.entries(feed.name))
        with opened_list(staged) as descriptor:
            answer = await self._importer.build(
                feed,
                staged,
                descriptor,
                self.store,
                self._state.feeds_work,
                key=key,
                accept=accept,
                memory=fetched.memory,
                partial=fetched.partial,
            )
        await asyncio.to_thread(
            self.store.record_success,
            feed.name,
            now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            source_sha256=fetched.sha256,
            format=answer.format,
            counts=answer.list_counts(),
            origin=_origin(feed),
        )
        return FeedChange(feed.name, "updated", answer.list.entries)

    def _memory(self, state: FeedState) -> str:
        """What the publisher's protocol was told with the list in use; blocking."""
        current = self.store.current(state.name)
        if state.memory or current is None:
            return state.memory
        return Snapshot.peek(current).memory

    async def import_file(
        self, feed: FeedConfig, source: Path, descriptor: int, *, accept: bool = False
    ) -> FeedChange:
        """Import a list by hand, in place of the feed's own source.

        Args:
            source: the list's path, for errors.
            descriptor: of the list, see `opened_list`.
            accept: take it even if it lost most of its entries.

        Raises:
            FeedError: the list can't be used.
            StorageError: the index can't be written.
        """
        key = await asyncio.to_thread(self.keys.made)
        return await self._importer.by_hand(
            feed, source, descriptor, self.store, self._state.feeds_work, key=key, accept=accept
        )

    # Opening

    def places(self) -> dict[str, Path]:
        """The current snapshot of every configured feed that has one; blocking."""
        found = {feed.name: self.store.current(feed.name) for feed in self._config.feeds}
        return {name: path for name, path in found.items() if path is not None}

    def open(self, extra: Sequence[OpenFeed] = (), *, before: Lists | None = None) -> Lists:
        """Open the current list of every configured feed that has one; blocking.

        A list that is stored under another key than ours is as if it were missing; where the one before is
        still open, that stays in use.

        Args:
            before: the lists in use until now.

        Raises:
            SnapshotError: a list on disk is damaged.
        """
        places = self.places()
        feeds = list(extra)
        unusable: dict[str, str] = {}
        key = self._key()
        for feed in self._config.feeds:
            if feed.name not in places:
                continue
            try:
                snapshot, places[feed.name] = self._opened(feed.name, places[feed.name], key)
            except ListKeyError as e:
                log.error("feed_list_unusable", feed=feed.name, reason=e.what)
                unusable[feed.name] = e.what
                del places[feed.name]
                old = next((f for f in before.feeds if f.terms.name == feed.name), None) if before else None
                if before is None or old is None or feed.name not in before.places:
                    continue
                snapshot, places[feed.name] = old.snapshot, before.places[feed.name]
            feeds.append(OpenFeed(terms_of(feed), snapshot))
        matching = self._config.matching
        thresholds = {
            kind: Threshold(limit.max_distance, limit.min_quality)
            for kind, limit in matching.by_kind().items()
        }
        index = Index(feeds, thresholds, clock=self._clock)
        return Lists(index, tuple(feeds), places, unusable)

    def _key(self) -> ListKey | None:
        """The key; None where it can't be used, which must not take the lists that need none with it."""
        try:
            return self.keys.read()
        except (ConfigError, StorageError) as e:
            log.error("list_key_unusable", error=str(e))
            return None

    def problem(self, name: str) -> str | None:
        """Why the list of a feed can't be used, None where it can or there is none; blocking."""
        current = self.store.current(name)
        if current is None:
            return None
        try:
            right_key(Snapshot.peek(current), self.keys.read(), current)
        except ScannerError as e:
            return e.what
        return None

    def needs_fetching(self, name: str) -> bool:
        """Whether a feed has no list, or one that is not stored under our key; blocking."""
        try:
            return not stored_under(self.keys.read(), self.store.current(name))
        except ScannerError:
            return True

    def _opened(self, name: str, path: Path, key: ListKey | None) -> tuple[Snapshot, Path]:
        """The list, or the one that took its place meanwhile: whoever syncs removes all but the last two."""
        try:
            return Snapshot.open(path, key=key), path
        except SnapshotError:
            newer = self.store.current(name)
            if newer is None or newer == path:
                raise
            return Snapshot.open(newer, key=key), newer

    def entries(self, name: str) -> int:
        """Entries of a feed's current list."""
        counts = self.store.state(name).counts or {}
        return int(counts.get("entries", 0))


def _origin(feed: FeedConfig) -> str:
    """Where a feed comes from and how it is read, as a digest: a URL may hold a secret."""
    said = [
        feed.url,
        feed.exchange,
        sorted(feed.options.items()),
        feed.format,
        sorted(feed.columns.items()),
        feed.delimiter,
        feed.encoding,
        feed.hash,
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
