"""What a worker gives up before it sees its first file.

A worker decodes files of strangers with libraries written in C, so it is assumed to be taken over. What
is left to it is the memory it may use, the descriptors it is handed and one socket.

Each layer is one step; they are applied in order, in the only thread, after everything that will ever be
imported has been imported. The order matters: limits while they can still be set, the user before what a
change of user resets (the death signal, dumpability), what forbids system calls last.

A layer that this kernel does not have is left out and said to be missing: the parent warns, or refuses to
work without. A layer that is there and can't be applied ends the worker.
"""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scanner.hashing import policy
from scanner.system import landlock, power, seccomp
from scanner.system.descriptors import close_all_but

# 32 jobs of one message and as many as may wait in the socket, the standard streams, the socket, slack.
_DESCRIPTORS = 128
# Processes and threads of the workers' user, all together. Not none: libheif decodes in a thread it starts,
# and aborts without. It bounds a fork bomb where there is no seccomp, which allows threads and no process.
_TASKS = 1024
# Seconds that a thread which was waited for may still be seen: it is gone at once, if anything runs at all.
_THREADS_END = 5.0


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the layers need to know.

    Attributes:
        socket_fd: stays open, besides the three standard streams.
        parent_pid: the worker ends with this process.
        uid, gid: whom to become when started as root.
        address_space: bytes of virtual memory.
        cpu_seconds: processor time of the whole process; it is killed beyond.
    """

    socket_fd: int
    parent_pid: int
    uid: int
    gid: int
    address_space: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One step. `apply` returns whether it is in force, and raises OSError if it was refused."""

    name: str
    apply: Callable[[Confinement], bool]


class Orphaned(Exception):
    """The parent died before the worker could tie itself to it."""


def _close_descriptors(c: Confinement) -> bool:
    close_all_but({0, 1, 2, c.socket_fd})
    return True


def _first_to_be_killed(c: Confinement) -> bool:
    """When memory runs out, the kernel takes a worker before any customer's process."""
    try:
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")
    except OSError:
        return False
    return True


def _limits(c: Confinement) -> bool:
    power.lower_limit(resource.RLIMIT_AS, c.address_space)
    power.lower_limit(resource.RLIMIT_CPU, c.cpu_seconds)
    power.lower_limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    power.lower_limit(
        resource.RLIMIT_FSIZE, 0
    )  # standard output and error must be no files: it would die silently
    power.lower_limit(resource.RLIMIT_CORE, 0)
    if os.geteuid() == 0:  # counted per user: an ordinary user's own processes would use it up
        power.lower_limit(resource.RLIMIT_NPROC, _TASKS)
    return True


def _user(c: Confinement) -> bool:
    if os.geteuid() != 0:
        return False
    power.drop_user(c.uid, c.gid)
    return True


def _no_capabilities(c: Confinement) -> bool:
    power.drop_capabilities()
    return True


def _no_new_privs(c: Confinement) -> bool:
    power.no_new_privs()
    return True


def _die_with_parent(c: Confinement) -> bool:
    power.die_with_parent()
    if os.getppid() != c.parent_pid:
        raise Orphaned
    return True


def _not_dumpable(c: Confinement) -> bool:
    power.not_dumpable()
    return True


def _landlock(c: Confinement) -> bool:
    return landlock.restrict()


def _seccomp(c: Confinement) -> bool:
    return seccomp.install(policy.rules(c.socket_fd))


LAYERS: tuple[Layer, ...] = (
    Layer("close_descriptors", _close_descriptors),
    Layer("first_to_be_killed", _first_to_be_killed),
    Layer("limits", _limits),
    Layer("user", _user),
    Layer("no_capabilities", _no_capabilities),
    Layer("no_new_privs", _no_new_privs),
    Layer("die_with_parent", _die_with_parent),
    Layer("not_dumpable", _not_dumpable),
    Layer("landlock", _landlock),
    Layer("seccomp", _seccomp),  # forbids the calls of all the others
)


def expected_layers(*, root: bool) -> frozenset[str]:
    """The layers that a worker should have: only root can make it another user."""
    return frozenset(layer.name for layer in LAYERS if root or layer.name != "user")


def absent_layers() -> tuple[str, ...]:
    """The layers that this kernel does not have, as far as can be told without a worker."""
    there = {"landlock": landlock.abi() > 0, "seccomp": seccomp.available()}
    return tuple(name for name, here in there.items() if not here)


def _threads_left() -> int:
    """How many threads there are, once those have gone that ended: the kernel shows them a little longer."""
    end = time.monotonic() + _THREADS_END
    while (threads := len(os.listdir("/proc/self/task"))) != 1 and time.monotonic() < end:
        time.sleep(0.001)
    return threads


def enter(confinement: Confinement) -> tuple[str, ...]:
    """Apply all layers; returns the names of those in force.

    Raises:
        OSError: a layer was refused; the process must not go on.
        Orphaned: there is nobody to work for.
    """
    threads = _threads_left()
    if threads != 1:  # capabilities, no_new_privs and Landlock belong to a thread: another would keep its own
        raise OSError(errno.EBUSY, f"{threads} threads were started while decoders and hashers were loaded")
    return tuple(layer.name for layer in LAYERS if layer.apply(confinement))
