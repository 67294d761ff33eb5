"""Which of many points are struck: all of them, or those of the default suite."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fault_tracer import Event


def everything() -> bool:
    """Whether every call is to be struck, not only those of the default suite (`make test-faults`)."""
    return os.environ.get("FAULTS") == "all"


def points_of(events: Sequence[Event]) -> list[int]:
    """Numbers, from 1, of the calls to strike: of a row of equal ones the first and the last."""
    kinds = [(e.call, e.path, e.to) for e in events]
    around = zip([None, *kinds[:-1]], kinds, [*kinds[1:], None], strict=True)
    return [n for n, (before, kind, after) in enumerate(around, 1) if before != kind or kind != after]
