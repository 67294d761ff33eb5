"""Moving a name without ever replacing another: renameat2(2)."""

from __future__ import annotations

import ctypes
import errno
import os

from scanner.system import libc

_NOREPLACE = 1


def rename_noreplace(
    source_fd: int, source: bytes, target_fd: int, target: bytes, *, target_is_ours: bool = False
) -> None:
    """Rename between two open directories; an existing target is an error, never overwritten.

    Where the file system does not know RENAME_NOREPLACE (NFS, some FUSE: EINVAL), there are two ways. Into a
    directory that only we can write, under a name that is new by construction, a plain rename replaces
    nothing. Out of such a directory, link and unlink do: what is unlinked by name there is ours.

    Args:
        target_is_ours: the target directory is closed to others and the target name is unused; else the
            source directory must be the one that is closed to others.

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
        if target_is_ours:
            os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
            return
        os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        os.unlink(source, dir_fd=source_fd)
