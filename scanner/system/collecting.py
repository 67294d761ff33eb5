"""Keeping Python's garbage collector out of the way of a process that mostly loads, and soon ends."""

from __future__ import annotations

import atexit
import gc

# Objects made before the collector looks at the young ones. Python's own 700 has it look through everything
# that loading makes, none of which is garbage; so many cycles of small objects are a few MB at most.
_OBJECTS = 20_000


def spare_collector() -> None:
    """Collect more rarely, and not at all at the end of the process.

    Of the processor time of a short command it was a fifth, and two thirds of that at the end: an
    interpreter that finishes goes through all its objects several times, to give back one by one what the
    kernel takes at once.
    """
    gc.set_threshold(_OBJECTS)
    atexit.register(gc.freeze)
