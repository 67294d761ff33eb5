"""The app: everything a command, the daemon or the HTTP surface can ask of hostsweep."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scanner import config as configuration
from scanner.app.checking import check_files, hash_text_as_digests
from scanner.app.lists import FeedChange, ListKeeper, Lists
from scanner.app.recovering import recover_steps
from scanner.app.reporters import LogReporter, MetricsReporter
from scanner.app.scanning import Scanner, ScanResult, Tools, worker_pool
from scanner.app.state import (
    StateDirectory,
    StateOwners,
    become_feeds_owner,
    default_state_directory,
    sweep,
)
from scanner.app.vaults import become_owner_of, vault_for
from scanner.app.volumes import volume_of, volumes_for
from scanner.catalog import Catalog
from scanner.config import Config, load
from scanner.hashing import absent_layers, expected_layers
from scanner.index import OpenFeed, added
from scanner.ledger import Ledger
from scanner.model.errors import BusyError, ConfigError, FeedError, SecurerError, StorageError, VaultError
from scanner.model.hashes import Digests
from scanner.model.matches import CaseState, Match
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock, Ids, SystemClock, SystemIds
from scanner.model.times import with_times
from scanner.observability import Metrics
from scanner.pipeline.rematch import Touched
from scanner.pipeline.reporting import Reporter, Reporters
from scanner.pipeline.stalling import Stuck
from scanner.pipeline.volume import Volume
from scanner.system.inhand import InHand
from scanner.system.locking import FileLock, LockHeld
from scanner.system.opening import hard_links_protected

if TYPE_CHECKING:
    from aiohttp import web

    from scanner.http import Readiness, Wakes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """A one-shot scan's result."""

    counts: ScanCounts
    seconds: float
    metrics: Metrics


class App:
    """Built once from a configuration and a state directory."""

    def __init__(
        self, config: Config, state: StateDirectory, *, clock: Clock | None = None, ids: Ids | None = None
    ) -> None:
        self.config = config
        self.state = state
        self.clock = clock or SystemClock()
        self.ids = ids or SystemIds()
        self.metrics = Metrics()
        self.volumes = tuple(volume_of(v) for v in config.volumes)
        self.owners = StateOwners(state.owners)
        self.stuck = Stuck()
        self.in_hand = InHand()  # cases that a thread of this process works on
        self.vault = vault_for(config, state, self.volumes, self.clock, self.ids, lambda: self.owners)
        self._actor = f"uid {os.getuid()}"  # who came, whoever we become
        self.keeper = ListKeeper(config, state, self.clock, self.ids)
        self._http_token = ""
        self._lists: Lists | None = None
        self._announced: dict[str, Path] = {}  # lists of another service that were told, used yet or not
        self._syncs_seen: dict[str, Mapping[str, int]] = {}
        self._have_lists = asyncio.Event()

    @classmethod
    def from_files(cls, config_path: Path | None, state_dir: Path | None) -> App:
        """Read the configuration (none: the defaults) and settle where the state is.

        Raises:
            ConfigError: the configuration can't be used.
        """
        config = load(config_path) if config_path is not None else Config()
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
        if not self.vault.separate or os.geteuid() != 0:
            return
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
        warnings = configuration.check_files(self.config, self.state.quarantine)
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
        return warnings

    def volume(self, name: str) -> Volume:
        return next(v for v in self.volumes if v.name == name)

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
        with _only_one(self.state.daemon_lock, "daemon", remedy):
            yield

    @contextmanager
    def single_syncer(self) -> Iterator[None]:
        """Hold the feeds' directory as the only service that syncs, and empty its work directory.

        Raises:
            BusyError: another one has it.
        """
        self.state.prepare_feeds()
        with _only_one(self.state.feeds / ".syncer.lock", "syncing service", "Stop it first"):
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
            become_feeds_owner(self.state.feeds)
        self.state.prepare_feeds()

    def check_feeds(self) -> tuple[str, ...]:
        """Check what syncing needs; returns what is worth a warning.

        Raises:
            ConfigError: something is missing.
        """
        return configuration.check_feeds(self.config)

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
        started = time.monotonic()
        volumes = volumes_for(paths, self.volumes)
        self.state.prepare()
        if quarantine:
            self._refuse_vault_in_reach(volumes)
            self.recover(reporter)
        lists = await self.lists_for(feeds, needed=True)
        both = Reporters([reporter, MetricsReporter(self.metrics, self.clock)])
        scanner = Scanner(self.tools, lists, both, stop, quarantine=quarantine, full=full)
        result = await _in_thread(lambda: scanner.scan(volumes), stop)
        self.note_scan(result)
        self.note_lists(lists)
        return ScanOutcome(result.counts, time.monotonic() - started, self.metrics)

    def _refuse_vault_in_reach(self, volumes: Sequence[Volume]) -> None:
        for volume in volumes:
            reason = configuration.vault_in_reach(Path(os.fsdecode(volume.root)), self.state.quarantine)
            if reason:
                raise ConfigError(reason, where=str(self.state.quarantine), remedy="Name another --state-dir")

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
            opened.append(await self.keeper.adhoc(text, taken))
        lists = await asyncio.to_thread(self.keeper.open, opened)
        if needed and not lists.feeds:
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
        pool = worker_pool(self.config, workers=1)
        return [(str(c.path), c.digests, c.matches) for c in check_files(paths, pool, lists.index)]

    def check_hash(self, text: str, lists: Lists) -> list[tuple[str, Digests, tuple[Match, ...]]]:
        """Match a hash given as text, as every kind that it can be."""
        return [(text, d, lists.index.match(d)) for d in hash_text_as_digests(text)]

    # Steps that a crash left open

    def recover(self, reporter: Reporter) -> None:
        """Finish or undo what dead processes left, and bring their cases up to date."""
        with self.ledger() as ledger:
            try:
                recover_steps(ledger, self.vault, reporter, self.clock, self.in_hand)
            except VaultError as e:
                if not self.vault.separate:
                    raise
                # Hits stay in their place and are told as such; the securer may be back at any time.
                reporter.note("securer_unreachable", reason=str(e))
            self.owners.sweep({step.owner for step in ledger.open_steps()})

    # Cases and the vault

    def resolve(self, case_id: str, state: CaseState, note: str) -> bytes | None:
        """Close a case; a false positive is restored first and remembered.

        Returns:
            the path it was restored to, None if nothing had to be.

        Raises:
            NotFoundError, VaultError, LedgerError.
        """
        restored = None
        with self.ledger() as ledger:
            case = ledger.get(case_id)
            if state is CaseState.FALSE_POSITIVE:
                # Remembered before it is restored: a scan that meets it in between leaves it alone.
                ledger.add_exception(case.digests, case.id, note, self.actor, self.clock.now_ns())
                if case.quarantine_id and self.vault.get(case.quarantine_id).state == "held":
                    restored = self.vault.restore(case.quarantine_id, None, ledger)
            ledger.resolve(case.id, state, note, self.actor, self.clock.now_ns())
        return restored

    def restore(self, quarantine_id: str, to: Path | None) -> bytes:
        """Bring an item of the vault back to its place, or to another.

        Raises:
            NotFoundError, VaultError, LedgerError.
        """
        if not self.vault.separate:
            with self.ledger() as ledger:
                return self.vault.restore(quarantine_id, to, ledger)
        item = self.vault.get(quarantine_id)
        place = self.vault.restore(item.id, to, None)  # on the securer's record
        self.become_owner()  # only now: root alone may write where root said
        with self.ledger() as ledger:
            ledger.note(f"restored item {item.id}", self.actor, self.clock.now_ns(), item.case_id)
        return place

    # The daemon's parts

    async def prepare(self) -> None:
        """Before the daemon is ready: recover, empty the work directory, open the lists."""
        self.state.prepare()
        await asyncio.to_thread(sweep, self.state.work)
        await asyncio.to_thread(self.recover, self._daemon_reporter)
        await asyncio.to_thread(self._prepare_vault)
        self._use(await asyncio.to_thread(self.keeper.open))

    def _prepare_vault(self) -> None:
        try:
            self.vault.prepare()
        except VaultError as e:
            if not self.vault.separate:
                raise
            self._daemon_reporter.note("securer_unreachable", reason=str(e))

    def _use(self, lists: Lists) -> None:
        self._lists = lists
        if lists.feeds:
            self._have_lists.set()
        self.note_lists(lists)

    def take_over(self, old: App) -> None:
        """Go on counting where the app of the former configuration ended."""
        self.metrics = old.metrics
        self._syncs_seen = old._syncs_seen
        self.owners = old.owners
        self.stuck = old.stuck
        self.in_hand = old.in_hand

    def http_application(self, wakes: Wakes) -> web.Application:
        """The HTTP surface; `wakes` starts scans and syncs for those who have the token.

        Raises:
            ConfigError: there is a token file and no usable token in it.
        """
        # Imported here, as in _readiness: aiohttp takes longer to load than a small scan takes to run.
        from scanner.http import Private, build_application

        token = self.http_token()
        return build_application(
            metrics=self.metrics.render,
            readiness=self._readiness,
            private=Private(token, self._status, wakes) if token else None,
            watcher=self.metrics,
        )

    def http_token(self) -> str:
        """The token of the HTTP surface, read once and kept: a file that goes bad later must not end a
        daemon that goes on with its old configuration. "" if there is none.

        Raises:
            ConfigError: the file can't be read or is not kept as a secret.
        """
        path = self.config.http.token_file
        if path is not None and not self._http_token:
            self._http_token = configuration.read_token(path).value
        return self._http_token

    async def _status(self) -> dict[str, Any]:
        from scanner.app.status import status

        return dict(with_times(await asyncio.to_thread(status, self)))

    async def _readiness(self) -> Readiness:
        """Looks at the vault and syncs its directory, so it has no place on the event loop."""
        from scanner.app.health import readiness

        return await asyncio.to_thread(
            readiness, self.config, self.keeper, self.vault, self._lists, self.clock
        )

    @property
    def _daemon_reporter(self) -> Reporter:
        return Reporters([LogReporter(), MetricsReporter(self.metrics, self.clock)])

    @property
    def index_id(self) -> str:
        return self._lists.index.id if self._lists else ""

    def feed_due_in(self, name: str) -> float:
        """Seconds until a feed is due by its schedule; 0 if it never succeeded."""
        feed, state = self.keeper.feed(name), self.keeper.store.state(name)
        if not state.last_success_ns or self.keeper.store.current(name) is None:
            return 0.0
        return feed.every - (self.clock.now_ns() - state.last_success_ns) / 1e9

    async def sync_feed(self, name: str, *, accept: bool = False) -> FeedChange:
        """Sync one feed and count how that went; `accept` as in ListKeeper.sync.

        Raises:
            FeedError: the publisher's side failed.
        """
        try:
            change = await self.keeper.sync(name, accept=accept)
        except FeedError:
            self.metrics.feed_synced(name, "failed")
            raise
        self.metrics.feed_synced(name, change.result, self.clock.now_ns())
        self.metrics.feed_overdue(name, False)
        return change

    async def lists_from_elsewhere(self) -> list[FeedChange]:
        """What another service has put into use, each list told once; cheap, a small file for each feed."""
        return await asyncio.to_thread(self._look_at_lists)

    def _look_at_lists(self) -> list[FeedChange]:
        changes = []
        used = self._lists.places if self._lists else {}
        for name in self.feed_names:
            state = self.keeper.store.state(name)
            self._count_syncs(name, state.results)
            if state.last_success_ns:
                self.metrics.feed_success(name, state.last_success_ns)
            place = self.keeper.store.current(name)
            if place is not None and place not in (used.get(name), self._announced.get(name)):
                self._announced[name] = place
                changes.append(FeedChange(name, "updated", self.keeper.entries(name)))
        return changes

    def _count_syncs(self, name: str, results: Mapping[str, int]) -> None:
        """What was tried before our first look was counted by nobody here, and stays so."""
        before = self._syncs_seen.get(name, results)
        for result, number in results.items():
            for _ in range(number - before.get(result, 0)):
                self.metrics.feed_synced(name, result)
        self._syncs_seen[name] = dict(results)

    async def swap_index(self) -> Touched | None:
        """Open the lists anew and use them from now on; returns what is new in them."""
        old, new = self._lists, await asyncio.to_thread(self.keeper.open)
        self._use(new)
        if old is None or not old.feeds:
            return None
        return await asyncio.to_thread(added, new.feeds, old.feeds, new.index.thresholds)

    async def lists_loaded(self) -> None:
        """Wait until there is a list to compare with."""
        await self._have_lists.wait()

    async def scan_due_in(self, name: str) -> float:
        """Seconds until a volume is due; 0 if it was never scanned whole or the last scan was cut short."""

        def last() -> int:
            with self.ledger(read_only=True) as ledger:
                scans = ledger.last_scans().get(name)
                return scans.finished_ns if scans else 0

        finished = await asyncio.to_thread(last)
        every = next(
            v.every or self.config.schedule.scan_every for v in self.config.volumes if v.name == name
        )
        return every - (self.clock.now_ns() - finished) / 1e9 if finished else 0.0

    async def scan_volume(self, name: str, stop: threading.Event) -> ScanCounts:
        """Scan one volume with the lists of now, securing what the policy wants secured."""
        scanner = self._scanner(stop)
        result = await _in_thread(lambda: scanner.scan([self.volume(name)]), stop)
        self.note_scan(result)
        return result.counts

    async def act_on_known(self, name: str, news: Touched | None, stop: threading.Event) -> ScanCounts:
        """Match known files of a volume against the lists of now, and act on what is found."""
        scanner = self._scanner(stop)
        return await _in_thread(lambda: scanner.act_on_known(self.volume(name), news), stop)

    async def retry_unsecured(self, name: str, stop: threading.Event) -> ScanCounts:
        """Try again to secure what could not be secured on one volume."""
        scanner = self._scanner(stop)
        return await _in_thread(lambda: scanner.retry(self.volume(name)), stop)

    def _scanner(self, stop: threading.Event) -> Scanner:
        if self._lists is None:
            raise RuntimeError("prepare() comes before scanning")
        return Scanner(self.tools, self._lists, self._daemon_reporter, stop, quarantine=True)

    # Figures

    def note_scan(self, result: ScanResult) -> None:
        """Put a finished scan into the metrics."""
        now = self.clock.now_ns()
        for name, counts in result.volumes.items():
            self.metrics.scan_finished(
                name, result.seconds.get(name, 0.0), complete=counts.complete, now_ns=now
            )
        if result.layers is not None:
            self.metrics.workers(result.restarts, result.layers, expected_layers(root=True))
        self._note_vault()

    def note_lists(self, lists: Lists) -> None:
        """Put the lists in use into the metrics."""
        for feed in lists.feeds:
            name = feed.terms.name
            self.metrics.feed_entries(name, feed.snapshot.counts)
            if name in self.feed_names:
                self.metrics.feed_success(name, self.keeper.store.state(name).last_success_ns)

    def _note_vault(self) -> None:
        with self.ledger(read_only=True) as ledger:
            unsecured = ledger.count_unsecured()
            self.metrics.brake(ledger.brake() is not None)
        try:
            items, size, free = self.vault.figures()
        except VaultError:
            if not self.vault.separate:
                raise
            # The vault's figures stay as they were; readiness says that the securer is missing.
            self.metrics.unsecured(unsecured)
            return
        self.metrics.vault(items, size, free, unsecured)

    async def refresh_gauges(self) -> None:
        """Bring gauges up to date that change without us: the vault, the brake, overdue feeds."""
        await asyncio.to_thread(self._note_vault)
        for feed in self.config.feeds:
            state = self.keeper.store.state(feed.name)
            age = (self.clock.now_ns() - (state.last_success_ns or 0)) / 1e9
            self.metrics.feed_overdue(feed.name, age > feed.max_age)


@contextmanager
def _only_one(lock_file: Path, what: str, remedy: str) -> Iterator[None]:
    try:
        lock = FileLock.acquire(lock_file)
    except LockHeld as e:
        raise BusyError(
            f"another {what} is running on this directory (process {e.holder or 'unknown'})",
            where=str(lock_file.parent),
            remedy=remedy,
        ) from e
    except OSError as e:
        raise StorageError(
            f"the {what}'s lock can't be taken ({e.strerror})",
            where=str(lock_file),
            remedy="Look at what stands there: it must be a plain file, made by hostsweep itself",
        ) from e
    with lock:
        yield


async def _in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """Run blocking work in a thread; a cancelled caller tells it to stop and waits for its last act.

    The thread is its own: scans take hours, and some dozens of volumes (or a few whose storage is dead)
    would take all threads of the loop's pool, which readiness, status and syncs need. It is a daemon
    thread, so that one that hangs in a system call does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(how: Callable[[Any], None], value: object) -> None:
        if not future.done():
            how(value)

    def run() -> None:
        try:
            told: tuple[Callable[[Any], None], object] = (future.set_result, work())
        except BaseException as e:  # noqa: BLE001 - whatever it is, the caller gets it
            told = (future.set_exception, e)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=run, name="scan", daemon=True).start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        raise
