"""Refusing system calls for good: a short filter (see `seccomp`) for what Landlock leaves open.

It lists what is refused, not what is allowed: for processes that need a large library (TLS, name resolution),
whose calls differ from machine to machine. A refused call fails with EPERM.
"""

from __future__ import annotations

import errno

from scanner.system import seccomp
from scanner.system.numbers import machine
from scanner.system.seccomp import Argument, Otherwise, Rule, Test

_PROCESSES = (
    "fork", "vfork", "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "kill",
    "pidfd_open", "pidfd_send_signal", "pidfd_getfd",
)  # fmt: skip
_PROGRAMS = frozenset({"execve", "execveat"})
_KERNEL = (
    "unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "open_tree", "move_mount", "fsopen",
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "add_key", "request_key", "keyctl",
    "open_by_handle_at", "quotactl", "acct", "listen",
)  # fmt: skip
# By path, and so not Landlock's business: what belongs to the same user could be opened to others.
_ATTRIBUTES = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "utime", "utimes",
    "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr",
    "lremovexattr", "fremovexattr",
)  # fmt: skip
# Not socketpair, with which an event loop wakes itself: it leads nowhere.
_SOCKETS = ("socket", "connect", "bind")

_CLONE_THREAD = 0x10000  # linux/sched.h


def rules(*, network: bool, programs: bool = True) -> tuple[Rule, ...]:
    """The refuse list: everything that it does not name is made.

    Args:
        network: refuse sockets of every sort as well.
        programs: refuse to become another program; else Landlock has to say which one.
    """
    processes = [call for call in _PROCESSES if programs or call not in _PROGRAMS]
    refused = (*processes, *_KERNEL, *_ATTRIBUTES, *(_SOCKETS if network else ()))
    return (
        Rule("clone3", error=errno.ENOSYS),  # its flags can't be looked at; the C library falls back to clone
        Rule("clone", (Argument(0, Test.ANY_BIT, _CLONE_THREAD),)),
        Rule("clone", error=errno.EPERM),
        *(Rule(call, error=errno.EPERM) for call in refused),
    )


def refuse(*, network: bool, programs: bool = True) -> bool:
    """Refuse new processes, other programs, namespaces, looking into others, serving, and changing owners and
    modes.

    Args:
        network, programs: as `rules` has them.

    Returns:
        False where this machine's calls are not known, or its kernel has no filters.

    Raises:
        OSError: the filter was refused; the process must not go on.
    """
    try:
        seccomp.load(seccomp.assemble(rules(network=network, programs=programs), machine(), Otherwise.ALLOW))
    except OSError as e:
        if e.errno == errno.ENOSYS:
            return False
        raise
    return True
