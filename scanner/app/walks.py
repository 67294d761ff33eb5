"""What walks a volume, and what it is told: where our own files lie above all, which are nobody's to scan."""

from __future__ import annotations

import os
from contextlib import suppress

from scanner.app.state import StateDirectory
from scanner.app.tools import Tools, profile
from scanner.model.files import DirectoryFailed, DirectoryMet, FileStat
from scanner.pipeline.volume import Volume
from scanner.pipeline.walking import WalkedAlready, Walker, WalkerProcess, WalkOrder
from scanner.response import STAGING_NAME


def walker_for(tools: Tools, volume: Volume, root_fd: int, *, full: bool) -> Walker:
    """What walks a volume: a process of its own, or nothing where it is one file.

    Args:
        full: take every file as new.
    """
    if volume.only:
        return WalkedAlready([_single(root_fd, volume.only)])
    return WalkerProcess(order_of(tools, volume, full=full), root_fd, tools.stuck)


def sweep_walks(tools: Tools) -> None:
    """Delete what is kept of walks that no scan goes by any more: of volumes that are not scanned now, or not
    with this state directory."""
    oldest = tools.clock.now_ns() - int(tools.config.schedule.plain_walk_every * 1e9)
    with suppress(OSError):  # there may be none; what can't be deleted only takes room
        for path in tools.state.walks.iterdir():
            if path.stat().st_mtime_ns < oldest:  # the walk itself began before it was written
                path.unlink()


def order_of(tools: Tools, volume: Volume, *, full: bool) -> WalkOrder:
    """What the walking process is told."""
    return WalkOrder(
        volume=volume.name,
        root=volume.root,
        catalog="" if full else str(tools.state.catalog),
        profile=profile(tools.config),
        exclude=volume.exclude,
        one_filesystem=volume.one_filesystem,
        mail_ground=volume.mail_ground,
        snapshots=volume.snapshots,
        own=_own(tools.state),
        own_name=STAGING_NAME.encode(),
        own_owners=(0, os.geteuid()),
        inode_map=str(tools.state.inode_map(volume.name, volume.root)),
        plain_every=tools.config.schedule.plain_walk_every,
    )


def _own(state: StateDirectory) -> tuple[tuple[int, int], ...]:
    """Our own directories, by identity: a customer's folder of the same name is not ours."""
    found = []
    for path in (state.path, state.quarantine):
        try:
            st = path.stat()
        except OSError:
            continue  # not there, or behind another user's closed directory: no walk enters it either
        found.append((st.st_dev, st.st_ino))
    return tuple(found)


def _single(root_fd: int, name: bytes) -> DirectoryMet | DirectoryFailed:
    try:
        st = os.stat(name, dir_fd=root_fd, follow_symlinks=False)
    except OSError:
        return DirectoryFailed(name, "vanished")
    return DirectoryMet(path=b"", changed=(FileStat.of(name, st),))
