"""Counting the files of a tree that is left out: by names only, nothing of it is looked at."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from scanner.sources.listing import Level, count_names, failure_kind

# Open descriptors of one count, on top of the walk's own. A plain chain needs two; a tree must branch at
# every one of so many levels to need more, and then only the rest of it stays uncounted.
_MAX_HELD = 256


class _Count:
    def __init__(self, open_child: Callable[[int, bytes], int], others: dict[str, int]) -> None:
        self._open_child = open_child
        self._others = others
        self._levels: list[Level] = []  # those that have something left to visit: each holds a descriptor
        self.files = 0
        self.failure = ""

    def run(self, fd: int) -> None:
        try:
            self._enter(fd)
            while self._levels:
                self._descend(self._levels[-1])
        finally:
            for level in self._levels:
                level.close()

    def _enter(self, fd: int) -> None:
        level = Level(fd, b"")
        self._levels.append(level)
        try:
            files, directories = count_names(fd, self._others)
        except OSError as e:
            self._fail(failure_kind(e))
            directories = []
        else:
            self.files += files
        level.visit(directories)
        self._leave_if_done(level)

    def _descend(self, parent: Level) -> None:
        fd, name = -1, parent.take() or ""
        try:
            if len(self._levels) > _MAX_HELD:
                raise OSError(errno.EMFILE, "too many levels")
            fd = self._open_child(parent.fd, os.fsencode(name))
        except OSError as e:
            if e.errno == errno.EXDEV:
                self._others["mount"] = self._others.get("mount", 0) + 1
            else:
                self._fail(failure_kind(e))
        self._leave_if_done(parent)
        if fd >= 0:
            self._enter(fd)

    def _leave_if_done(self, level: Level) -> None:
        if level.upcoming is None:
            self._fail("".join(level.failures[:1]))
            level.close()
            self._levels.pop()  # it is the innermost

    def _fail(self, kind: str) -> None:
        self.failure = self.failure or kind


def count_below(fd: int, open_child: Callable[[int, bytes], int], others: dict[str, int]) -> tuple[int, str]:
    """Count the regular files of an open directory and all below it.

    Args:
        fd: the directory; closed at the end.
        open_child: opens a subdirectory.
        others: what is no regular file is added here by type.

    Returns:
        the files, and why the count is not complete: "" if it is.
    """
    count = _Count(open_child, others)
    count.run(fd)
    return count.files, count.failure
