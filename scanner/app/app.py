"""The app: what is built from a configuration, and what commands ask of it; the daemon adds a `Service`.

Lists, scanning and hashing are loaded by what uses them, not above: most commands only look something up, and
would spend most of their time on loading the rest.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scanner import config as configuration
from scanner.app.alone import only_one
from scanner.app.becoming import become_feeds_owner, become_owner_of
from scanner.app.loading import load_all
from scanner.app.state import (
    StateDirectory,
    StateOwners,
    default_state_directory,
    sweep,
)
from scanner.app.threads import in_thread
from scanner.app.tools import Tools
from scanner.app.volumes import volume_of, volumes_for
from scanner.config import Config, load
from scanner.hashing import absent_layers, known_kinds
from scanner.ledger import Ledger
from scanner.model.errors import ConfigError, FeedError, SecurerError, VaultError
from scanner.model.hashes import Digests
from scanner.model.matches import Match
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock, Ids, SystemClock, SystemIds
from scanner.pipeline.reporting import Reporter, Reporters
from scanner.pipeline.stalling import Stuck
from scanner.pipeline.volume import Volume
from scanner.system.inhand import InHand
from scanner.system.opening import hard_links_protected

if TYPE_CHECKING:
    from scanner.app.importing import FeedChange
    from scanner.app.lists import ListKeeper, Lists
    from scanner.app.publishing import Publisher
    from scanner.app.scanning import ScanResult
    from scanner.app.syncing import FeedSync
    from scanner.catalog import Catalog
    from scanner.index import OpenFeed
    from scanner.observability import Metrics
    from scanner.securer import Keeper


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """A one-shot scan's result."""

    counts: ScanCounts
    seconds: float
    metrics: Metrics
    volumes: tuple[str, ...] = ()  # those that were scanned
    index_id: str = ""  # of the lists they were compared with


class App:
    """Built once from a configuration and a state directory."""

    def __init__(
        self, config: Config, state: StateDirectory, *, clock: Clock | None = None, ids: Ids | None = None
    ) -> None:
        self.config = config
        self.state = state
        self.clock = clock or SystemClock()
        self.ids = ids or SystemIds()
        self.volumes = tuple(volume_of(v) for v in config.volumes)
        self.owners = StateOwners(state.owners)
        self.stuck = Stuck()
        self.in_hand = InHand()  # cases that a thread of this process works on
        self._actor = f"uid {os.getuid()}"  # who came, whoever we become

    # Parts, each built when it is first asked for

    @cached_property
    def metrics(self) -> Metrics:
        from scanner.observability import Metrics

        return Metrics()

    @cached_property
    def vault(self) -> Keeper:
        from scanner.app.vaults import vault_for

        return vault_for(self.config, self.state, self.volumes, self.clock, self.ids, lambda: self.owners)

    @cached_property
    def keeper(self) -> ListKeeper:
        from scanner.app.lists import ListKeeper

        keeper = ListKeeper(self.config, self.state, self.clock, self.ids)
        keeper.on_suppressed = self._count_suppressed
        return keeper

    @cached_property
    def syncing(self) -> FeedSync:
        from scanner.app.syncing import FeedSync

        return FeedSync(self.config, self.state, self.clock, self.ids, self.keeper, self._actor)

    def all_built(self) -> App:
        """Build every part now: threads that ask for one at the same time could get two."""
        for part in (self.metrics, self.vault, self.keeper, self.syncing):
            assert part is not None
        return self

    @classmethod
    def from_files(cls, config_path: Path | None, state_dir: Path | None) -> App:
        """Read the configuration (none: the defaults) and settle where the state is.

        Raises:
            ConfigError: the configuration can't be used.
        """
        config = load(config_path, kinds=known_kinds()) if config_path is not None else Config()
        path = (state_dir or config.state_directory or default_state_directory()).absolute()
        # A state directory named on the command line has its own vault, unless the file names one.
        quarantine = config.quarantine.directory or path / "quarantine"
        ours = config.sync.by == "daemon"
        return cls(config, StateDirectory(path, quarantine, config.feeds_directory, ours))

    @property
    def actor(self) -> str:
        """Who acts, for the record of custody."""
        return self._actor

    def become_owner(self) -> None:
        """Where another process has the vault: give up being root, and go on as whoever owns the state.

        The securer is reached first, which takes us for root then. Root must not write where another user can
        put links in its way.
        """
        if self.config.quarantine.securer is None or os.geteuid() != 0:
            return
        load_all()
        try:
            self.vault.connect()
        except SecurerError:
            pass  # whoever needs it will hear why it isn't there
        become_owner_of(self.state.path, self.config.quarantine.securer_uid)

    @property
    def feed_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.config.feeds)

    def check(self) -> tuple[str, ...]:
        """Check what the configuration names on disk; returns what is worth a warning.

        Raises:
            ConfigError: something is missing, or the vault lies where customers could reach it.
        """
        from scanner.app import unhashed

        self._check_named()
        warnings = configuration.check_files(self.config, self.state.quarantine) + self.keeper.keys.check()
        if not hard_links_protected():
            warnings += ("fs.protected_hardlinks is off: customers can link files of others; set it to 1",)
        absent = absent_layers()
        if absent and self.config.hashing.sandbox == "required":
            raise ConfigError(
                f"this kernel lacks layers of the workers' sandbox: {', '.join(absent)}",
                where="hashing.sandbox",
                remedy="`preferred` works without them",
            )
        if absent:
            warnings += (f"this kernel lacks layers of the workers' sandbox: {', '.join(absent)}",)
        return (*warnings, *unhashed.warnings(self.config, self.keeper))

    def volume(self, name: str) -> Volume:
        return next(v for v in self.volumes if v.name == name)

    def scan_every(self, name: str) -> float:
        """Seconds between two scans of a configured volume."""
        volume = next(v for v in self.config.volumes if v.name == name)
        return volume.every or self.config.schedule.scan_every

    def _count_suppressed(self, feed: str) -> None:
        self.metrics.suppressed_match(feed)  # those of now: a reload goes on with the former ones

    def take_over(self, old: App) -> None:
        """Go on counting where the app of the former configuration ended."""
        self.metrics = old.metrics
        self.owners = old.owners
        self.stuck = old.stuck
        self.in_hand = old.in_hand

    # Stores

    @contextmanager
    def ledger(self, *, read_only: bool = False) -> Iterator[Ledger]:
        """The ledger, for as long as the block lasts."""
        if not read_only:
            self.state.prepare()
        with Ledger.open(
            self.state.ledger, read_only=read_only, actor=self.actor, clock=self.clock
        ) as ledger:
            yield ledger

    @contextmanager
    def catalog(self) -> Iterator[Catalog | None]:
        """The catalog for reading; None where nothing was scanned yet."""
        if not self.state.catalog.exists():
            yield None
            return
        from scanner.catalog import Catalog

        catalog = Catalog.open(self.state.catalog, read_only=True)
        try:
            yield catalog
        finally:
            catalog.close()

    @contextmanager
    def single_daemon(self) -> Iterator[None]:
        """Hold the state directory as its only daemon.

        Raises:
            BusyError: another daemon has it.
        """
        self.state.prepare()
        remedy = "Stop it first, or give this one another --state-dir"
        with only_one(self.state.daemon_lock, "daemon", remedy):
            yield

    @contextmanager
    def single_syncer(self) -> Iterator[None]:
        """Hold the feeds' directory as the only service that syncs, and empty its work directory.

        Raises:
            BusyError: another one has it.
        """
        self.state.prepare_feeds()
        with only_one(self.state.feeds / ".syncer.lock", "syncing service", "Stop it first"):
            sweep(self.state.feeds_work)
            yield

    def take_feeds_in_hand(self) -> None:
        """Before a command writes to the configured feeds: where a service of its own syncs them, root
        becomes that service's user for good, so that what is written is the service's too.

        Raises:
            ConfigError: that user can't be told yet.
            StorageError: the directory can't be used.
        """
        if self.state.feeds_are_ours:
            self.become_owner()
            self.state.prepare()
            return
        if os.geteuid() == 0:
            load_all()
            become_feeds_owner(self.state.feeds)
        self.state.prepare_feeds()

    def check_feeds(self) -> tuple[str, ...]:
        """Check what syncing needs; returns what is worth a warning.

        Raises:
            ConfigError: something is missing.
        """
        self._check_named()
        return configuration.check_feeds(self.config) + self.keeper.keys.check()

    def _check_named(self) -> None:
        from scanner.app.exchanging import check_exchanges
        from scanner.app.formats import check_formats

        check_formats(self.config)
        check_exchanges(self.config)

    # One-shot scan

    async def scan_paths(
        self,
        paths: Sequence[Path],
        feeds: Sequence[str],
        reporter: Reporter,
        stop: threading.Event,
        *,
        quarantine: bool,
        full: bool,
    ) -> ScanOutcome:
        """Scan paths with the lists named, or with the configured ones.

        Raises:
            ConfigError: a path isn't there, or there is no list to compare with.
            FeedError: a list can't be used.
        """
        from scanner.app.figures import note_lists
        from scanner.app.reporters import MetricsReporter
        from scanner.app.scanning import Scanner

        started = time.monotonic()
        volumes = volumes_for(paths, self.volumes)
        self.state.prepare()
        if quarantine:
            self._refuse_vault_in_reach(volumes)
            self.recover(reporter)
        lists = await self.lists_for(feeds, needed=True)
        both = Reporters([reporter, MetricsReporter(self.metrics, self.clock)])
        tools = self.tools

        def scan() -> ScanResult:
            return Scanner(tools, lists, both, stop, quarantine=quarantine, full=full).scan(volumes)

        result = await in_thread(scan, stop)
        self.note_scan(result)
        note_lists(self.metrics, lists, self.keeper, self.feed_names)
        seconds = time.monotonic() - started
        return ScanOutcome(result.counts, seconds, self.metrics, tuple(result.volumes), lists.index.id)

    def _refuse_vault_in_reach(self, volumes: Sequence[Volume]) -> None:
        for volume in volumes:
            reason = configuration.vault_in_reach(Path(os.fsdecode(volume.root)), self.state.quarantine)
            if reason:
                raise ConfigError(reason, where=str(self.state.quarantine), remedy="Name another --state-dir")

    def note_scan(self, result: ScanResult) -> None:
        """Put a finished scan, and what it left, into the metrics."""
        from scanner.app.figures import note_scan

        note_scan(self.metrics, result, self.clock.now_ns())
        self.note_vault()

    def note_vault(self) -> None:
        """Put vault and brake into the metrics; blocking."""
        from scanner.app.figures import note_vault

        with self.ledger(read_only=True) as ledger:
            unsecured = ledger.count_unsecured()
            self.metrics.brake(ledger.brake() is not None)
        note_vault(self.metrics, unsecured, self.vault)

    @property
    def tools(self) -> Tools:
        return Tools(
            self.config,
            self.state,
            self.clock,
            self.ids,
            self.owners,
            self.vault,
            self.actor,
            self.stuck,
            self.in_hand,
        )

    async def lists_for(self, feeds: Sequence[str], *, needed: bool) -> Lists:
        """The configured lists and those named.

        Raises:
            ConfigError: some list is needed, and none is named or configured.
            FeedError: a list can't be used, or none of those configured was ever synced.
        """
        if needed and not feeds and not self.config.feeds:
            raise ConfigError(
                "there is no hash list to compare with",
                remedy="Give one with --feed FILE_OR_URL, or configure feeds and run `hostsweep feed sync`",
            )
        self.state.prepare()
        opened: list[OpenFeed] = []
        for text in feeds:
            taken = [*self.feed_names, *(o.terms.name for o in opened)]
            opened.append(await self.keeper.adhoc.open(text, taken))
        lists = await asyncio.to_thread(self.keeper.open, opened)
        if needed and not lists.feeds and not self.keeper.asks:
            raise FeedError(
                "no configured feed has a list yet",
                remedy="Run `hostsweep feed sync` and look at what it says",
            )
        return lists

    def check_files(
        self, paths: Sequence[Path], lists: Lists
    ) -> list[tuple[str, Digests, tuple[Match, ...]]]:
        """Hash files and match them; blocking.

        Raises:
            SourceError: a file can't be read.
        """
        from scanner.app.checking import check_files
        from scanner.app.kinds import settled
        from scanner.app.pools import worker_pool

        pool = worker_pool(settled(self.config, self.state, lists), workers=1)
        return [(str(c.path), c.digests, c.matches) for c in check_files(paths, pool, lists.index)]

    def check_hash(self, text: str, lists: Lists) -> list[tuple[str, Digests, tuple[Match, ...]]]:
        """Match a hash given as text, as every kind that it can be."""
        from scanner.app.checking import hash_text_as_digests

        return [(text, d, lists.index.match(d)) for d in hash_text_as_digests(text)]

    # Steps that a crash left open

    def recover(self, reporter: Reporter) -> None:
        """Finish or undo what dead processes left, and bring their cases up to date."""
        from scanner.app.recovering import recover_steps

        with self.ledger() as ledger:
            try:
                recover_steps(ledger, self.vault, reporter, self.clock, self.in_hand)
            except VaultError as e:
                if not self.vault.separate:
                    raise
                # Hits stay in their place and are told as such; the securer may be back at any time.
                reporter.note("securer_unreachable", reason=str(e))
            self.owners.sweep({step.owner for step in ledger.open_steps()})

    # Feeds

    def feed_due_in(self, name: str) -> float:
        """Seconds until a feed is due by its schedule; 0 if it never succeeded."""
        feed, state = self.keeper.feed(name), self.keeper.store.state(name)
        missing = self.keeper.current(name) is None or self.keeper.needs_fetching(name)
        if not state.last_success_ns or missing:
            return 0.0
        return feed.every - (self.clock.now_ns() - state.last_success_ns) / 1e9

    def publisher(self) -> Publisher:
        """What publishes lists."""
        from scanner.app.publishing import Publisher

        return Publisher(self.syncing, self.state, self.clock, self.ids)

    async def sync_feed(self, name: str, *, accept: bool = False, wait: float = 0.0) -> FeedChange:
        """Sync one feed and count how that went; `accept` and `wait` as in FeedSync.sync.

        Raises:
            FeedError: the publisher's side failed.
        """
        from scanner.app.attempts import refusals_of

        try:
            change = await self.syncing.sync(name, accept=accept, wait=wait)
        except FeedError as e:
            self.metrics.feed_synced(name, "failed")
            for reason in refusals_of(e):
                self.metrics.feed_refused(name, reason)
            raise
        self.metrics.feed_synced(name, change.result, self.clock.now_ns())
        self.metrics.feed_overdue(name, False)
        return change
