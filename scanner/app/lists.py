"""From hash lists to an index: fetching, importing in a process of its own, swapping."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig, mask_url
from scanner.feeds import FeedStore, FetchRequest, FormatOptions
from scanner.index import Index, OpenFeed, Snapshot, Threshold
from scanner.model.errors import (
    ConfigError,
    FeedError,
    FeedProcessError,
    FeedRefusedError,
    SnapshotError,
    StorageError,
)
from scanner.model.feeds import FeedTerms, Polarity
from scanner.model.ports import Clock, Ids
from scanner.pipeline.feed_answers import ImportAnswer
from scanner.pipeline.feed_processes import FeedLimits, FeedProcesses, ImportOrder

log = structlog.get_logger("hostsweep.feeds")


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


@dataclass(frozen=True, slots=True)
class FeedChange:
    """What a sync came to. `result` is "updated" or "not_modified"."""

    feed: str
    result: str
    entries: int


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
        self._adhoc_store = FeedStore(state.adhoc_feeds)

    @property
    def _processes(self) -> FeedProcesses:
        sync = self._config.sync
        user = sync.process_user if os.geteuid() == 0 else None
        return FeedProcesses(FeedLimits(user, sync.memory, sync.time_limit), self._ids)

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

    async def sync(self, name: str, *, accept: bool = False) -> FeedChange:
        """Fetch a feed if it changed and build its index; the last good list stays on any failure.

        Args:
            accept: take the list even if it is far smaller than the one in use.

        Raises:
            FeedError: the publisher's side failed; recorded in the feed's state.
            StorageError: ours failed.
        """
        feed = self.feed(name)
        staged = self._state.feeds_work / f"{name}-{self._ids.new()}"
        with self.store.lock(name):
            try:
                return await self._sync(feed, staged, accept)
            except (FeedError, ConfigError) as e:
                e.where = e.where.replace(str(staged), f"feed {name}")
                await asyncio.to_thread(self.store.record_failure, name, str(e), self._clock.now_ns())
                raise
            finally:
                staged.unlink(missing_ok=True)

    async def _sync(self, feed: FeedConfig, staged: Path, accept: bool) -> FeedChange:
        state = self.store.state(feed.name)
        # A list that came from elsewhere, or was read in another way, is no reason not to fetch this one.
        have_list = self.store.current(feed.name) is not None and state.origin == _origin(feed)
        request = FetchRequest(
            feed=feed.name,
            url=feed.url,
            etag=state.etag if have_list else "",
            last_modified=state.last_modified if have_list else "",
            max_bytes=feed.max_bytes,
            insecure=feed.insecure,
            bearer_file=feed.bearer_file,
            basic_file=feed.basic_file,
        )
        fetched = await self._processes.fetch(request, self._state.feeds_work, staged)
        now = self._clock.now_ns()
        if fetched.not_modified or (have_list and fetched.sha256 == state.source_sha256):
            await asyncio.to_thread(
                self.store.record_not_modified,
                feed.name,
                now,
                etag=fetched.etag,
                last_modified=fetched.last_modified,
            )
            return FeedChange(feed.name, "not_modified", self.entries(feed.name))
        with opened_list(staged) as descriptor:
            answer = await self._import(
                feed, staged, descriptor, self.store, self._state.feeds_work, accept=accept
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
            origin=_origin(feed),
        )
        return FeedChange(feed.name, "updated", answer.counts.entries)

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
        return await self._import_by_hand(
            feed, source, descriptor, self.store, self._state.feeds_work, accept=accept
        )

    async def _import_by_hand(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        store: FeedStore,
        work: Path,
        *,
        accept: bool = False,
    ) -> FeedChange:
        now = self._clock.now_ns()
        answer = await self._import(feed, source, descriptor, store, work, accept=accept)
        await asyncio.to_thread(
            store.record_success,
            feed.name, now, etag="", last_modified="", source_sha256=answer.sha256,
            format=answer.format, counts=asdict(answer.counts),
        )  # fmt: skip
        return FeedChange(feed.name, "updated", answer.counts.entries)

    async def _import(
        self,
        feed: FeedConfig,
        source: Path,
        descriptor: int,
        store: FeedStore,
        work: Path,
        *,
        accept: bool = False,
    ) -> ImportAnswer:
        """Build a snapshot from a list and make it the feed's current one.

        Raises:
            FeedError: the list can't be used, or the process that reads it died or left nonsense.
            StorageError: the snapshot can't be written.
        """
        target = work / f"{feed.name}-{self._ids.new()}.index"
        options = FormatOptions(
            columns=dict(feed.columns), delimiter=feed.delimiter, encoding=feed.encoding, hash=feed.hash
        )
        order = ImportOrder(
            feed.name, str(source), feed.format, options, self._clock.now_ns(), feed.max_bytes
        )
        try:
            answer = await self._processes.build(order, descriptor, work, target)
            self._check_shrinking(feed, store, asdict(answer.counts), accept)
            # A candidate is opened and checked before it takes the place of the last good list.
            await asyncio.to_thread(_check_candidate, target, feed.name)
            await asyncio.to_thread(store.promote, feed.name, target)
        finally:
            target.unlink(missing_ok=True)
        return answer

    def _check_shrinking(
        self, feed: FeedConfig, store: FeedStore, counts: Mapping[str, Any], accept: bool
    ) -> None:
        """A list that lost most of what it had was cut off, is another list, or would blind us on purpose."""
        if store.current(feed.name) is None:
            return
        for what, before, after in _sizes(store.state(feed.name).counts or {}, counts):
            if before - after <= feed.max_shrink * before:
                continue
            if accept:
                log.warning("feed_shrink_accepted", feed=feed.name, what=what, before=before, after=after)
                continue
            raise FeedRefusedError(
                f"the new list has {after:,} {what} where the one in use has {before:,}: "
                f"it lost more than {feed.max_shrink:.0%}",
                where=f"feed {feed.name}",
                remedy="The last good list stays in use. Ask the publisher; if it is right, "
                f"`hostsweep feed sync {feed.name} --accept` takes it this once",
            )

    # Lists without a configuration

    async def adhoc(self, text: str, taken: Sequence[str]) -> OpenFeed:
        """A list named on the command line: a file or a URL, its format detected; kept for the next time.

        Raises:
            FeedError: it can't be used.
        """
        staged: Path | None = None
        source = Path(text)
        if "://" in text:
            staged = source = self._state.work / f"adhoc-{self._ids.new()}"
            await self._processes.fetch(FetchRequest(feed=text, url=text), self._state.work, staged)
        name = unused_name(Path(text.split("?", 1)[0]).name.split(".", 1)[0] or "list", taken)
        try:
            snapshot = await self._adhoc_snapshot(source)
        finally:
            if staged is not None:
                staged.unlink(missing_ok=True)
        return OpenFeed(FeedTerms(name), snapshot)

    async def _adhoc_snapshot(self, source: Path) -> Snapshot:
        with opened_list(source) as descriptor:
            return await self._adhoc_opened(source, descriptor)

    async def _adhoc_opened(self, source: Path, descriptor: int) -> Snapshot:
        store = self._adhoc_store
        digest = await asyncio.to_thread(_file_digest, source, descriptor)
        store_name = f"adhoc-{digest[:32]}"
        feed = FeedConfig.model_construct(
            name=store_name,
            max_shrink=1.0,
            format="auto",
            columns={},
            delimiter=None,
            encoding=None,
            hash=None,
            max_bytes=1 << 40,
        )
        if store.current(store_name) is None:
            await self._import_by_hand(feed, source, descriptor, store, self._state.work)
        path = store.current(store_name)
        if path is None:
            raise StorageError("an imported list is gone again", where=str(source))
        return await asyncio.to_thread(Snapshot.open, path)

    # Opening

    def places(self) -> dict[str, Path]:
        """The current snapshot of every configured feed that has one; blocking."""
        found = {feed.name: self.store.current(feed.name) for feed in self._config.feeds}
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
        return Lists(Index(feeds, thresholds), tuple(feeds), places)

    def _opened(self, name: str, path: Path) -> tuple[Snapshot, Path]:
        """The list, or the one that took its place meanwhile: whoever syncs removes all but the last two."""
        try:
            return Snapshot.open(path), path
        except SnapshotError:
            newer = self.store.current(name)
            if newer is None or newer == path:
                raise
            return Snapshot.open(newer), newer

    def entries(self, name: str) -> int:
        """Entries of a feed's current list."""
        counts = self.store.state(name).counts or {}
        return int(counts.get("entries", 0))


def _check_candidate(path: Path, feed: str) -> None:
    """Open what a confined process has made, in full.

    Raises:
        FeedProcessError: it is not the index of this feed. Our own disk is not to blame.
    """
    try:
        snapshot = Snapshot.open(path)
    except SnapshotError as e:
        raise FeedProcessError(
            f"the process that reads the list left an index that can't be used: {e.what}",
            where=f"feed {feed}",
            remedy="The last good list stays in use; ask the publisher whether the list is as it should be",
        ) from e
    name = snapshot.meta.feed
    snapshot.close()
    if name != feed:
        raise FeedProcessError(
            "the process that reads the list left the index of another feed", where=f"feed {feed}"
        )


@contextmanager
def opened_list(path: Path) -> Iterator[int]:
    """A list on this machine as a descriptor, which stays good whatever rights are given up.

    Raises:
        FeedRefusedError: it can't be read.
    """
    try:
        file = path.open("rb", buffering=0)
    except IsADirectoryError as e:
        raise FeedRefusedError("this is a directory, expected a hash list", where=str(path)) from e
    except OSError as e:
        raise FeedRefusedError(
            f"the list can't be read ({e.strerror})",
            where=str(path),
            remedy="Name a file that exists and may be read",
        ) from e
    with file:
        yield file.fileno()


def _sizes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Entries and hashes of two lists, side by side."""
    yield "entries", int(old.get("entries", 0)), int(new.get("entries", 0))
    yield "hashes", sum(old.get("hashes", {}).values()), sum(new.get("hashes", {}).values())


def _origin(feed: FeedConfig) -> str:
    """Where a feed comes from and how it is read, as a digest: a URL may hold a secret."""
    said = [feed.url, feed.format, sorted(feed.columns.items()), feed.delimiter, feed.encoding, feed.hash]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def unused_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or it with the first number that makes it new."""
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{wanted}-{n}"
    return name


def _file_digest(path: Path, descriptor: int) -> str:
    """SHA-256 in hexadecimal of a list; its descriptor is at the beginning again."""
    try:
        with open(descriptor, "rb", closefd=False) as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as e:
        raise FeedRefusedError(
            f"the list can't be read ({e.strerror})", where=str(path), remedy="Name a regular file"
        ) from e
    return digest
