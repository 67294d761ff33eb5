"""The lists of a configuration: fetched and imported when they changed, opened as one index."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from scanner.app.adhoc import AdhocLists
from scanner.app.guarding import Guarding
from scanner.app.importing import Candidate, FeedChange, Importer, opened_list
from scanner.app.listkeys import ListKeys, stored_under
from scanner.app.questions import Questions, asker_of
from scanner.app.state import StateDirectory
from scanner.app.suppressing import Suppression, Suppressions
from scanner.app.terms import terms_of
from scanner.app.trusting import ListTrust, is_signed, may_be_loaded, signature_address
from scanner.app.unhashed import log_feed
from scanner.app.volumes import volume_of
from scanner.config import Config, FeedConfig, mask_url
from scanner.feeds import FeedState, FeedStore, Fetched, FetchRequest, ObjectStore
from scanner.feeds.exchanges import Asker
from scanner.feeds.exchanges.tuf import NAME as TUF
from scanner.feeds.exchanges.tuf import trust_alone
from scanner.feeds.guard import MALFORMED, FeedGuardError
from scanner.feeds.staging import copy_local
from scanner.feeds.trust import Accepted
from scanner.hashing import plugged_kinds
from scanner.index import Index, ListKey, OpenFeed, Snapshot, Threshold, right_key
from scanner.model.errors import (
    BusyError,
    ConfigError,
    FeedError,
    FeedMalformedError,
    FeedTrustError,
    ListKeyError,
    ScannerError,
    SnapshotError,
    StorageError,
)
from scanner.model.feeds import FeedTerms
from scanner.model.hashes import KINDS, HashKind
from scanner.model.ports import Clock, Ids
from scanner.system.locking import FileLock

log = structlog.get_logger("hostsweep.feeds")

_ADHOC = re.compile(r"adhoc-[0-9a-f]{32}")  # as AdhocLists names them
_LOCK_PAUSE = 0.2  # seconds between two looks whether another process is done with a feed


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists in use: immutable, so a scan finishes on the ones it began with.

    Attributes:
        places: the snapshot that was opened for each configured feed which has one.
        suppressions: the decisions that held when they were opened.
        suppressed: ids of the entries that these speak of, by feed.
        unusable: why the list of a feed that has one is not opened, by feed.
    """

    index: Index
    feeds: tuple[OpenFeed, ...]
    places: Mapping[str, Path]
    suppressions: tuple[Suppression, ...] = ()
    suppressed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)

    @property
    def terms(self) -> Mapping[str, FeedTerms]:
        return {f.terms.name: f.terms for f in self.feeds}


class ListKeeper:
    """Keeps the feeds of a configuration up to date in the state directory."""

    def __init__(
        self, config: Config, state: StateDirectory, clock: Clock, ids: Ids, actor: str = ""
    ) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self._ids = ids
        self.store = FeedStore(state.feeds)
        self.suppressions = Suppressions(state.suppressions)
        self.on_suppressed: Callable[[str], None] | None = None  # told the feed of each suppressed match
        guarding = Guarding(config, self.store, state.ledger if state.feeds_are_ours else None)
        self.importer = Importer(config, clock, ids, guarding=guarding, actor=actor)
        self._trust = ListTrust(lambda: self.importer.processes, clock, self.store, state.feeds_work)
        self.keys = ListKeys(config.sync.key_file, state.feeds)
        adhoc_keys = ListKeys(config.sync.key_file, state.adhoc_feeds)
        self.adhoc = AdhocLists(Importer(config, clock, ids), state, adhoc_keys)

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
            accept: take the list whatever the guard finds; that is on record.
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
            e.where = e.where.replace(str(staged), f"feed {name}") or f"feed {name}"
            _log_guard(name, e)
            now = self._clock.now_ns()
            await asyncio.to_thread(self.store.record_failure, name, str(e), now, refused=refusals_of(e))
            raise
        finally:
            _remove(staged)

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

    def _request(self, feed: FeedConfig) -> FetchRequest:
        """What is asked of the publisher, with what is known of the list in use; blocking."""
        state = self.store.state(feed.name)
        # A list that came from elsewhere, was read in another way or is stored under another key is no reason
        # not to fetch this one.
        have_list = self._have_list(state, feed)
        request = replace(self.request(feed), memory=self._memory(feed, state, have_list))
        if asker := asker_of(feed):
            request = replace(request, questions=self._questions(feed, asker, have_list))
        if have_list:
            request = replace(request, etag=state.etag, last_modified=state.last_modified)
        return request

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

    def _questions(self, feed: FeedConfig, asker: Asker, have_list: bool) -> list[tuple[str, str]]:
        """What a service is to be asked about that has no list for us; blocking."""
        key, places = self.keys.made(), self.places()
        shared = ListKeys(feed.shared_key_file, self._state.feeds).read() if feed.shared_key_file else None
        if asker.keyed and shared is None:
            raise ConfigError(
                "this service is asked with a key that it has as well",
                where=f"feed {feed.name}: shared_key_file",
                remedy="Name a file with the key that the service's operator gave you",
            )
        with ExitStack() as stack:

            def opened(name: str) -> Snapshot:
                return stack.enter_context(closing(self._opened(name, places[name], key)[0]))

            answers = opened(feed.name) if have_list else None
            benign = [
                OpenFeed(terms_of(other), opened(other.name))
                for other in self._config.feeds
                if other.polarity == "benign" and other.name in places
            ]
            volumes = [volume_of(volume) for volume in self._config.volumes]
            told = shared.digest if shared is not None else None
            questions = Questions(self._config, self._state, volumes, benign, told)
            return questions.of(feed, asker, answers, self._clock.now_ns())

    def _have_list(self, state: FeedState, feed: FeedConfig) -> bool:
        if state.origin != self._origin(feed):
            return False
        return stored_under(self.keys.made(), self.current(feed.name))

    def _changes(self, feed: FeedConfig, fetched: Fetched) -> bool:
        """What came are changes to the list in use; blocking. Answers are, but for the first ones."""
        return fetched.partial and self._have_list(self.store.state(feed.name), feed)

    def _unchanged(self, feed: FeedConfig, fetched: Fetched) -> bool:
        """The publisher's list is the one in use."""
        state = self.store.state(feed.name)
        same = self._have_list(state, feed) and fetched.sha256 == state.source_sha256
        return fetched.not_modified or (same and not fetched.partial)

    async def _sync(self, feed: FeedConfig, staged: Path, accept: bool) -> FeedChange:
        request = await asyncio.to_thread(self._request, feed)
        fetched, trust = await self._fetched(feed, request, staged)
        now = self._clock.now_ns()
        if self._unchanged(feed, fetched):
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
            built = await self.importer.build(
                feed,
                staged,
                descriptor,
                self.store,
                self._state.feeds_work,
                key=await asyncio.to_thread(self.keys.made),
                accept=accept,
                memory=fetched.memory,
                partial=await asyncio.to_thread(self._changes, feed, fetched),
                trust=trust,
            )
        await asyncio.to_thread(
            self.store.record_success,
            feed.name,
            now,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            source_sha256=fetched.sha256,
            format=built.answer.format,
            counts=built.answer.list_counts(),
            origin=self._origin(feed),
            guard=built.guard,
            accepted=built.accepted,
        )
        self._say_unhashed(feed)
        return FeedChange(feed.name, "updated", built.answer.list.entries, built.findings)

    def _origin(self, feed: FeedConfig) -> str:
        return _origin(feed, plugged_kinds(self._config.hashing.perceptual))

    def _say_unhashed(self, feed: FeedConfig) -> None:
        log_feed(self._config, feed, self.store.state(feed.name).counts or {})

    @asynccontextmanager
    async def rehearsed(self, name: str) -> AsyncIterator[Candidate | None]:
        """Fetch a feed and build its index, and leave everything as it is: the candidate, which is gone
        after the block; None where the publisher's list is the one in use. Waits for nobody, as nothing is
        written.

        Raises:
            FeedError: the publisher's side failed; recorded nowhere.
            StorageError: ours failed.
        """
        feed = self.feed(name)
        staged = self._state.feeds_work / f"{name}-{self._ids.new()}"
        try:
            request = await asyncio.to_thread(self._request, feed)
            fetched, _ = await self._fetched(feed, request, staged, aside=False)
            if self._unchanged(feed, fetched):
                yield None
                return
            with opened_list(staged) as descriptor:
                made = self.importer.candidate(
                    feed,
                    staged,
                    descriptor,
                    self.store,
                    self._state.feeds_work,
                    key=await asyncio.to_thread(self.keys.made),
                    accept=True,
                    memory=fetched.memory,
                    partial=await asyncio.to_thread(self._changes, feed, fetched),
                )
                async with made as candidate:
                    yield candidate
        except (FeedError, ConfigError) as e:
            e.where = e.where.replace(str(staged), f"feed {name}")
            raise
        finally:
            staged.unlink(missing_ok=True)

    @asynccontextmanager
    async def rehearsed_file(
        self, feed: FeedConfig, source: Path, descriptor: int, signature: bytes = b""
    ) -> AsyncIterator[Candidate]:
        """As `rehearsed`, for a list on this machine; arguments as of `import_file`."""
        staged, work = self._state.feeds_work / f"{feed.name}-{self._ids.new()}", self._state.feeds_work
        try:
            if is_signed(feed):
                await asyncio.to_thread(copy_local, os.dup(descriptor), staged, feed.max_bytes, "")
                with opened_list(staged) as copy:
                    await self._trust.believe(feed, signature, copy)
            key = await asyncio.to_thread(self.keys.made)
            with opened_list(staged if is_signed(feed) else source) as again:
                made = self.importer.candidate(feed, source, again, self.store, work, key=key, accept=True)
                async with made as candidate:
                    yield candidate
        finally:
            _remove(staged)

    async def _fetched(
        self, feed: FeedConfig, request: FetchRequest, staged: Path, *, aside: bool = True
    ) -> tuple[Fetched, Accepted | None]:
        """A list, and why it is believed, None for a feed without keys; `aside`: keep what is not."""
        try:
            fetched = await self.importer.processes.fetch(request, self._state.feeds_work, staged)
        except FeedTrustError as e:  # of a protocol that brings its own trust
            if aside:
                await asyncio.to_thread(self._trust.refuse, feed, e, None, b"")
            raise
        # How much of the publisher's server and of the line a feed takes; never what was asked.
        log.debug("feed_fetched", feed=feed.name, **asdict(fetched.traffic))
        if not is_signed(feed):
            return fetched, None
        try:
            if feed.exchange is not None:
                return fetched, await self._believed_tree(feed, fetched, staged)
            if fetched.not_modified:
                trust = await self._trust.believe_still(feed, fetched.signature)
                if trust is None:  # signed anew in a way that takes the list itself to verify
                    again = replace(request, etag="", last_modified="")
                    return await self._fetched(feed, again, staged, aside=aside)
                return fetched, trust
            with opened_list(staged) as descriptor:
                return fetched, await self._trust.believe(feed, fetched.signature, descriptor)
        except FeedTrustError as e:
            if aside:
                await asyncio.to_thread(self._trust.refuse, feed, e, staged, fetched.signature)
            raise

    async def _believed_tree(self, feed: FeedConfig, fetched: Fetched, staged: Path) -> Accepted:
        if fetched.not_modified:
            return await asyncio.to_thread(self._trust.tree_still, feed)
        with opened_list(staged) as descriptor:
            return await self._trust.believe_tree(feed, descriptor)

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
        return Snapshot.peek(current).memory

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
        """Import a list by hand, in place of the feed's own source.

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
        key = await asyncio.to_thread(self.keys.made)
        with await self._locked(feed.name, wait):
            if is_signed(feed):
                return await self._import_signed(feed, source, descriptor, accept, signature, key)
            try:
                change = await self.importer.by_hand(
                    feed, source, descriptor, self.store, self._state.feeds_work, key=key, accept=accept
                )
            except FeedError as e:
                _log_guard(feed.name, e)
                raise
            self._say_unhashed(feed)
            return change

    async def _import_signed(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        accept: bool,
        signature: bytes,
        key: ListKey,
    ) -> FeedChange:
        """From a copy of our own: somebody could change the file between its verifying and its reading."""
        staged = self._state.feeds_work / f"{feed.name}-{self._ids.new()}"
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
                    feed,
                    source,
                    copy,
                    self.store,
                    self._state.feeds_work,
                    key=key,
                    accept=accept,
                    trust=trust,
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

    # Feeds that are not configured any more

    def left_over(self) -> list[FeedState]:
        """States of feeds that the configuration does not name; lists of the command line are none."""
        configured = {feed.name for feed in self._config.feeds}
        return [s for s in self.store.list() if s.name not in configured and not _ADHOC.fullmatch(s.name)]

    def forget(self, name: str) -> None:
        """Remove the lists and the record of a feed that is not configured any more; its cases stay.

        Raises:
            ConfigError: it is configured.
            NotFoundError: nothing of it is there.
            BusyError: another process is syncing it.
        """
        if any(feed.name == name for feed in self._config.feeds):
            raise ConfigError(
                "this feed is configured: it would be fetched again",
                where=f"feed {name}",
                remedy="Take it out of the configuration first",
            )
        self.store.forget(name)
        log.warning("feed_forgotten", feed=name)

    # Opening

    def current(self, name: str) -> Path | None:
        """The snapshot of a feed that may be loaded: with keys, only one that was verified; blocking."""
        return self.store.current(name) if may_be_loaded(self.feed(name), self.store.state(name)) else None

    def places(self) -> dict[str, Path]:
        """The current snapshot of every configured feed that has one; blocking."""
        found = {feed.name: self.current(feed.name) for feed in self._config.feeds}
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
        thresholds.update(self._thresholds_of_others(feeds))
        decisions = self.suppressions.active(self._clock.now_ns())
        suppressed = _suppressed(feeds, decisions)
        index = Index(feeds, thresholds, clock=self._clock, suppressed=suppressed, held=self.on_suppressed)
        return Lists(index, tuple(feeds), places, decisions, suppressed, unusable)

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

    @property
    def asks(self) -> bool:
        """Whether some feed is a service that is asked: files come first there, and lists after."""
        return any(asker_of(feed) is not None for feed in self._config.feeds)

    def needs_fetching(self, name: str) -> bool:
        """Whether a feed has no list, or one that is not stored under our key; blocking."""
        if self.store.current(name) is None and asker_of(self.feed(name)) is not None:
            return False  # nothing is known yet that it could have been asked about
        try:
            return not stored_under(self.keys.read(), self.store.current(name))
        except ScannerError:
            return True

    def _opened(self, name: str, path: Path, key: ListKey | None) -> tuple[Snapshot, Path]:
        """The list, or the one that took its place meanwhile: whoever syncs removes all but the last two."""
        try:
            return Snapshot.open(path, key=key), path
        except SnapshotError:
            newer = self.current(name)
            if newer is None or newer == path:
                raise
            return Snapshot.open(newer, key=key), newer

    def entries(self, name: str) -> int:
        """Entries of a feed's current list."""
        counts = self.store.state(name).counts or {}
        return int(counts.get("entries", 0))


def _suppressed(feeds: Sequence[OpenFeed], decisions: Sequence[Suppression]) -> Mapping[str, frozenset[str]]:
    """Ids of the entries of these lists that decisions speak of, by feed."""
    found: dict[str, frozenset[str]] = {}
    for feed in feeds:
        name = feed.terms.name
        of_feed = [d.entries(feed.snapshot) for d in decisions if d.feed == name]
        if any(of_feed):
            found[name] = frozenset().union(*of_feed)
    return found


def _log_guard(feed: str, error: ScannerError) -> None:
    if isinstance(error, FeedGuardError | FeedMalformedError):
        log.error("feed_guard_refused", feed=feed, checks=list(refusals_of(error)), error=str(error))


def refusals_of(error: ScannerError) -> tuple[str, ...]:
    """Why a list was refused, by the guard's checks or as not believed; nothing if it failed otherwise."""
    if isinstance(error, FeedTrustError):
        return (error.reason,)
    if isinstance(error, FeedGuardError):
        return error.reasons
    return (MALFORMED,) if isinstance(error, FeedMalformedError) else ()


def _remove(staged: Path) -> None:
    staged.unlink(missing_ok=True)  # at once: a task that is being cancelled does not wait for a thread


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
