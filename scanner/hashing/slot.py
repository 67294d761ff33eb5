"""One worker of a pool: what it was given, what it answered, whose turn it is, and what may be believed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from scanner.hashing import frames
from scanner.hashing.frames import Done, Exact, ReadStatus
from scanner.hashing.process import WorkerHandle
from scanner.hashing.settings import WorkerSettings
from scanner.model.errors import WorkerError
from scanner.model.hashes import Digests

if TYPE_CHECKING:
    from scanner.hashing.canary import Canary  # with numpy, which only a pool at work needs

Status = Literal["hashed", "not_media", "changed", "failed"]


class HashJob(NamedTuple):
    """One file to hash.

    Attributes:
        id: the caller's, unique among the jobs in flight, 0..2**64-1.
        fd: open for reading; the caller's to close, after the result.
        size: by fstat; sets how long the file may take.
        media_only: look at the first bytes and leave the file alone unless it is a picture or a film.
    """

    id: int
    fd: int
    size: int
    media_only: bool


class HashResult(NamedTuple):
    """What became of a job; each job gets exactly one.

    Attributes:
        job_id: the job's id.
        status: "hashed" (digests are whole; their `problem` says if perceptual ones are missing),
            "not_media" (nothing but the media type is known), "changed" (written to while it was read:
            the exact digests are of whatever was read), "failed" (`kind` says why, no digests).
        digests: None only for "failed".
        kind: for "failed": io_error, too_large, timeout, crash, protocol or distrusted (each worker that
            answered about it was lost or lied before its answer could be believed); else "".
    """

    job_id: int
    status: Status
    digests: Digests | None
    kind: str = ""


_FAILURES = {ReadStatus.IO_ERROR: "io_error", ReadStatus.TOO_LARGE: "too_large"}


class Task(NamedTuple):
    """What a worker is asked: about a file, or about a canary, whose `job` has no id of the caller's.

    Attributes:
        number: how the worker knows it: counted, so that it says nothing of what is asked.
    """

    number: int
    job: HashJob
    canary: Canary | None = None


class Lied(Exception):
    """A worker's answer about a canary is not true."""


@dataclass(slots=True)
class Slot:
    """A worker and its tasks, the current one first.

    Attributes:
        ready: it has given up its powers and takes tasks.
        deadline: when it must have become ready, or must be done with its current task; None: no task.
        read: the answer about the current task's reading, while its decoding is awaited.
        found: the hashes of its first picture, while the others are awaited.
        proved: it has answered a canary right.
        held: answers since the last canary, which count when the next one is answered right.
        held_since: when the first of them came.
        until_canary: files until the next canary.
        unproved: files since the last one.
        canaries: that are among the tasks.
        given: tasks so far.
        busy: seconds it has worked.
    """

    handle: WorkerHandle
    deadline: float | None
    ready: bool = False
    tasks: deque[Task] = field(default_factory=deque)
    bytes: int = 0
    read: Exact | None = None
    found: Done | None = None
    proved: bool = False
    held: list[tuple[HashJob, HashResult]] = field(default_factory=list)
    held_since: float = 0.0
    until_canary: int = 0
    unproved: int = 0
    canaries: int = 0
    given: int = 0
    busy: float = 0.0
    _since: float = 0.0

    @property
    def files(self) -> int:
        """Tasks that are files."""
        return len(self.tasks) - self.canaries

    def give(self, tasks: list[Task], now: float, settings: WorkerSettings) -> None:
        """Note tasks that were sent."""
        idle = not self.tasks
        self.tasks.extend(tasks)
        self.given += len(tasks)
        self.bytes += sum(task.job.size for task in tasks)
        self.canaries += sum(task.canary is not None for task in tasks)
        if idle:
            self._begin(now, settings)

    def answer(self, reply: Exact | Done, now: float, settings: WorkerSettings) -> Task | None:
        """Take an answer; returns the task if that was the last about it.

        The result of a file is held; that of a canary proves those before it, which are the caller's to take.

        Raises:
            WorkerError: it is not an answer to what was asked.
            Lied: it is not true.
        """
        if not self.ready or not self.tasks or self.tasks[0].number != reply.id:
            raise WorkerError("a worker answered about a file that is not its current one")
        task = self.tasks[0]
        if isinstance(reply, Exact):
            self._check(reply, settings)
            if reply.more:
                self.read = reply
                return None
            read, done = reply, None
        elif self.read is None:
            raise WorkerError("a worker answered about a picture it did not announce")
        elif reply.more:
            if self.found is not None:
                raise WorkerError("a worker answered twice that there are more pictures")
            self.found = reply
            return None
        else:
            read, done = self.read, self._joined(reply)
        if task.canary is not None:
            if not task.canary.right(read, done, settings.perceptual):
                raise Lied
        else:
            self._hold(task.job, read, done, now)
        self._next(now, settings)
        return task

    def _joined(self, last: Done) -> Done:
        """All that was said of a file's pictures."""
        if self.found is None:
            return last
        hashes = (*self.found.hashes, *last.hashes)
        if len(hashes) > frames.MAX_HASHES:
            raise WorkerError("a worker answered with more hashes than a file may have")
        return Done(last.id, last.problem, hashes)

    def _hold(self, job: HashJob, read: Exact, done: Done | None, now: float) -> None:
        if not self.held:
            self.held_since = now
        if done is None:
            result = _by_reading(job, read)
        else:
            result = HashResult(job.id, "hashed", _digests(read, done))
        self.held.append((job, result))

    def blame(self, reason: str) -> HashResult | None:
        """The result of the file during which the worker was lost; None if it had none, or a canary."""
        if not self.tasks:
            return None
        task = self.tasks.popleft()
        if task.canary is not None:
            return None
        job = task.job
        if self.read is None:
            return HashResult(job.id, "failed", None, reason)
        problem = "decoder_timeout" if reason == "timeout" else "decoder_crashed"
        hashes = self.found.hashes if self.found is not None else ()
        return HashResult(job.id, "hashed", _digests(self.read, Done(job.id, problem, hashes)))

    def _check(self, reply: Exact, settings: WorkerSettings) -> None:
        """An answer must fit the job, beyond having the right form."""
        wanted = frozenset(settings.exact) if reply.status == ReadStatus.HASHED else frozenset()
        if (
            self.read is not None
            or reply.digests.keys() != wanted
            or (reply.more and not settings.perceptual)
            or (reply.status == ReadStatus.NOT_MEDIA and not self.tasks[0].job.media_only)
        ):
            raise WorkerError("a worker's answer does not fit the question")

    def _next(self, now: float, settings: WorkerSettings) -> None:
        self.read = self.found = None
        task = self.tasks.popleft()
        self.bytes -= task.job.size
        self.canaries -= task.canary is not None
        self.busy += max(0.0, now - self._since)
        self._begin(now, settings)

    def _begin(self, now: float, settings: WorkerSettings) -> None:
        """Start the clock of the task that is now the current one."""
        self._since = now
        self.deadline = now + settings.seconds_for(self.tasks[0].job.size) if self.tasks else None


def _by_reading(job: HashJob, reply: Exact) -> HashResult:
    """The result of a job that ended with its reading."""
    if reply.status in _FAILURES:
        return HashResult(job.id, "failed", None, _FAILURES[reply.status])
    digests = Digests(reply.size, reply.media_type, reply.digests)
    if reply.status == ReadStatus.NOT_MEDIA:
        return HashResult(job.id, "not_media", digests)
    return HashResult(job.id, "changed" if reply.changed else "hashed", digests)


def _digests(read: Exact, done: Done) -> Digests:
    return Digests(read.size, read.media_type, read.digests, done.hashes, done.problem)
