"""Reporters of the app itself: into the metrics, and into the log."""

from __future__ import annotations

import structlog

from scanner.model.matches import Action, Case
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock
from scanner.observability import Metrics


class MetricsReporter:
    """Counts into the metrics."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    def hit(self, case: Case, path: bytes) -> None:
        self._metrics.hit(case.match.feed, case.match.kind, str(case.action))
        if case.action is Action.QUARANTINED:
            self._metrics.secured((self._clock.now_ns() - case.mtime_ns) / 1e9)

    def error(self, volume: str, path: bytes, kind: str) -> None:
        """Counted from the scan's own counts."""

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        """Counted from the scan's own counts."""

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        self._metrics.record_scan(volume, counts)
        self._metrics.queue("waiting", queued)
        self._metrics.queue("hashing", hashing)

    def note(self, event: str, **fields: object) -> None:
        if event == "brake_engaged":
            self._metrics.brake(True)
        elif event == "names_left":
            self._metrics.names_left(str(fields["volume"]), int(str(fields["names"])))


class LogReporter:
    """Says what happens in the log. Paths of files that failed only at debug level."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("hostsweep.scan")

    def hit(self, case: Case, path: bytes) -> None:
        match = case.match
        say = self._log.error if case.action is Action.FAILED else self._log.warning
        say(
            "hit",
            case=case.id,
            volume=case.volume,
            path=path,
            feed=match.feed,
            kind=match.kind,
            distance=match.distance,
            **({} if match.exact else {"view": match.view, "quality": match.quality}),
            perceptual_only=case.perceptual_only,
            action=str(case.action),
            reason=case.reason,
            quarantine_id=case.quarantine_id or None,
        )

    def error(self, volume: str, path: bytes, kind: str) -> None:
        self._log.debug("file_failed", volume=volume, path=path, kind=kind)

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        self._log.debug("files_skipped", volume=volume, path=path, reason=reason, files=files)

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        """The metrics show it."""

    def note(self, event: str, **fields: object) -> None:
        # The one thing that somebody has to look at, each time: known material is still in its place.
        say = self._log.error if event == "hit_not_secured" else self._log.warning
        say(event, **fields)
