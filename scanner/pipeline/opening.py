"""Opening the files that the walk named: beneath the volume's root, and only what is still a regular file."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from scanner.model.files import FileStat
from scanner.system.opening import open_directory, open_regular

# What an errno says of a customer's file. Anything else is "io".
_KINDS = {
    errno.ENOENT: "vanished",
    errno.ENOTDIR: "replaced",
    errno.ELOOP: "replaced",  # a symbolic link stands where the walk saw a file or directory
    errno.EINVAL: "replaced",  # opened, and no regular file
    errno.ENXIO: "replaced",  # a socket, or a device without a driver
    errno.EXDEV: "replaced",  # a mount or a way out of the volume
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ESTALE: "stale",
    errno.EMFILE: "descriptors",
    errno.ENFILE: "descriptors",
}


def failure_kind(error: OSError) -> str:
    """A short word for why a file could not be read, for counts and events."""
    return _KINDS.get(error.errno or 0, "io")


class OpenedFile(NamedTuple):
    """An open file as it was before anything of it was read; `atime_ns` is in ns since 1970."""

    fd: int
    stat: FileStat
    atime_ns: int


class OpenDirectory:
    """A directory of a volume, opened when the first of its files is, kept until the last is done.

    Securing needs this very descriptor: the file is moved out of the directory it was opened in, whatever
    its path leads to by then.
    """

    def __init__(self, root_fd: int, path: bytes, *, one_mount: bool = False) -> None:
        self._root_fd = root_fd
        self._one_mount = one_mount
        self.path = path
        self._fd = -1

    @property
    def fd(self) -> int:
        """The descriptor, opened now if it isn't yet.

        Raises:
            OSError: the directory is gone, or no longer what it was.
        """
        if self._fd < 0:
            self._fd = open_directory(self._root_fd, self.path, one_mount=self._one_mount)
        return self._fd

    def open(self, name: bytes) -> OpenedFile:
        """Open one of its files; tried once more when the file or directory moved meanwhile.

        Raises:
            OSError: see `failure_kind`.
        """
        try:
            fd, st = open_regular(self.fd, name)
        except (FileNotFoundError, NotADirectoryError):
            self.close()
            fd, st = open_regular(self.fd, name)
        return OpenedFile(fd, FileStat.of(name, st), st.st_atime_ns)

    def look(self, name: bytes) -> FileStat | None:
        """What stands at a name now; None if it is no regular file, or nothing.

        Raises:
            OSError: the directory is gone, or can't be searched.
        """
        try:
            st = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return FileStat.of(name, st) if stat.S_ISREG(st.st_mode) else None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
