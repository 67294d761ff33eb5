"""Times as publishers write them, in nanoseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scanner.model.errors import FeedFormatError

SECOND = 10**9  # nanoseconds
_END = 2**63 // SECOND - 1  # seconds: the year 2262, as far as 64 bits of nanoseconds reach


def unix_ns(value: Any, where: str) -> int:
    """Seconds since 1970 as a number, or a number in text.

    Raises:
        FeedFormatError: it is none, or no time between 1970 and 2262.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FeedFormatError("expected a time in seconds, found something else", where=where)
    try:
        seconds = float(value) if isinstance(value, str | float) else value
        ns = round(seconds * SECOND) if 0 <= seconds <= _END else -1
    except (ValueError, OverflowError):
        ns = -1
    if ns < 0:
        raise FeedFormatError("expected a time in seconds since 1970", where=where)
    return ns


def iso_ns(text: str, where: str) -> int:
    """ISO 8601; without an offset it is UTC, whatever the time zone of this machine.

    Raises:
        FeedFormatError: it is none, or no time between 1970 and 2262.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        whole = int(moment.timestamp() // 1)
    except (ValueError, OverflowError):
        whole = -1
    if not 0 <= whole <= _END:
        raise FeedFormatError("expected a time as 2026-01-31T12:00:00Z", where=where)
    return whole * SECOND + moment.microsecond * 1000


def iso_text(seconds: int) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
