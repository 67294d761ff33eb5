"""The C library, with errno turned into OSError."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import lru_cache

from scanner.system.numbers import COMMON, NUMBERS, machine


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    lib = ctypes.CDLL(None, use_errno=True)
    lib.syscall.restype = ctypes.c_long
    return lib


def number(name: str) -> int:
    """The number of a system call on this machine.

    Raises:
        OSError: ENOSYS where we don't know it.
    """
    try:
        return NUMBERS.get(machine(), COMMON)[name]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no number known for {name} on {machine()}") from None


def syscall(
    name: str, *args: ctypes.c_int | ctypes.c_long | ctypes.c_size_t | ctypes.c_void_p | ctypes.c_char_p
) -> int:
    """Make a system call with typed arguments; repeats it after EINTR.

    Raises:
        OSError: with the call's errno.
    """
    nr = ctypes.c_long(number(name))
    while True:
        result = int(_libc().syscall(nr, *args))
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, f"{name}: {os.strerror(code)}")


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2).

    Raises:
        OSError: with the call's errno.
    """
    longs = [ctypes.c_long(a) for a in (option, arg2, arg3, arg4, arg5)]
    return syscall("prctl", *longs)
