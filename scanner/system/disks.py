"""Whether a file system lies on spinning disks, by what the kernel says of its devices in /sys."""

from __future__ import annotations

import os
from pathlib import Path

from scanner.system.mounts import source_of
from scanner.system.opening import mount_id

_SYS = Path("/sys")
_DEEP = 8  # devices one upon the other: partitions, RAID, encryption, volumes


def is_rotational(fd: int, sys: Path = _SYS) -> bool:
    """Whether any disk below an open directory's file system turns; False where nothing is known.

    File systems of several devices (btrfs, ZFS) have a number of their own: then it is asked of the device
    that the table of mounts names. A disk behind a hypervisor or a RAID controller is what that says it is.
    """
    device = os.fstat(fd).st_dev
    try:
        if not os.major(device):
            device = os.stat(source_of(mount_id(fd))).st_rdev
        place = sys / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}"
        return _turns(place.resolve(strict=True), _DEEP)
    except (OSError, ValueError):
        return False


def _turns(device: Path, deep: int) -> bool:
    below = sorted((device / "slaves").iterdir()) if (device / "slaves").is_dir() else []
    if below and deep:
        return any(_turns(one.resolve(strict=True), deep - 1) for one in below)
    for place in (device, device.parent):  # a partition's queue is that of its disk
        queue = place / "queue" / "rotational"
        if queue.is_file():
            return queue.read_text().strip() == "1"
    return False
