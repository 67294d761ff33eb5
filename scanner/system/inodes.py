"""Inodes as arrays: what file systems that can say much at once are asked for."""

from __future__ import annotations

import stat
from typing import Any

import numpy as np
import numpy.typing as npt

# Number, ctime in ns since 1970, bytes (0 for all but regular files), st_mode.
INODE = np.dtype([("inode", "<u8"), ("ctime", "<i8"), ("size", "<u8"), ("mode", "<u4")])
Inodes = npt.NDArray[Any]  # of INODE


def inodes(number: Any, ctime_ns: Any, size: Any, mode: Any) -> Inodes:
    """Columns as one array. The size of what is no regular file is left out: it says nothing of a content."""
    made: Inodes = np.empty(len(number), INODE)
    made["inode"], made["ctime"], made["mode"] = number, ctime_ns, mode
    made["size"] = np.where((made["mode"] & stat.S_IFMT(0o177777)) == stat.S_IFREG, size, 0)
    return made
