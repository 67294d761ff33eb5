"""The system calls that faults strike at: their numbers, and which arguments say what they change."""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a call has its arguments; -1 for none.

    Attributes:
        name: of the call.
        fd: argument that is a descriptor of what is changed.
        at: argument that is the directory of `path`.
        path: argument that is a path.
        to_at, to: the same of a second path.
    """

    name: str
    fd: int = -1
    at: int = -1
    path: int = -1
    to_at: int = -1
    to: int = -1


# Name, number on x86_64, number on aarch64 (-1: there is none), shape. From the kernel's tables
# (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
_CHANGING = (
    (1, 64, Shape("write", fd=0)),
    (18, 68, Shape("pwrite64", fd=0)),
    (20, 66, Shape("writev", fd=0)),
    (296, 70, Shape("pwritev", fd=0)),
    (328, 287, Shape("pwritev2", fd=0)),
    (40, 71, Shape("sendfile", fd=0)),
    (326, 285, Shape("copy_file_range", fd=2)),
    (74, 82, Shape("fsync", fd=0)),
    (75, 83, Shape("fdatasync", fd=0)),
    (277, 84, Shape("sync_file_range", fd=0)),
    (26, 227, Shape("msync")),
    (76, 45, Shape("truncate", path=0)),
    (77, 46, Shape("ftruncate", fd=0)),
    (285, 47, Shape("fallocate", fd=0)),
    (82, -1, Shape("rename", path=0, to=1)),
    (264, 38, Shape("renameat", at=0, path=1, to_at=2, to=3)),
    (316, 276, Shape("renameat2", at=0, path=1, to_at=2, to=3)),
    (86, -1, Shape("link", path=0, to=1)),
    (265, 37, Shape("linkat", at=0, path=1, to_at=2, to=3)),
    (88, -1, Shape("symlink", to=1)),
    (266, 36, Shape("symlinkat", to_at=1, to=2)),
    (87, -1, Shape("unlink", path=0)),
    (84, -1, Shape("rmdir", path=0)),
    (263, 35, Shape("unlinkat", at=0, path=1)),
    (83, -1, Shape("mkdir", path=0)),
    (258, 34, Shape("mkdirat", at=0, path=1)),
    (133, -1, Shape("mknod", path=0)),
    (259, 33, Shape("mknodat", at=0, path=1)),
    (2, -1, Shape("open", path=0)),
    (85, -1, Shape("creat", path=0)),
    (257, 56, Shape("openat", at=0, path=1)),
    (437, 437, Shape("openat2", at=0, path=1)),
    (90, -1, Shape("chmod", path=0)),
    (91, 52, Shape("fchmod", fd=0)),
    (268, 53, Shape("fchmodat", at=0, path=1)),
    (452, 452, Shape("fchmodat2", at=0, path=1)),
    (92, -1, Shape("chown", path=0)),
    (93, 55, Shape("fchown", fd=0)),
    (94, -1, Shape("lchown", path=0)),
    (260, 54, Shape("fchownat", at=0, path=1)),
    (280, 88, Shape("utimensat", fd=0)),  # by descriptor, as futimens(3) does it, and only so here
    (188, 5, Shape("setxattr", path=0)),
    (189, 6, Shape("lsetxattr", path=0)),
    (190, 7, Shape("fsetxattr", fd=0)),
    (197, 14, Shape("removexattr", path=0)),
    (198, 15, Shape("lremovexattr", path=0)),
    (199, 16, Shape("fremovexattr", fd=0)),
    (16, 29, Shape("ioctl", fd=0)),
)
MARK = "/hostsweep-fault-mark"  # looked for by `mark`; there is no such file
_ACCESS = (
    (21, -1, Shape("mark", path=0)),
    (269, 48, Shape("mark", at=0, path=1)),
)
_EXITS = {"x86_64": (60, 231), "aarch64": (93, 94)}
_STARTS = {"x86_64": (56, 57, 58, 435), "aarch64": (220, 435)}  # clone, fork, vfork, clone3
_TCGETS = 0x5401  # "is this a terminal?", which Python asks of every file that it opens
_OPEN_FLAGS = {"open": 1, "openat": 2}  # argument that has the flags
_CREATES = os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Table:
    """The calls of one machine."""

    changing: dict[int, Shape]
    looking: dict[int, Shape]
    exits: frozenset[int]
    starts: frozenset[int]

    @classmethod
    def here(cls) -> Table:
        """The table of this machine.

        Raises:
            NotImplementedError: its numbers are not known here.
        """
        machine = platform.machine()
        if machine not in _EXITS:
            raise NotImplementedError(f"no system call numbers of {machine}")
        column = 0 if machine == "x86_64" else 1
        changing = {row[column]: row[2] for row in _CHANGING if row[column] >= 0}
        looking = {row[column]: row[2] for row in _ACCESS if row[column] >= 0}
        return cls(changing, looking, frozenset(_EXITS[machine]), frozenset(_STARTS[machine]))

    def shape(self, number: int, args: tuple[int, ...], read: Callable[[int, int], bytes]) -> Shape | None:
        """What a call changes, or None if it changes nothing on a file system.

        Args:
            read: reads the caller's memory: (address, length).
        """
        shape = self.changing.get(number)
        if shape is None:
            return None
        if shape.name in _OPEN_FLAGS:
            return shape if args[_OPEN_FLAGS[shape.name]] & _CREATES else None
        if shape.name == "openat2":
            return shape if struct.unpack("Q", read(args[2], 8))[0] & _CREATES else None
        if shape.name == "ioctl" and args[1] & 0xFFFFFFFF == _TCGETS:
            return None
        return shape
