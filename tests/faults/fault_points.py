"""Which of many points are struck: all of them (`make test-faults`), or those of the default suite."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise

from fault_tracer import Event

_SYNCS = frozenset({"fsync", "fdatasync"})
_DATABASE = re.compile(r"\.sqlite(-wal|-shm|-journal)?$|/\.ledger-")


def everything() -> bool:
    """Whether every call is to be struck, not only those of the default suite."""
    return os.environ.get("FAULTS") == "all"


def kill_points(events: Sequence[Event]) -> list[int]:
    """Numbers, from 1, of the calls at which a kill leaves something else than at the call before.

    A sync changes nothing that a kill could show, nor does a call that failed. Of the pages that a database
    writes in a row, only the last one counts: until it is there the transaction is not.
    """
    points = [1]
    for number, (before, event) in enumerate(pairwise(events), 2):
        in_a_row = _DATABASE.search(before.path) and (before.call, before.path) == (event.call, event.path)
        last = number == len(events) or (events[number].call, events[number].path) != (event.call, event.path)
        if not before.error and before.call not in _SYNCS and (last or not in_a_row):
            points.append(number)
    return points


def error_points(events: Sequence[Event]) -> list[int]:
    """Numbers of the calls that get an error: of a row of equal ones the first."""
    kinds = [(e.call, e.path, e.to) for e in events]
    return [
        n for n, (before, kind) in enumerate(zip([None, *kinds], kinds, strict=False), 1) if before != kind
    ]


def spread(points: Sequence[int], most: int) -> list[int]:
    """At most so many of some points, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
