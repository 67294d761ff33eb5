"""Times as publishers write them, in nanoseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scanner.model.errors import FeedFormatError

SECOND = 10**9  # nanoseconds
_END = 2**63 // SECOND - 1  # seconds: the year 2262, as far as 64 bits of nanoseconds reach
_MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138; as milliseconds 1973
_LATEST = 253_402_300_800  # seconds: the year 10000


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


def told_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of a time in ISO 8601, in UTC where it names no zone, or of a number of seconds
    or milliseconds; None where it is neither."""
    if text.isdecimal() and len(text) > 8:  # up to eight digits are a date, as 20250131
        number = int(text) if len(text) < 16 else _LATEST * 1000
        seconds, part = divmod(number, 1000) if number >= _MILLISECONDS_FROM else (number, 0)
        return seconds * SECOND + part * 1_000_000 if seconds < _LATEST else None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000
