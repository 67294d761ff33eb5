"""Directories in which a file system or its tools show older states of a volume.

What lies there is a copy of what lies, or lay, in the volume; it can't be changed, so nothing in it could be
secured, and there may be thousands of them. They are left out unless the operator wants them scanned.

| told by the name | who makes it |
|---|---|
| .zfs | ZFS, in the root of a dataset with snapdir=visible |
| .snapshot | NetApp ONTAP, in the root of an export (or in every directory) |
| .snapshots | snapper, on btrfs and thin LVM volumes |

A customer can give a folder such a name to keep it from being looked at. So the name alone is not enough: it
has to belong to root and be writable for nobody else, which a customer can't make.
"""

from __future__ import annotations

import os
import stat

NAMES = frozenset({".zfs", ".snapshot", ".snapshots"})


def is_snapshots(name: str, directory_fd: int) -> bool:
    """Whether an entry of an open directory holds snapshots."""
    if name not in NAMES:
        return False
    try:
        st = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(st.st_mode) and st.st_uid == 0 and not st.st_mode & 0o022


def has_snapshots(root_fd: int) -> bool:
    """Whether a volume shows its snapshots in its root."""
    return any(is_snapshots(name, root_fd) for name in NAMES)
