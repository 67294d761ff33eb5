"""Locks that the kernel lets go when their process dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

# Whoever looks whether a token's process is dead has it locked for some microseconds.
_CLAIMS, _PAUSE_SECONDS = 200, 0.01


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

    def in_place(self) -> bool:
        """Whether the locked file is still the one at the path: else nobody sees that it is locked.

        Raises:
            OSError: the path can't be looked at.
        """
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

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
        for _ in range(_CLAIMS):
            lock = self._claimed(self._directory / token)
            if lock is not None:
                self._held[token] = lock
                return token
            time.sleep(_PAUSE_SECONDS)
        raise LockHeld(self._directory / token, "")

    @staticmethod
    def _claimed(path: Path) -> FileLock | None:
        """None where another process looked at the file, or removed it, before we had it locked."""
        try:
            lock = FileLock.acquire(path)
        except LockHeld:
            return None
        if lock.in_place():
            return lock
        lock.release()
        return None

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

    def sweep(self, named: Collection[str]) -> int:
        """Remove the tokens of dead processes, of which each crash leaves one; returns how many.

        A token is removed under its lock, and whoever claims one looks whether it is still there once it is
        locked: so nobody goes on with a token that is gone.

        Args:
            named: tokens to leave alone, since something open names them.

        Raises:
            OSError: the directory can't be read or written.
        """
        if not self._directory.exists():
            return 0
        removed = 0
        for path in self._directory.iterdir():
            if path.name not in self._held and path.name not in named and path.is_file():
                removed += _removed(path)
        return removed

    def release(self) -> None:
        """Give back all tokens of this process."""
        for token, lock in self._held.items():
            (self._directory / token).unlink(missing_ok=True)
            lock.release()
        self._held.clear()


def _removed(path: Path) -> bool:
    """Remove a token if it can be locked, so that its process is dead; whether it was removed."""
    try:
        lock = FileLock.acquire(path)
    except LockHeld:
        return False
    with lock:
        if not lock.in_place():  # removed by another sweep, and made anew by its owner
            return False
        path.unlink()
    return True
