"""Keeping the garbage collector out of the way: of loading, of what a scan makes, of the end of a process."""

from __future__ import annotations

import atexit
import gc

_COLLECTED = 20_000  # new objects, some MB


def collect_seldom() -> None:
    """Look for cycles more seldom: after every 700 new objects, as is usual, it is a tenth of what a file
    costs besides its hashing, and of what loading costs; and there are few."""
    gc.set_threshold(_COLLECTED, 20, 20)


def end_without_collecting() -> None:
    """Have nothing looked through at the end of the process.

    An interpreter that ends goes through all its objects several times, to give back one by one what the
    kernel takes at once: of the processor time of a short command it was a sixth.
    """
    atexit.register(gc.freeze)
