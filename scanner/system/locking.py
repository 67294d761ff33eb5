"""Locks that the kernel lets go when their process dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType


class LockHeld(OSError):
    """Another process has the lock; `holder` is its process id as text, or empty."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by process {holder or 'unknown'}")
        self.path = path
        self.holder = holder


class FileLock:
    """An exclusive flock(2) on a file, held until `release` or the end of the process.

    The file keeps the holder's process id for the message to the next one.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path) -> FileLock:
        """Take the lock at once, or raise with who has it.

        Raises:
            LockHeld: another process holds it.
            OSError: the file can't be made, or is no plain file: it is written to.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise LockHeld(path, holder) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(path, fd)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Owners:
    """Tells whether the process that began something still lives.

    Each process claims a token: a file it holds locked. The kernel lets go of the lock when the process
    dies, so a token whose lock can be taken belongs to the dead.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[str, FileLock] = {}

    def claim(self, token: str) -> str:
        """Make and hold a token (any unique file name).

        Raises:
            OSError: the directory can't be written.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held[token] = FileLock.acquire(self._directory / token)
        return token

    def own(self, token: str) -> str:
        """The token of this process: the one it has, else `token`, claimed now.

        Each claim holds a descriptor until `release`, so a daemon must not claim one for every scan.

        Raises:
            OSError: the directory can't be written.
        """
        return next(iter(self._held), None) or self.claim(token)

    def ours(self, token: str) -> bool:
        """Whether this process holds the token."""
        return token in self._held

    def dead(self, token: str) -> bool:
        """Whether no living process holds the token. Our own tokens are alive."""
        if token in self._held:
            return False
        path = self._directory / token
        if not path.exists():
            return True
        try:
            FileLock.acquire(path).release()
        except LockHeld:
            return False
        return True

    def release(self) -> None:
        """Give back all tokens of this process."""
        for token, lock in self._held.items():
            (self._directory / token).unlink(missing_ok=True)
            lock.release()
        self._held.clear()
