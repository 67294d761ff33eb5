"""Starting a worker process and holding on to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from scanner.hashing.settings import WorkerSettings
from scanner.model.names import display

_TAIL = 2000  # characters of what a worker said last: a few lines of an error
_PIPE = 1 << 16  # bytes a pipe holds

# No thread pool of numpy's, since power is given up thread by thread, and one heap for all threads, since
# each takes 64 MiB of address space otherwise. Nothing else of our environment is a worker's business.
_ENVIRONMENT: Mapping[str, str] = {
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


class WorkerHandle(Protocol):
    """A worker as the pool sees it: a socket to talk to it, and ways to end it.

    `socket` is the pool's end of a SOCK_SEQPACKET pair, non-blocking; it becomes readable at the end.
    """

    @property
    def socket(self) -> socket.socket: ...

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """End it at once, whatever it does. May be called again."""

    def reap(self, seconds: float = 0.0) -> bool:
        """Whether the process has ended and nothing of it is left; waits so long for it."""

    def last_words(self) -> str:
        """The end of what it wrote to standard error, made harmless; "" if nothing."""


class WorkerProcess:
    """`python -I -m scanner.hashing.worker`, with a socket, an empty environment and nothing else of ours.

    Args:
        program: what Python runs instead, with the same arguments: to measure and test the sandbox.
    """

    def __init__(
        self, settings: WorkerSettings, program: Sequence[str] = ("-m", "scanner.hashing.worker")
    ) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        # Not a file: the worker may write none. Not blocking: a worker that talks too much goes unheard.
        self._stderr, stderr = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", *program, *_arguments(settings, theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=dict(_ENVIRONMENT),
                cwd="/",
            )
        except BaseException:
            self._socket.close()
            os.close(self._stderr)
            raise
        finally:
            theirs.close()
            os.close(stderr)

    @property
    def socket(self) -> socket.socket:
        return self._socket

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def reap(self, seconds: float = 0.0) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1
        return True

    def last_words(self) -> str:
        try:
            said = os.read(self._stderr, _PIPE)
        except OSError:  # nothing there, or closed
            return ""
        return display(said.strip().replace(b"\n", b" | "))[-_TAIL:]


def _arguments(settings: WorkerSettings, socket_fd: int) -> list[str]:
    numbers = {
        "socket-fd": socket_fd,
        "parent-pid": os.getpid(),
        "uid": settings.uid,
        "gid": settings.gid,
        "address-space": settings.address_space,
        "cpu-seconds": settings.cpu_seconds,
        "max-pixels": settings.max_pixels,
        "max-bytes": settings.max_bytes,
    }
    given = [f"--{name}={value}" for name, value in numbers.items()]
    lists = {"exact": settings.exact, "perceptual": settings.perceptual, "views": settings.views}
    return [*given, *(word for name, words in lists.items() for word in (f"--{name}", *words))]
