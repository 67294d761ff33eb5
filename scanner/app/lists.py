"""The lists of a configuration that are in use, opened as one index."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from scanner.app.listkeys import ListKeys, stored_under
from scanner.app.questions import asker_of
from scanner.app.state import StateDirectory
from scanner.app.suppressing import Suppression, Suppressions
from scanner.app.terms import terms_of
from scanner.app.trusting import may_be_loaded
from scanner.config import Config, FeedConfig, mask_url
from scanner.feeds import FeedState, FeedStore
from scanner.hashing import plugged_kinds
from scanner.index import Index, ListKey, OpenFeed, Snapshot, Threshold, right_key
from scanner.model.errors import (
    ConfigError,
    FeedError,
    ListKeyError,
    ScannerError,
    SnapshotError,
    StorageError,
)
from scanner.model.feeds import FeedTerms
from scanner.model.hashes import KINDS
from scanner.model.ports import Clock, Ids

if TYPE_CHECKING:
    from scanner.app.adhoc import AdhocLists

log = structlog.get_logger("hostsweep.feeds")

_ADHOC = re.compile(r"adhoc-[0-9a-f]{32}")  # as AdhocLists names them


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
    """Knows the lists in the state directory, which `scanner.app.syncing` keeps up to date."""

    def __init__(self, config: Config, state: StateDirectory, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._clock = clock
        self.store = FeedStore(state.feeds)
        self.suppressions = Suppressions(state.suppressions)
        self.on_suppressed: Callable[[str], None] | None = None  # told the feed of each suppressed match
        self.keys = ListKeys(config.sync.key_file, state.feeds)
        self._state = state
        self._ids = ids

    @cached_property
    def adhoc(self) -> AdhocLists:
        """Lists that no configuration names."""
        from scanner.app.adhoc import AdhocLists  # loaded late: they bring what fetches and reads a list
        from scanner.app.importing import Importer

        config, state = self._config, self._state
        importer = Importer(config, self._clock, self._ids, FeedStore(state.adhoc_feeds), state.work)
        return AdhocLists(importer, ListKeys(config.sync.key_file, state.adhoc_feeds))

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
                snapshot, places[feed.name] = self.opened(feed.name, places[feed.name], key)
            except ListKeyError as e:
                log.error("feed_list_unusable", feed=feed.name, reason=e.what)
                unusable[feed.name] = e.what
                del places[feed.name]
                old = next((f for f in before.feeds if f.terms.name == feed.name), None) if before else None
                if before is None or old is None or feed.name not in before.places:
                    continue
                snapshot, places[feed.name] = old.snapshot, before.places[feed.name]
            feeds.append(OpenFeed(terms_of(feed), snapshot))
        thresholds = self._thresholds(feeds)
        decisions = self.suppressions.active(self._clock.now_ns())
        suppressed = _suppressed(feeds, decisions)
        index = Index(feeds, thresholds, clock=self._clock, suppressed=suppressed, held=self.on_suppressed)
        return Lists(index, tuple(feeds), places, decisions, suppressed, unusable)

    def _thresholds(self, feeds: Sequence[OpenFeed]) -> dict[str, Threshold]:
        """As configured, and of kinds in the lists that are plug-ins', as these say. A package that is gone
        hashes nothing more: its values stay in the list, and are compared with no file
        (`scanner.app.unhashed` tells)."""
        plugged = plugged_kinds(self._config.hashing.named)
        found = {
            kind: Threshold(limit.max_distance, limit.min_quality)
            for kind, limit in self._config.matching.by_kind().items()
        }
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

    def opened(self, name: str, path: Path, key: ListKey | None) -> tuple[Snapshot, Path]:
        """Open a list, or the one that took its place meanwhile: whoever syncs removes all but the last two.

        Raises:
            SnapshotError: it is damaged, or stored under another key.
        """
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
