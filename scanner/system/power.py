"""Giving up power: user, capabilities, limits. Each step is irreversible for this process.

The order matters (measured): limits first, then groups, bounding set, user and capabilities, then
no_new_privs; PR_SET_PDEATHSIG is cleared by a change of user, so it comes after.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Collection

from scanner.system import libc

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 1, 4, 23, 24
_PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 8, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
_CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_READ_SEARCH = 2  # read every file and enter every directory (linux/capability.h)


def lower_limit(which: int, value: int) -> None:
    """Set a soft and hard limit, or leave a smaller hard limit that is there already."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def drop_user(uid: int, gid: int, groups: Collection[int] = ()) -> None:
    """Become another user for good: no capabilities, an empty bounding set, no groups but these. Needs root.

    Raises:
        OSError: a step was refused; the process must not go on.
    """
    become(uid, gid, keep=(), groups=groups)


def become(uid: int, gid: int, keep: Collection[int], groups: Collection[int] = ()) -> None:
    """Become another user for good, with these capabilities and groups and no way to others. Needs root.

    What is kept is ambient too: programs that this process starts have it as well. To be called before any
    thread is started: capabilities are a thread's own.

    Raises:
        OSError: a step was refused; the process must not go on.
    """
    os.setgroups(list(groups))
    for capability in range(64):
        try:
            libc.prctl(_PR_CAPBSET_READ, capability)
        except OSError:
            break  # EINVAL: past the last one this kernel knows
        if capability not in keep:
            libc.prctl(_PR_CAPBSET_DROP, capability)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    libc.prctl(_PR_SET_KEEPCAPS, 1 if keep else 0)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    set_capabilities(keep)
    for capability in keep:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_capabilities() -> None:
    """Empty this thread's permitted, effective and inheritable sets."""
    set_capabilities(())


def set_capabilities(keep: Collection[int]) -> None:
    """Make this thread's permitted, effective and inheritable sets these, all of which it must have.

    Raises:
        OSError: EPERM: it doesn't have one of them.
    """
    header = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), 8)
    mask = sum(1 << capability for capability in keep)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = ctypes.create_string_buffer(struct.pack("<6I", low, low, low, high, high, high), 24)
    libc.syscall("capset", ctypes.cast(header, ctypes.c_void_p), ctypes.cast(data, ctypes.c_void_p))


def has_capability(capability: int) -> bool:
    """Whether it is in this thread's effective set."""
    with open("/proc/thread-self/status", "rb") as f:  # noqa: PTH123 - read in one go, from the kernel
        for line in f:
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def no_new_privs() -> None:
    """Nothing that is executed from here on gains a right."""
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def not_dumpable() -> None:
    """No core files, and no peer of the same user may look into this process."""
    libc.prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
