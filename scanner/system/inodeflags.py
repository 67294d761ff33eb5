"""Flags that forbid changes of a file (chattr +i, +a), and whether somebody has a file open for writing."""

from __future__ import annotations

import errno
import fcntl
import signal
import struct

IMMUTABLE, APPEND_ONLY = 0x10, 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
_FORBIDDING = IMMUTABLE | APPEND_ONLY
_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_WORDS = {IMMUTABLE: "immutable", APPEND_ONLY: "append-only"}


def forbidding_flags(fd: int) -> int:
    """Which of IMMUTABLE and APPEND_ONLY an open file or directory has; 0 where the file system has none."""
    try:
        return _all_flags(fd) & _FORBIDDING
    except OSError:
        return 0


def set_forbidding_flags(fd: int, flags: int) -> None:
    """Give an open file just these of IMMUTABLE and APPEND_ONLY; its other flags stay.

    Raises:
        OSError: EPERM without CAP_LINUX_IMMUTABLE; ENOTTY, EOPNOTSUPP where the file system has none.
    """
    wanted = (_all_flags(fd) & ~_FORBIDDING) | (flags & _FORBIDDING)
    fcntl.ioctl(fd, _SETFLAGS, struct.pack("Q", wanted))


def flag_words(flags: int) -> str:
    """The flags in words."""
    return " and ".join(word for bit, word in _WORDS.items() if flags & bit)


def _all_flags(fd: int) -> int:
    answer = bytearray(8)  # the kernel writes 4 bytes, the number of the call says 8
    fcntl.ioctl(fd, _GETFLAGS, answer)
    return int(struct.unpack_from("I", answer)[0])


def open_for_writing(fd: int) -> bool:
    """Whether somebody has a file open for writing, or mapped so; False where it can't be told.

    A read lease is refused with EAGAIN while there is a writer (fcntl(2), F_SETLEASE). A lease that we got is
    given back at once. Who opens the file in that moment makes the kernel signal us: SIGURG, which is
    ignored by default, instead of SIGIO, which kills.

    Args:
        fd: opened for reading only.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        return e.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
