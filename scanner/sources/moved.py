"""Knowing a directory again that was moved or renamed, so that its files need not be read anew.

A rename sets the ctime of what is renamed and of nothing below it: a directory's files keep name, inode,
ctime and size, which is all that says of a file in its old place that it is as it was. So a directory that
stands at another path than the catalog has it is looked up by its own inode, and its files are compared with
its rows as if it had never moved. If the inode is another directory's by now, its files have other ctimes.

The same inode, ctime and size may be another file's in another subvolume of btrfs, and customers can make
subvolumes: two files that are written in one tick of the clock are enough. So in a subvolume other than the
root's its name is part of the inodes, and of the fingerprints; one that takes another's place is looked at
anew. The root's own has no name here: whoever can replace that is the operator.

A file that is itself renamed gets a new ctime, as one does that is written to. Nothing that customers can't
set tells the two apart (inode, generation and size stay the same in both), so it is read anew.
"""

from __future__ import annotations

import errno
import os
from hashlib import blake2b

from scanner.model.files import KnownDirectory
from scanner.model.ports import KnownFiles
from scanner.sources.policy import WalkPolicy
from scanner.system.mounts import mounts, type_of
from scanner.system.opening import mount_id, open_directory
from scanner.system.subvolumes import subvolume

# File systems on which a directory keeps its inode for as long as it is there, and no two files of a device
# have the same. Not those of a network or in user space, not overlayfs, and not bcachefs, whose subvolumes
# share a device.
_KEEPING = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "zfs", "tmpfs"})
_NAMED = 1 << 62  # numbers with a subvolume in them have this bit; twice as much SQLite can't hold


class Moves:
    """The directories of one volume by their inodes.

    Args:
        root_fd: the volume's root; only directories on the same device, or in subvolumes of btrfs, are known
            by inode.

    Attributes:
        subvolumes: whether directories may lie in subvolumes of btrfs.
    """

    def __init__(self, root_fd: int, policy: WalkPolicy, known: KnownFiles | None) -> None:
        self._root_fd = root_fd
        self._one_filesystem = policy.one_filesystem
        self._known = known
        self._device = os.fstat(root_fd).st_dev
        self._keeps = keeps_inodes(root_fd)
        here = subvolume(root_fd) != b""
        self.subvolumes = here or (not self._one_filesystem and any(m.type == "btrfs" for m in mounts()))

    def subvolume(self, fd: int) -> bytes:
        """The name of the subvolume an open directory lies in, unless that is the root's; b"" for none."""
        return subvolume(fd) if self.subvolumes and os.fstat(fd).st_dev != self._device else b""

    def inode(self, fd: int, subvolume: bytes) -> int:
        """A number for an open directory that no other one has; 0 where its inode is not to be relied on.

        Args:
            subvolume: what `subvolume` says of it.
        """
        st = os.fstat(fd)
        if subvolume:
            which = blake2b(subvolume + st.st_ino.to_bytes(8, "little"), digest_size=8).digest()
            return _NAMED | int.from_bytes(which, "little") % _NAMED
        return st.st_ino if self._keeps and st.st_dev == self._device and st.st_ino < _NAMED else 0

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
            return self.inode(fd, self.subvolume(fd)) == inode
        finally:
            os.close(fd)


def keeps_inodes(fd: int) -> bool:
    """Whether the file system of an open directory is one on which inodes say which file it is."""
    try:
        return type_of(mount_id(fd)) in _KEEPING
    except OSError:
        return False
