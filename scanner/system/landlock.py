"""Landlock: a process shuts itself out of the file system and of the network, for good (landlock(7)).

From Linux 5.13 on, for TCP from 6.7, for signals and abstract UNIX sockets from 6.12; what a kernel does not
know stays as it is, so this is one layer of several. It restricts no `stat`, `chmod` or `utime` by path and
no UDP.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

from scanner.system import libc, power

# How many of the file system's access bits each version knows (linux/landlock.h): REFER came with 2, TRUNCATE
# with 3, IOCTL_DEV with 5.
_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_BITS = 16
_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = (
    1 << 1,
    1 << 2,
    1 << 3,
    1 << 5,
    1 << 8,
    1 << 14,
)
_OF_FILES = (
    1 | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
)  # what a rule for something else than a directory may say
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPES = 3  # abstract UNIX sockets and signals
_NET_FROM, _SCOPES_FROM = 4, 6
_VERSION, _PATH_BENEATH = 1, 1  # a flag of create_ruleset; a type of rule

PathLike = bytes | str | Path


def version() -> int:
    """The version of Landlock in force here; 0 where the kernel has none or it is switched off."""
    try:
        return libc.syscall(
            "landlock_create_ruleset", ctypes.c_void_p(None), ctypes.c_size_t(0), ctypes.c_long(_VERSION)
        )
    except OSError:
        return 0


def restrict(*, read: Sequence[PathLike] = (), write: Sequence[PathLike] = (), tcp: bool = False) -> bool:
    """Leave this thread, and all it starts, no file but these. Nothing can be executed.

    Args:
        read: files, or directories with all below them, that may be read; what is missing, or out of this
        user's
            reach anyhow, is passed over.
        write: the same, to be read, written, made and removed as well (regular files only).
        tcp: connections to others may be made; none is ever accepted.

    Returns:
        False where the kernel has no Landlock: nothing is restricted then.

    Raises:
        OSError: a step was refused; the process must not go on.
    """
    known = version()
    if not known:
        return False
    power.no_new_privs()
    handled = (1 << _BITS.get(known, _ALL_BITS)) - 1
    ruleset = _ruleset(known, handled, tcp=tcp)
    try:
        reading = _READ_FILE | _READ_DIR
        for path in read:
            _allow(ruleset, path, reading & handled)
        for path in write:
            _allow(ruleset, path, (reading | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE) & handled)
        libc.syscall("landlock_restrict_self", ctypes.c_long(ruleset), ctypes.c_long(0))
    finally:
        os.close(ruleset)
    return True


def _ruleset(known: int, handled: int, *, tcp: bool) -> int:
    fields = [handled]
    if known >= _NET_FROM:
        fields.append(_BIND_TCP if tcp else _BIND_TCP | _CONNECT_TCP)
    if known >= _SCOPES_FROM:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    return libc.syscall(
        "landlock_create_ruleset",
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(len(attributes)),
        ctypes.c_long(0),
    )


def _allow(ruleset: int, path: PathLike, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, fd)
        libc.syscall(
            "landlock_add_rule",
            ctypes.c_long(ruleset),
            ctypes.c_long(_PATH_BENEATH),
            ctypes.c_char_p(rule),
            ctypes.c_long(0),
        )
    finally:
        os.close(fd)
