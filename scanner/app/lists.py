"""The lists of a configuration: fetched and imported when they changed, opened as one index."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from scanner.app.adhoc import AdhocLists
from scanner.app.importing import FeedChange, Importer, opened_list
from scanner.app.state import StateDirectory
from scanner.app.trusting import ListTrust, is_signed, may_be_loaded, signature_address
from scanner.app.unhashed import log_feed
from scanner.config import Config, FeedConfig, mask_url
from scanner.feeds import FeedState, FeedStore, Fetched, FetchRequest, ObjectStore
from scanner.feeds.exchanges.tuf import NAME as TUF
from scanner.feeds.exchanges.tuf import trust_alone
from scanner.feeds.staging import copy_local
from scanner.feeds.trust import Accepted
from scanner.hashing import plugged_kinds
from scanner.index import Index, OpenFeed, Snapshot, Threshold
from scanner.model.errors import (
    BusyError,
    ConfigError,
    FeedError,
    FeedTrustError,
    SnapshotError,
)
from scanner.model.feeds import FeedTerms, Polarity
from scanner.model.hashes import KINDS, HashKind
from scanner.model.ports import Clock, Ids
from scanner.system.locking import FileLock

log = structlog.get_logger("hostsweep.feeds")

_LOCK_PAUSE = 0.2  # seconds between two looks whether another process is done with a feed


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists in use: immutable, so a scan finishes on the ones it began with.

    Attributes:
        places: the snapshot that was opened for each configured feed which has one.
    """

    index: Index
    feeds: tuple[OpenFeed, ...]
    places: Mapping[str, Path]

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
        self.importer = Importer(config, clock, ids)
        self._trust = ListTrust(lambda: self.importer.processes, clock, self.store, state.feeds_work)
        self.adhoc = AdhocLists(self.importer, state)

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

    @staticmethod
    def of_file(name: str, format_name: str) -> FeedConfig:
        """How a list is read that is in no configuration.

        Raises:
            ConfigError: the name or the format can't be one.
        """
        try:
            return FeedConfig(name=name, url="file:///", format=format_name, max_bytes=1 << 40)
        except ValueError as e:
            raise ConfigError(
                "expected a name and a format of letters, digits, dots, dashes and underscores",
                where=f"{name}, {format_name}",
                remedy="Name the list with --name",
            ) from e

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
            async with self._recorded(name, staged):
                return await self._sync(feed, staged, accept)

    @asynccontextmanager
    async def _recorded(self, name: str, staged: Path) -> AsyncIterator[None]:
        """Failures go into the feed's state, and what was staged goes."""
        try:
            yield
        except (FeedError, ConfigError) as e:
            e.where = e.where.replace(str(staged), f"feed {name}")
            refused = e.reason if isinstance(e, FeedTrustError) else ""
            now = self._clock.now_ns()
            await asyncio.to_thread(self.store.record_failure, name, str(e), now, refused)
            raise
        finally:
            _remove(staged)

    def request(self, feed: FeedConfig) -> FetchRequest:
        """How a feed is fetched, as if for the first time."""
        return FetchRequest(
            feed=feed.name,
            url=feed.url,
            max_bytes=feed.max_bytes,
            insecure=feed.insecure,
            bearer_file=feed.bearer_file,
            basic_file=feed.basic_file,
            **_reaching(feed),
            exchange=feed.exchange or "",
            options=dict(feed.options),
            now_ns=self._clock.now_ns(),
            signature=signature_address(feed),
        )

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
        # A list that came from elsewhere, or was read in another way, is no reason not to fetch this one.
        have_list = self.current(feed.name) is not None and state.origin == self._origin(feed)
        memory = await asyncio.to_thread(self._memory, feed, state, have_list)
        request = replace(self.request(feed), memory=memory)
        if have_list:
            request = replace(request, etag=state.etag, last_modified=state.last_modified)
        fetched, trust = await self._fetched(feed, request, staged)
        # How much of the publisher's server and of the line a feed takes; never what was asked.
        log.debug("feed_fetched", feed=feed.name, **asdict(fetched.traffic))
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
                trust=trust,
            )
            return FeedChange(feed.name, "not_modified", self.entries(feed.name))
        with opened_list(staged) as descriptor:
            answer = await self.importer.build(
                feed,
                staged,
                descriptor,
                self.store,
                self._state.feeds_work,
                accept=accept,
                memory=fetched.memory,
                partial=fetched.partial,
                trust=trust,
            )
        await asyncio.to_thread(
            self.store.record_success,
            feed.name,
            now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            source_sha256=fetched.sha256,
            format=answer.format,
            counts=asdict(answer.counts),
            origin=self._origin(feed),
        )
        self._say_unhashed(feed)
        return FeedChange(feed.name, "updated", answer.counts.entries)

    def _origin(self, feed: FeedConfig) -> str:
        return _origin(feed, plugged_kinds(self._config.hashing.perceptual))

    def _say_unhashed(self, feed: FeedConfig) -> None:
        log_feed(self._config, feed, self.store.state(feed.name).counts or {})

    async def _fetched(
        self, feed: FeedConfig, request: FetchRequest, staged: Path
    ) -> tuple[Fetched, Accepted | None]:
        """A list, and why it is believed; None for a feed without keys."""
        try:
            fetched = await self.importer.processes.fetch(request, self._state.feeds_work, staged)
        except FeedTrustError as e:  # of a protocol that brings its own trust
            await asyncio.to_thread(self._trust.refuse, feed, e, None, b"")
            raise
        if not is_signed(feed):
            return fetched, None
        try:
            if fetched.not_modified:
                trust = await self._trust.believe_still(feed, fetched.signature)
                if trust is None:  # signed anew in a way that takes the list itself to verify
                    return await self._fetched(feed, replace(request, etag="", last_modified=""), staged)
                return fetched, trust
            with opened_list(staged) as descriptor:
                return fetched, await self._trust.believe(feed, fetched.signature, descriptor)
        except FeedTrustError as e:
            await asyncio.to_thread(self._trust.refuse, feed, e, staged, fetched.signature)
            raise

    def _memory(self, feed: FeedConfig, state: FeedState, have_list: bool) -> str:
        """What the publisher's protocol was told with the list in use; blocking."""
        if have_list:
            return self._told(state)
        # Which metadata was believed counts on, whatever became of the list, so that no older one is.
        return trust_alone(self._told(state)) if feed.exchange == TUF else ""

    def _told(self, state: FeedState) -> str:
        current = self.store.current(state.name)
        if state.memory or current is None:
            return state.memory
        snapshot = Snapshot.open(current, verify=False)
        try:
            return snapshot.meta.memory
        finally:
            snapshot.close()

    async def import_file(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        *,
        accept: bool = False,
        signature: bytes = b"",
    ) -> FeedChange:
        """Import a list by hand, in place of the feed's own source.

        Args:
            source: the list's path, for errors.
            descriptor: of the list, see `opened_list`.
            accept: take it even if it lost most of its entries.
            signature: what came with it, b"" for nothing.

        Raises:
            FeedError: the list can't be used, or is not believed.
            StorageError: the index can't be written.
        """
        if is_signed(feed):
            return await self._import_signed(feed, source, descriptor, accept, signature)
        change = await self.importer.by_hand(
            feed, source, descriptor, self.store, self._state.feeds_work, accept=accept
        )
        self._say_unhashed(feed)
        return change

    async def _import_signed(
        self, feed: FeedConfig, source: Path, descriptor: int, accept: bool, signature: bytes
    ) -> FeedChange:
        """From a copy of our own: somebody could change the file between its verifying and its reading."""
        staged = self._state.feeds_work / f"{feed.name}-{self._ids.new()}"
        with await self._locked(feed.name, 0.0):
            async with self._recorded(feed.name, staged):
                await asyncio.to_thread(copy_local, os.dup(descriptor), staged, feed.max_bytes, "")
                with opened_list(staged) as copy:
                    try:
                        trust = await self._trust.believe(feed, signature, copy)
                    except FeedTrustError as e:
                        e.where = str(source)
                        await asyncio.to_thread(self._trust.refuse, feed, e, staged, signature)
                        raise
                    return await self.importer.by_hand(
                        feed, source, copy, self.store, self._state.feeds_work, accept=accept, trust=trust
                    )

    async def reset_trust(self, name: str, wait: float = 0.0) -> bool:
        """Forget what was accepted last of a feed, so that the next list may have any serial and time. Its
        signature is verified all the same.

        Returns:
            whether there was anything to forget.
        """
        feed = self.feed(name)
        with await self._locked(feed.name, wait):
            files, state = self.store.trust(name), self.store.state(name)
            found = files.remembered()
            if (found.known and found.accepted is None) or (not found.known and not state.trust):
                return False
            files.remember(None, "")
        log.warning("feed_trust_reset", feed=name)
        return True

    # Opening

    def current(self, name: str) -> Path | None:
        """The snapshot of a feed that may be loaded: with keys, only one that was verified; blocking."""
        return self.store.current(name) if may_be_loaded(self.feed(name), self.store.state(name)) else None

    def places(self) -> dict[str, Path]:
        """The current snapshot of every configured feed that has one; blocking."""
        found = {feed.name: self.current(feed.name) for feed in self._config.feeds}
        return {name: path for name, path in found.items() if path is not None}

    def open(self, extra: Sequence[OpenFeed] = ()) -> Lists:
        """Open the current list of every configured feed that has one; blocking.

        Raises:
            SnapshotError: a list on disk is damaged.
        """
        places = self.places()
        feeds = list(extra)
        for feed in self._config.feeds:
            if feed.name in places:
                snapshot, places[feed.name] = self._opened(feed.name, places[feed.name])
                feeds.append(OpenFeed(terms_of(feed), snapshot))
        matching = self._config.matching
        thresholds = {
            kind: Threshold(limit.max_distance, limit.min_quality)
            for kind, limit in matching.by_kind().items()
        }
        thresholds.update(self._thresholds_of_others(feeds))
        return Lists(Index(feeds, thresholds), tuple(feeds), places)

    def _thresholds_of_others(self, feeds: Sequence[OpenFeed]) -> dict[str, Threshold]:
        """Of kinds in the lists that are plug-ins', as they say. A package that is gone hashes nothing more:
        its values stay in the list, and are compared with no file (`scanner.app.unhashed` tells)."""
        plugged = plugged_kinds(self._config.hashing.perceptual)
        found = {}
        for feed in feeds:
            for name, meta in feed.snapshot.meta.kinds.items():
                if not meta.exact and name not in KINDS:
                    kind = plugged.get(name)
                    found[name] = Threshold(kind.max_distance, kind.min_quality) if kind else Threshold(0, 0)
        return found

    def _opened(self, name: str, path: Path) -> tuple[Snapshot, Path]:
        """The list, or the one that took its place meanwhile: whoever syncs removes all but the last two."""
        try:
            return Snapshot.open(path), path
        except SnapshotError:
            newer = self.current(name)
            if newer is None or newer == path:
                raise
            return Snapshot.open(newer), newer

    def entries(self, name: str) -> int:
        """Entries of a feed's current list."""
        counts = self.store.state(name).counts or {}
        return int(counts.get("entries", 0))


def _reaching(feed: FeedConfig) -> dict[str, Any]:
    """How the feed's server, store or folder is reached, as a FetchRequest has it."""
    return {
        "header_files": dict(feed.header_files),
        "ca_file": feed.ca_file,
        "certificate_file": feed.certificate_file,
        "certificate_key_file": feed.certificate_key_file,
        "allowed_hosts": feed.allowed_hosts,
        "proxy": feed.proxy or "",
        "proxy_basic_file": feed.proxy_basic_file,
        "compressed": feed.compressed,
        "newest_by": feed.newest_by,
        "max_age": feed.max_age,
        "store": ObjectStore(
            endpoint=feed.s3.endpoint or "",
            region=feed.s3.region,
            access_key_file=feed.s3.access_key_file,
            secret_key_file=feed.s3.secret_key_file,
            session_token_file=feed.s3.session_token_file,
        ),
    }


def _remove(staged: Path) -> None:
    staged.unlink(missing_ok=True)  # at once: a task that is being cancelled does not wait for a thread


def _origin(feed: FeedConfig, plugged: Mapping[str, HashKind]) -> str:
    """Where a feed comes from and how it is read, as a digest: a URL may hold a secret."""
    said = [
        feed.url,
        feed.exchange,
        sorted(feed.options.items()),
        feed.format,
        sorted(feed.columns.items()),
        sorted((field, sorted(meant.items())) for field, meant in feed.values.items()),
        feed.header,
        feed.member,
        feed.delimiter,
        feed.encoding,
        feed.hash,
        *sorted(plugged),  # a list was read without a kind that wasn't there
        *((feed.s3.endpoint, feed.s3.region) if feed.url.startswith("s3:") else ()),
        str(feed.identity_file or ""),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
