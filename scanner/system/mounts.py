"""Which file system a path lies on, by the kernel's table of mounts: nothing is asked of the file system.

A network file system whose server is gone, or one in user space (FUSE) that is badly meant, can hold whoever
touches it for ever, even in stat(2) and statfs(2). proc_pid_mountinfo(5) never does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

# Views of the kernel: nothing of a customer is in them, and some never end. automount points are among them
# since looking at one mounts what is behind it.
_PSEUDO = frozenset(
    {
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
    }
    | {
        "hugetlbfs",
        "mqueue",
        "nfsd",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
    }
    | {"tracefs"}
)
_REMOTE = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk", "glusterfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "orangefs", "smb3", "smbfs", "virtiofs"}
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")  # blanks, tabs, line ends and backslashes, in octal


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of the table; `point` as this process sees it, `source` a device or whatever is mounted."""

    id: int
    point: bytes
    type: str
    source: bytes = b""


def mounts() -> tuple[Mount, ...]:
    """All mounts, in the order they were made; none where /proc is missing."""
    try:
        with open("/proc/self/mountinfo", "rb") as f:  # noqa: PTH123 - read in one go, from the kernel
            lines = f.read().splitlines()
    except OSError:
        return ()
    return tuple(_parsed(line) for line in lines)


def _parsed(line: bytes) -> Mount:
    fields = line.split(b" ")
    rest = fields[fields.index(b"-", 6) + 1 :]
    return Mount(int(fields[0]), _unescaped(fields[4]), os.fsdecode(rest[0]), _unescaped(rest[1]))


def _unescaped(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), field)


def type_at(path: bytes) -> str:
    """The type of the file system an absolute path lies on, by its name alone; "" if unknown."""
    found = Mount(0, b"", "")
    for mount in mounts():
        inside = path == mount.point or path.startswith(mount.point.rstrip(b"/") + b"/")
        if inside and len(mount.point) >= len(found.point):  # the latest of those on the same point is on top
            found = mount
    return found.type


def type_of(mount_id: int) -> str:
    """The type of a mount; "" if there is none of that number (any more)."""
    return next((m.type for m in mounts() if m.id == mount_id), "")


def source_of(mount_id: int) -> bytes:
    """What is mounted, by its name: a device, or something else.

    Raises:
        ValueError: there is no mount of that number (any more).
    """
    for mount in mounts():
        if mount.id == mount_id:
            return mount.source
    raise ValueError("no such mount")


def is_pseudo(type: str) -> bool:
    return type in _PSEUDO


def is_remote(type: str) -> bool:
    """Whether a type of file system can stop answering: those of a network and those in user space."""
    return type in _REMOTE or type.startswith("fuse.")
