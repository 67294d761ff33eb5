"""What the daemon alone asks for: lists that change while it runs, schedules, scans with the lists of now."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from scanner.app.app import App
from scanner.app.coverage import note_now
from scanner.app.figures import note_lists, note_overdue, note_quality
from scanner.app.freshness import OverdueLog, all_fresh
from scanner.app.importing import FeedChange
from scanner.app.lists import Lists
from scanner.app.reporters import LogReporter, MetricsReporter
from scanner.app.scanning import Scanner
from scanner.app.state import sweep
from scanner.app.suppressing import Suppression
from scanner.app.threads import in_thread
from scanner.feeds import FeedState
from scanner.index import added
from scanner.model.errors import VaultError
from scanner.model.outcomes import ScanCounts
from scanner.pipeline.rematch import News
from scanner.pipeline.reporting import Reporter, Reporters


class Service:
    """An app that goes on for as long as one configuration does.

    Attributes:
        lists: those in use; None before `prepare`.
    """

    def __init__(self, app: App) -> None:
        self.app = app.all_built()
        self.lists: Lists | None = None
        self._announced: dict[str, Path] = {}  # lists of another service that were told, used yet or not
        self._syncs_seen: dict[str, Mapping[str, int]] = {}
        self._refusals_seen: dict[str, Mapping[str, int]] = {}
        self._told: tuple[Suppression, ...] | None = None  # what is suppressed, as told last
        self._overdue = OverdueLog()
        self._have_lists = asyncio.Event()

    def take_over(self, old: Service) -> None:
        """Go on counting where the service of the former configuration ended."""
        self.app.take_over(old.app)
        self._syncs_seen = old._syncs_seen
        self._refusals_seen = old._refusals_seen
        self._overdue = old._overdue

    async def prepare(self) -> None:
        """Before the daemon is ready: recover, empty the work directory, open the lists."""
        self.app.state.prepare()
        await asyncio.to_thread(sweep, self.app.state.work)
        await asyncio.to_thread(self.app.recover, self._reporter)
        await asyncio.to_thread(self._prepare_vault)
        self._use(await asyncio.to_thread(self.app.keeper.open))

    def _prepare_vault(self) -> None:
        try:
            self.app.vault.prepare()
        except VaultError as e:
            if not self.app.vault.separate:
                raise
            self._reporter.note("securer_unreachable", reason=str(e))

    def _use(self, lists: Lists) -> None:
        self.lists = lists
        if lists.feeds or self.app.keeper.asks:
            self._have_lists.set()
        app = self.app
        note_lists(app.metrics, lists, app.keeper, app.feed_names)

    @property
    def index_id(self) -> str:
        return self.lists.index.id if self.lists else ""

    # Lists

    async def lists_from_elsewhere(self) -> list[FeedChange]:
        """What another service has put into use, each list told once; cheap, a small file for each feed."""
        return await asyncio.to_thread(self._look_at_lists)

    def _look_at_lists(self) -> list[FeedChange]:
        changes = []
        used = self.lists.places if self.lists else {}
        for name in self.app.feed_names:
            state = self.app.keeper.store.state(name)
            self._count_syncs(name, state)
            if state.last_success_ns:
                self.app.metrics.feed_success(name, state.last_success_ns)
                note_quality(self.app.metrics, state)
            place = self.app.keeper.current(name)
            if place is not None and place not in (used.get(name), self._announced.get(name)):
                self._announced[name] = place
                changes.append(FeedChange(name, "updated", self.app.keeper.entries(name)))
        return changes

    def _count_syncs(self, name: str, state: FeedState) -> None:
        """What was tried before our first look was counted by nobody here, and stays so."""
        before = self._syncs_seen.get(name, state.results)
        for result, number in state.results.items():
            for _ in range(number - before.get(result, 0)):
                self.app.metrics.feed_synced(name, result)
        self._syncs_seen[name] = dict(state.results)
        refused = self._refusals_seen.get(name, state.refusals)
        for check, number in state.refusals.items():
            self.app.metrics.feed_refused(name, check, max(0, number - refused.get(check, 0)))
        self._refusals_seen[name] = dict(state.refusals)

    async def swap_index(self) -> News | None:
        """Open the lists anew and use them from now on; returns what is new in them."""
        old, new = self.lists, await asyncio.to_thread(self.app.keeper.open, before=self.lists)
        self._use(new)
        if old is None or not old.feeds:
            return None
        # Where an entry acts again, the whole list counts as new: the rest was matched before, and is again.
        freed = {s.feed for s in old.suppressions if s not in new.suppressions}
        before = [f for f in old.feeds if f.terms.name not in freed]
        entries = await asyncio.to_thread(added, new.feeds, before, new.index.thresholds)
        return News(old.index.id, entries)

    async def suppressions_changed(self) -> tuple[str, ...]:
        """Feeds of which something is suppressed, or is no more, since the lists were opened; each change is
        told once. Cheap: a small file."""
        if self.lists is None:
            return ()
        app = self.app
        now = await asyncio.to_thread(app.keeper.suppressions.active, app.clock.now_ns())
        if now in (self.lists.suppressions, self._told):
            return ()
        used, self._told = self.lists.suppressions, now
        return tuple(sorted({s.feed for s in (*used, *now) if (s in used) != (s in now)}))

    async def lists_loaded(self) -> None:
        """Wait until there is a list to compare with."""
        await self._have_lists.wait()

    # Volumes

    async def scan_due_in(self, name: str) -> float:
        """Seconds until a volume is due; 0 if it was never scanned whole or the last scan was cut short."""

        def last() -> int:
            with self.app.ledger(read_only=True) as ledger:
                scans = ledger.last_scans().get(name)
                return scans.finished_ns if scans else 0

        finished = await asyncio.to_thread(last)
        every = self.app.scan_every(name)
        return every - (self.app.clock.now_ns() - finished) / 1e9 if finished else 0.0

    async def scan_volume(self, name: str, stop: threading.Event) -> ScanCounts:
        """Scan one volume with the lists of now, securing what the policy wants secured.

        What was hashed after the lists had changed was compared with the former ones: it meets the new ones
        at the end.
        """
        lists, scanner = self.lists, self._scanner(stop)
        result = await in_thread(lambda: scanner().scan([self.app.volume(name)]), stop)
        self.app.note_scan(result)
        if self.lists is not lists:
            await self.act_on_known(name, None, stop)
        return result.counts

    async def act_on_known(self, name: str, news: News | None, stop: threading.Event) -> ScanCounts:
        """Match known files of a volume against the lists of now, and act on what is found."""
        scanner = self._scanner(stop)
        return await in_thread(lambda: scanner().act_on_known(self.app.volume(name), news), stop)

    async def retry_unsecured(self, name: str, stop: threading.Event) -> ScanCounts:
        """Try again to secure what could not be secured on one volume."""
        scanner = self._scanner(stop)
        return await in_thread(lambda: scanner().retry(self.app.volume(name)), stop)

    def _scanner(self, stop: threading.Event) -> Callable[[], Scanner]:
        """Makes a scanner with the lists of this moment; to be called in a thread, since it may write down
        which kinds they bring."""
        if self.lists is None:
            raise RuntimeError("prepare() comes before scanning")
        return partial(Scanner, self.app.tools, self.lists, self._reporter, stop, quarantine=True)

    # Figures

    async def refresh_gauges(self) -> None:
        """Bring gauges up to date that change without us: the vault, the brake, overdue feeds."""
        app = self.app
        await asyncio.to_thread(app.note_vault)
        feeds = await asyncio.to_thread(all_fresh, app.keeper, app.config, app.clock.now_ns())
        note_overdue(app.metrics, feeds)
        await asyncio.to_thread(note_now, app, [v.name for v in app.volumes], self.index_id)
        self._overdue.look(feeds)

    @property
    def _reporter(self) -> Reporter:
        return Reporters([LogReporter(), MetricsReporter(self.app.metrics, self.app.clock)])
