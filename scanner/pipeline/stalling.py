"""Storage that stops answering: noticed, and not waited for a second time.

A process that waits for a dead server or a badly meant FUSE file system can't be cancelled, and often not
even killed. So walking is done by a process that may be left behind, and a volume in which one is stuck is
not tried again before the kernel has let it go.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

_LOOK_SECONDS = 1.0  # between two looks at a walker that is silent


class Silence:
    """Tells whether a walker that says nothing also does nothing.

    Silence alone is no sign: a directory of ten million files is looked at for minutes before there is
    anything to say of it. So what the kernel counts for the process is compared: a walker that makes
    progress uses the processor and is switched to and from.

    Args:
        limit: seconds without any progress.
        activity: what the kernel counts; any value that changes with progress.
    """

    def __init__(self, limit: float, activity: Callable[[], bytes]) -> None:
        self._limit = limit
        self._activity = activity
        self._last = b""
        self._since: float | None = None
        self._looked = 0.0

    def broken(self) -> None:
        """Something was heard, or nobody listens."""
        self._since = None

    def too_long(self, now: float) -> bool:
        """Nothing was heard; `now` on the monotonic clock, in seconds."""
        if self._since is None:
            self._since = self._looked = now
            self._last = self._activity()
            return False
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        activity = self._activity()
        if activity != self._last:
            self._since, self._last = now, activity
        return now - self._since >= self._limit


class Stuck:
    """Processes that were left behind in a volume's storage. Shared by all scans of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def keep(self, volume: str, process: subprocess.Popen[bytes]) -> None:
        """Remember a process that was killed and is not gone."""
        with self._lock:
            self._processes[volume] = process

    def pid(self, volume: str) -> int:
        """The process that is stuck in a volume; 0 if there is none (any more)."""
        with self._lock:
            process = self._processes.get(volume)
            if process is None:
                return 0
            if process.poll() is None:
                return process.pid
            del self._processes[volume]
            return 0
