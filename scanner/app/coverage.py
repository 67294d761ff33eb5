"""How far each volume is covered, from what scans left on record.

Nothing is claimed that is not known: a scan that was cut short covers what it came to, and a volume that was
never walked to its end has a share of 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from scanner.app.app import App
from scanner.app.covered import Coverage, Figures, Progress, State, whole_number
from scanner.app.figures import note_coverage
from scanner.app.gapkeeping import scan_tokens
from scanner.app.tools import profile
from scanner.catalog import Catalog
from scanner.gaps import Gaps, VolumeRecord
from scanner.ledger import Ledger, ScanRecord
from scanner.model.errors import CatalogError, ScannerError, StorageError
from scanner.pipeline.volume import Volume

_ALMOST = 0.999  # a scan that meets more files than the last one is not at its end


def index_of_now(app: App) -> str:
    """Id of the configured lists; "" where they can't be opened, and then nothing is matched with them."""
    try:
        return app.keeper.open().index.id
    except ScannerError:
        return ""


def note_now(app: App, names: Iterable[str], index_id: str) -> None:
    """Put the coverage of volumes into the metrics; blocking. Arguments as in `coverage`."""
    note_coverage(app.metrics, coverage(app, names, index_id).values(), app.clock.now_ns())


def coverage(app: App, names: Iterable[str], index_id: str) -> dict[str, Coverage]:
    """How volumes stand; blocking.

    Args:
        names: of volumes; those that are not configured are held against the lists of their scans.
        index_id: of the lists of now.

    Raises:
        LedgerError: the ledger can't be read.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(app.ledger(read_only=True))
        stores = _Stores(app, ledger, _gaps(app, stack), _catalog(app, stack))
        return {name: stores.coverage(name, index_id) for name in names}


def _gaps(app: App, stack: ExitStack) -> Gaps | None:
    try:
        return stack.enter_context(Gaps.open(app.state.gaps, read_only=True))
    except StorageError:
        return None  # nothing was scanned yet, or another user's: then ages are those of scans


def _catalog(app: App, stack: ExitStack) -> Catalog | None:
    try:
        return stack.enter_context(app.catalog())
    except CatalogError:
        return None


@dataclass(frozen=True, slots=True)
class _Scans:
    """The scans that tell of a volume."""

    running: ScanRecord | None
    last: ScanRecord | None  # before the running one
    walked: ScanRecord | None  # came to its end, with or without errors
    complete: ScanRecord | None  # and without
    first_ns: int

    @property
    def cut_short(self) -> bool:
        return self.last is not None and self.last is not self.walked


class _Stores:
    def __init__(self, app: App, ledger: Ledger, gaps: Gaps | None, catalog: Catalog | None) -> None:
        self._app = app
        self._ledger = ledger
        self._gaps = gaps
        self._catalog = catalog
        self._tokens = scan_tokens(app.state)
        self._now = app.clock.now_ns()

    def coverage(self, name: str, index_id: str) -> Coverage:
        volume = next((v for v in self._app.volumes if v.name == name), None)
        scans = self._scans(name)
        record = self._record(name, volume)
        figures = self._figures(scans)
        if volume is not None and scans.walked is not None and not scans.cut_short:
            self._hold_against_now(figures, volume, record, index_id)
        # Of a directory that could not be read, at least a file is taken for missing.
        shared = figures.files - sum(figures.left_out.values()) + figures.directories_unknown
        state = self._state(scans, figures)
        known = scans.walked is not None
        return Coverage(
            volume=name,
            state=state,
            files=figures.files,
            covered=figures.covered,
            uncovered={reason: n for reason, n in figures.uncovered.items() if n},
            left_out=figures.left_out,
            directories_unknown=figures.directories_unknown,
            share=(figures.covered / shared if shared else 1.0) if known else 0.0,
            oldest_gap_ns=self._oldest(state, scans, figures, record),
            walked_ns=scans.walked.started_ns if scans.walked else None,
            running=self._progress(scans, record),
            **self._next(volume, scans),
        )

    def _scans(self, name: str) -> _Scans:
        scans = self._ledger.scans_of(name)
        running = scans[0] if scans and self._runs(scans[0]) else None
        ended = scans[1:] if running else scans
        walked = next((s for s in ended if s.finished_ns and not s.counts.get("interrupted")), None)
        complete = next((s for s in ended if s.complete), None)
        first = scans[-1].started_ns if scans else 0
        return _Scans(running, next(iter(ended), None), walked, complete, first)

    def _runs(self, scan: ScanRecord) -> bool:
        """Whether a scan's process still has it; a reader that may not look takes it for dead."""
        try:
            return not scan.finished_ns and not self._tokens.dead(scan.id)
        except StorageError:
            return False

    def _record(self, name: str, volume: Volume | None) -> VolumeRecord | None:
        if self._gaps is None:
            return None
        try:
            root = volume.root if volume else dict(self._gaps.volumes()).get(name, b"")
            return self._gaps.volume(name, root)
        except StorageError:
            return None

    # Files

    @staticmethod
    def _figures(scans: _Scans) -> Figures:
        if scans.last is None:
            return Figures()
        figures = Figures.of(scans.last.counts)
        if scans.cut_short:
            # Of what it did not come to, nothing is known: it is as many files as there were before.
            before = whole_number(scans.walked.counts.get("files")) if scans.walked else 0
            missing = max(before - figures.files, 0)
            figures.files += missing
            figures.uncovered["unscanned"] = missing + figures.uncovered.pop("interrupted", 0)
        elif not scans.last.complete and not figures.uncovered and not figures.directories_unknown:
            figures.directories_unknown = 1  # what earlier versions recorded says only that there were some
        return figures

    def _hold_against_now(
        self, figures: Figures, volume: Volume, record: VolumeRecord | None, index_id: str
    ) -> None:
        """Take what was hashed or matched otherwise than now for not covered."""
        made = profile(self._app.config)
        if record is not None and record.profile and record.profile != made:
            figures.move("other_kinds")
        elif figures.hashed and not self._matched(volume, made, index_id):
            figures.move("unmatched")

    def _matched(self, volume: Volume, made: bytes, index_id: str) -> bool:
        if self._catalog is None or not index_id:
            return False
        try:
            return self._catalog.volume(volume.name, volume.root, made).matched_with == index_id
        except CatalogError:
            return False

    @staticmethod
    def _state(scans: _Scans, figures: Figures) -> State:
        if scans.last is None:
            return State.NEVER
        if scans.cut_short:
            return State.INTERRUPTED
        if figures.uncovered.get("unmatched") or figures.uncovered.get("other_kinds"):
            return State.UNMATCHED
        missing = any(figures.uncovered.values()) or figures.directories_unknown
        return State.INCOMPLETE if missing else State.WHOLE

    # Times

    def _oldest(
        self, state: State, scans: _Scans, figures: Figures, record: VolumeRecord | None
    ) -> int | None:
        if state in (State.NEVER, State.WHOLE):
            return None
        # What was covered by a walk to the end was covered as it began; before there was one, nothing was.
        since = scans.walked.started_ns if scans.walked else scans.first_ns
        ages = []
        if state is State.INTERRUPTED or figures.uncovered.get("other_kinds"):
            ages.append(since)
        if figures.uncovered.get("unmatched"):
            ages.append(self._unmatched_since(record) or since)
        if record is not None and record.oldest_ns:
            ages.append(record.oldest_ns)
        elif not ages:
            ages.append(scans.complete.started_ns if scans.complete else scans.first_ns)
        return min(ages)

    def _unmatched_since(self, record: VolumeRecord | None) -> int:
        """When the first list was put into use that not all files have met; 0 if that is not known."""
        if record is None or not record.matched_ns:
            return 0
        try:
            changed = [path.stat().st_mtime_ns for path in self._app.keeper.places().values()]
        except (ScannerError, OSError):
            changed = []
        return min((ns for ns in changed if ns > record.matched_ns), default=record.matched_ns)

    def _progress(self, scans: _Scans, record: VolumeRecord | None) -> Progress | None:
        scan = scans.running
        if scan is None:
            return None
        files = record.files if record is not None and record.running_id == scan.id else 0
        walked = scans.walked
        before = whole_number(walked.counts.get("files")) if walked else 0
        if walked is None or not before:
            return Progress(scan.started_ns, files, None, None)
        share = min(files / before, _ALMOST)
        elapsed, took = self._now - scan.started_ns, walked.finished_ns - walked.started_ns
        left = elapsed * (1 - share) / share if share else max(took - elapsed, 0)
        return Progress(scan.started_ns, files, share, self._now + int(left))

    def _next(self, volume: Volume | None, scans: _Scans) -> dict[str, int | None]:
        """When the daemon scans a volume next; nothing for one that is in no configuration."""
        if volume is None or scans.running is not None:
            return {"next_ns": None, "next_end_ns": None}
        every = self._app.scan_every(volume.name)
        last = scans.last
        due = self._now if last is None or scans.cut_short else last.finished_ns + int(every * 1e9)
        due = max(due, self._now)
        walked = scans.walked
        took = walked.finished_ns - walked.started_ns if walked else None
        return {"next_ns": due, "next_end_ns": None if took is None else due + took}
