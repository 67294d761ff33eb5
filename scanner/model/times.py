"""Points in time as programs read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def iso(ns: int | None) -> str | None:
    """RFC 3339 in UTC, for JSON."""
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat().replace("+00:00", "Z") if ns else None


def with_times(value: Any) -> Any:
    """JSON-able values with every ``…_ns`` field told as RFC 3339 under its plain name."""
    if isinstance(value, dict):
        return {
            (k.removesuffix("_ns") if isinstance(k, str) else k): iso(v)
            if str(k).endswith("_ns")
            else with_times(v)
            for k, v in value.items()
        }
    return [with_times(v) for v in value] if isinstance(value, list) else value
