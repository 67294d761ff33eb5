"""What a walk may look at and what it leaves out."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass

from scanner.sources.excludes import Excludes
from scanner.sources.mail import PrivateStore, is_spool

# Each level may cost an open descriptor; 1024 is below every usual hard limit and far above what
# people and programs make (the deepest trees of package managers have some dozens of levels).
_MAX_DEPTH = 1024
# The coarsest time stamp of a local file system is the kernel's tick (10 ms); 2 s are those of FAT, and
# what git calls "racily clean" is cured the same way.
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class WalkPolicy:
    """The operator's wishes for one volume.

    Attributes:
        excludes: what `compile_excludes` made; None leaves nothing out.
        one_filesystem: other mounts are counted as "mount" and not entered, bind mounts included.
        max_depth: directories this many levels below the root are walked, deeper ones only counted.
        mail_ground: why private mail and chat stores may be looked at; "" leaves them out.
        snapshots: walk directories of snapshots as well; else they are counted as "snapshot".
        own: (device, inode) of directories of ours: never looked at, whatever their name.
        own_name, own_owners: directories of ours that may be anywhere: this name, one of these owners and
            mode 0700 together. b"" for none. Customers can use the name too, and then it is not ours.
        profile: what the catalog's rows were made with; another profile gives other fingerprints.
        native: list directories by the extension, where it is built; the answers are the same.
        by_inode: look at directories, and tell of files to be hashed, in the order of the inodes: that is
            their order on the disk, and saves a spinning one most of its way.
        racy_ns: a file whose ctime is younger than this when seen could change without showing it.
    """

    excludes: Excludes | None = None
    one_filesystem: bool = True
    max_depth: int = _MAX_DEPTH
    mail_ground: str = ""
    snapshots: bool = False
    own: frozenset[tuple[int, int]] = frozenset()
    own_name: bytes = b""
    own_owners: frozenset[int] = frozenset()
    profile: bytes = b""
    native: bool = True
    by_inode: bool = False
    racy_ns: int = _RACY_NS

    def leaves_out(self, path: bytes, name: str, store: Collection[str], depth: int) -> str:
        """Why a directory is left out by where it lies, with all below it; "" if it is not.

        Args:
            path: below the volume's root; b"" is the root itself.
            name: its last component.
            store: what of the directory above it is private mail or chat.
            depth: levels below the root.
        """
        if self.excludes is not None and self.excludes.directory(path):
            return "excluded"
        if name in store or (not self.mail_ground and is_spool(path)):
            return "mail_store"
        return "depth" if depth > self.max_depth else ""

    def leaves_out_file(self, directory: bytes, name: bytes, store: PrivateStore | None) -> str:
        """The same for a regular file of a directory that is walked."""
        if store is not None and store.files:
            return "mail_store"
        excludes = self.excludes
        excluded = excludes is not None and excludes.files and any(excludes.among(directory, [name]))
        return "excluded" if excluded else ""

    def is_own(self, fd: int, name: bytes) -> bool:
        """Whether an open directory of this name is one of ours."""
        named = name == self.own_name != b""
        if not self.own and not named:
            return False
        st = os.fstat(fd)
        ours = named and st.st_uid in self.own_owners and stat.S_IMODE(st.st_mode) & 0o777 == 0o700
        return ours or (st.st_dev, st.st_ino) in self.own
