"""Times as publishers write them, in nanoseconds since 1970, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from scanner.model.errors import FeedFormatError

SECOND = 10**9  # nanoseconds
_END = 2**63 // SECOND - 1  # seconds: the year 2262, as far as 64 bits of nanoseconds reach
_MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138; as milliseconds 1973
_LATEST = 253_402_300_800  # seconds: the year 10000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,20}))?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)


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
    moment = _moment(text)
    ns = -1 if moment is None else _since(moment)
    if not 0 <= ns // SECOND <= _END:
        raise FeedFormatError("expected a time as 2026-01-31T12:00:00Z", where=where)
    return ns


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
    moment = _moment(text)
    return None if moment is None else _since(moment)


def rfc3339_ns(text: str) -> int | None:
    """A timestamp of RFC 3339, which names its zone; None where it is none, or before 1970.

    What a fraction has beyond nanoseconds is cut off.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    day, time, fraction, sign, hours, minutes = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{time}+00:00") - _EPOCH
    except ValueError:  # the 31st of February; a leap second
        return None
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        whole = whole - offset if sign == "+" else whole + offset
    ns = _ns(whole) + int((fraction or "0")[:9].ljust(9, "0"))
    return ns if ns >= 0 else None


def rfc3339(ns: int) -> str:
    """A time with microseconds, as TAXII writes them; what is finer is cut off."""
    moment = _EPOCH + timedelta(microseconds=ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str) -> datetime | None:
    """A time in ISO 8601, in UTC where it names no zone; None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _since(moment: datetime) -> int:
    return _ns(moment - _EPOCH)


def _ns(since: timedelta) -> int:
    """In whole numbers: as a float a time has no nanoseconds."""
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000
