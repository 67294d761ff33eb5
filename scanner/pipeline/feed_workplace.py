"""The folder that a confined process may write in, and how its one result is taken out of it.

Whoever wrote there may have left anything: links, pipes, a file that it still has open. So the result is
copied from a descriptor into a file of our own; the copy can't be changed any more, and it is what is checked
and used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from scanner.model.errors import FeedProcessError, StorageError

_COPY = 1 << 20  # bytes copied at once


class Workplace:
    """A folder for one process, gone at the end of the `with` block.

    Where the process runs as another user, that one has to write in it. It is open to all then, but behind a
    directory that is closed to all: only a process that is started in it is there. (Giving it away would take
    CAP_CHOWN.)

    Args:
        above: our own directory, closed to others.
        name: new in it.
        other_user: number of the user the process becomes; None: it stays ours.
    """

    def __init__(self, above: Path, name: str, other_user: int | None) -> None:
        self._outer = above / name
        self.path = self._outer / "in"
        self._user = os.geteuid() if other_user is None else other_user
        try:
            self._outer.mkdir(mode=0o700)
            self.path.mkdir(mode=0o700)
            if other_user is not None:
                self.path.chmod(0o777)  # mkdir's mode goes by the umask
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as e:
            raise _unusable(e, self._outer) from e

    def __enter__(self) -> Workplace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        shutil.rmtree(self._outer, ignore_errors=True)

    def put(self, name: str, data: bytes) -> None:
        """Write a file that the process is to read; before it is started.

        Raises:
            StorageError: it can't be written.
        """
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=self._fd), "wb") as file:
                os.fchmod(file.fileno(), 0o644)  # the process may be another user; nobody else gets there
                file.write(data)
        except OSError as e:
            raise _unusable(e, self.path / name) from e

    def take(self, name: str, target: Path, limit: int) -> str:
        """Copy the result out; blocking.

        Args:
            name: of the file in the folder.
            target: made anew with mode 0600, whole and synced to disk; gone after any error.
            limit: most bytes it may have.

        Returns:
            SHA-256 of what was copied, in hexadecimal.

        Raises:
            FeedProcessError: there is no such file, or it is not what an honest process leaves.
            StorageError: the copy can't be written.
        """
        try:
            fd = os.open(
                name,
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
                dir_fd=self._fd,
            )
        except OSError as e:
            raise FeedProcessError(f"the process left no result ({e.strerror})") from e
        try:
            self._check(os.fstat(fd), limit)
            return _copy(fd, target, limit)
        finally:
            os.close(fd)

    def _check(self, st: os.stat_result, limit: int) -> None:
        honest = stat.S_ISREG(st.st_mode) and st.st_nlink == 1 and st.st_uid == self._user
        if not honest or st.st_size > limit:
            raise FeedProcessError(
                "the process left something else than its result",
                remedy="It may have been taken over by what it was given: tell the publisher",
            )


def _copy(source: int, target: Path, limit: int) -> str:
    digest, size, copied = hashlib.sha256(), 0, False
    try:
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while data := os.read(source, _COPY):
                size += len(data)
                if size > limit:
                    raise FeedProcessError("the process goes on writing its result")
                digest.update(data)
                _write(out, data)
            os.fsync(out)
            copied = True
        finally:
            os.close(out)
            if not copied:
                with suppress(OSError):
                    target.unlink()
    except OSError as e:
        raise _unusable(e, target) from e
    return digest.hexdigest()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _unusable(e: OSError, where: Path) -> StorageError:
    return StorageError(
        f"the feeds' directory can't be used ({e.strerror or type(e).__name__})",
        where=str(where),
        remedy="Check free space, permissions and the disk",
    )
