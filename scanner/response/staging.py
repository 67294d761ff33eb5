"""The staging folder: where a file lies between its place and the vault, out of everybody's reach.

A rename does not cross file systems, so each volume has its own, in its root.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from types import TracebackType

from scanner.model.errors import VaultError
from scanner.model.names import display
from scanner.response.copying import fsync_directories
from scanner.system.opening import DIRECTORY_FLAGS

STAGING_NAME = ".hostsweep-staging"
_OTHERS = 0o077  # any right of group or others


class StagingFolder:
    """A directory that only we can enter, held by its descriptor: renaming it away changes nothing for us.

    Made by `open` and `find`; to be closed.
    """

    def __init__(self, fd: int, st: os.stat_result) -> None:
        self._fd = fd
        self._identity = (st.st_dev, st.st_ino)

    @classmethod
    def open(cls, root_fd: int, root: bytes) -> StagingFolder:
        """Open a volume's staging folder; make it if there is none.

        Args:
            root_fd: the volume's root; stays the caller's.
            root: its path, for messages.

        Raises:
            VaultError: it can't be made, or something of that name is not ours alone.
        """
        try:
            with suppress(FileExistsError):
                os.mkdir(STAGING_NAME, 0o700, dir_fd=root_fd)
            # Always: whoever made it may have died before its name was on the disk.
            fsync_directories([root_fd])
        except OSError as e:
            raise _refusal(
                root,
                f"no staging folder can be made ({e.strerror})",
                "Make the volume's root writable for us",
            ) from e
        found = cls.find(root_fd, root)
        if found is None:
            raise _refusal(root, "the staging folder vanished as it was made", "Try again")
        return found

    @classmethod
    def find(cls, root_fd: int, root: bytes) -> StagingFolder | None:
        """Open a volume's staging folder if it has one.

        Raises:
            VaultError: something of that name is not ours alone.
        """
        remedy = "Look at what it is and move it away: a customer may have put it there"
        try:
            fd = os.open(STAGING_NAME, DIRECTORY_FLAGS, dir_fd=root_fd)
        except FileNotFoundError:
            return None
        except OSError as e:  # ELOOP and ENOTDIR for a link, ENOTDIR for a file, EACCES for another's folder
            raise _refusal(root, f"expected a folder of ours, which it is not ({e.strerror})", remedy) from e
        try:
            st, above = os.fstat(fd), os.fstat(root_fd)
            if st.st_uid != os.geteuid() or stat.S_IMODE(st.st_mode) & _OTHERS:
                raise _refusal(
                    root,
                    f"expected owner {os.geteuid()} and mode 0700, "
                    f"got owner {st.st_uid} and mode {stat.S_IMODE(st.st_mode):04o}",
                    remedy,
                )
            if st.st_dev != above.st_dev:
                raise _refusal(root, "it is on another file system than the volume's root", "Unmount it")
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, st)

    @property
    def fd(self) -> int:
        return self._fd

    def identity(self) -> tuple[int, int]:
        """(device, inode), by which the walk leaves it out; its name is one that customers can use too."""
        return self._identity

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> StagingFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refusal(root: bytes, what: str, remedy: str) -> VaultError:
    where = display(root.rstrip(b"/") + b"/" + STAGING_NAME.encode())
    return VaultError(what, where=where, remedy=remedy)
