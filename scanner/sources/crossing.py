"""Going into a directory, also into one on which something else is mounted, if that is wanted and safe."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from scanner.sources.policy import WalkPolicy
from scanner.system.mounts import is_pseudo, is_remote, type_of
from scanner.system.opening import DIRECTORY_FLAGS, mount_below


def open_below(
    parent_fd: int, name: bytes, policy: WalkPolicy, open_child: Callable[[int, bytes], int]
) -> tuple[int, str]:
    """Open a subdirectory where the policy lets a walk go.

    Args:
        open_child: opens a directory of the same mount (`child_opener`).

    Returns:
        the descriptor and ""; or -1 and what it is counted as (mount, pseudo_filesystem, …).

    Raises:
        OSError: it is gone, no directory any more, or can't be opened.
    """
    try:
        return open_child(parent_fd, name), ""
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
    return open_other_mount(parent_fd, name, policy)


def open_other_mount(parent_fd: int, name: bytes, policy: WalkPolicy) -> tuple[int, str]:
    """Open a directory on which something else is mounted.

    Views of the kernel hold nothing of a customer. What comes over a network or from user space may be
    a customer's own and hold the walk for ever: it is looked at as a volume of its own, or not at all.

    Returns:
        the descriptor and ""; or -1 and what it is to be counted as.

    Raises:
        OSError: it is gone, or can't be opened.
    """
    if policy.one_filesystem:
        return -1, "mount"
    kind = type_of(mount_below(parent_fd, name))
    if is_pseudo(kind):
        return -1, "pseudo_filesystem"
    if is_remote(kind):
        return -1, "network_filesystem"
    return os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd), ""
