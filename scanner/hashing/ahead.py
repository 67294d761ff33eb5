"""A worker's files in turn, each with its reading begun while the ones before it are still hashed.

Nothing here waits for storage: what is begun is answered while the worker computes, so a disk or a server
that takes long for each answer has several questions at once. Whoever reads then finds the beginning of the
file there, and nothing of what is read stays in the page cache where it would not have stayed anyway
(`scanner.hashing.exact`).
"""

from __future__ import annotations

import os
import socket
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.hashing import exact, frames
from scanner.hashing.frames import JobFrame
from scanner.system import descriptors

_FILES = 16  # begun and not yet their turn: some milliseconds of work, as long as a server takes to answer
_BYTES = 8 << 20  # of them; read early, they are in memory
# Of a file that is likely to be no picture or film, and then is left alone: most pages and scripts are
# smaller, and reading so much takes a disk no longer than finding it.
_HEADER = 64 << 10
_MEMORY = 8  # files by which the next one is judged: directories hold pictures or hold none


@dataclass(frozen=True, slots=True)
class Begun:
    """A file whose turn it is.

    Attributes:
        fd: open for reading, closed when the next one is asked for.
        stat: before anything of it was read; None if that is still to be asked.
        data: what was there already of its beginning; its end says nothing of the file's.
    """

    job: JobFrame
    fd: int
    stat: os.stat_result | None = None
    data: bytes | bytearray = b""

    @property
    def size(self) -> int:
        return min(self.stat.st_size, exact.CHUNK) if self.stat is not None else 0


class Ahead:
    """What a pool sends on a socket, file by file.

    Raises:
        WorkerError: the pool sent something that is no list of jobs.
        OSError: the socket is broken.
    """

    def __init__(self, sock: socket.socket, reader: exact.Reader) -> None:
        self._sock = sock
        self._reader = reader
        self._sent: deque[tuple[JobFrame, int]] = deque()
        self._begun: deque[Begun] = deque()
        self._bytes = 0
        self._media = 0.0

    def note(self, *, media: bool) -> None:
        """What the file whose turn it is has turned out to be."""
        self._media += (media - self._media) / _MEMORY

    def __iter__(self) -> Iterator[Begun]:
        while self._begun or self._sent or self._receive():
            # One that nothing went before is simply read: to begin it early would be to do it twice.
            turn = self._begun.popleft() if self._begun else Begun(*self._sent.popleft())
            self._bytes -= turn.size
            try:
                self._begin_more()
                yield turn
            finally:
                os.close(turn.fd)

    def _receive(self, flags: int = 0) -> bool:
        """Take the next message; False at the end."""
        message, fds = descriptors.receive(self._sock, frames.REQUEST_SIZE, frames.MAX_JOBS, flags)
        if not message:
            return False
        self._sent.extend(zip(frames.parse_jobs(message), fds, strict=True))
        return True

    def _begin_more(self) -> None:
        while len(self._begun) < _FILES and self._bytes < _BYTES:
            if not self._sent:
                try:
                    if not self._receive(socket.MSG_DONTWAIT):
                        return
                except BlockingIOError:
                    return
            begun = self._begin(*self._sent.popleft())
            self._begun.append(begun)
            self._bytes += begun.size

    def _begin(self, job: JobFrame, fd: int) -> Begun:
        try:
            st = os.fstat(fd)
            if not stat.S_ISREG(st.st_mode):
                return Begun(job, fd)
            whole = not job.media_only or self._media > 0.5
            wanted = min(st.st_size, exact.CHUNK if whole else _HEADER)
            return Begun(job, fd, st, self._reader.early(fd, st.st_dev, wanted, 0) or b"")
        except (OSError, MemoryError):  # it is told when the file has its turn
            return Begun(job, fd)
