"""Building what a scan needs, running it, and taking it down again. Plain, synchronous, one thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain

from scanner.app.gapkeeping import GapKeeper, note_matched
from scanner.app.kinds import grown
from scanner.app.lists import Lists
from scanner.app.pools import missing_layers, worker_pool
from scanner.app.recovering import retry_steps
from scanner.app.tools import Tools, profile
from scanner.app.unhashed import note_lists
from scanner.app.volumes import open_root
from scanner.app.walks import order_of, sweep_walks, walker_for
from scanner.catalog import Catalog, RowKey, VolumeCatalog
from scanner.ledger import Ledger
from scanner.model.errors import SourceError, VaultError
from scanner.model.outcomes import ScanCounts
from scanner.pipeline.book import CatalogBook
from scanner.pipeline.judging import Judge, Securing
from scanner.pipeline.lacking import LackingKinds
from scanner.pipeline.limits import ScanLimits
from scanner.pipeline.linked import LinkHunt
from scanner.pipeline.rematch import News, as_walked, mark_listed
from scanner.pipeline.reporting import Reporter, Reporters
from scanner.pipeline.retrying import events_of, let_go_of_unlisted, unsecured_paths
from scanner.pipeline.scan import Hashers, VolumeScan
from scanner.pipeline.volume import Volume
from scanner.pipeline.walking import WalkedAlready, Walker
from scanner.pipeline.workers import WorkersWhenNeeded
from scanner.response import Brake, BrakeLimits
from scanner.sources import has_snapshots
from scanner.system.mounts import is_remote, type_at
from scanner.system.power import raise_descriptor_limit
from scanner.system.probing import stuck_in


@dataclass(slots=True)
class ScanResult:
    """What one or several volumes came to.

    Attributes:
        volumes: counts by volume.
        seconds: by volume.
        restarts: workers replaced, by reason.
        layers: what the workers' sandbox is made of; None where nothing had to be hashed.
    """

    volumes: dict[str, ScanCounts] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    layers: frozenset[str] | None = None

    @property
    def counts(self) -> ScanCounts:
        total = ScanCounts()
        for counts in self.volumes.values():
            total.add(counts)
        return total


class Scanner:
    """Scans volumes with one set of lists.

    Args:
        quarantine: secure what the policy wants secured; else only report.
        full: take every file as new.
    """

    def __init__(
        self,
        tools: Tools,
        lists: Lists,
        reporter: Reporter,
        stop: threading.Event,
        *,
        quarantine: bool,
        full: bool = False,
    ) -> None:
        config = grown(tools.config, tools.state, lists, reporter)
        self._tools = replace(tools, config=config)
        self._lists = lists
        self._reporter = reporter
        self._stop = stop
        self._quarantine = quarantine
        self._full = full

    def scan(self, volumes: Sequence[Volume]) -> ScanResult:
        """Scan volumes one after the other.

        Raises:
            ConfigError: a volume isn't there.
            ScannerError: see VolumeScan.run.
        """
        result = ScanResult()
        raise_descriptor_limit()
        note_lists(self._tools.config, self._lists, self._reporter)
        sweep_walks(self._tools)
        with ExitStack() as stack:
            for volume in volumes:
                self._ask_storage(volume)
            roots = [(v, stack.enter_context(open_root(v))) for v in volumes]
            ledger = stack.enter_context(self._ledger())
            catalog = stack.enter_context(self._catalog())
            pool = WorkersWhenNeeded(worker_pool(self._tools.config), self._note_layers)
            stack.callback(pool.stop)
            for volume, root_fd in roots:
                if self._stop.is_set():
                    result.volumes[volume.name] = ScanCounts(interrupted=True)
                    continue
                started = time.monotonic()
                counts = self._one(volume, root_fd, ledger, catalog, pool)
                result.volumes[volume.name] = counts
                result.seconds[volume.name] = time.monotonic() - started
                self._try_steps_again(ledger, volume)
            result.restarts = dict(pool.restarts)
            if "lied" in result.restarts:
                # Their files were hashed again by others, or failed as "distrusted".
                self._reporter.note("workers_lied", workers=result.restarts["lied"])
            result.layers = pool.layers
        return result

    def _try_steps_again(self, ledger: Ledger, volume: Volume) -> None:
        """What had to stay in staging: perhaps its place is free by now."""
        if self._quarantine:
            tools = self._tools
            retry_steps(ledger, tools.vault, self._reporter, tools.clock, tools.in_hand, volume.name)

    def _note_layers(self, layers: frozenset[str]) -> None:
        missing = missing_layers(layers)
        if missing:
            self._reporter.note("sandbox_incomplete", missing=", ".join(missing))

    def act_on_known(self, volume: Volume, news: News | None) -> ScanCounts:
        """Match what the catalog knows of a volume against the lists, and act on what is found now.

        Raises:
            ScannerError: as `scan`.
        """
        raise_descriptor_limit()
        with ExitStack() as stack:
            self._ask_storage(volume)
            root_fd = stack.enter_context(open_root(volume))
            ledger = stack.enter_context(self._ledger())
            catalog = stack.enter_context(self._catalog())
            device = os.fstat(root_fd).st_dev
            known = self._known(catalog, volume, device)
            keys = self._rematch(known, news)
            if known.matched_with == self._lists.index.id:
                note_matched(self._tools, volume)
            if not keys or self._stop.is_set():
                return ScanCounts(interrupted=self._stop.is_set())
            walker = WalkedAlready(as_walked(known, keys))
            pool = WorkersWhenNeeded(worker_pool(self._tools.config))  # for what changed since it was known
            stack.callback(pool.stop)
            return self._run(volume, root_fd, ledger, known, walker, pool).counts

    def retry(self, volume: Volume) -> ScanCounts:
        """End steps that had to stay open, then judge the files again that could not be secured, and only
        these.

        What the catalog knows is not read again; what changed since is hashed.

        Raises:
            ScannerError: as `scan`.
        """
        raise_descriptor_limit()
        with ExitStack() as stack:
            ledger = stack.enter_context(self._ledger())
            self._try_steps_again(ledger, volume)
            now = self._tools.clock.now_ns()
            for case_id in let_go_of_unlisted(ledger, self._lists.index, volume, now):
                self._reporter.note("case_no_longer_listed", case=case_id, volume=volume.name)
            paths = unsecured_paths(ledger, volume)
            if not paths or self._stop.is_set():
                return ScanCounts(interrupted=self._stop.is_set())
            root_fd = stack.enter_context(open_root(volume))
            catalog = stack.enter_context(self._catalog())
            device = os.fstat(root_fd).st_dev
            known = self._known(catalog, volume, device)
            walker = WalkedAlready(events_of(root_fd, volume, known, paths))
            pool = WorkersWhenNeeded(worker_pool(self._tools.config))
            stack.callback(pool.stop)
            return self._run(volume, root_fd, ledger, known, walker, pool, only_hits=True).counts

    def _ask_storage(self, volume: Volume) -> None:
        """See that a file system which could stop answering does answer: before we touch it ourselves.

        Raises:
            SourceError: it doesn't.
        """
        stuck, where = self._tools.stuck, f"volume {volume.name}"
        remedy = "Look at its mount and its server; other volumes are scanned meanwhile"
        if pid := stuck.pid(volume.name):
            raise SourceError(
                f"its storage has stopped answering: process {pid} is stuck in it", where=where, remedy=remedy
            )
        type = type_at(volume.root)
        if not is_remote(type):
            return
        self._reporter.note("network_filesystem", volume=volume.name, type=type)
        process = stuck_in(volume.root, volume.stall_seconds)
        if process is not None:
            stuck.keep(volume.name, process)
            raise SourceError(
                f"its storage ({type}) has not answered for {volume.stall_seconds:.0f} s",
                where=where,
                remedy=remedy,
            )

    def _rematch(self, known: VolumeCatalog, news: News | None) -> Sequence[RowKey]:
        return mark_listed(known, self._lists.index, news, self._stop)

    def _known(self, catalog: Catalog, volume: Volume, device: int = 0) -> VolumeCatalog:
        """What is known of a volume, to be read and to be written with what these lists say."""
        name, root, made = volume.name, volume.root, profile(self._tools.config)
        return catalog.volume(name, root, made, device, compared_with=self._lists.index.id)

    def _one(
        self, volume: Volume, root_fd: int, ledger: Ledger, catalog: Catalog, pool: Hashers
    ) -> ScanCounts:
        scan_id = self._tools.ids.new()
        ledger.scan_started(
            scan_id, volume.name, "full" if self._full else "normal", self._tools.clock.now_ns()
        )
        known = None
        if not volume.only:
            known = self._known(catalog, volume)
            self._rematch(known, None)
        with GapKeeper(self._tools, volume, scan_id, self._reporter) as keeper:
            walker = walker_for(self._tools, volume, root_fd, full=self._full)
            scan = self._run(volume, root_fd, ledger, known, walker, pool, also=keeper)
            counts = scan.counts
            if known is not None and not counts.interrupted:
                self._hash_lacking(volume, root_fd, ledger, known, scan, pool, keeper)
            if known is not None and counts.directories_failed == 0 and not counts.interrupted:
                known.forget_directories_not_seen(scan.met_directories)
            ledger.scan_finished(
                scan_id, _as_dict(counts), complete=counts.complete, now_ns=self._tools.clock.now_ns()
            )
            if not counts.interrupted:
                keeper.walked_all(matched=known is not None and known.matched_with == self._lists.index.id)
        return counts

    def _hash_lacking(
        self,
        volume: Volume,
        root_fd: int,
        ledger: Ledger,
        known: VolumeCatalog,
        scan: VolumeScan,
        pool: Hashers,
        also: Reporter,
    ) -> None:
        """Read again what lacks a kind of hash that was not computed before: a walk takes it for
        unchanged."""
        lacking = LackingKinds(known, scan.walked_whole)
        events = lacking.events()
        first = next(events, None)
        if first is not None:
            walker = WalkedAlready(chain((first,), events))
            again = self._run(volume, root_fd, ledger, known, walker, pool, also=also)
            lacking.settle(scan.counts, again.counts)

    def _run(
        self,
        volume: Volume,
        root_fd: int,
        ledger: Ledger,
        known: VolumeCatalog | None,
        walker: Walker,
        pool: Hashers,
        *,
        only_hits: bool = False,
        also: Reporter | None = None,
    ) -> VolumeScan:
        """One run over what a walker tells of.

        Args:
            also: is told of files, too.
            only_hits: every file told of was a hit before, so their share says nothing to the brake.
        """
        judge = self._judge(volume, root_fd, ledger, only_hits=only_hits)
        hashing = self._tools.config.hashing
        scan = VolumeScan(
            volume=volume,
            root_fd=root_fd,
            walker=walker,
            pool=pool,
            judge=judge,
            book=CatalogBook(known, one_mount=volume.one_filesystem),
            reporter=self._reporter if also is None else Reporters([self._reporter, also]),
            clock=self._tools.clock,
            limits=ScanLimits(hashing.select == "media", hashing.max_file_size),
            stop=self._stop,
        )
        scan.run()
        LinkHunt(
            volume=volume,
            root_fd=root_fd,
            known=known,
            policy=order_of(self._tools, volume, full=self._full).policy(),
            judge=judge,
            counts=scan.counts,
            ledger=ledger,
            reporter=self._reporter,
            clock=self._tools.clock,
            stop=self._stop,
        ).run()
        return scan

    def _judge(self, volume: Volume, root_fd: int, ledger: Ledger, *, only_hits: bool) -> Judge:
        securing = self._securing(volume, root_fd, ledger)
        limits = self._tools.config.brake
        brake = Brake(
            BrakeLimits(limits.max_hits, 1.0 if only_hits else limits.max_share, limits.share_after),
            engaged=ledger.brake() is not None,
        )
        return Judge(
            volume=volume,
            matcher=self._lists.index,
            terms=self._lists.terms,
            ledger=ledger,
            brake=brake,
            root_fd=root_fd,
            snapshots=has_snapshots(root_fd),
            securing=securing,
            reporter=self._reporter,
            clock=self._tools.clock,
            ids=self._tools.ids,
            in_hand=self._tools.in_hand,
        )

    def _securing(self, volume: Volume, root_fd: int, ledger: Ledger) -> Securing | None:
        if not self._quarantine:
            return None
        vault = self._tools.vault
        try:
            vault.prepare()
        except VaultError as e:
            if not vault.separate:
                raise
            # Its hits stay unsecured one by one, until the securer is back.
            self._reporter.note("securer_unreachable", volume=volume.name, reason=str(e))
        try:
            vault.check_volume(root_fd, volume.root)
        except VaultError as e:
            # The volume's fault, not our storage's: its hits fail one by one, and other volumes go on.
            self._reporter.note("no_staging", volume=volume.name, reason=str(e))
        return vault.securing(ledger)

    def _ledger(self) -> Ledger:
        return Ledger.open(self._tools.state.ledger, actor=self._tools.actor, clock=self._tools.clock)

    @contextmanager
    def _catalog(self) -> Iterator[Catalog]:
        catalog = Catalog.open(self._tools.state.catalog)
        if catalog.note:
            self._reporter.note("catalog_set_aside", reason=catalog.note)
        try:
            yield catalog
        finally:
            catalog.close()


def _as_dict(counts: ScanCounts) -> Mapping[str, object]:
    return {
        "files": counts.files,
        "bytes": counts.bytes,
        "hashed": counts.hashed,
        "matched": counts.matched,
        "clean": counts.clean,
        "unchanged": counts.unchanged,
        "moved": counts.moved,
        "errors": counts.errors,
        "directories": counts.directories,
        "directories_failed": counts.directories_failed,
        "other": dict(counts.other),
        "skipped": dict(counts.skipped),
        "failed": dict(counts.failed),
        "secured": counts.secured,
        "interrupted": counts.interrupted,
        "unsecured": counts.unsecured,
    }
