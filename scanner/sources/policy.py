"""What a walk may look at and what it leaves out."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from scanner.sources.excludes import Excludes

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
    racy_ns: int = _RACY_NS

    def is_own(self, fd: int, name: bytes) -> bool:
        """Whether an open directory of this name is one of ours."""
        named = name == self.own_name != b""
        if not self.own and not named:
            return False
        st = os.fstat(fd)
        ours = named and st.st_uid in self.own_owners and stat.S_IMODE(st.st_mode) & 0o777 == 0o700
        return ours or (st.st_dev, st.st_ino) in self.own
