"""A file that others read at any moment: written beside its place, then put there in one step."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file's content whole or not at all.

    A symbolic link, device or directory in its place is refused: running as root, replacing /dev/stdout
    or following a stranger's link would do harm.

    Raises:
        OSError: the directory can't be written, or the place is taken by something else.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
    except FileNotFoundError:
        pass
    # The collector reads *.prom; a name that begins with a dot and ends otherwise is never read half-done.
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(fd, "wb") as f:  # noqa: PTH123 - from a descriptor
            f.write(content)
            f.flush()
            os.fchmod(fd, mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
