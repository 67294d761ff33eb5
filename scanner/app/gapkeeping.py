"""Keeping what a scan could not look at, while it runs; and that it runs at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from scanner.app.state import StateDirectory, StateOwners
from scanner.app.tools import Tools, profile
from scanner.gaps import Gaps
from scanner.model.errors import ScannerError, StorageError
from scanner.model.matches import Case
from scanner.model.outcomes import SKIPPED_BY_CHOICE, ScanCounts
from scanner.pipeline.reporting import Reporter
from scanner.pipeline.volume import Volume

_AT_ONCE = 1000  # gaps written in one transaction
_PROGRESS_NS = 5 * 10**9  # how old the figure of a running scan may be that others read


def scan_tokens(state: StateDirectory) -> StateOwners:
    """Tokens of scans: whose process lives, that runs."""
    return StateOwners(state.path / "scans")


class GapKeeper:
    """A reporter of one scan of one volume.

    A scan must not fail because of it: where the file can't be written, that is told once, and coverage then
    knows less.
    """

    def __init__(self, tools: Tools, volume: Volume, scan_id: str, told: Reporter) -> None:
        self._tools = tools
        self._volume = volume
        self._scan_id = scan_id
        self._told = told
        self._base = len(volume.shown(b"").rstrip(b"/")) + 1
        self._found: list[tuple[bytes, str, int]] = []
        self._more = 0
        self._next_ns = 0
        self._gaps: Gaps | None = None
        self._tokens = scan_tokens(tools.state)

    def __enter__(self) -> GapKeeper:
        try:
            self._tokens.sweep(())
            self._tokens.claim(self._scan_id)
            self._gaps = Gaps.open(self._tools.state.gaps)
            now = self._tools.clock.now_ns()
            self._gaps.begin(self._volume.name, self._volume.root, self._scan_id, now)
        except (StorageError, OSError) as e:
            self._give_up(e)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if self._gaps is not None:
            self._gaps.close()
            self._gaps = None
        with suppress(OSError):  # one that stays is swept by the next scan
            self._tokens.release()

    # Reporter

    def hit(self, case: Case, path: bytes) -> None:
        """A hit is no gap."""

    def error(self, volume: str, path: bytes, kind: str) -> None:
        self._add(path, kind, 1)

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        if reason not in SKIPPED_BY_CHOICE:
            self._add(path, reason, files)

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        now = self._tools.clock.now_ns()
        if self._gaps is None or now < self._next_ns:
            return
        self._next_ns = now + _PROGRESS_NS
        self._write()
        done = max(counts.files - queued - hashing, 0)
        self._do(lambda gaps: gaps.progress(self._volume.name, self._volume.root, done, now))

    def note(self, event: str, **fields: object) -> None:
        """Not about files."""

    # The end

    def walked_all(self, *, matched: bool) -> None:
        """The walk came to its end, so what it did not tell of is no gap any more.

        Args:
            matched: all known files were compared with the lists of the scan.
        """
        self._write()
        name, root, now = self._volume.name, self._volume.root, self._tools.clock.now_ns()
        made = profile(self._tools.config)
        self._do(lambda gaps: gaps.end(name, root, self._scan_id, made, self._more, now))
        if matched:
            self._do(lambda gaps: gaps.matched(name, root, now))

    def _add(self, path: bytes, reason: str, files: int) -> None:
        if self._gaps is not None:
            self._found.append((path[self._base :], reason, files))
            if len(self._found) >= _AT_ONCE:
                self._write()

    def _write(self) -> None:
        found, self._found = self._found, []
        if found:
            self._do(lambda gaps: self._keep(gaps, found))

    def _keep(self, gaps: Gaps, found: list[tuple[bytes, str, int]]) -> None:
        now = self._tools.clock.now_ns()
        self._more += gaps.keep(self._volume.name, self._volume.root, found, self._scan_id, now)

    def _do(self, act: Callable[[Gaps], None]) -> None:
        if self._gaps is None:
            return
        try:
            act(self._gaps)
        except StorageError as e:
            self._give_up(e)

    def _give_up(self, error: ScannerError | OSError) -> None:
        if self._gaps is not None:
            self._gaps.close()
            self._gaps = None
        self._told.note("gaps_not_kept", volume=self._volume.name, reason=str(error))


def note_matched(tools: Tools, volume: Volume) -> None:
    """All known files of a volume have been matched with new lists; only the age of gaps depends on it."""
    try:
        with Gaps.open(tools.state.gaps) as gaps:
            gaps.matched(volume.name, volume.root, tools.clock.now_ns())
    except StorageError:
        return  # the next scan tells that it can't be written
