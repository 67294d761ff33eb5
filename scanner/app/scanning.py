"""Building what a scan needs, running it, and taking it down again. Plain, synchronous, one thread."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scanner.app.lists import Lists
from scanner.app.recovering import retry_steps
from scanner.app.state import StateDirectory
from scanner.catalog import Catalog, RowKey, VolumeCatalog
from scanner.config import Config
from scanner.hashing import WorkerPool, WorkerSettings, expected_layers
from scanner.ledger import Ledger
from scanner.model.errors import ConfigError, SourceError, VaultError
from scanner.model.files import DirectoryFailed, DirectoryMet, FileStat
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock, Ids
from scanner.pipeline.book import CatalogBook
from scanner.pipeline.judging import Judge, Securing
from scanner.pipeline.linked import LinkHunt
from scanner.pipeline.rematch import Touched, as_walked, mark_listed
from scanner.pipeline.reporting import Reporter
from scanner.pipeline.retrying import events_of, unsecured_paths
from scanner.pipeline.scan import Hashers, ScanLimits, VolumeScan
from scanner.pipeline.stalling import Stuck
from scanner.pipeline.volume import Volume
from scanner.pipeline.walking import WalkedAlready, Walker, WalkerProcess, WalkOrder
from scanner.pipeline.workers import WorkersWhenNeeded
from scanner.response import STAGING_NAME, Brake, BrakeLimits
from scanner.securer import Keeper
from scanner.sources import has_snapshots
from scanner.system.inhand import InHand
from scanner.system.locking import Owners
from scanner.system.mounts import is_remote, type_at
from scanner.system.power import raise_descriptor_limit
from scanner.system.probing import stuck_in


@dataclass(frozen=True, slots=True)
class Tools:
    """What every scan is built from; handed in, never looked up."""

    config: Config
    state: StateDirectory
    clock: Clock
    ids: Ids
    owners: Owners
    vault: Keeper
    actor: str
    stuck: Stuck
    in_hand: InHand


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


def profile(config: Config) -> bytes:
    """What is done with a file, as a short value: rows of the catalog made otherwise are not believed."""
    hashing = config.hashing
    said = "|".join(["1", hashing.select, *sorted(hashing.exact), "/", *sorted(hashing.perceptual)])
    return hashlib.blake2b(said.encode(), digest_size=8).digest()


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
        self._tools = tools
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

    def act_on_known(self, volume: Volume, news: Touched | None) -> ScanCounts:
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
            known = catalog.volume(volume.name, volume.root, profile(self._tools.config), device)
            keys = self._rematch(known, news)
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
            paths = unsecured_paths(ledger, volume)
            if not paths or self._stop.is_set():
                return ScanCounts(interrupted=self._stop.is_set())
            root_fd = stack.enter_context(open_root(volume))
            catalog = stack.enter_context(self._catalog())
            device = os.fstat(root_fd).st_dev
            known = catalog.volume(volume.name, volume.root, profile(self._tools.config), device)
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

    def _rematch(self, known: VolumeCatalog, news: Touched | None) -> Sequence[RowKey]:
        index = self._lists.index
        if known.matched_with == index.id:
            return ()
        keys = mark_listed(known, index, news, self._stop)
        if not self._stop.is_set():
            known.set_matched_with(index.id)
        return keys

    def _one(
        self, volume: Volume, root_fd: int, ledger: Ledger, catalog: Catalog, pool: Hashers
    ) -> ScanCounts:
        scan_id = self._tools.ids.new()
        ledger.scan_started(
            scan_id, volume.name, "full" if self._full else "normal", self._tools.clock.now_ns()
        )
        known = None
        if not volume.only:
            known = catalog.volume(volume.name, volume.root, profile(self._tools.config))
            self._rematch(known, None)
        walker = self._walker(volume, root_fd)
        scan = self._run(volume, root_fd, ledger, known, walker, pool)
        counts = scan.counts
        if known is not None and counts.directories_failed == 0 and not counts.interrupted:
            known.forget_directories_not_seen(scan.met_directories)
        ledger.scan_finished(
            scan_id, _as_dict(counts), complete=counts.complete, now_ns=self._tools.clock.now_ns()
        )
        return counts

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
    ) -> VolumeScan:
        """One run over what a walker tells of.

        Args:
            only_hits: every file told of was a hit before, so their share says nothing to the brake.
        """
        config = self._tools.config
        securing = self._securing(volume, root_fd, ledger)
        limits = config.brake
        brake = Brake(
            BrakeLimits(limits.max_hits, 1.0 if only_hits else limits.max_share, limits.share_after),
            engaged=ledger.brake() is not None,
        )
        judge = Judge(
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
        scan = VolumeScan(
            volume=volume,
            root_fd=root_fd,
            walker=walker,
            pool=pool,
            judge=judge,
            book=CatalogBook(known, one_mount=volume.one_filesystem),
            reporter=self._reporter,
            clock=self._tools.clock,
            limits=ScanLimits(config.hashing.select == "media", config.hashing.max_file_size),
            stop=self._stop,
        )
        scan.run()
        LinkHunt(
            volume=volume,
            root_fd=root_fd,
            known=known,
            policy=self._order(volume).policy(),
            judge=judge,
            counts=scan.counts,
            ledger=ledger,
            reporter=self._reporter,
            clock=self._tools.clock,
            stop=self._stop,
        ).run()
        return scan

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

    def _walker(self, volume: Volume, root_fd: int) -> Walker:
        if volume.only:
            return WalkedAlready([_single(root_fd, volume.only)])
        return WalkerProcess(self._order(volume), root_fd, self._tools.stuck)

    def _order(self, volume: Volume) -> WalkOrder:
        return WalkOrder(
            volume=volume.name,
            root=volume.root,
            catalog="" if self._full else str(self._tools.state.catalog),
            profile=profile(self._tools.config),
            exclude=volume.exclude,
            one_filesystem=volume.one_filesystem,
            mail_ground=volume.mail_ground,
            snapshots=volume.snapshots,
            own=self._own(),
            own_name=STAGING_NAME.encode(),
            own_owners=(0, os.geteuid()),
        )

    def _own(self) -> tuple[tuple[int, int], ...]:
        """Our own directories, by identity: a customer's folder of the same name is not ours."""
        found = []
        for path in (self._tools.state.path, self._tools.state.quarantine):
            try:
                st = path.stat()
            except OSError:
                continue  # not there, or behind another user's closed directory: no walk enters it either
            found.append((st.st_dev, st.st_ino))
        return tuple(found)

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


def worker_pool(config: Config, workers: int | None = None) -> WorkerPool:
    """A pool of hashing workers as configured, not started yet."""
    hashing = config.hashing
    uid, gid = hashing.worker_user
    settings = WorkerSettings(
        exact=tuple(hashing.exact),
        perceptual=tuple(hashing.perceptual),
        uid=uid,
        gid=gid,
        address_space=hashing.memory,
        max_bytes=hashing.max_file_size,
        base_seconds=hashing.time_limit,
        layers=expected_layers(root=os.geteuid() == 0) if hashing.sandbox == "required" else frozenset(),
    )
    return WorkerPool(settings, workers or hashing.worker_count)


def missing_layers(layers: frozenset[str]) -> tuple[str, ...]:
    """The layers of the workers' sandbox that should be in force and aren't."""
    return tuple(sorted(expected_layers(root=os.geteuid() == 0) - layers))


def _single(root_fd: int, name: bytes) -> DirectoryMet | DirectoryFailed:
    try:
        st = os.stat(name, dir_fd=root_fd, follow_symlinks=False)
    except OSError:
        return DirectoryFailed(name, "vanished")
    return DirectoryMet(path=b"", changed=(FileStat.of(name, st),))


def _as_dict(counts: ScanCounts) -> Mapping[str, object]:
    return {
        "files": counts.files,
        "bytes": counts.bytes,
        "hashed": counts.hashed,
        "matched": counts.matched,
        "clean": counts.clean,
        "unchanged": counts.unchanged,
        "errors": counts.errors,
        "skipped": dict(counts.skipped),
        "failed": dict(counts.failed),
        "secured": counts.secured,
        "interrupted": counts.interrupted,
        "unsecured": counts.unsecured,
    }


@contextmanager
def open_root(volume: Volume) -> Iterator[int]:
    """The volume's root as a descriptor; everything else is opened beneath it.

    Raises:
        ConfigError: there is no such directory.
        SourceError: it can't be read.
    """
    where = os.fsdecode(volume.root)
    try:
        fd = os.open(volume.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "there is no such directory",
            where=f"volume {volume.name}",
            remedy=f"Expected {where}: is it mounted?",
        ) from None
    except OSError as e:
        raise SourceError(
            f"{where} can't be opened ({e.strerror})",
            where=f"volume {volume.name}",
            remedy="Run as root, or give the user CAP_DAC_READ_SEARCH",
        ) from e
    try:
        yield fd
    finally:
        os.close(fd)


def resolve_path(path: Path) -> bytes:
    """The absolute path of a root, links resolved, as bytes.

    Raises:
        ConfigError: it isn't there.
    """
    try:
        return os.fsencode(path.resolve(strict=True))
    except (OSError, RuntimeError) as e:
        raise ConfigError(
            "there is no such path", where=str(path), remedy="Name a directory or file that exists"
        ) from e
