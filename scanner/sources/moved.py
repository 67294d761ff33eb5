"""Knowing a directory again that was moved or renamed, so that its files need not be read anew.

A rename sets the ctime of what is renamed and of nothing below it: a directory's files keep name, inode,
ctime and size, which is all that says of a file in its old place that it is as it was. So a directory that
stands at another path than the catalog has it is looked up by its own inode, and its files are compared with
its rows as if it had never moved. If the inode is another directory's by now, its files have other ctimes.

A file that is itself renamed gets a new ctime, as one does that is written to. Nothing that customers can't
set tells the two apart (inode, generation and size stay the same in both), so it is read anew.
"""

from __future__ import annotations

import errno
import os

from scanner.model.files import KnownDirectory
from scanner.model.ports import KnownFiles
from scanner.sources.policy import WalkPolicy
from scanner.system.mounts import type_of
from scanner.system.opening import mount_id, open_directory

# File systems on which a directory keeps its inode for as long as it is there, and no two files of a device
# have the same. Not those of a network or in user space, not overlayfs, and not bcachefs, whose subvolumes
# share a device. Those of btrfs have one each.
_KEEPING = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "zfs", "tmpfs"})
_SIGNED = 1 << 63  # what SQLite can hold


class Moves:
    """The directories of one volume by their inodes.

    Args:
        root_fd: the volume's root; only directories on the same device are known by inode.
    """

    def __init__(self, root_fd: int, policy: WalkPolicy, known: KnownFiles | None) -> None:
        self._root_fd = root_fd
        self._one_filesystem = policy.one_filesystem
        self._known = known
        self._device = os.fstat(root_fd).st_dev if keeps_inodes(root_fd) else None

    def inode(self, fd: int) -> int:
        """An open directory's inode; 0 where it is not to be relied on."""
        if self._device is None:
            return 0
        st = os.fstat(fd)
        return st.st_ino if st.st_dev == self._device and st.st_ino < _SIGNED else 0

    def former(self, inode: int) -> KnownDirectory | None:
        """What the catalog has of the directory with an inode, unless that may still be where it was.

        Raises:
            CatalogError: from the catalog.
        """
        found = self._known.formerly(inode) if self._known is not None and inode else None
        if found is None or (found.path is not None and self._may_be_at(found.path, inode)):
            return None
        return found.known

    def _may_be_at(self, path: bytes, inode: int) -> bool:
        """Whether a walk may meet the directory at this path as well: then it is no move."""
        try:
            fd = open_directory(self._root_fd, path, one_mount=True)
        except OSError as e:
            not_walked = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
            return e.errno not in (not_walked | {errno.EXDEV} if self._one_filesystem else not_walked)
        try:
            return self.inode(fd) == inode
        finally:
            os.close(fd)


def keeps_inodes(fd: int) -> bool:
    """Whether the file system of an open directory is one on which inodes say which file it is."""
    try:
        return type_of(mount_id(fd)) in _KEEPING
    except OSError:
        return False
