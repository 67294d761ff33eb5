"""The securer's own brake: how much it does for a peer that is not root, whatever the peer says.

A daemon that was taken over has lists of its own making. Its brake is gone with it; this one is counted
from the securer's record, so neither a restart of the securer nor anything that the daemon does sets it back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from scanner.model.steps import Step, StepKind, StepState

WINDOW_NS = 24 * 3600 * 10**9
# Securings begun for each that may succeed: customers who race make honest ones fail, so failing is not
# free of charge and not dear either. It bounds the disk work and the record's growth that a peer can cause.
_ATTEMPTS = 10


class Allowance:
    """Counts securings within 24 hours. Usable from several threads.

    Args:
        limit: files that may be secured within the window.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._begun: deque[int] = deque()
        self._kept: deque[int] = deque()

    @property
    def limit(self) -> int:
        return self._limit

    def recall(self, steps: Iterable[Step]) -> None:
        """Count what is on record, oldest first."""
        with self._lock:
            for step in steps:
                if step.kind is StepKind.SECURE:
                    self._begun.append(step.started_ns)
                    if step.state is not StepState.UNDONE:
                        self._kept.append(step.started_ns)

    def take(self, now_ns: int) -> bool:
        """Whether one more may be tried now; counts it as tried and kept."""
        with self._lock:
            self._forget(now_ns)
            if len(self._kept) >= self._limit or len(self._begun) >= self._limit * _ATTEMPTS:
                return False
            self._begun.append(now_ns)
            self._kept.append(now_ns)
            return True

    def give_back(self, taken_ns: int) -> None:
        """It was tried and not kept."""
        with self._lock:
            if taken_ns in self._kept:
                self._kept.remove(taken_ns)

    def release(self) -> None:
        """Begin anew: a person has looked."""
        with self._lock:
            self._begun.clear()
            self._kept.clear()

    def _forget(self, now_ns: int) -> None:
        for times in (self._begun, self._kept):
            while times and times[0] <= now_ns - WINDOW_NS:
                times.popleft()
