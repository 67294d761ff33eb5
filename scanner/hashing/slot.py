"""One worker of a pool: what it was given, what it answered, whose turn it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from scanner.hashing.frames import Done, Exact, ReadStatus
from scanner.hashing.process import WorkerHandle
from scanner.hashing.settings import WorkerSettings
from scanner.model.errors import WorkerError
from scanner.model.hashes import Digests

Status = Literal["hashed", "not_media", "changed", "failed"]


@dataclass(frozen=True, slots=True)
class HashJob:
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


@dataclass(frozen=True, slots=True)
class HashResult:
    """What became of a job; each job gets exactly one.

    Attributes:
        job_id: the job's id.
        status: "hashed" (digests are whole; their `problem` says if perceptual ones are missing),
            "not_media" (nothing but the media type is known), "changed" (written to while it was read:
            the exact digests are of whatever was read), "failed" (`kind` says why, no digests).
        digests: None only for "failed".
        kind: for "failed": io_error, too_large, timeout, crash or protocol; else "".
    """

    job_id: int
    status: Status
    digests: Digests | None
    kind: str = ""


_FAILURES = {ReadStatus.IO_ERROR: "io_error", ReadStatus.TOO_LARGE: "too_large"}


@dataclass(slots=True)
class Slot:
    """A worker and its jobs, the current one first.

    Attributes:
        ready: it has given up its powers and takes jobs.
        deadline: when it must have become ready, or must be done with its current job; None: no job.
        read: the answer about the current job's reading, while its decoding is awaited.
    """

    handle: WorkerHandle
    deadline: float | None
    ready: bool = False
    jobs: deque[HashJob] = field(default_factory=deque)
    bytes: int = 0
    read: Exact | None = None

    def give(self, jobs: list[HashJob], now: float, settings: WorkerSettings) -> None:
        """Note jobs that were sent."""
        idle = not self.jobs
        self.jobs.extend(jobs)
        self.bytes += sum(job.size for job in jobs)
        if idle:
            self._begin(now, settings)

    def answer(self, reply: Exact | Done, now: float, settings: WorkerSettings) -> HashResult | None:
        """Take an answer; returns the result if that was the job's last.

        Raises:
            WorkerError: it is not an answer to what was asked.
        """
        if not self.ready or not self.jobs or self.jobs[0].id != reply.id:
            raise WorkerError("a worker answered about a file that is not its current one")
        if isinstance(reply, Exact):
            self._check(reply, settings)
            if reply.more:
                self.read = reply
                return None
            result = _by_reading(reply)
        elif self.read is None:
            raise WorkerError("a worker answered about a picture it did not announce")
        else:
            result = HashResult(reply.id, "hashed", _digests(self.read, reply))
        self._next(now, settings)
        return result

    def blame(self, reason: str) -> HashResult | None:
        """The result of the job during which the worker was lost; None if it had none."""
        if not self.jobs:
            return None
        job = self.jobs.popleft()
        if self.read is None:
            return HashResult(job.id, "failed", None, reason)
        problem = "decoder_timeout" if reason == "timeout" else "decoder_crashed"
        return HashResult(job.id, "hashed", _digests(self.read, Done(job.id, problem, ())))

    def _check(self, reply: Exact, settings: WorkerSettings) -> None:
        """An answer must fit the job, beyond having the right form."""
        wanted = set(settings.exact) if reply.status == ReadStatus.HASHED else set()
        if (
            self.read is not None
            or set(reply.digests) != wanted
            or (reply.more and not settings.perceptual)
            or (reply.status == ReadStatus.NOT_MEDIA and not self.jobs[0].media_only)
        ):
            raise WorkerError("a worker's answer does not fit the question")

    def _next(self, now: float, settings: WorkerSettings) -> None:
        self.read = None
        self.bytes -= self.jobs.popleft().size
        self._begin(now, settings)

    def _begin(self, now: float, settings: WorkerSettings) -> None:
        """Start the clock of the job that is now the current one."""
        self.deadline = now + settings.seconds_for(self.jobs[0].size) if self.jobs else None


def _by_reading(reply: Exact) -> HashResult:
    """The result of a job that ended with its reading."""
    if reply.status in _FAILURES:
        return HashResult(reply.id, "failed", None, _FAILURES[reply.status])
    digests = Digests(reply.size, reply.media_type, reply.digests)
    if reply.status == ReadStatus.NOT_MEDIA:
        return HashResult(reply.id, "not_media", digests)
    return HashResult(reply.id, "changed" if reply.changed else "hashed", digests)


def _digests(read: Exact, done: Done) -> Digests:
    return Digests(read.size, read.media_type, read.digests, done.hashes, done.problem)
