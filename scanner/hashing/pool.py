"""The hashing workers, seen from the process that has the power to open files.

Plain synchronous code without a thread of its own: the caller waits for `fileno` (an epoll descriptor,
which can itself be waited for) until `deadline`, and calls `poll`. Nothing here blocks but `start`, `stop`
and the fork of a spare worker.

Workers are expected to crash, hang and lie. The file that was current then is blamed; the jobs behind it
go to other workers; no job is lost or answered twice. What a worker answers is handed on only when it has
proved itself after it (`scanner.hashing.trust`).

A worker takes half a second to start, on a busy machine two. So one more than there is work for waits, ready
and locked in, and takes the place of the first that is lost; then the next one is started. It has no jobs,
and is blamed for none.
"""

from __future__ import annotations

import os
import resource
import select
import time
from collections import Counter, deque
from collections.abc import Callable

from scanner.hashing import frames
from scanner.hashing.frames import Done, JobFrame, Ready
from scanner.hashing.process import WorkerHandle, WorkerProcess
from scanner.hashing.settings import WorkerSettings
from scanner.hashing.slot import HashJob, HashResult, Lied, Slot, Task
from scanner.hashing.trust import Trust
from scanner.hashing.view_names import PluggedNames
from scanner.model.errors import WorkerError
from scanner.system import descriptors

_QUEUE = 3 * frames.MAX_JOBS  # jobs a worker holds: one message to work on, two so that it never waits
# A worker that has more than this before it gets no more: large files are better shared out late.
_QUEUE_BYTES = 64 << 20
_STARTS = 3  # workers that die one after the other before they are ready: it is not chance
_UNREAPED = 4  # killed workers, per worker, that do not go: they hang in the kernel, on storage that is gone
# A spare costs the start of a worker and its memory (some 60 MB of its own), which a few files don't repay:
# it is started once the pool is this old, or has lost a worker.
_SPARE_SECONDS = 5.0
_SPARE_AGAIN_SECONDS = 60.0  # after a spare that died unused: something else is wrong then
_STOP_SECONDS = 1.0  # time to end by themselves, and again to be reaped after the kill


class WorkerPool:
    """A number of worker processes that hash files.

    To be used from one thread, which must live as long as the pool: workers die with the thread that
    started them.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        workers: int,
        *,
        spawn: Callable[[WorkerSettings], WorkerHandle] = WorkerProcess,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.restarts: Counter[str] = (
            Counter()
        )  # by reason: crash, timeout, protocol, memory, start, lied, recycled
        self.layers: frozenset[str] = frozenset()  # sandbox layers in force in all workers
        self._settings = settings
        self._names = PluggedNames()
        self.workers = workers
        self._spawn = spawn
        self._clock = clock
        self._epoll = select.epoll()
        self._slots: dict[int, Slot] = {}
        self._spare: Slot | None = None
        self._spare_due = float("inf")  # when to start one, on the pool's clock
        self._pending: deque[HashJob] = deque()
        self._results: list[HashResult] = []
        self._dying: list[WorkerHandle] = []
        self._trust = Trust(settings)
        self._proving = False
        # Files stay open until their answers are believed. The other half is for the caller's directories.
        self._most_open = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._failed_starts = 0
        self._broken: WorkerError | None = None

    def start(self) -> None:
        """Start all workers and wait until they are ready.

        Raises:
            WorkerError: they can't be started; says what the last one said.
        """
        try:
            for _ in range(self.workers):
                self._add(self._clock())
            while not all(slot.ready for slot in self._slots.values()):
                self._epoll.poll(max(0.0, (self.deadline() or 0.0) - self._clock()))
                self.poll(self._clock())
            self._spare_due = min(self._spare_due, self._clock() + _SPARE_SECONDS)
        except BaseException:
            self.stop()
            raise

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        return self._epoll.fileno()

    @property
    def room(self) -> int:
        """How many more jobs may be submitted."""
        held = self._held
        return min(self.workers * _QUEUE + held, self._most_open) - self.in_flight

    @property
    def in_flight(self) -> int:
        """Jobs that were submitted and have no result yet."""
        return len(self._pending) + sum(slot.files for slot in self._slots.values()) + self._held

    @property
    def _held(self) -> int:
        return sum(len(slot.held) for slot in self._slots.values())

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers, for the status page."""
        return tuple(slot.handle.pid for slot in self._slots.values())

    @property
    def spare(self) -> int | None:
        """Process id of the spare worker; None while none is ready."""
        return self._spare.handle.pid if self._spare is not None and self._spare.ready else None

    def submit(self, job: HashJob) -> None:
        """Accept a job; `flush` or `poll` sends it."""
        self._pending.append(job)
        self._proving = False

    def prove(self) -> None:
        """No jobs come for now: what was answered is to be confirmed as soon as the workers are done.

        Else it is half a second later, in the hope that more jobs come and one proof serves for many.
        """
        self._proving = True

    def flush(self) -> None:
        """Send what was submitted, as far as the workers have room for it.

        Raises:
            WorkerError: there is no memory to test the workers.
        """
        while self._pending:
            free = [s for s in self._slots.values() if self._takes_more(s)]
            if not free:
                break
            slot = min(free, key=lambda s: len(s.tasks))
            share = min(frames.MAX_JOBS, -(-len(self._pending) // len(free)))
            if not self._send(slot, self._compose(slot, share)):
                break
        now, crowded = self._clock(), self._held > self._most_open // 2
        for slot in self._slots.values():
            if self._trust.overdue(slot, now, proving=self._proving and not self._pending, crowded=crowded):
                self._send(slot, [self._trust.canary(slot, slot.given, media_only=False)])

    def deadline(self) -> float | None:
        """When `poll` must be called even if nothing happens, on the pool's clock."""
        times = [s.deadline for s in self._slots.values() if s.deadline is not None]
        times += [self._trust.held_until(s) for s in self._slots.values() if s.held and not s.canaries]
        return min(times, default=None)

    def poll(self, now: float) -> list[HashResult]:
        """Take what workers answered, end those that are overdue, replace those that are gone.

        Raises:
            WorkerError: workers die as soon as they are started, or can't be killed.
        """
        for fd, _ in self._epoll.poll(0):
            self._receive(self._at(fd), now)
        for slot in list(self._slots.values()):
            if slot.deadline is not None and slot.deadline <= now:
                self._lose(slot, "timeout" if slot.ready else "start", now)
            elif self._worn(slot) and not slot.tasks and not slot.held:
                self._lose(slot, "recycled", now)
        self._keep_spare(now)
        self._reap()
        self.flush()
        results, self._results = self._results, []
        if self._broken is not None and not results:
            raise self._broken
        return results

    def stop(self) -> None:
        """End all workers: politely, then not. Jobs in flight get no result."""
        slots = [*self._slots.values(), *([self._spare] if self._spare is not None else [])]
        self._slots, self._spare, self._spare_due = {}, None, float("inf")
        for slot in slots:
            slot.handle.socket.close()
        handles = [slot.handle for slot in slots] + self._dying
        self._dying = []
        self._pending.clear()
        end = self._clock() + _STOP_SECONDS
        left = [h for h in handles if not h.reap(max(0.0, end - self._clock()))]
        for handle in left:
            handle.kill()
        for handle in left:
            handle.reap(_STOP_SECONDS)
        if not self._epoll.closed:
            self._epoll.close()

    def _at(self, fd: int) -> Slot:
        spare = self._spare
        return spare if spare is not None and spare.handle.socket.fileno() == fd else self._slots[fd]

    def _add(self, now: float) -> None:
        slot = self._started(now)
        self._slots[slot.handle.socket.fileno()] = slot

    def _started(self, now: float) -> Slot:
        try:
            handle = self._spawn(self._settings)
        except OSError as e:
            raise WorkerError(f"a hashing worker can't be started: {e}") from e
        slot = Slot(handle, deadline=now + self._settings.start_seconds)
        self._epoll.register(handle.socket.fileno(), select.EPOLLIN)
        return slot

    def _keep_spare(self, now: float) -> None:
        """End a spare that does not become ready, start one when it is time; workers that start go first."""
        spare = self._spare
        if spare is not None:
            if spare.deadline is not None and spare.deadline <= now:
                self._lose(spare, "start", now)
        elif now >= self._spare_due and self._broken is None and all(s.ready for s in self._slots.values()):
            try:
                self._spare = self._started(now)
            except WorkerError:  # no memory or process left: it is what can be done without
                self._spare_due = now + _SPARE_AGAIN_SECONDS

    def _compose(self, slot: Slot, share: int) -> list[Task]:
        """A worker's share of what is pending, with canaries in between where they are due."""
        tasks: list[Task] = []
        size = slot.bytes
        while self._pending and len(tasks) < share and (size < _QUEUE_BYTES or not (slot.tasks or tasks)):
            number, job = slot.given + len(tasks), self._pending[0]
            if self._trust.due(slot, job):
                tasks.append(self._trust.canary(slot, number, media_only=job.media_only))
                continue
            self._pending.popleft()
            tasks.append(Task(number, job))
            size += job.size
            self._trust.gave(slot, job, self._pending[0] if self._pending else None)
        return tasks

    def _send(self, slot: Slot, tasks: list[Task]) -> bool:
        """Send a worker its tasks; False if that can't be done now."""
        message = frames.encode_jobs([JobFrame(task.number, task.job.media_only) for task in tasks])
        try:
            descriptors.send(slot.handle.socket, message, [task.job.fd for task in tasks])
        except OSError:
            # Full (EAGAIN, ETOOMANYREFS) or gone (EPIPE): its answers or its end will show.
            self._pending.extendleft(task.job for task in reversed(tasks) if task.canary is None)
            slot.until_canary = 0  # perhaps one was among them
            return False
        finally:
            for task in tasks:
                if task.canary is not None:
                    os.close(task.job.fd)
        slot.give(tasks, self._clock(), self._settings)
        return True

    def _takes_more(self, slot: Slot) -> bool:
        # Refilled when a message is done: then a message carries many jobs and the worker still never waits.
        return (
            slot.ready
            and slot.files <= _QUEUE - frames.MAX_JOBS
            and (slot.bytes < _QUEUE_BYTES or not slot.tasks)
            and not self._worn(slot)
        )

    def _worn(self, slot: Slot) -> bool:
        return slot.busy > self._settings.recycle_seconds

    def _receive(self, slot: Slot, now: float) -> None:
        """Take all that a worker has said by now."""
        for _ in range(3 * _QUEUE):  # more than two answers a job and the end: the next call takes the rest
            try:
                message, _ = descriptors.receive(slot.handle.socket, frames.REPLY_SIZE + 1)
                if message:
                    reply = frames.parse_reply(message, self._settings.perceptual)
                    if isinstance(reply, Done):
                        self._names.admit(reply.hashes)
                    reason = self._take(slot, reply, now)
                else:
                    reason = "crash" if slot.ready else "start"
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # it left jobs unread; what it said before is still there and comes now
            except (ValueError, WorkerError):
                reason = "protocol"
            if reason:
                self._lose(slot, reason, now)
                return

    def _take(self, slot: Slot, reply: frames.Reply, now: float) -> str:
        """Act on one answer; returns why the worker has to go, "" if it stays."""
        if isinstance(reply, Ready):
            if slot.ready:
                raise WorkerError("a worker became ready twice")
            missing = self._settings.layers - set(reply.layers)
            if missing:
                self._broken = WorkerError(
                    f"a hashing worker can't be confined as configured: no {', no '.join(sorted(missing))}",
                    remedy="See `hostsweep doctor`; `hashing.sandbox: preferred` works without, and warns",
                )
                return "start"
            slot.ready, slot.deadline = True, None
            self.layers = frozenset(reply.layers) & (self.layers or frozenset(reply.layers))
            self._failed_starts = 0
            return ""
        # Perhaps a picture was too large, perhaps a decoder has leaked: then every next one would fail.
        memory = isinstance(reply, Done) and reply.problem == "out_of_memory"
        try:
            task = slot.answer(reply, now, self._settings)
        except Lied:
            return "memory" if memory else "lied"
        if task is None:
            return ""
        if task.canary is not None:
            self._results += self._trust.proven(slot)
        elif memory or not self._trust.tests:
            self._results.append(slot.held.pop()[1])  # a failure needs no belief
        return "memory" if memory else ""

    def _lose(self, slot: Slot, reason: str, now: float) -> None:
        """End a worker, give its jobs back and put another in its place."""
        if slot is self._spare:
            self._spare, self._spare_due = None, now + _SPARE_AGAIN_SECONDS
            self._end(slot, reason)
            return
        del self._slots[slot.handle.socket.fileno()]
        self._end(slot, reason)
        if not slot.ready:
            self._failed_starts += 1
        if slot.tasks and slot.tasks[0].canary is not None:
            self._broken = self._broken or self._trust.failed_canary(slot)
        result = slot.blame(reason) if reason != "memory" else None  # that file has its result
        if result is not None:
            self._results.append(result)
        again, given_up = self._trust.lost(slot)
        self._results += given_up
        again += [task.job for task in slot.tasks if task.canary is None]
        self._pending.extendleft(reversed(again))
        if self._failed_starts >= _STARTS:
            self._broken = WorkerError(
                f"{_STARTS} hashing workers in a row died before they were ready: {slot.handle.last_words()}",
                remedy="`hostsweep doctor` checks what they need",
            )
        try:
            if self._broken is None:
                self._replace(now)
        except WorkerError as e:
            self._broken = e  # raised once the results that are there have been handed over

    def _end(self, slot: Slot, reason: str) -> None:
        self._epoll.unregister(slot.handle.socket.fileno())
        slot.handle.socket.close()
        slot.handle.kill()
        self._dying.append(slot.handle)
        self.restarts[reason] += 1

    def _replace(self, now: float) -> None:
        """Put the spare in a lost worker's place, ready or still starting; without one, start another."""
        spare, self._spare = self._spare, None
        self._spare_due = now
        if spare is None:
            self._add(now)
        else:
            self._slots[spare.handle.socket.fileno()] = spare

    def _reap(self) -> None:
        if not self._dying:
            return
        self._dying = [handle for handle in self._dying if not handle.reap()]
        if len(self._dying) > _UNREAPED * self.workers and self._broken is None:
            self._broken = WorkerError(
                f"{len(self._dying)} hashing workers can't be ended: their storage does not answer",
                remedy="See which mount hangs (dmesg), and leave it out of the scan",
            )
