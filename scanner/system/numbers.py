"""Numbers of system calls, by machine: asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache

# From 424 on they are the same everywhere.
COMMON = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    "fchmodat2": 452, "setxattrat": 463,
}  # fmt: skip
NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        **COMMON,
        "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7,
        "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "readv": 19, "writev": 20,
        "access": 21, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39,
        "socket": 41, "connect": 42, "sendto": 44, "recvmsg": 47, "bind": 49, "listen": 50, "clone": 56,
        "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "kill": 62, "uname": 63, "readlink": 89,
        "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "gettimeofday": 96,
        "getrusage": 98, "sysinfo": 99, "ptrace": 101, "capset": 126, "sigaltstack": 131, "utime": 132,
        "pivot_root": 155, "prctl": 157, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166,
        "quotactl": 179, "gettid": 186, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
        "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "time": 201, "futex": 202,
        "sched_getaffinity": 204, "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228,
        "clock_nanosleep": 230, "exit_group": 231, "utimes": 235, "add_key": 248, "request_key": 249,
        "keyctl": 250, "ioprio_set": 251, "openat": 257, "fchownat": 260, "futimesat": 261, "newfstatat": 262,
        "readlinkat": 267, "fchmodat": 268, "faccessat": 269, "unshare": 272, "set_robust_list": 273,
        "utimensat": 280, "preadv": 295, "perf_event_open": 298, "prlimit64": 302, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "syncfs": 306, "setns": 308, "getcpu": 309, "process_vm_readv": 310,
        "process_vm_writev": 311, "renameat2": 316, "seccomp": 317, "getrandom": 318, "bpf": 321,
        "execveat": 322, "userfaultfd": 323, "membarrier": 324, "preadv2": 327, "rseq": 334,
    },
    "aarch64": {
        **COMMON,
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
        "fremovexattr": 16, "ioctl": 29, "ioprio_set": 30, "umount2": 39, "mount": 40, "pivot_root": 41,
        "faccessat": 48, "chroot": 51, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55,
        "openat": 56, "close": 57, "quotactl": 60, "lseek": 62, "read": 63, "write": 64, "readv": 65,
        "writev": 66, "pread64": 67, "preadv": 69, "readlinkat": 78, "newfstatat": 79, "fstat": 80,
        "utimensat": 88, "acct": 89, "capset": 91, "exit": 93, "exit_group": 94, "unshare": 97, "futex": 98,
        "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_nanosleep": 115,
        "ptrace": 117, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "kill": 129,
        "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "uname": 160,
        "getrusage": 165, "prctl": 167, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "gettid": 178,
        "sysinfo": 179, "socket": 198, "bind": 200, "listen": 201, "connect": 203, "sendto": 206,
        "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216, "add_key": 217, "request_key": 218,
        "keyctl": 219, "clone": 220, "execve": 221, "mmap": 222, "fadvise64": 223, "mprotect": 226,
        "madvise": 233, "perf_event_open": 241, "prlimit64": 261, "name_to_handle_at": 264,
        "open_by_handle_at": 265, "syncfs": 267, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "renameat2": 276, "seccomp": 277,
        "getrandom": 278, "bpf": 280, "execveat": 281, "userfaultfd": 282, "membarrier": 283,
        "preadv2": 286, "rseq": 293,
    },
}  # fmt: skip


@lru_cache(maxsize=1)
def machine() -> str:
    """This machine's architecture as the kernel calls it."""
    return platform.machine()
