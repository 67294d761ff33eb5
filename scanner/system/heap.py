"""Memory that the C library keeps after it was given back: a daemon at rest takes what it needs and no more.

glibc keeps an arena of 64 MiB and more for each thread that asked for much, and frees only what lies at the
top of one. Seen in an hour of scans and list changes over a million files: five arenas and 416 MB, of which
96 were in use.
"""

from __future__ import annotations

import ctypes
import gc
from functools import lru_cache

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2  # what computes for long is one scan and one match, and Python's lock lets them take turns

_COLLECTED = 20_000  # new objects, some MB


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is the one that has these functions: musl keeps no such arenas."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def prepare() -> None:
    """What a process wants that scans: to be called before it has threads.

    Threads share a few arenas. Cycles are looked for more seldom: after every 700 new objects, as is usual,
    it is a tenth of what a file costs besides its hashing, and there are few.
    """
    gc.set_threshold(_COLLECTED, 20, 20)
    library = _glibc()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give the system the free pages of all arenas: some milliseconds for a hundred megabytes."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)
