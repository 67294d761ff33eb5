"""Who is told what while a scan runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scanner.model.matches import Case
from scanner.model.outcomes import ScanCounts


class Reporter(Protocol):
    """Told of things as they happen, from the scan's thread.

    Laws: calls come from one thread at a time; a reporter must be quick and must not raise. `path` is
    the absolute path as people know it, as bytes.
    """

    def hit(self, case: Case, path: bytes) -> None: ...

    def error(self, volume: str, path: bytes, kind: str) -> None:
        """A file failed, or a directory could not be read."""

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        """Files were not looked at. Files that are no media are only counted, not told one by one."""

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        """Running counts (not a copy), some times a second, and the files that wait or are at workers."""

    def note(self, event: str, **fields: object) -> None:
        """Something an operator should know: brake engaged, file recovered, worker replaced."""


class Reporters:
    """Several reporters as one."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def hit(self, case: Case, path: bytes) -> None:
        for r in self._reporters:
            r.hit(case, path)

    def error(self, volume: str, path: bytes, kind: str) -> None:
        for r in self._reporters:
            r.error(volume, path, kind)

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        for r in self._reporters:
            r.skipped(volume, path, reason, files)

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        for r in self._reporters:
            r.progress(volume, counts, queued, hashing)

    def note(self, event: str, **fields: object) -> None:
        for r in self._reporters:
            r.note(event, **fields)
