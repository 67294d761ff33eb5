"""Numbers of system calls, by machine: asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache

# From 424 on they are the same everywhere.
COMMON = {
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        **COMMON,
        "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7,
        "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "readv": 19, "writev": 20,
        "access": 21, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39,
        "sendto": 44, "recvmsg": 47, "clone": 56, "exit": 60, "uname": 63, "readlink": 89,
        "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "capset": 126, "sigaltstack": 131,
        "prctl": 157, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204,
        "restart_syscall": 219, "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231,
        "ioprio_set": 251, "openat": 257, "newfstatat": 262, "readlinkat": 267, "faccessat": 269,
        "set_robust_list": 273, "preadv": 295, "prlimit64": 302, "getcpu": 309, "renameat2": 316,
        "seccomp": 317, "getrandom": 318, "membarrier": 324, "preadv2": 327, "rseq": 334,
    },
    "aarch64": {
        **COMMON,
        "ioctl": 29, "ioprio_set": 30, "faccessat": 48, "openat": 56, "close": 57, "lseek": 62,
        "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "preadv": 69, "readlinkat": 78,
        "newfstatat": 79, "fstat": 80, "capset": 91, "exit": 93, "exit_group": 94, "futex": 98,
        "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_nanosleep": 115,
        "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "uname": 160, "getrusage": 165,
        "prctl": 167, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "gettid": 178, "sysinfo": 179,
        "sendto": 206, "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220,
        "mmap": 222, "mprotect": 226, "madvise": 233, "prlimit64": 261, "renameat2": 276, "seccomp": 277,
        "getrandom": 278, "membarrier": 283, "preadv2": 286, "rseq": 293,
    },
}  # fmt: skip


@lru_cache(maxsize=1)
def machine() -> str:
    """This machine's architecture as the kernel calls it."""
    return platform.machine()
