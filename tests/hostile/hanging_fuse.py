"""A FUSE file system that takes every question and answers none: a dead server, or somebody's bad intention.

Spoken directly to /dev/fuse (linux/fuse.h), so that nothing has to be installed. For tests in a mount
namespace of their own.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from pathlib import Path

_IN = struct.Struct("<IIQQIIII")  # fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, padding
_OUT = struct.Struct("<IiQ")  # fuse_out_header: len, error, unique
_INIT = 26


def mount(directory: Path) -> None:
    """Mount it; its end, or `release`, lets everybody go who waits for an answer.

    Raises:
        OSError: FUSE is not there, or mounting is not allowed.
    """
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"hanging", os.fsencode(directory), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount: Operation not permitted")
    threading.Thread(target=_swallow, args=(fd,), daemon=True).start()


def release(directory: Path) -> None:
    """Break the connection: whoever waits gets an error (umount2(2), MNT_FORCE)."""
    ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(directory), 1)


def _swallow(fd: int) -> None:
    while True:
        try:
            _, opcode, unique, *_ = _IN.unpack_from(os.read(fd, 1 << 20))
        except OSError:
            return
        if opcode == _INIT:
            # major, minor, max_readahead, flags, max_background and threshold, max_write, time_gran
            answer = struct.pack("<IIIIHHII", 7, 31, 0, 0, 12, 9, 4096, 1).ljust(64, b"\0")
            os.write(fd, _OUT.pack(_OUT.size + len(answer), 0, unique) + answer)
