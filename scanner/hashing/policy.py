"""The system calls that a locked worker may make: all that its own code and its decoders were seen to need.

Seen by strace, with every format, pictures large and broken, and the hashers that come with hostsweep, on
glibc 2.36; what glibc 2.28 to 2.41 does instead stands beside it. Anything else ends the worker, but for a
few calls that libraries make to see whether they would work: those fail with an error, and are not made.
"""

from __future__ import annotations

import errno

from scanner.system.seccomp import Argument, Rule, Test

_CLONE_THREAD = 0x00010000
_PROT_EXEC = 4
_WILLNEED = 3  # POSIX_FADV_WILLNEED
_PR_SET_NAME = 15  # threads name themselves (libde265, dav1d)

# Memory, time and threads of its own process.
_HARMLESS = (
    "futex", "munmap", "brk", "madvise", "mremap", "sched_yield", "clock_gettime", "gettimeofday", "time",
    "getcpu", "getpid", "gettid", "getrandom", "getrusage", "sched_getaffinity", "sysinfo", "sigaltstack",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "clock_nanosleep", "nanosleep",
    "set_robust_list", "rseq", "membarrier", "exit", "exit_group",
)  # fmt: skip
# Opening and looking by name. Libraries probe: glibc reads /sys and /proc for the number of processors and
# the size of memory (before a large sort), Python looks for a module that an error path wants. Landlock
# would refuse these, too; the error keeps a harmless probe from costing a picture its perceptual hash.
_PROBES = ("open", "openat", "access", "faccessat", "readlink", "readlinkat", "stat", "lstat")


def rules(socket_fd: int) -> tuple[Rule, ...]:
    """The worker's allow list, the most frequent calls first.

    Args:
        socket_fd: the only socket it may send to and receive from.
    """
    our_socket = (Argument(0, Test.EQUAL, socket_fd),)
    not_executable = (Argument(2, Test.NO_BIT, _PROT_EXEC),)
    said = ("write", "writev")  # a decoder's warnings, to standard error, which is a pipe or nothing
    return (
        # Files: the descriptors it was handed, at an offset of its own: theirs is shared with the parent.
        # newfstatat is how glibc makes fstat; it could also look at a path that nobody hides.
        *(Rule(call) for call in ("preadv2", "pread64", "preadv", "fstat", "newfstatat", "close")),
        Rule("fadvise64", (Argument(3, Test.EQUAL, _WILLNEED),)),  # begin to read
        Rule("sendto", our_socket),
        Rule("recvmsg", our_socket),
        *(Rule(call, not_executable) for call in ("mmap", "mprotect")),
        *(Rule(call) for call in _HARMLESS),
        Rule("clone", (Argument(0, Test.ANY_BIT, _CLONE_THREAD),)),
        Rule("clone3", error=errno.ENOSYS),  # flags in memory, out of a filter's sight; glibc falls back
        Rule("prctl", (Argument(0, Test.EQUAL, _PR_SET_NAME),)),
        *(Rule(call, (Argument(0, Test.EQUAL, fd),)) for call in said for fd in (2, 1)),
        Rule("ioctl", error=errno.ENOTTY),  # Python asks whether a file is a terminal
        *(Rule(call, error=errno.EACCES) for call in _PROBES),
    )  # fmt: skip
