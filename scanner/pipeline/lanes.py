"""Files that wait for a worker, in two lanes: large ones must not keep the small ones behind them waiting.

A film takes a worker for seconds, in which it could have looked at a thousand pictures. So while small files
are there, or are likely to come, one worker is kept for them; with a single worker large and small files
have it in turn, each for as long as the other had it. Large files never wait for small ones to run out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from scanner.model.files import FileStat
from scanner.pipeline.book import DirectoryBook

LARGE_BYTES = 32 << 20  # a tenth of a second of a worker: nobody notices a wait for that
# Files the walk may be ahead of the workers: enough to keep them busy, little enough to stop soon.
_MOST_SMALL = 4096
_MOST_LARGE = 1024  # their directories stay in work, so fewer
_KEPT_SECONDS = 2.0  # without a small file; the walk meets thousands in that time where there are any


class Waiting(NamedTuple):
    """A file that is to be opened; `atime_ns` if we have read it before."""

    book: DirectoryBook
    stat: FileStat
    tries: int = 1
    atime_ns: int = 0

    @property
    def large(self) -> bool:
        return self.stat.size > LARGE_BYTES


class Lanes:
    """Whose turn it is.

    Args:
        workers: that take files.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._small: deque[Waiting] = deque()
        self._large: deque[Waiting] = deque()
        self._at_workers = 0  # large ones
        self._since = 0.0  # when the last of these was sent
        self._rest_until = 0.0  # so long a single worker is the small files'
        self._small_at: float | None = None  # when the last small one was taken; or the first large one

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    @property
    def full(self) -> bool:
        """Whether the walk has to wait."""
        return len(self._small) >= _MOST_SMALL or len(self._large) >= _MOST_LARGE

    def put(self, waiting: Waiting) -> None:
        """A file that waits from now on."""
        waiting.book.waiting += 1
        if waiting.large:
            self._large.append(waiting)
        else:
            waiting.book.active += 1
            self._small.append(waiting)

    def ready(self, *, walking: bool) -> bool:
        """Whether `take` has one."""
        return bool(self._small) or self._large_may_go(walking=walking)

    def take(self, *, walking: bool) -> Waiting | None:
        """The next file that may go to a worker; None if there is none for now.

        Args:
            walking: more files may come.
        """
        if self._large and self._large_may_go(walking=walking):
            waiting = self._large.popleft()
            waiting.book.active += 1
            return waiting
        if not self._small:
            return None
        self._small_at = self._clock()
        return self._small.popleft()

    def sent(self, waiting: Waiting) -> None:
        """What was taken is at a worker."""
        if waiting.large:
            self._at_workers += 1
            self._since = self._clock()
            if self._small_at is None:
                self._small_at = self._since

    def back(self, waiting: Waiting) -> None:
        """A worker is done with it."""
        if waiting.large:
            self._at_workers -= 1
            now = self._clock()
            self._rest_until = now + (now - self._since)

    def clear(self) -> None:
        """Forget all that waits."""
        self._small.clear()
        self._large.clear()

    def _large_may_go(self, *, walking: bool) -> bool:
        if not self._large or self._at_workers >= self._workers:
            return False
        if not self._small and not (walking and self._soon()):
            return True
        if self._workers == 1:
            return not self._small or self._clock() >= self._rest_until
        return self._at_workers < self._workers - 1

    def _soon(self) -> bool:
        """Whether a small file is likely to come."""
        if self.full:  # not until a large one is done
            return False
        return self._small_at is not None and self._clock() - self._small_at < _KEPT_SECONDS
