"""Times as publishers write them."""

from __future__ import annotations

from datetime import UTC, datetime

_NS = 10**9
_MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138; as milliseconds 1973
_LATEST = 253_402_300_800  # seconds: the year 10000


def told_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of a time in ISO 8601, in UTC where it names no zone, or of a number of seconds
    or milliseconds; None where it is neither."""
    if text.isdecimal() and len(text) > 8:  # up to eight digits are a date, as 20250131
        number = int(text) if len(text) < 16 else _LATEST * 1000
        seconds, part = divmod(number, 1000) if number >= _MILLISECONDS_FROM else (number, 0)
        return seconds * _NS + part * 1_000_000 if seconds < _LATEST else None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000
