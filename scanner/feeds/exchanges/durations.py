"""Times in the options of a protocol, and when a list whose deletions nobody tells has to be read again."""

from __future__ import annotations

import re

from scanner.feeds.times import SECOND

_PART = re.compile(r"([0-9]{1,6})([smhdw])")
_DURATION = re.compile(r"([0-9]{1,6}[smhdw]){1,5}")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration_ns(text: str) -> int | None:
    """``30s``, ``15m``, ``24h``, ``7d``, ``1h30m`` in nanoseconds; None for anything else."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text)) * SECOND


def must_be_whole(now_ns: int, synced_ns: int, whole_ns: int, reconcile_ns: int) -> bool:
    """Whether all has to be read now: at the next sync, which comes as late as this one did, it would be too
    late. So it has where the clock was set back.

    Args:
        synced_ns, whole_ns: when the last sync was, and when all was read last.
    """
    step = max(now_ns - synced_ns, 0)
    return now_ns + step > whole_ns + reconcile_ns or now_ns < synced_ns
