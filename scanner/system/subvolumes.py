"""Subvolumes of btrfs: which one a directory lies in, and how far it has changed."""

from __future__ import annotations

import ctypes
import fcntl
import os

from scanner.system import libc

_SUBVOLUME = 0x81F8943C  # _IOR(0x94, 60, struct btrfs_ioctl_get_subvol_info_args)
_SUBVOLUME_SIZE, _GENERATION_AT, _UUID_AT = 504, 280, 296
_NO_UUID = bytes(16)  # of the top level of a file system that was made before 2018


def subvolume(fd: int) -> bytes:
    """Names the subvolume of an open directory, of this file system or another: never given again, and the
    same after the next mount. b"" where this is no btrfs. Needs no right, and Linux 4.18."""
    buffer = bytearray(_SUBVOLUME_SIZE)
    try:
        fcntl.ioctl(fd, _SUBVOLUME, buffer)
    except OSError:
        return b""
    uuid = bytes(buffer[_UUID_AT : _UUID_AT + 16])
    of = uuid if uuid != _NO_UUID else os.fstatvfs(fd).f_fsid.to_bytes(8, "little")
    return bytes(buffer[:8]) + of


def generation(fd: int) -> int:
    """The last generation of the subvolume of an open directory, with everything written until now in it.

    Raises:
        OSError: ENOTTY where this is no btrfs.
    """
    buffer = bytearray(_SUBVOLUME_SIZE)
    fcntl.ioctl(fd, _SUBVOLUME, buffer)  # says at once whether this is btrfs
    libc.syscall("syncfs", ctypes.c_int(fd))  # what is not yet in the tree can't be searched
    fcntl.ioctl(fd, _SUBVOLUME, buffer)
    return int.from_bytes(buffer[_GENERATION_AT : _GENERATION_AT + 8], "little")
