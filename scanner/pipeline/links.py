"""Other names of inodes that were secured: they are looked for, judged like any file, or told as missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scanner.model.files import FileRef, FileStat
from scanner.model.hashes import Digests
from scanner.model.matches import Case
from scanner.pipeline.opening import OpenDirectory
from scanner.system.identity import differ, mark_of
from scanner.system.opening import open_regular

# (device, inode) of a file; the mark is compared besides.
_Key = tuple[int, int]


@dataclass(slots=True)
class LeftNames:
    """An inode that was secured by one name and has others.

    Attributes:
        case: of the name that was secured last.
        digests: as hashed before.
        mark: see `system.identity`.
        names: how many it had when that name was gone.
        met: names that were found since and could not be secured: each has a case of its own.
    """

    case: Case
    digests: Digests
    mark: str
    names: int
    met: int = 0

    @property
    def missing(self) -> int:
        """Names that nobody has found."""
        return max(self.names - self.met, 0)


class Links:
    """Remembers, for one scan, which secured inodes have names left."""

    def __init__(self) -> None:
        self._left: dict[_Key, LeftNames] = {}

    def secured(self, fd: int, case: Case, digests: Digests, names: int) -> None:
        """One name of an open file was secured, and the inode has so many left."""
        st = os.fstat(fd)
        key = (st.st_dev, st.st_ino)
        known = self._left.get(key)
        if not names:
            self._left.pop(key, None)
        elif known is None:
            self._left[key] = LeftNames(case, digests, mark_of(fd), names)
        else:
            known.case, known.names = case, names

    def of(self, fd: int) -> LeftNames | None:
        """What is known of an open file's inode, if another of its names was secured in this scan."""
        if not self._left:
            return None
        st = os.fstat(fd)
        found = self._left.get((st.st_dev, st.st_ino))
        return None if found is None or differ(found.mark, mark_of(fd)) else found

    @property
    def inodes(self) -> frozenset[int]:
        """Numbers of the inodes that have names left."""
        return frozenset(inode for _, inode in self._left)

    def left(self) -> tuple[LeftNames, ...]:
        """What has names left that were not found."""
        return tuple(left for left in self._left.values() if left.missing)

    def hunt(
        self,
        places: Iterator[tuple[bytes, bytes]],
        open_directory: Callable[[bytes], OpenDirectory],
        judge: Callable[[FileRef, LeftNames, OpenDirectory, int, int], bool],
        volume: str,
    ) -> None:
        """Open each place and have it judged if it is a name of such an inode, until none is missing.

        Args:
            places: (directory, name); may name what is long gone, or another file.
            judge: gets the file, what is known of it, its directory, descriptor and access time (ns); returns
                whether it was secured.
        """
        tried: set[tuple[bytes, bytes]] = set()
        for directory, name in places:
            if (directory, name) in tried or not self.left():
                continue
            tried.add((directory, name))
            opened = open_directory(directory)
            try:
                self._try(opened, name, judge, volume)
            except OSError:
                continue  # gone, or something else by now: the name is missing
            finally:
                opened.close()

    def _try(
        self,
        directory: OpenDirectory,
        name: bytes,
        judge: Callable[[FileRef, LeftNames, OpenDirectory, int, int], bool],
        volume: str,
    ) -> None:
        fd, stat, atime_ns = directory.open(name)
        try:
            found = self.of(fd)
            if found is None:
                return
            file = FileRef(volume, directory.path, stat)
            if not judge(file, found, directory, fd, atime_ns):
                found.met += 1
        finally:
            os.close(fd)


def other_name(fd: int, directory_fd: int) -> bytes | None:
    """The name that an open file has in an open directory now; None if it has none there.

    Raises:
        OSError: the directory can't be listed.
    """
    wanted, mark = os.fstat(fd), mark_of(fd)
    if not wanted.st_nlink:
        return None
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        with os.scandir(listing) as entries:
            names = [os.fsencode(e.name) for e in entries if e.inode() == wanted.st_ino]
    finally:
        os.close(listing)
    return next((name for name in names if _is(directory_fd, name, wanted, mark)), None)


def _is(directory_fd: int, name: bytes, wanted: os.stat_result, mark: str) -> bool:
    try:
        fd, st = open_regular(directory_fd, name)
    except OSError:
        return False
    try:
        return (st.st_dev, st.st_ino) == (wanted.st_dev, wanted.st_ino) and not differ(mark, mark_of(fd))
    finally:
        os.close(fd)


def known_as(stat: FileStat, known: FileStat, left: LeftNames | None) -> bool:
    """Whether an open file is still the one that a row of the catalog is about.

    Securing another name of the same inode moves its ctime: then size and mtime must do, and the copy into
    the vault is hashed anyway.
    """
    if (stat.inode, stat.size) != (known.inode, known.size):
        return False
    return stat.ctime_ns == known.ctime_ns or (left is not None and stat.mtime_ns == known.mtime_ns)
