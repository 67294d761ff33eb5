"""Whether the vault may take another file: what must stay free, and how large it may become."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from scanner.model.errors import VaultFullError
from scanner.response.copying import own_storage


@dataclass(frozen=True, slots=True)
class VaultLimits:
    """What the vault leaves free, and how large it may become.

    Attributes:
        reserve: bytes that stay free on its file system (by default 1 GiB: the ledger may lie there too, and
            nothing can be secured without it).
        max_size: bytes of all objects together; None or 0 for no limit.
        reserve_inodes: inodes that stay free on its file system.
    """

    reserve: int = 1 << 30
    max_size: int | None = None
    reserve_inodes: int = 1000


def free_bytes(directory: Path) -> int:
    """Bytes free for ordinary use on a directory's file system.

    Raises:
        VaultError: it can't be asked.
    """
    with own_storage(directory):
        vfs = os.statvfs(directory)
        return vfs.f_bavail * vfs.f_frsize


def check_room(directory: Path, limits: VaultLimits, used: int, size: int) -> None:
    """Check that a file may come in.

    Args:
        used: bytes of all objects now; only looked at where there is a limit.
        size: bytes of the file.

    Raises:
        VaultFullError: it may not.
        VaultError: the file system can't be asked.
    """
    with own_storage(directory):
        vfs = os.statvfs(directory)
    room = vfs.f_bavail * vfs.f_frsize - limits.reserve
    lacking = ""
    if size > room:
        lacking = f"{size} bytes are needed, {max(room, 0)} are free above the reserve"
    elif vfs.f_files and vfs.f_favail <= limits.reserve_inodes:  # btrfs counts no inodes: 0
        lacking = f"{vfs.f_favail} inodes are free, {limits.reserve_inodes} are reserved"
    elif limits.max_size and used + size > limits.max_size:
        lacking = f"it may grow to {limits.max_size} bytes"
    if lacking:
        raise VaultFullError(
            f"the vault is full: {lacking}", where=str(directory), remedy="Make room or purge resolved items"
        )
