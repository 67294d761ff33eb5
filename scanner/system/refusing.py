"""Refusing system calls for good: a short seccomp(2) filter for what Landlock leaves open.

It lists what is refused, not what is allowed: for processes that need a large library (TLS, name resolution),
whose calls differ from machine to machine. A refused call fails with EPERM.
"""

from __future__ import annotations

import ctypes
import platform
import struct

from scanner.system import libc, power

# Calls by machine (x86_64, aarch64); 0 where a machine does not have it. Those from 424 on are the same
# everywhere.
_PROCESSES = {
    "fork": (57, 0), "vfork": (58, 0), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kill": (62, 129), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
}  # fmt: skip
_KERNEL = {
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "open_by_handle_at": (304, 265), "quotactl": (179, 60), "acct": (163, 89),
    "listen": (50, 201),
}  # fmt: skip
# By path, and so not Landlock's business: what belongs to the same user could be opened to others.
_ATTRIBUTES = {
    "chmod": (90, 0), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, 0), "lchown": (94, 0), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, 0), "utimes": (235, 0), "futimesat": (261, 0), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
# Not socketpair, with which an event loop wakes itself: it leads nowhere.
_SOCKETS = {"socket": (41, 198), "connect": (42, 203), "bind": (49, 200)}

_MACHINES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, AUDIT_ARCH_*, clone
_CLONE3 = 435
_CLONE_THREAD = 0x10000
_X32 = 0x40000000  # the same calls under other numbers, on x86_64

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF (linux/filter.h)
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h; the last with an errno
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_SET_MODE_FILTER, _TSYNC = 1, 1


def refuse(*, network: bool) -> bool:
    """Refuse new processes, other programs, namespaces, looking into others, serving, and changing owners and
    modes.

    Args:
        network: refuse sockets of every sort as well.

    Returns:
        False where this machine's calls are not known, or its kernel has no filters.

    Raises:
        OSError: the filter was refused; the process must not go on.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    column, architecture, clone = machine
    refused = _PROCESSES | _KERNEL | _ATTRIBUTES | (_SOCKETS if network else {})
    numbers = sorted({n[column] for n in refused.values()} - {0})
    program = _program(architecture, clone, numbers)
    power.no_new_privs()
    code = ctypes.create_string_buffer(b"".join(program))
    header = ctypes.create_string_buffer(struct.pack("=H6xQ", len(program), ctypes.addressof(code)))
    try:
        libc.syscall(
            "seccomp",
            ctypes.c_long(_SET_MODE_FILTER),
            ctypes.c_long(_TSYNC),
            ctypes.cast(header, ctypes.c_void_p),
        )
    except OSError as e:
        if e.errno == _ENOSYS:
            return False
        raise
    return True


def _program(architecture: int, clone: int, refused: list[int]) -> list[bytes]:
    def step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, true, false, value)

    program = [
        step(_LOAD, _ARCH),
        step(_EQUAL, architecture, true=1),
        step(_RETURN, _KILL),  # calls of another machine, under numbers that mean something else
        step(_LOAD, _NUMBER),
        step(_AT_LEAST, _X32, false=1),
        step(_RETURN, _KILL),
        step(_EQUAL, _CLONE3, false=1),
        step(_RETURN, _REFUSE | _ENOSYS),  # its flags can't be looked at; the C library falls back to clone
        step(_EQUAL, clone, false=4),
        step(_LOAD, _FIRST_ARGUMENT),
        step(_ANY_BIT, _CLONE_THREAD, false=1),
        step(_RETURN, _ALLOW),
        step(_RETURN, _REFUSE | _EPERM),
    ]
    for number in refused:
        program += [step(_EQUAL, number, false=1), step(_RETURN, _REFUSE | _EPERM)]
    return [*program, step(_RETURN, _ALLOW)]
