"""Reading small files that must be regular ones."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """The first `most` bytes of a regular file, and its fstat.

    Raises:
        OSError: it can't be read; EINVAL for anything else that isn't a regular file.
    """
    # O_NONBLOCK: a pipe in the file's place must not hold us up.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        with open(fd, "rb", closefd=False) as f:
            return f.read(most), st
    finally:
        os.close(fd)
