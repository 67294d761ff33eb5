"""Landlock: a process gives up the file system, TCP and signals to others, for good.

Measured on Linux 6.18, after landlock(7): an empty ruleset forbids every open, unlink, truncation and bind,
and leaves what is open already usable. It does not hide stat, readlink, chmod or utime by path, nor UDP:
those take seccomp. A kernel decides by its ABI number what it can forbid; nothing here asks its version.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from scanner.system import libc, power

# include/uapi/linux/landlock.h
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_NET_BIND_TCP, _NET_CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1

# Rights of the file system that an ABI knows, by the first ABI that has so many: 1 Linux 5.13, 2 5.19
# (REFER), 3 6.2 (TRUNCATE), 5 6.10 (IOCTL_DEV).
_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_NET_ABI, _SCOPE_ABI = 4, 6  # Linux 6.7, 6.12

_READ = _READ_FILE | _READ_DIR
# Regular files, directories and links; no device, socket or pipe is ever made, nothing is executed.
_WRITE = (
    _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER
)
_RUN = _EXECUTE | _READ_FILE
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE  # what a rule about a single file may name


def abi() -> int:
    """The kernel's Landlock ABI; 0 where there is none, or it was turned off at boot."""
    try:
        return libc.syscall(
            "landlock_create_ruleset",
            ctypes.c_void_p(None),
            ctypes.c_size_t(0),
            ctypes.c_int(_CREATE_RULESET_VERSION),
        )
    except OSError as e:
        # EPERM: a container's old seccomp profile answers so for calls it does not know.
        if e.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def restrict(
    read: Iterable[str | bytes | Path] = (),
    write: Iterable[str | bytes | Path] = (),
    *,
    run: Iterable[str | bytes | Path] = (),
    tcp: bool = False,
) -> bool:
    """Leave this thread, and what it starts, nothing of the file system but what is named.

    Sets no_new_privs. Other threads that run already are not restricted. Abstract UNIX sockets and signals
    to processes outside are refused where the kernel can (ABI 6).

    Args:
        read: directories and files that may still be read, with all that lies beneath.
        write: those that may be read and written; files, directories and links may be made and removed.
        run: programs that may still be executed; their loader and libraries have to be named as well.
        tcp: TCP may still be used; without, it is refused where the kernel can (ABI 4).

    Returns:
        False where the kernel has no Landlock: nothing was given up then.

    Raises:
        OSError: a path can't be opened, or the kernel refused; the process must not go on.
    """
    version = abi()
    if version < 1:
        return False
    rights = (1 << _RIGHTS[max(first for first in _RIGHTS if first <= version)]) - 1
    ruleset = _create(version, rights, tcp=tcp)
    try:
        for paths, access in ((read, _READ), (write, _WRITE), (run, _RUN)):
            for path in paths:
                _allow(ruleset, path, access & rights)
        power.no_new_privs()
        libc.syscall("landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_int(0))
    finally:
        os.close(ruleset)
    return True


def _create(version: int, rights: int, *, tcp: bool) -> int:
    """A ruleset that forbids all it can; returns its descriptor."""
    net = 0 if tcp else _NET_BIND_TCP | _NET_CONNECT_TCP
    fields = [rights]
    if version >= _NET_ABI:
        fields.append(net)
    if version >= _SCOPE_ABI:
        fields.append(_SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL)
    attributes = ctypes.create_string_buffer(struct.pack(f"<{len(fields)}Q", *fields), 8 * len(fields))
    return libc.syscall(
        "landlock_create_ruleset",
        ctypes.cast(attributes, ctypes.c_void_p),
        ctypes.c_size_t(8 * len(fields)),
        ctypes.c_int(0),
    )


def _allow(ruleset: int, path: str | bytes | Path, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("<Qi", access, fd), 12)
        libc.syscall(
            "landlock_add_rule",
            ctypes.c_int(ruleset),
            ctypes.c_int(_RULE_PATH_BENEATH),
            ctypes.cast(rule, ctypes.c_void_p),
            ctypes.c_int(0),
        )
    finally:
        os.close(fd)
