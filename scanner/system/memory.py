"""Files that live in memory only (memfd_create, Linux 3.17)."""

from __future__ import annotations

import fcntl
import os


def read_only_file(content: bytes) -> int:
    """A sealed file of this content, without a name, open for reading only; the caller's to close.

    Raises:
        OSError: there is no memory, or /proc is not mounted.
    """
    fd = os.memfd_create("file", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(fd), "wb") as out:
            out.write(content)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        # Opened anew, since the descriptor that made it can write: to its receiver it is as any other file.
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(fd)
