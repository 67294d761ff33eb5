"""Counting what became of a volume's files, and telling it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from scanner.model.files import DirectoryMet, FileRef
from scanner.model.outcomes import ScanCounts
from scanner.pipeline.reporting import Reporter
from scanner.pipeline.volume import Volume

_PROGRESS_SECONDS = 0.2


class Tally:
    """The counts of one scan of a volume; whatever is not compared is told as well."""

    def __init__(self, volume: Volume, reporter: Reporter) -> None:
        self._volume = volume
        self._reporter = reporter
        self.counts = ScanCounts()
        self._due = 0.0  # when progress is told again, on the monotonic clock

    def known(self, clean: int, not_media: int) -> None:
        """Unchanged files that need no second look."""
        self.counts.files += clean + not_media
        self.counts.unchanged += clean
        if not_media:
            self.counts.skipped["not_media"] = self.counts.skipped.get("not_media", 0) + not_media

    def moved(self, met: DirectoryMet) -> None:
        """Of a directory that was known at another path, the files that need not be read again."""
        self.counts.moved += met.clean + met.not_media + len(met.known)

    def others(self, counts: Mapping[str, int]) -> None:
        """What is no regular file, by kind."""
        for kind, n in counts.items():
            self.counts.other[kind] = self.counts.other.get(kind, 0) + n

    def directory_failed(self, path: bytes, kind: str) -> None:
        """A directory that could not be read."""
        self.counts.directories_failed += 1
        self._reporter.error(self._volume.name, self._volume.shown(path), kind)

    def skip(self, path: bytes, reason: str, files: int) -> None:
        """Files below a path that are not read, and why."""
        self.counts.skipped[reason] = self.counts.skipped.get(reason, 0) + files
        self._reporter.skipped(self._volume.name, self._volume.shown(path), reason, files)

    def fail(self, file: FileRef, kind: str) -> None:
        """A file that could not be looked at in full."""
        self.counts.failed[kind] = self.counts.failed.get(kind, 0) + 1
        self._reporter.error(self._volume.name, self._volume.shown(file.path), kind)

    def interrupted(self, left: int) -> None:
        """The scan ends early, and so many files that were met are not finished."""
        self.counts.interrupted = True
        if left:
            self.counts.skipped["interrupted"] = self.counts.skipped.get("interrupted", 0) + left

    def progress(self, waiting: int, in_flight: int, *, last: bool = False) -> None:
        """Tell how far it is: some times a second, as metrics and terminals cost more than many files do."""
        now = time.monotonic()
        if now < self._due and not last:
            return
        self._due = now + _PROGRESS_SECONDS
        self._reporter.progress(self._volume.name, self.counts, waiting, in_flight)
