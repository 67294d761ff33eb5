"""Directories that are likely to come next are opened and listed while this one is dealt with.

A cold walk waits for the disk, one question after the other; a warm one for the kernel, and the kernel for
Python. Threads of the extension (`native/ahead.c`) ask the next questions meanwhile. They open a directory as
the walk does: by its name in the open one above it, following no link and into no other mount. What they
can't do is done by the walk itself, as is everything where there is no extension: the answers are the same.

Only subdirectories of one directory are listed ahead, and only after one of them had no subdirectories
itself; the more of them one after the other, the further. In hosting trees those are nearly all, and
elsewhere little is done twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from resource import RUSAGE_THREAD, getrusage
from typing import NamedTuple, Protocol

from scanner.sources.listed import Block, Packed
from scanner.sources.listing import BLOCK_ENTRIES, Level
from scanner.sources.snapshots import NAMES
from scanner.system.opening import CHILD_RESOLVE, DIRECTORY_FLAGS, have_openat2

_THREADS = 4  # questions to the disk at a time
_WINDOW = 8  # directories ahead: each of them has a descriptor, and at most some 2.5 MB of names and stats
# Threads are not woken for fewer, unless the walk has to wait: to wake them costs what they save.
_FEW = 4
_OLD_SECONDS = 1.0  # what was listed before is listed again: the walk says how things are when it comes there


class Listed(NamedTuple):
    """A directory that was listed ahead.

    Attributes:
        fd: the open directory; the taker's.
        asked_ns: UTC in nanoseconds before it was listed.
        block: its first block.
    """

    fd: int
    asked_ns: int
    block: Block


class _Threads(Protocol):
    def offer(self, level: int, parent_fd: int, names: bytes, /) -> None: ...

    def take(self, level: int, name: bytes, /) -> tuple[int, Packed] | None: ...

    def drop(self) -> None: ...


class Ahead:
    """What is listed ahead of one walk.

    Args:
        threads: `Ahead` of the extension.
    """

    def __init__(self, threads: _Threads, now_ns: Callable[[], int]) -> None:
        self._threads = threads
        self._now_ns = now_ns
        self._levels = 0  # that were numbered
        self._waits = 0
        self._asked: dict[tuple[int, bytes], tuple[int, float]] = {}

    def take(self, level: Level, name: bytes) -> Listed | None:
        """A subdirectory, if it was listed, soundly and lately."""
        asked = self._asked.pop((level.number, name), None)
        found = self._threads.take(level.number, name) if asked else None
        if found is None or asked is None:
            return None
        asked_ns, began = asked
        fd, packed = found
        if packed[7] or time.monotonic() - began > _OLD_SECONDS:
            os.close(fd)
            return None
        return Listed(fd, asked_ns, Block.packed(packed, ""))

    def look(self, level: Level, wanted: Callable[[str], bool]) -> None:
        """Have the next subdirectories of an open directory listed.

        Args:
            wanted: whether one of them is to be walked.
        """
        window = min(2 * level.leaves, _WINDOW)
        offered = max(level.offered, level.taken)
        if offered - level.taken > window // 2:
            return
        upcoming = level.upcoming_from(offered, level.taken + window - offered)
        if len(upcoming) < _FEW and not self._has_waited():
            return
        level.offered = offered + len(upcoming)
        if not level.number:
            self._levels += 1
            level.number = self._levels
        names = [os.fsencode(name) for name in upcoming if name not in NAMES and wanted(name)]
        if names:
            now = (self._now_ns(), time.monotonic())
            self._asked.update(((level.number, name), now) for name in names)
            self._threads.offer(level.number, level.fd, b"\0".join(names))

    def _has_waited(self) -> bool:
        """Whether this thread was put to sleep, for a disk as a rule, since it was last asked for."""
        before, self._waits = self._waits, getrusage(RUSAGE_THREAD).ru_nvcsw
        return self._waits != before

    def close(self) -> None:
        """Forget what was listed and not taken."""
        self._threads.drop()
        self._asked.clear()


def ahead(now_ns: Callable[[], int], *, by_inode: bool = False) -> Ahead | None:
    """What is used in a walk; None where there is no extension, or no openat2(2).

    Args:
        by_inode: see `WalkPolicy`.
    """
    try:
        from scanner.sources import _listing
    except ImportError:
        return None
    if not have_openat2():
        return None
    return Ahead(_listing.Ahead(_THREADS, BLOCK_ENTRIES, by_inode, DIRECTORY_FLAGS, CHILD_RESOLVE), now_ns)
