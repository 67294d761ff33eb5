"""Times as publishers write them, in nanoseconds since 1970, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,20}))?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000  # nanoseconds


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
    ns = (whole.days * 86400 + whole.seconds) * SECOND + int((fraction or "0")[:9].ljust(9, "0"))
    return ns if ns >= 0 else None


def rfc3339(ns: int) -> str:
    """A time with microseconds, as TAXII writes them; what is finer is cut off."""
    moment = _EPOCH + timedelta(microseconds=ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
