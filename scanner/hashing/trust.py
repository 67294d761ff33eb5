"""When workers are tested by canaries, and what becomes of answers that can't be believed.

Answers are held until the same worker has answered a canary right after them. If it lies, or is lost before,
they are not believed: their files are hashed again by another worker. So nothing that a liar said is ever
acted on or remembered, no file is lost, and none is answered twice.

Doubt must not be a way to make us work for ever. After a worker is lost, canaries come more often, so that
less is done again; files that were in doubt twice are each followed by a canary, so that one which takes
over every worker is in doubt alone; at the third time it fails as "distrusted", which is never clean.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from scanner.hashing.settings import WorkerSettings
from scanner.hashing.slot import HashJob, HashResult, Slot, Task
from scanner.model.errors import WorkerError

if TYPE_CHECKING:
    from scanner.hashing.canary import CanaryMaker

_HOLD_SECONDS = 0.5  # the longest that an answer waits for a canary to be sent: how late a hit is acted on
_LONG = 32 << 20  # bytes: takes a worker longer than making and looking at some canaries
_CLOSEST = 16  # files between canaries after workers were lost: still more work for files than for canaries
_DOUBTS = 3  # times a file's answer is not believed until it is given up
_WRONG = 3  # fresh workers in a row that fail at their first canary: the fault is ours, or the machine's


class Trust:
    """Decides when canaries are due, and keeps the doubts about files."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._spacing = settings.canary_every
        self._doubts: dict[int, int] = {}
        self._wrong = 0
        self._maker: CanaryMaker | None = None

    @property
    def tests(self) -> bool:
        """Whether there are canaries at all; without, every answer is believed."""
        return self._settings.canary_every > 0

    def due(self, slot: Slot, following: HashJob) -> bool:
        """Whether the next task has to be a canary: also before a long file, which answers would wait for."""
        return self.tests and (slot.until_canary <= 0 or (slot.unproved > 0 and following.size > _LONG))

    def overdue(self, slot: Slot, now: float, *, proving: bool, crowded: bool) -> bool:
        """Whether a canary must be sent though no file follows.

        Args:
            proving: no files come for now.
            crowded: as many files are held open as may be.
        """
        if not (self.tests and slot.ready and slot.held) or slot.canaries:
            return False
        idle = not slot.tasks
        return crowded or (idle and (proving or slot.until_canary <= 0)) or self.held_until(slot) <= now

    def held_until(self, slot: Slot) -> float:
        """When the oldest answer that is held must be followed by a canary."""
        return slot.held_since + _HOLD_SECONDS

    def canary(self, slot: Slot, number: int, *, media_only: bool) -> Task:
        """A canary for a worker; its descriptor is the caller's to close.

        Raises:
            WorkerError: there is no memory or no descriptor for it.
        """
        if self._maker is None:
            from scanner.hashing.canary import CanaryMaker  # numpy: only where workers run

            self._maker = CanaryMaker(self._settings.exact, self._settings.perceptual, self._settings.views)
        made = self._maker.make()
        try:
            fd = made.open()
        except OSError as e:
            raise WorkerError(f"no canary can be made to test the workers: {e}") from e
        slot.unproved = 0
        slot.until_canary = 1 + secrets.randbelow(2 * self._spacing - 1)
        return Task(number, HashJob(-1, fd, len(made.content), media_only), made)

    def gave(self, slot: Slot, job: HashJob, following: HashJob | None) -> None:
        """A file goes to a worker, with another one behind it or none."""
        slot.until_canary -= 1
        slot.unproved += 1
        doubts = self._doubts.get(job.id, 0)
        if doubts > 1 or (doubts and (following is None or following.id not in self._doubts)):
            slot.until_canary = 0

    def proven(self, slot: Slot) -> list[HashResult]:
        """A canary was answered right: the results that may be believed now."""
        slot.proved = True
        self._wrong = 0
        self._spacing = min(2 * self._spacing, self._settings.canary_every)
        results = [result for _, result in slot.held]
        slot.held.clear()
        if self._doubts:
            for result in results:
                self._doubts.pop(result.job_id, None)
        return results

    def lost(self, slot: Slot) -> tuple[list[HashJob], list[HashResult]]:
        """A worker is lost: the files to be hashed again, and the results of those that are given up."""
        self._spacing = min(self._settings.canary_every, max(_CLOSEST, self._spacing // 2))
        again, given_up = [], []
        for job, _ in slot.held:
            doubts = self._doubts[job.id] = self._doubts.get(job.id, 0) + 1
            if doubts < _DOUBTS:
                again.append(job)
            else:
                del self._doubts[job.id]
                given_up.append(HashResult(job.id, "failed", None, "distrusted"))
        return again, given_up

    def failed_canary(self, slot: Slot) -> WorkerError | None:
        """A worker was lost over a canary; returns the error to end with if that goes on."""
        self._wrong += (
            not slot.proved
        )  # a file can turn a worker into a liar, but not before its first canary
        if self._wrong < _WRONG:
            return None
        return WorkerError(
            f"{_WRONG} new hashing workers in a row failed at a picture made to test them",
            remedy="Test the machine's memory, and reinstall hostsweep with the versions it pins",
        )
