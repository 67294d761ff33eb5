"""What a file is, beyond the number of its inode, which is given to another file once it is free.

ext4 gives a number again at once: a file made after the removal of another had the same one 50 times in 50
(measured). What tells the two apart is the inode's generation. It is in the file's handle, together with the
number (name_to_handle_at(2)); where handles can't be opened again (overlay), AT_HANDLE_FID (Linux 6.5) gives
one all the same; where there are none, FS_IOC_GETVERSION may give the generation alone.

A mark is text: `h<type>:<handle>`, `f<type>:<handle>` (FID), `g<generation>`, or "" where the file system has
nothing of the kind. Marks of different sorts say nothing about each other.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from scanner.system import libc
from scanner.system.opening import open_regular

_AT_EMPTY_PATH, _AT_HANDLE_FID = 0x1000, 0x200  # linux/fcntl.h
_MAX_HANDLE = 128  # bytes: MAX_HANDLE_SZ of linux/exportfs.h
_GETVERSION = 0x80087601  # FS_IOC_GETVERSION of linux/fs.h


def mark_of(fd: int) -> str:
    """The mark of an open file; "" if it can't be told."""
    return _handle(fd, b"", _AT_EMPTY_PATH) or _generation(fd)


def mark_at(directory_fd: int, name: bytes) -> str:
    """The mark of what stands at a name, links not followed; "" if it can't be told."""
    found = _handle(directory_fd, name, 0)
    if found:
        return found
    try:
        fd, _ = open_regular(directory_fd, name)
    except OSError:
        return ""
    try:
        return _generation(fd)
    finally:
        os.close(fd)


def differ(mark: str, other: str) -> bool:
    """Whether two marks are surely of two files; marks that can't be compared leave it open."""
    return mark[:1] == other[:1] and mark != other


def _handle(fd: int, name: bytes, flags: int) -> str:
    for sort, more in (("h", 0), ("f", _AT_HANDLE_FID)):
        handle = ctypes.create_string_buffer(struct.pack("Ii", _MAX_HANDLE, 0), 8 + _MAX_HANDLE)
        mount = ctypes.c_int()
        try:
            libc.syscall(
                "name_to_handle_at",
                ctypes.c_int(fd),
                ctypes.c_char_p(name),
                ctypes.cast(handle, ctypes.c_void_p),
                ctypes.cast(ctypes.byref(mount), ctypes.c_void_p),
                ctypes.c_int(flags | more),
            )
        except OSError:
            continue
        size, kind = struct.unpack_from("Ii", handle.raw)
        return f"{sort}{kind}:{handle.raw[8 : 8 + size].hex()}"
    return ""


def _generation(fd: int) -> str:
    answer = bytearray(8)  # the kernel writes 4 bytes, the number of the call says 8
    try:
        fcntl.ioctl(fd, _GETVERSION, answer)
    except OSError:
        return ""
    return f"g{struct.unpack_from('I', answer)[0]}"
