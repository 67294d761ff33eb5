"""Moving a name without ever replacing another: renameat2(2)."""

from __future__ import annotations

import ctypes
import errno
import os

from scanner.system import libc

_NOREPLACE = 1


def rename_noreplace(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
    """Rename between two open directories; an existing target is an error, never overwritten.

    Where the file system does not know RENAME_NOREPLACE (NFS, some FUSE: EINVAL), the same is done by
    link and unlink, which keeps the promise for regular files.

    Raises:
        OSError: EEXIST, ENOENT, EXDEV (another file system), EPERM (immutable), EACCES, ENOSPC.
    """
    try:
        libc.syscall(
            "renameat2",
            ctypes.c_int(source_fd),
            ctypes.c_char_p(source),
            ctypes.c_int(target_fd),
            ctypes.c_char_p(target),
            ctypes.c_int(_NOREPLACE),
        )
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        os.unlink(source, dir_fd=source_fd)
