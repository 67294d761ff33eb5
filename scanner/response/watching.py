"""Whether a file is written to while it is being secured, by somebody who opened it before."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import NamedTuple

from scanner.response.copying import copy_hashed

# Looks at a file that somebody touches all the time. Its bytes were right at the last of them: whoever keeps
# touching it (chmod, utime, a link made and removed) must not be able to keep it out of the vault for ever.
_LOOKS = 3


class Look(NamedTuple):
    """What every write changes, and some other things too."""

    size: int
    mtime_ns: int
    ctime_ns: int


def settle(fd: int) -> None:
    """Bring a file's pages to the disk, so that the next store into a shared mapping shows in its ctime.

    A store to a page that is dirty already changes no time stamp (measured on ext4, XFS, btrfs).

    Raises:
        OSError: EIO and the like.
    """
    try:
        os.fdatasync(fd)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def look_at(fd: int) -> Look:
    """How a file is now."""
    st = os.fstat(fd)
    return Look(st.st_size, st.st_mtime_ns, st.st_ctime_ns)


def check_unchanged(fd: int, before: Look, expected: Mapping[str, bytes], size: int) -> None:
    """Check that a file still has the bytes that were hashed. Where its look changed they are hashed again.

    Raises:
        ContentChangedError: it has others.
        SourceError: it can't be read.
        OSError: it can't be looked at.
    """
    for _ in range(_LOOKS):
        now = look_at(fd)
        if now == before:
            return
        settle(fd)
        before = look_at(fd)
        copy_hashed(fd, None, expected, size)
