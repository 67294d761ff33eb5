"""The way of a volume's files from the walk to the ledger: one loop in one thread.

Everything that can take long happens elsewhere: the walk in its process, reading and decoding in the
workers. This loop opens files, hands them over, and decides about the answers. It is plain synchronous
code that waits in poll(2); whoever has an event loop runs it in a thread.

Conservation: each regular file that the walk names is counted once in `files` and ends in exactly one
of matched, clean, unchanged, skipped(reason), failed(kind); `ScanCounts.balanced` says so.
"""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from scanner.hashing import HashJob, HashResult
from scanner.model.errors import ScannerError, SourceError
from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    FileRef,
    FilesSkipped,
    FileStat,
    FileState,
    KnownFile,
    OthersMet,
)
from scanner.model.hashes import Digests
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock
from scanner.pipeline.book import CatalogBook, DirectoryBook
from scanner.pipeline.frames import Cached, Frame, WalkBroken, WalkEnded
from scanner.pipeline.judging import Judge, OpenFile
from scanner.pipeline.lanes import Lanes, Waiting
from scanner.pipeline.limits import ScanLimits
from scanner.pipeline.links import known_as
from scanner.pipeline.opening import failure_kind
from scanner.pipeline.reporting import Reporter
from scanner.pipeline.stalling import Silence
from scanner.pipeline.tally import Tally
from scanner.pipeline.volume import Volume
from scanner.pipeline.walking import Walker

_WAIT_SECONDS = 0.2  # the longest wait in poll: how soon a stop is noticed and progress told
# After an answer a little more is waited, so that the next ones come along: to wake up for each of them costs
# more than the answer. Workers have files for longer than that. Who was busy for some time needs no wait:
# what came meanwhile is many.
_PAUSE_SECONDS = 0.001
_BUSY_SECONDS = 0.003
_TRIES = 2  # a file that changes while it is read or secured is read once more
_LINKED_TRIES = 8  # the same, where it changes because we secure its other names one after the other


class Hashers(Protocol):
    """The pool of workers, as the scan sees it."""

    @property
    def workers(self) -> int: ...

    @property
    def room(self) -> int: ...

    def fileno(self) -> int: ...

    def submit(self, job: HashJob) -> None: ...

    def prove(self) -> None: ...

    def flush(self) -> None: ...

    def poll(self, now: float) -> list[HashResult]: ...


@dataclass(slots=True)
class _Flight:
    """A file that is open and at a worker."""

    waiting: Waiting  # as which it was taken
    fd: int
    stat: FileStat  # of the descriptor, before it was handed over
    atime_ns: int  # before we read it for the first time

    @property
    def book(self) -> DirectoryBook:
        return self.waiting.book


class VolumeScan:
    """One scan of one volume. `run` once."""

    def __init__(
        self,
        *,
        volume: Volume,
        root_fd: int,
        walker: Walker,
        pool: Hashers,
        judge: Judge,
        book: CatalogBook,
        reporter: Reporter,
        clock: Clock,
        limits: ScanLimits,
        stop: threading.Event,
    ) -> None:
        self._volume = volume
        self._root_fd = root_fd
        self._walker = walker
        self._pool = pool
        self._judge = judge
        self._book = book
        self._clock = clock
        self._limits = limits
        self._stop = stop
        self._lanes = Lanes(pool.workers)
        self._flights: dict[int, _Flight] = {}
        self._silence = Silence(volume.stall_seconds, walker.activity)
        self._next_job = 0
        self._woke = 0.0  # when the last wait ended, on the monotonic clock
        self._walk_ended = False
        self._broken: ScannerError | None = None
        self._tally = Tally(volume, reporter)
        self.counts = self._tally.counts
        self.met_directories: set[bytes] = set()
        self._failed_directories: set[bytes] = set()

    def run(self) -> ScanCounts:
        """Scan until the walk has ended and every file has its outcome, or until stopped.

        Raises:
            ScannerError: our own storage, the walker or the workers failed; what was done is recorded.
        """
        try:
            while not self._finished():
                if self._stop.is_set():
                    self._interrupt()
                    break
                self._step()
        finally:
            try:
                self._close()
            finally:
                self._tally.progress(len(self._lanes), len(self._flights), last=True)
        if self._broken is not None:
            raise self._broken
        return self.counts

    def walked_whole(self, directory: bytes) -> bool:
        """Whether a directory was walked and each of its files has a lasting answer."""
        return (
            directory in self.met_directories
            and directory not in self._failed_directories
            and directory not in self._book.not_whole
        )

    def _finished(self) -> bool:
        return self._walk_ended and not self._lanes and not self._flights

    def _step(self) -> None:
        room, walking = self._pool.room, not self._walk_ended
        while room > 0 and (waiting := self._lanes.take(walking=walking)) is not None:
            self._submit(waiting)
            room -= 1
        if self._walk_ended and not self._lanes:
            self._pool.prove()
        self._pool.flush()
        self._wait()
        for result in self._pool.poll(time.monotonic()):
            self._take(result)
        self._book.commit(time.monotonic())
        self._tally.progress(len(self._lanes), len(self._flights))

    def _wait(self) -> None:
        """Sleep until a worker answers, the walker has something we have room for, or a moment went by."""
        if self._lanes.ready(walking=not self._walk_ended) and self._pool.room > 0:
            return
        poll = select.poll()
        poll.register(self._pool.fileno(), select.POLLIN)
        listen = not self._walk_ended and not self._lanes.full
        heard = not listen
        if listen:
            poll.register(self._walker.fileno(), select.POLLIN)
        busy = time.monotonic() - self._woke
        ready = {fd for fd, _ in poll.poll(int(_WAIT_SECONDS * 1000))}
        if self._pool.fileno() in ready and busy < _BUSY_SECONDS:
            time.sleep(_PAUSE_SECONDS)
        self._woke = time.monotonic()
        if listen and self._walker.fileno() in ready:
            heard = True
            for frame in self._walker.read():
                self._met(frame)
        if heard:
            self._silence.broken()
        elif self._silence.too_long(time.monotonic()):
            self._met(WalkBroken(f"its storage has not answered for {self._volume.stall_seconds:.0f} s"))

    # What the walk says

    def _met(self, frame: Frame) -> None:
        counts = self.counts
        match frame:
            case DirectoryMet():
                self._met_directory(frame)
            case Cached():
                self.met_directories.update(frame.paths)
                counts.directories += len(frame.paths)
                self._tally.known(frame.clean, frame.not_media)
            case FilesSkipped():
                counts.files += frame.files
                if frame.files:
                    self._tally.skip(frame.path, frame.reason, frame.files)
            case DirectoryFailed():
                self.met_directories.add(frame.path)
                self._failed_directories.add(frame.path)
                self._tally.directory_failed(frame.path, frame.kind)
            case OthersMet():
                self._tally.others(frame.counts)
            case WalkEnded():
                self._walk_ended = True
            case WalkBroken():
                self._walk_ended = True
                counts.interrupted = True
                self._broken = SourceError(frame.text, where=f"volume {self._volume.name}")

    def _met_directory(self, met: DirectoryMet) -> None:
        if met.last:
            self.counts.directories += 1
        self.met_directories.add(met.path)
        self._tally.known(met.clean, met.not_media)
        if met.cached and not met.known:
            return
        book = self._book.directory(self._root_fd, met.path)
        book.ended = met.last
        book.fingerprint = met.fingerprint
        book.inode, book.moved_from = met.inode, met.moved_from
        if met.moved_from:
            self._tally.moved(met)
        book.removed.extend(met.gone)
        self.counts.files += len(met.changed) + len(met.known)
        for stat in met.changed:
            self._lanes.put(Waiting(book, stat))
        for known in met.known:
            self._take_known(book, known)
        self._book.done(book)

    def _take_known(self, book: DirectoryBook, known: KnownFile) -> None:
        """An unchanged file whose digests are matched again, without reading it."""
        file = self._ref(book, known.stat)
        opened: list[int] = []

        def open_it() -> OpenFile:
            fd, stat, atime_ns = book.directory.open(known.stat.name)
            opened.append(fd)
            if not known_as(stat, known.stat, self._judge.links.of(fd)):
                raise OSError("the file is not the one that was hashed")
            return OpenFile(fd, book.directory.fd, stat, atime_ns)

        try:
            judgement = self._judge.judge(file, known.digests, self.counts, open_it, once_more=True)
        finally:
            for fd in opened:
                os.close(fd)
        if judgement.changed:
            self._lanes.put(Waiting(book, known.stat))
            return
        if judgement.matched:
            self.counts.matched += 1
            if judgement.gone or judgement.again:
                book.whole = False
            if judgement.gone:
                self._book.forget(book, known.stat.name)
        elif known.digests.problem:
            self._tally.fail(file, known.digests.problem)
        else:
            self.counts.unchanged += 1
        state = FileState.LISTED if judgement.matched else self._quiet_state(known.digests)
        if state is not known.state and not judgement.gone:
            self._book.remember(book, known.stat, self._clock.now_ns(), state, known.digests)

    # Files on their way to a worker and back

    def _submit(self, waiting: Waiting) -> None:
        book, stat = waiting.book, waiting.stat
        try:
            fd, now, atime_ns = book.directory.open(stat.name)
        except OSError as e:
            self._tally.fail(self._ref(book, stat), failure_kind(e))
            self._book.forget(book, stat.name)
            self._done(book)
            return
        reason = self._limits.refuses(now)
        if reason:
            os.close(fd)
            self._count_skip(book, now, reason)
            return
        if (now.inode, now.ctime_ns, now.size) != (stat.inode, stat.ctime_ns, stat.size):
            book.whole = False  # the walk's fingerprint is about another state of the file
        self._next_job += 1
        self._flights[self._next_job] = _Flight(waiting, fd, now, waiting.atime_ns or atime_ns)
        self._pool.submit(HashJob(self._next_job, fd, now.size, self._limits.media_only))
        self._lanes.sent(waiting)

    def _count_skip(self, book: DirectoryBook, stat: FileStat, reason: str) -> None:
        self._tally.skip(self._ref(book, stat).path, reason, 1)
        book.whole = False
        self._done(book)

    def _take(self, result: HashResult) -> None:
        flight = self._flights.pop(result.job_id)
        self._lanes.back(flight.waiting)
        book, file = flight.book, self._ref(flight.book, flight.stat)
        try:
            if result.status == "changed" or not self._unchanged(flight):
                if self._has_tries(flight):
                    self._once_more(flight)
                    return
                self._tally.fail(file, "changed")
                self._book.forget(book, file.stat.name)
            elif result.status == "failed" or result.digests is None:
                self._tally.fail(file, result.kind or "io")
                book.whole = False
            elif result.status == "not_media":
                self._quiet_skip(book, file, "not_media", result.digests)
            elif not self._decide(flight, file, result.digests):
                return
        finally:
            os.close(flight.fd)
        self._done(book)

    def _once_more(self, flight: _Flight) -> None:
        """Queue a file again that changed while we had it."""
        book = flight.book
        self._lanes.put(Waiting(book, flight.stat, flight.waiting.tries + 1, flight.atime_ns))
        book.let_go()

    def _has_tries(self, flight: _Flight) -> bool:
        return flight.waiting.tries < (_TRIES if self._judge.links.of(flight.fd) is None else _LINKED_TRIES)

    def _unchanged(self, flight: _Flight) -> bool:
        """Whether the file is as it was before a worker had it; what the worker says of that is a hint."""
        return flight.stat.is_still(os.fstat(flight.fd))

    def _quiet_skip(self, book: DirectoryBook, file: FileRef, reason: str, digests: Digests) -> None:
        self.counts.skipped[reason] = self.counts.skipped.get(reason, 0) + 1
        self._book.remember(book, file.stat, self._clock.now_ns(), FileState.NOT_MEDIA, digests)

    def _decide(self, flight: _Flight, file: FileRef, digests: Digests) -> bool:
        """Decide about a hashed file; False if it changed meanwhile and is to be hashed again."""
        book = flight.book
        self.counts.hashed += 1
        self.counts.bytes += digests.size
        if digests.media_type == "application/mbox" and not self._volume.mail_ground:
            self._count_mailbox(book, file)
            return True
        judgement = self._judge.judge(
            file,
            digests,
            self.counts,
            lambda: OpenFile(flight.fd, book.directory.fd, flight.stat, flight.atime_ns),
            once_more=self._has_tries(flight),
        )
        if judgement.changed:
            self.counts.hashed -= 1
            self._once_more(flight)
            return False
        if judgement.matched:
            self.counts.matched += 1
        elif digests.problem:
            self._tally.fail(file, digests.problem)
        else:
            self.counts.clean += 1
        if judgement.gone:
            self._book.forget(book, file.stat.name)
            return True
        if judgement.again:
            book.whole = False
            # What was hashed is not what is there now, unless only the securing failed.
        state = FileState.LISTED if judgement.matched else self._quiet_state(digests)
        self._book.remember(book, file.stat, self._clock.now_ns(), state, digests)
        return True

    def _count_mailbox(self, book: DirectoryBook, file: FileRef) -> None:
        """With `select: all` a mailbox is only recognised when it is read; its digests are not kept."""
        self._tally.skip(file.path, "mail_store", 1)
        book.whole = False

    @staticmethod
    def _quiet_state(digests: Digests) -> FileState:
        return FileState.UNDECODABLE if digests.problem else FileState.CLEAN

    def _done(self, book: DirectoryBook) -> None:
        book.let_go()
        self._book.done(book)

    def _ref(self, book: DirectoryBook, stat: FileStat) -> FileRef:
        return FileRef(self._volume.name, book.directory.path, stat)

    # The end

    def _interrupt(self) -> None:
        """Files that were met and not finished are skipped, and the scan says that it is not complete."""
        self._tally.interrupted(len(self._lanes) + len(self._flights))

    def _close(self) -> None:
        self._walker.stop()
        for flight in self._flights.values():
            os.close(flight.fd)
        self._flights.clear()
        self._lanes.clear()
        try:
            self._book.commit(time.monotonic(), now=True)
        finally:
            self._book.close()
