"""From running counts, told again and again, to what is new since the last time."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from scanner.model.outcomes import ScanCounts

# Scans that may report at the same time; there is one for each volume, and few of those are scanned at once.
_REMEMBERED = 256


@dataclass(slots=True)
class _Seen:
    counts: ScanCounts  # held, so that no other object gets its identity
    last: ScanCounts


class Tally:
    """Remembers what it was told of each scan. A scan is known by its record: the object, not its content."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def news(self, counts: ScanCounts) -> ScanCounts:
        """What was counted since the last call with this record; all of it the first time."""
        with self._lock:
            now = copy.copy(counts)
            now.skipped, now.failed, now.other = dict(counts.skipped), dict(counts.failed), dict(counts.other)
            seen = next((s for s in reversed(self._seen) if s.counts is counts), None)
            if seen is None:
                self._seen.append(_Seen(counts, now))
                return now
            before, seen.last = seen.last, now
            return _difference(now, before)


def _difference(now: ScanCounts, before: ScanCounts) -> ScanCounts:
    return ScanCounts(
        files=now.files - before.files,
        bytes=now.bytes - before.bytes,
        hashed=now.hashed - before.hashed,
        matched=now.matched - before.matched,
        clean=now.clean - before.clean,
        unchanged=now.unchanged - before.unchanged,
        moved=now.moved - before.moved,
        secured=now.secured - before.secured,
        unsecured=now.unsecured - before.unsecured,
        directories=now.directories - before.directories,
        directories_failed=now.directories_failed - before.directories_failed,
        skipped=_minus(now.skipped, before.skipped),
        failed=_minus(now.failed, before.failed),
        other=_minus(now.other, before.other),
    )


def _minus(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {key: n - before.get(key, 0) for key, n in now.items()}
