"""File systems that can tell inodes at once: XFS all there are, btrfs those that changed."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.system import btrfs, bulkstat, subvolumes
from scanner.system.inodes import Inodes


class XfsInodes:
    """All inodes of an XFS."""

    whole = True

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def token(self) -> str:
        return "xfs"

    def since(self, token: str) -> Iterable[Inodes]:
        return bulkstat.xfs_inodes(self._fd)


class BtrfsInodes:
    """Inodes of a btrfs subvolume that changed since a transaction."""

    whole = False

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._subvolume = subvolumes.subvolume(fd).hex()

    def token(self) -> str:
        # Also writes down what `since` is to find: it comes after this.
        return f"{subvolumes.generation(self._fd)} {self._subvolume}"

    def since(self, token: str) -> Iterable[Inodes]:
        """Raises ValueError where the token is another subvolume's: its generations say nothing of this one,
        which may be an older state that was put back."""
        generation, subvolume = token.split(" ")
        if subvolume != self._subvolume:
            raise ValueError("another subvolume")
        return btrfs.btrfs_inodes(self._fd, int(generation))
