"""The staging folder: where a file lies between its place and the vault, out of everybody's reach.

A rename does not cross mounts, so each volume has its own, in its root. Where a volume takes in other mounts
(or subvolumes), each of these has one in its topmost directory. Where even that can't be reached by a rename
(a project quota's boundary), it is in the file's own directory.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from scanner.model.errors import VaultError
from scanner.model.names import display
from scanner.response.copying import fsync_directories
from scanner.system.opening import DIRECTORY_FLAGS, mount_of

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
    def open(cls, holder_fd: int, holder: bytes) -> StagingFolder:
        """Open the staging folder in a directory; make it if there is none.

        Args:
            holder_fd: the volume's root, or another directory (see `holders`); stays the caller's.
            holder: its path, for messages.

        Raises:
            VaultError: it can't be made, or something of that name is not ours alone.
        """
        try:
            os.mkdir(STAGING_NAME, 0o700, dir_fd=holder_fd)
            fsync_directories([holder_fd])
        except FileExistsError:
            pass
        except OSError as e:
            raise _refusal(
                holder,
                f"no staging folder can be made ({e.strerror})",
                "Make the directory writable for us",
            ) from e
        found = cls.find(holder_fd, holder)
        if found is None:
            raise _refusal(holder, "the staging folder vanished as it was made", "Try again")
        return found

    @classmethod
    def find(cls, holder_fd: int, holder: bytes) -> StagingFolder | None:
        """Open the staging folder of a directory if it has one.

        Raises:
            VaultError: something of that name is not ours alone.
        """
        remedy = "Look at what it is and move it away: a customer may have put it there"
        try:
            fd = os.open(STAGING_NAME, DIRECTORY_FLAGS, dir_fd=holder_fd)
        except FileNotFoundError:
            return None
        except OSError as e:  # ELOOP and ENOTDIR for a link, ENOTDIR for a file, EACCES for another's folder
            raise _refusal(
                holder, f"expected a folder of ours, which it is not ({e.strerror})", remedy
            ) from e
        try:
            st = os.fstat(fd)
            if st.st_uid != os.geteuid() or stat.S_IMODE(st.st_mode) & _OTHERS:
                raise _refusal(
                    holder,
                    f"expected owner {os.geteuid()} and mode 0700, "
                    f"got owner {st.st_uid} and mode {stat.S_IMODE(st.st_mode):04o}",
                    remedy,
                )
            if mount_of(fd) != mount_of(holder_fd):
                raise _refusal(
                    holder, "it is on another mount than the directory that it is in", "Unmount it"
                )
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


@dataclass(frozen=True, slots=True)
class Holder:
    """A directory that may have a staging folder.

    Attributes:
        path: below the volume's root; b"" is the root itself.
        fd: not to be closed by whoever gets it.
    """

    path: bytes
    fd: int


def holders(stack: ExitStack, root_fd: int, directory: bytes, directory_fd: int) -> list[Holder]:
    """Where the staging folder for a file can be, in the order in which they are to be tried.

    Args:
        stack: closes what is opened here.
        directory: path of the file's directory below the root.
        directory_fd: that directory, open.

    Returns:
        the topmost directory of the mount that the file lies on, and the file's own directory.

    Raises:
        OSError: EXDEV where the path does not lead to the open directory any more.
    """
    own = Holder(directory, directory_fd)
    if mount_of(root_fd) == mount_of(directory_fd):
        top = Holder(b"", root_fd)
    else:
        top = _topmost(stack, root_fd, own)
    return [top] if top.path == own.path else [top, own]


def _topmost(stack: ExitStack, root_fd: int, own: Holder) -> Holder:
    """The first directory on the way from the root from which on all lie on the same mount as the last."""
    wanted = mount_of(own.fd)
    components = own.path.split(b"/") if own.path else []
    found: Holder | None = None
    fd = os.dup(root_fd)
    try:
        for depth, component in enumerate(components, 1):
            below = os.open(component, DIRECTORY_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
            if mount_of(fd) != wanted:
                found = None
            elif found is None:
                found = Holder(b"/".join(components[:depth]), os.dup(fd))
                stack.callback(os.close, found.fd)
        st, expected = os.fstat(fd), os.fstat(own.fd)
    finally:
        os.close(fd)
    if found is None or (st.st_dev, st.st_ino) != (expected.st_dev, expected.st_ino):
        raise OSError(errno.EXDEV, "the directory is not where it was, or outside the volume")
    return found


def _refusal(holder: bytes, what: str, remedy: str) -> VaultError:
    where = display(holder.rstrip(b"/") + b"/" + STAGING_NAME.encode())
    return VaultError(what, where=where, remedy=remedy)
